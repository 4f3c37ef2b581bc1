"""The rule that chooses the queries of a report, so that nobody can pick flattering ones."""

from dataclasses import dataclass

import numpy as np

from snreid.errors import ExperimentError
from snreid.figures.formatting import minus_signs
from snreid.records import Scores


@dataclass(frozen=True, slots=True)
class ChosenQuery:
    """A query and why it is shown."""

    query: int
    """Position in the query split."""
    reason: str


def typical_queries(scores: Scores) -> tuple[ChosenQuery, ...]:
    """The queries with the highest, the median and the lowest average precision, for a report of one scheme.

    Each is listed once; ties go to the earlier query. Raises ``ExperimentError`` if there is no valid query.
    """
    precision = scores.average_precision
    if len(precision) == 0:
        raise ExperimentError("Queries are chosen from those with a match", found="none", fix="score other images")
    order = np.argsort(-precision, kind="stable")
    chosen: dict[int, ChosenQuery] = {}
    for place, rule in zip(
        (order[0], order[len(order) // 2], order[-1]),
        ("The best ranked query", "A query from the middle", "The worst ranked query"),
        strict=True,
    ):
        query = int(scores.query_index[place])
        chosen.setdefault(query, ChosenQuery(query, f"{rule} (AP {round(100 * float(precision[place]))})"))
    return tuple(chosen.values())


def choose_queries(
    baseline: Scores, scheme: Scores, *, baseline_name: str = "Baseline", scheme_name: str = "SNR"
) -> tuple[ChosenQuery, ...]:
    """The query on which a scheme gains most over the baseline, the median one, and the one on which it loses most.

    The gain is the difference of the average precision. Each query is listed once; ties go to the earlier one. The names are for the
    reasons. Raises ``ExperimentError`` if the valid queries of the two differ, or there are none.
    """
    if not np.array_equal(baseline.query_index, scheme.query_index) or len(scheme.query_index) == 0:
        raise ExperimentError(
            "Queries are chosen from those that both schemes answered",
            found=f"{len(baseline.query_index)} and {len(scheme.query_index)} valid queries, not the same ones",
            fix="score both schemes on the same query and gallery split",
        )
    gain = scheme.average_precision - baseline.average_precision
    order = np.argsort(-gain, kind="stable")
    chosen: dict[int, ChosenQuery] = {}
    for place in (order[0], order[len(order) // 2], order[-1]):
        query, change = int(scheme.query_index[place]), 100 * float(gain[place])
        if place == order[0]:
            rule = f"{scheme_name} {'gains most' if change > 0 else 'loses least'} on this query"
        elif place == order[-1]:
            rule = f"{scheme_name} {'loses most' if change < 0 else 'gains least'} on this query"
        else:
            rule = f"A query from the middle of what {scheme_name} gains"
        amount = minus_signs(f"{round(change):+d}") if round(change) else "0"
        chosen.setdefault(query, ChosenQuery(query, f"{rule} ({amount} points of AP against {baseline_name})"))
    return tuple(chosen.values())
