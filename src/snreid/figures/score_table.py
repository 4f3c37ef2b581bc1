"""The numbers of a report: schemes x domains, mAP and rank-1 with intervals, and their differences to the baseline.

A value is the mean over queries (and over seeds, if there are several); its interval draws the persons queried
(evaluation/uncertainty.py). The difference to the baseline is paired: both schemes answered the same queries, so the
interval is that of the per-query differences.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from snreid.errors import ExperimentError
from snreid.evaluation.uncertainty import (
    difference_interval,
    disagreement,
    few_persons,
    mean_interval,
    sign_flip_p_value,
)
from snreid.records import Interval, Sample, Scores

Values = NDArray[np.float64]


QueryMetric = Callable[[Scores], Values]
"""Scores -> (V,) one share between 0 and 1 for each valid query. Their mean is reported, in percent."""
METRICS: Mapping[str, QueryMetric] = {
    "mAP": lambda scores: scores.average_precision,
    "rank-1": lambda scores: (scores.first_rank == 1).astype(np.float64),
}
"""What the table shows, in this order."""


@dataclass(frozen=True, kw_only=True)
class ScoredDomain:
    """What the table has as a column: a data set that was scored, with what a reader needs to know about it."""

    name: str
    seen: bool | None = False
    """Whether the models were trained on (other people of) this domain; None: not known."""
    description: str = ""
    """A sentence for a reader who has never heard of the domain."""
    samples: tuple[Sample, ...] = ()
    """A few images to show, usually 8 to 12."""


@dataclass(frozen=True, kw_only=True)
class SchemeResult:
    """What the table has as a row: one scheme and its scores on each domain."""

    name: str
    """As shown: Baseline, Baseline-IN, SNR."""
    scores: Mapping[str, Scores | tuple[Scores, ...]]
    """Domain name -> scores, or one ``Scores`` per seed. A domain may be missing: its cell says so."""
    description: str = ""
    """What the scheme is, in a sentence."""

    def __post_init__(self) -> None:
        for domain in self.scores:
            runs = self.runs(domain)
            if not runs or any(len(scores.average_precision) == 0 for scores in runs):
                raise ExperimentError(
                    "Every scored domain needs at least one query with a valid match",
                    found=f"none for scheme {self.name!r} on {domain!r}",
                    fix="leave the domain out of the result, or check the cameras of its query and gallery split",
                )
            if any(not np.array_equal(scores.query_index, runs[0].query_index) for scores in runs):
                raise ExperimentError(
                    "All seeds of a scheme have to answer the same queries",
                    found=f"different valid queries for scheme {self.name!r} on {domain!r}",
                    fix="score every seed on the same query and gallery split",
                )

    def runs(self, domain: str) -> tuple[Scores, ...]:
        """The scores on ``domain``, one per seed; empty when the scheme was not scored there."""
        scores = self.scores.get(domain, ())
        return (scores,) if isinstance(scores, Scores) else scores

    def per_query(self, metric: QueryMetric, domain: str) -> Values:
        """(V,) the metric of every valid query on ``domain``, averaged over the seeds."""
        mean: Values = np.mean([metric(scores) for scores in self.runs(domain)], axis=0)
        return mean

    def cmc(self, domain: str, length: int) -> Values:
        """(length,) CMC at ranks 1 to ``length``, averaged over the seeds; 0 to 1."""
        mean: Values = np.mean([scores.cmc(length) for scores in self.runs(domain)], axis=0)
        return mean


@dataclass(frozen=True, slots=True)
class Difference:
    """This scheme minus the baseline, on the same queries; a share (0.01 is one point)."""

    value: float
    interval: Interval
    p_value: float | None = None
    """Two-sided sign-flip test, 0 < p <= 1; None for a mean over domains."""

    @property
    def clear(self) -> bool:
        """Whether the interval excludes 0 and the test, if there is one, agrees at the same level."""
        apart = self.interval.low > 0 or self.interval.high < 0
        return apart and not self.remark

    @property
    def remark(self) -> str:
        """What to make of interval and test if they contradict each other; else empty."""
        return disagreement(self.interval, self.p_value)


@dataclass(frozen=True, slots=True)
class Cell:
    """One value of the table; shares between 0 and 1."""

    value: float
    interval: Interval
    seeds: tuple[float, ...]
    """The value of each seed."""
    difference: Difference | None
    """To the baseline; None in the baseline's own row and where the baseline was not scored."""
    best: bool = False
    """True for the highest value of its column (ties: all of them)."""


@dataclass(frozen=True, slots=True)
class ScoreColumn:
    """A domain, or the mean over those that are not seen."""

    name: str
    kind: str
    """``"seen"``, ``"unseen"``, ``"unknown"`` (whether it was seen) or ``"mean"``."""
    queries: int
    """All queries of the domain (for the mean: of all unseen domains), with and without a valid match."""
    skipped: int
    """Those without a valid match; they count in no mean."""
    persons: int
    """Persons on queries with a valid match (for the mean: the fewest of a domain)."""


@dataclass(frozen=True, slots=True)
class ScoreRow:
    """One scheme under one metric."""

    scheme: str
    cells: tuple[Cell | None, ...]
    """One per column; None where the scheme was not scored."""


@dataclass(frozen=True, slots=True)
class ScoreTable:
    """All numbers, ready to be written as HTML, Markdown or plain text."""

    columns: tuple[ScoreColumn, ...]
    groups: tuple[tuple[str, tuple[ScoreRow, ...]], ...]
    """(metric name, rows) in the order of ``METRICS``."""
    baseline: str

    @property
    def cells(self) -> tuple[Cell, ...]:
        """All scored cells, metric by metric and row by row."""
        return tuple(cell for _, rows in self.groups for row in rows for cell in row.cells if cell is not None)

    @property
    def remarks(self) -> tuple[str, ...]:
        """Sentences on what the intervals cannot tell: few persons, or an interval and a test that contradict each other."""
        few = [(c.name, few_persons(c.persons)) for c in self.columns if c.kind != "mean" and c.persons]
        return tuple(f"{name}: {text}" for name, text in few if text) + tuple(
            f"{row.scheme}, {metric} on {column.name}: {cell.difference.remark}"
            for metric, rows in self.groups
            for row in rows
            for column, cell in zip(self.columns, row.cells, strict=True)
            if cell is not None and cell.difference is not None and cell.difference.remark
        )

    def rows(self, metric: str) -> tuple[ScoreRow, ...]:
        """The rows of one metric. Raises KeyError for a metric the table does not have."""
        return dict(self.groups)[metric]


def score_table(
    domains: tuple[ScoredDomain, ...],
    schemes: tuple[SchemeResult, ...],
    *,
    baseline: str,
) -> ScoreTable:
    """Schemes x domains with 95 % intervals. Columns: the mean over the unseen domains (if there are two or more), these, the seen ones.

    All schemes are compared with the one named ``baseline``; if there is none of this name, there are no differences. Raises
    ``ExperimentError`` if there is nothing to show, a name occurs twice, or a scheme answered other queries than the baseline.
    """
    _check_names("domain", [domain.name for domain in domains])
    _check_names("scheme", [scheme.name for scheme in schemes])
    ordered = sorted(domains, key=lambda domain: domain.seen is True)
    base = next((scheme for scheme in schemes if scheme.name == baseline), None)
    groups = []
    for name, metric in METRICS.items():
        rows = []
        for scheme in schemes:
            cells = [_scored_cell(metric, domain, scheme, base) for domain in ordered]
            unseen = [cell for cell, domain in zip(cells, ordered, strict=True) if not domain.seen]
            mean = [_mean_cell(unseen)] if len(unseen) > 1 else []
            rows.append(ScoreRow(scheme.name, (*mean, *cells)))
        groups.append((name, _mark_best(rows)))
    return ScoreTable(_columns(ordered, schemes), tuple(groups), baseline)


def _check_names(kind: str, names: list[str]) -> None:
    if not names or len(set(names)) < len(names):
        raise ExperimentError(
            f"A report needs at least one {kind}, each with its own name",
            found=", ".join(repr(name) for name in names) or f"no {kind}",
            fix=f"give every {kind} once, under a unique name",
        )


def _columns(domains: list[ScoredDomain], schemes: tuple[SchemeResult, ...]) -> tuple[ScoreColumn, ...]:
    columns = []
    for domain in domains:
        scored = next((runs[0] for scheme in schemes if (runs := scheme.runs(domain.name))), None)
        counts = (scored.queries, scored.skipped_queries, len(np.unique(scored.persons))) if scored else (0, 0, 0)
        kind = {True: "seen", False: "unseen", None: "unknown"}[domain.seen]
        columns.append(ScoreColumn(domain.name, kind, *counts))
    unseen = [column for column in columns if column.kind != "seen"]
    if len(unseen) > 1:
        counts = (sum(c.queries for c in unseen), sum(c.skipped for c in unseen), min(c.persons for c in unseen))
        known = all(column.kind == "unseen" for column in unseen)
        columns.insert(0, ScoreColumn(f"mean of {len(unseen)}{' unseen' if known else ''}", "mean", *counts))
    return tuple(columns)


def _scored_cell(
    metric: QueryMetric, domain: ScoredDomain, scheme: SchemeResult, base: SchemeResult | None
) -> Cell | None:
    runs = scheme.runs(domain.name)
    if not runs:
        return None
    values, persons = scheme.per_query(metric, domain.name), runs[0].persons
    difference = None
    if base is not None and base.name != scheme.name and base.runs(domain.name):
        if not np.array_equal(runs[0].query_index, base.runs(domain.name)[0].query_index):
            raise ExperimentError(
                "A scheme is compared with the baseline on the same queries",
                found=f"{scheme.name!r} and {base.name!r} have different valid queries on {domain.name!r}",
                fix="score both on the same query and gallery split",
            )
        change = values - base.per_query(metric, domain.name)
        p_value = sign_flip_p_value(change, persons)
        difference = Difference(float(change.mean()), difference_interval(change, persons), p_value)
    return Cell(
        value=float(values.mean()),
        interval=mean_interval(values, persons),
        seeds=tuple(float(metric(scores).mean()) for scores in runs),
        difference=difference,
    )


def _mean_cell(cells: list[Cell | None]) -> Cell | None:
    """The mean over domains; None if the scheme was not scored on all of them."""
    scored = [cell for cell in cells if cell is not None]
    if len(scored) < len(cells):
        return None
    gaps = [cell.difference for cell in scored if cell.difference is not None]
    difference = None
    if len(gaps) == len(scored):
        difference = Difference(*mean_with_interval([g.value for g in gaps], [g.interval for g in gaps]))
    value, interval = mean_with_interval([cell.value for cell in scored], [cell.interval for cell in scored])
    count = min(len(cell.seeds) for cell in scored)
    seeds = tuple(float(np.mean([cell.seeds[i] for cell in scored])) for i in range(count))
    return Cell(value, interval, seeds, difference)


def mean_with_interval(values: list[float], intervals: list[Interval]) -> tuple[float, Interval]:
    """The mean of n >= 1 estimates and its interval, from their intervals (all of one level).

    The squared distances from value to bound are summed, each side separately, which is correct for independent estimates (MOVER:
    Zou and Donner 2008, doi.org/10.1002/sim.3095).
    """
    centre = float(np.mean(values))
    below = np.array([value - interval.low for value, interval in zip(values, intervals, strict=True)])
    above = np.array([interval.high - value for value, interval in zip(values, intervals, strict=True)])
    down, up = (float(np.linalg.norm(side)) / len(values) for side in (below, above))
    return centre, Interval(centre - down, centre + up, intervals[0].level)


def _mark_best(rows: list[ScoreRow]) -> tuple[ScoreRow, ...]:
    if len(rows) < 2:
        return tuple(rows)
    columns = zip(*(row.cells for row in rows), strict=True)
    tops = [max((cell.value for cell in column if cell is not None), default=0.0) for column in columns]
    return tuple(
        ScoreRow(row.scheme, tuple(_with_best(cell, top) for cell, top in zip(row.cells, tops, strict=True)))
        for row in rows
    )


def _with_best(cell: Cell | None, top: float) -> Cell | None:
    # 1e-12 because a mean over seeds and a single run may round the same value differently.
    return cell and replace(cell, best=cell.value > top - 1e-12)
