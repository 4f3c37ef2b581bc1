"""What the sections of a report show beside its table: findings in sentences, interval charts, CMC charts."""

from collections.abc import Sequence

from snreid.figures.charts import CmcChart, IntervalChart, IntervalRow, span_of
from snreid.figures.formatting import SPACE, minus_signs, percent, points
from snreid.figures.score_table import METRICS, Difference, SchemeResult, ScoreTable


def comparison_findings(table: ScoreTable) -> list[tuple[str, str]]:
    """The outcome on the domains that are not seen: (scheme, one or two sentences) for each, whether better or worse."""
    unseen = [i for i, column in enumerate(table.columns) if column.kind in ("unseen", "unknown")]
    if not unseen:
        return [("No unseen domain", " was scored: this report says nothing about cameras never seen.")]
    mean = next((i for i, column in enumerate(table.columns) if column.kind == "mean"), None)
    place = unseen[0] if mean is None else mean
    kind = "unseen domains" if table.columns[unseen[0]].kind == "unseen" else "domains"
    where = table.columns[place].name if mean is None else f"average over the {len(unseen)} {kind}"
    findings = []
    for row in table.rows("mAP"):
        cell = row.cells[place]
        if cell is None:
            continue
        text = f": mAP{SPACE}{percent(cell.value)} on {where}"
        if cell.difference is not None:
            text += _difference_text(cell.difference, table.baseline)
            cells = [row.cells[i] for i in unseen]
            differences = [c.difference for c in cells if c is not None and c.difference is not None]
            text += _domain_counts(differences) if len(differences) > 1 else ""
        findings.append((row.scheme, text + "."))
    return findings


def _difference_text(gap: Difference, baseline: str) -> str:
    size, direction = percent(abs(gap.value)), "above" if gap.value >= 0 else "below"
    if float(size) == 0:
        direction = "from"
    interval = minus_signs(f"{points(gap.interval.low)} to {points(gap.interval.high)}")
    return f", {size} points {direction} {baseline} (95{SPACE}% interval {interval})"


def _domain_counts(differences: Sequence[Difference]) -> str:
    above = sum(gap.value > 0 for gap in differences)
    clear = sum(gap.clear for gap in differences)
    return f". Higher on {above} of {len(differences)} domains; clearly different on {clear}"


def interval_charts(table: ScoreTable) -> list[IntervalChart]:
    """One chart per metric: a group per column, a row per scheme."""
    charts = []
    for metric in METRICS:
        groups = []
        for i, column in enumerate(table.columns):
            cells = [(row.scheme, style, row.cells[i]) for style, row in enumerate(table.rows(metric))]
            rows = [
                IntervalRow(name, style, cell.value, cell.interval) for name, style, cell in cells if cell is not None
            ]
            if rows:
                groups.append((f"{column.name} (seen)" if column.kind == "seen" else column.name, rows))
        charts.append(IntervalChart(title=metric, groups=groups))
    return charts


def cmc_charts(table: ScoreTable, schemes: Sequence[SchemeResult], ranks: int) -> list[CmcChart]:
    """One chart per domain that was scored, all with the same vertical axis; ``ranks`` is the length of the curves."""
    styles = {scheme.name: style for style, scheme in enumerate(schemes)}
    charts = {}
    for column in table.columns:
        curves = {scheme.name: scheme.cmc(column.name, ranks) for scheme in schemes if scheme.runs(column.name)}
        if curves:
            charts[f"{column.name} (seen in training)" if column.kind == "seen" else column.name] = curves
    ends = [float(share) for curves in charts.values() for curve in curves.values() for share in curve[[0, -1]]]
    span = span_of(ends or [0])
    return [CmcChart(title=title, curves=curves, styles=styles, span=span) for title, curves in charts.items()]
