"""The first part of the report: what came out, in sentences, as a drawing and as the table."""

from collections.abc import Sequence

from snreid.figures.curves import interval_figure
from snreid.figures.markup import Html, tag
from snreid.figures.page import described, scrolling, section
from snreid.figures.table import METRICS, Cell, Column, Difference, SchemeResult, ScoreRow, ScoreTable
from snreid.figures.text import p_text, percent, points

STAR = "\N{BLACK STAR}"
RANGE = "\N{EN DASH}"
SPACE = "\N{NO-BREAK SPACE}"
MEANING = {
    False: "takes the domains as independent of each other",
    True: "allows for any correlation between the domains, since they show the same people",
}


def results_section(table: ScoreTable, schemes: Sequence[SchemeResult], notes: Sequence[str]) -> Html:
    """The findings in sentences, the intervals as a drawing, the table, what each scheme is."""
    terms = [described(scheme.name, scheme.description) for scheme in schemes if scheme.description]
    return section(
        "Results",
        tag("ul", *(tag("li", tag("b", name), text) for name, text in findings(table)), class_="findings"),
        tag("div", *(_interval_panel(table, metric.name) for metric in METRICS), class_="panels two"),
        scrolling(_html_table(table), "Table of results"),
        tag("p", _caption(table), class_="caption"),
        tag("ul", *(tag("li", note) for note in notes), class_="notes") if notes else None,
        tag("dl", *terms, class_="terms") if terms else None,
    )


def findings(table: ScoreTable) -> list[tuple[str, str]]:
    """What came out on the unseen domains: (scheme, a sentence or two) for each, whichever way they point."""
    unseen = [i for i, column in enumerate(table.columns) if column.kind == "unseen"]
    if not unseen:
        return [("No unseen domain", " was scored: this report says nothing about cameras never seen.")]
    mean = next((i for i, column in enumerate(table.columns) if column.kind == "mean"), None)
    place = unseen[0] if mean is None else mean
    where = table.columns[place].name if mean is None else f"average over the {len(unseen)} unseen domains"
    sentences = []
    for row in table.rows("mAP"):
        cell = row.cells[place]
        if cell is None:
            continue
        text = f": mAP{SPACE}{percent(cell.value)} on {where}"
        if cell.difference is not None:
            text += _compared(cell.difference, table)
            found = [row.cells[i] for i in unseen]
            differences = [c.difference for c in found if c is not None and c.difference is not None]
            text += _tally(differences) if len(differences) > 1 else ""
        sentences.append((row.scheme, text + "."))
    return sentences


def _compared(gap: Difference, table: ScoreTable) -> str:
    direction = "above" if gap.value >= 0 else "below"
    low, high = signed(points(gap.interval.low)), signed(points(gap.interval.high))
    level = f"{100 * table.level:.0f}{SPACE}%"
    return f", {percent(abs(gap.value))} points {direction} {table.baseline} ({level} interval {low} to {high})"


def _tally(differences: Sequence[Difference]) -> str:
    above = sum(gap.value > 0 for gap in differences)
    clear = sum(gap.clear for gap in differences)
    return f". Higher on {above} of {len(differences)} domains; clearly different on {clear}"


def signed(text: str) -> str:
    """The text with a real minus sign in place of a hyphen."""
    return text.replace("-", "\N{MINUS SIGN}")


def _interval_panel(table: ScoreTable, metric: str) -> Html:
    groups = []
    for i, column in enumerate(table.columns):
        cells = [(row.scheme, style, row.cells[i]) for style, row in enumerate(table.rows(metric))]
        rows = [(name, style, cell.value, cell.interval) for name, style, cell in cells if cell is not None]
        if rows:
            groups.append((f"{column.name} (seen)" if column.kind == "seen" else column.name, rows))
    drawing = interval_figure(metric, groups, level=table.level)
    return tag("figure", tag("figcaption", f"{metric}, with {100 * table.level:.0f} % intervals"), drawing)


def _html_table(table: ScoreTable) -> Html:
    head = tag("tr", tag("th", "Scheme", scope="col"), *(_column_head(column) for column in table.columns))
    bodies = []
    for metric, rows in table.groups:
        words = tag("th", tag("span", f"{metric}, %"), colspan=len(table.columns) + 1, scope="rowgroup")
        lines = [_table_row(row, table.columns) for row in rows]
        bodies.append(tag("tbody", tag("tr", words, class_="metric"), *lines))
    counts = [
        tag("td", str(column.queries), tag("small", f"{column.skipped or 'none'} skipped")) for column in table.columns
    ]
    foot = tag("tfoot", tag("tr", tag("th", "Queries", scope="row"), *counts))
    return tag("table", tag("thead", head), *bodies, foot, class_="scores")


def _column_head(column: Column) -> Html:
    words = {"seen": "seen in training", "unseen": "unseen"}.get(column.kind)
    return tag("th", column.name, tag("small", words) if words else None, scope="col", class_=column.kind)


def _table_row(row: ScoreRow, columns: Sequence[Column]) -> Html:
    cells = [_table_cell(cell, column) for cell, column in zip(row.cells, columns, strict=True)]
    return tag("tr", tag("th", row.scheme, scope="row"), *cells)


def _table_cell(cell: Cell | None, column: Column) -> Html:
    if cell is None:
        return tag("td", tag("small", "not scored"), class_=column.kind)
    value = percent(cell.value)
    star = tag("abbr", STAR, title="best of its column")
    parts: list[Html | str] = [tag("strong", value, star) if cell.best else value]
    parts.append(tag("small", f"{percent(cell.interval.low)}{RANGE}{percent(cell.interval.high)}"))
    if len(cell.seeds) > 1:
        low, high = percent(min(cell.seeds)), percent(max(cell.seeds))
        parts.append(tag("small", f"{len(cell.seeds)} seeds: {low}{RANGE}{high}"))
    if cell.difference is not None:
        gap = cell.difference
        words = f"{points(gap.value)} [{points(gap.interval.low)}, {points(gap.interval.high)}]"
        parts.append(tag("small", signed(words), class_="clear" if gap.clear else None))
        if gap.p_value is not None:
            parts.append(tag("small", p_text(gap.p_value)))
    return tag("td", *parts, class_=column.kind)


def _caption(table: ScoreTable) -> str:
    level = f"{100 * table.level:.0f}{SPACE}%"
    text = f"Values in percent; under a value its {level} interval; {STAR} marks the best of a column."
    if table.columns[0].kind == "mean":
        text += f" The interval of the mean over domains {MEANING[table.same_people]}."
    cells = [cell for _, rows in table.groups for row in rows for cell in row.cells if cell is not None]
    if any(len(cell.seeds) > 1 for cell in cells):
        text += " With several seeds the value is their mean, and the range of the seeds stands below."
    if any(cell.difference is not None for cell in cells):
        text += (
            f" The signed number is the difference to {table.baseline} in points with its paired interval,"
            f" in bold where that leaves out 0 and p, where shown, is at most {1 - table.level:.2g}."
        )
    return text
