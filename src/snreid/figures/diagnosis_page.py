"""The page of a diagnosis: where a model fails on a target, as one HTML file without external resources or scripts.

``render_diagnosis`` is a pure function of a frozen ``DiagnosisPage``. Tables and sentences show the numbers of the JSON file beside the
page. The templates are in ``templates/diagnosis``.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from snreid.evaluation import CameraPair, CorruptionEffect, Diagnosis, Estimate, PropertyBuckets, SubsetScores
from snreid.figures.charts import IntervalChart, IntervalRow
from snreid.figures.formatting import (
    DASH,
    SPACE,
    minus_signs,
    p_text,
    percent,
    percent_with_interval,
    points_with_interval,
)
from snreid.figures.page import render_page
from snreid.figures.rank_lists import RankExample
from snreid.records import Sample

_FULL_SHADE = 0.02
"""The loss of mAP that has the darkest shade if all losses are smaller, so that a table of small losses stays pale."""


@dataclass(frozen=True, kw_only=True)
class DiagnosisPage:
    """The content of the page."""

    diagnosis: Diagnosis
    model: str
    """Where the embeddings come from: a run's folder, or a file."""
    trained_on: str = ""
    """What the model was trained on, if it is known."""
    seen: bool | None = None
    """Whether it was trained on other people of the target's cameras; None: not known."""
    corrupted: tuple[tuple[str, tuple[tuple[str, Sample], ...]], ...] = ()
    """(kind, captioned images of one query): examples of the corruptions."""
    worst: tuple[RankExample, ...] = ()
    """Queries with the lowest average precision, and their rank lists."""
    made: str = ""
    """When and by which version, as text."""


def render_diagnosis(page: DiagnosisPage) -> str:
    """The page as the text of one HTML file.

    Raises:
        DataError: An image cannot be read.
    """
    diagnosis = page.diagnosis
    seen = {True: " (cameras seen in training, other people)", False: " (cameras never seen)", None: ""}[page.seen]
    facts = {
        "Model": page.model,
        "Trained on": page.trained_on,
        "Target": diagnosis.target + seen,
        "Compared by": diagnosis.metric,
    }
    sections = {
        "Findings": True,
        "Camera pairs": True,
        "Kinds of images": diagnosis.properties,
        "Corruptions": diagnosis.effects,
        "How to read this": True,
        "Worst queries": page.worst,
    }
    return render_page(
        "diagnosis",
        f"Where it fails: {diagnosis.target}",
        facts,
        sections,
        made=page.made,
        page=page,
        diagnosis=diagnosis,
        findings=diagnosis_findings(diagnosis),
        pair_shades=_pair_shades(diagnosis.pairs.pairs),
        properties=[_PropertyPanel(buckets) for buckets in diagnosis.properties],
        effects={(effect.kind, effect.severity): effect for effect in diagnosis.effects},
        loss_shades=_loss_shades(diagnosis.effects),
        drop="" if diagnosis.drop is None else _drop_text(diagnosis.drop),
    )


def diagnosis_findings(diagnosis: Diagnosis) -> list[tuple[str, str]]:
    """What stands out, each as (head, rest of the sentence)."""
    overall = diagnosis.estimates
    count = f"{overall.queries:,} queries of {overall.persons:,} persons"
    skipped = diagnosis.scores.skipped_queries
    count += f"; {skipped:,} more have no match" if skipped else ""
    scores = f"mAP{SPACE}{_estimate_text(overall.mean_ap)}, rank-1{SPACE}{_estimate_text(overall.rank1)}"
    findings = [("Overall", f": {scores}; {count}.")]
    scored = diagnosis.pairs.scored
    if len(scored) > 1:
        hardest, easiest = _pair_text(scored[0]), _pair_text(scored[-1])
        findings.append(
            ("Cameras", f": hardest are queries of {hardest}, easiest of {easiest}; {len(scored)} pairs have matches.")
        )
    for buckets in diagnosis.properties:
        if text := _property_finding(buckets):
            findings.append((buckets.name.capitalize(), f": {text}"))
    if diagnosis.drop is not None:
        worst = min(diagnosis.effects, key=lambda effect: effect.comparison.mean_ap.difference)
        change = worst.comparison.mean_ap
        loss, _, interval = points_with_interval(change.difference, change.interval).partition(" ")
        average = f"mAP drops by {_drop_text(diagnosis.drop)} points on average over {len(diagnosis.effects)}"
        most = f"most by {worst.kind} at severity {worst.severity}, {loss} points {interval}"
        findings.append(("Corruptions", f": {average}; {most}."))
    return findings


def _property_finding(buckets: PropertyBuckets) -> str:
    if not buckets.buckets or buckets.trend is None:
        return f"{buckets.remark[:1].lower()}{buckets.remark[1:]}"
    low, high = buckets.buckets[0].estimates.mean_ap.value, buckets.buckets[-1].estimates.mean_ap.value
    if buckets.trend.p_value > 0.05:
        verdict = "average precision shows no trend"
    else:
        verdict = f"average precision {'rises' if buckets.trend.rho > 0 else 'falls'} with it"
    means = f"mAP{SPACE}{percent(low)} in the lowest quarter, {percent(high)} in the highest"
    return f"{verdict} ({_trend_text(buckets)}); {means}."


@dataclass(frozen=True)
class _PropertyPanel:
    """One property of the query images as the page shows it."""

    buckets: PropertyBuckets

    @property
    def rows(self) -> list[tuple[str, SubsetScores]]:
        """(range of the property, scores) of each quarter."""
        return [(_value_range(bucket.low, bucket.high), bucket.estimates) for bucket in self.buckets.buckets]

    @property
    def chart(self) -> IntervalChart:
        """mAP of each quarter."""
        rows = [
            IntervalRow(name, 2, estimates.mean_ap.value, estimates.mean_ap.interval) for name, estimates in self.rows
        ]
        return IntervalChart(title=f"mAP by {self.buckets.name}", groups=[(self.buckets.unit, rows)])

    @property
    def trend(self) -> str:
        """Rank correlation with interval and p value; empty without a trend."""
        return _trend_text(self.buckets)


def _pair_shades(pairs: Sequence[CameraPair]) -> dict[tuple[int | str, int | str], float]:
    """(query camera, gallery camera) of each scored pair -> its place between the lowest (0) and the highest mAP (1)."""
    values = {(p.query_camera, p.gallery_camera): p.estimates.mean_ap.value for p in pairs if p.estimates is not None}
    low, high = min(values.values(), default=0.0), max(values.values(), default=0.0)
    return {pair: (value - low) / (high - low) if high > low else 0.5 for pair, value in values.items()}


def _loss_shades(effects: Sequence[CorruptionEffect]) -> dict[tuple[str, int], float]:
    """(kind, severity) -> the loss of mAP relative to the largest one, 0 to 1."""
    losses = {(effect.kind, effect.severity): -effect.comparison.mean_ap.difference for effect in effects}
    largest = max(_FULL_SHADE, *losses.values()) if losses else _FULL_SHADE
    return {place: max(0.0, loss / largest) for place, loss in losses.items()}


def _estimate_text(estimate: Estimate) -> str:
    return percent_with_interval(estimate.value, estimate.interval)


def _drop_text(drop: Estimate) -> str:
    """A drop in points; the sign is in the word."""
    return points_with_interval(drop.value, drop.interval).replace("+", "")


def _value_range(low: float, high: float) -> str:
    digits = 0 if high >= 100 else 1
    return f"{low:,.{digits}f}{DASH}{high:,.{digits}f}"


def _trend_text(buckets: PropertyBuckets) -> str:
    if buckets.trend is None:
        return ""
    low, high = buckets.trend.interval.low, buckets.trend.interval.high
    return (
        minus_signs(f"rho = {buckets.trend.rho:+.2f} [{low:+.2f}, {high:+.2f}]") + f", {p_text(buckets.trend.p_value)}"
    )


def _pair_text(pair: CameraPair) -> str:
    assert pair.estimates is not None
    value = f"mAP{SPACE}{_estimate_text(pair.estimates.mean_ap)}, {pair.estimates.queries:,} queries"
    return f"camera {pair.query_camera} in camera {pair.gallery_camera} ({value})"
