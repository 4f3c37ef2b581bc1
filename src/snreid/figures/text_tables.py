"""The score table as plain text: for a terminal, and as Markdown for docs and README."""

from snreid.figures.formatting import p_text, percent_with_interval, points
from snreid.figures.score_table import Cell, ScoreTable


def markdown_table(table: ScoreTable, *, differences: bool = True) -> str:
    """The table as Markdown: a line per metric and scheme, a column per domain, padded so that the source is legible.

    Args:
        table: The scores.
        differences: Whether a cell also shows the difference to the baseline in points, with its interval and p value.

    Returns:
        The lines, without a trailing newline. A cell holds value and interval in percent; the best value of a column is in ``**``. The
        last line counts the queries and the skipped ones.
    """
    plain = ("mean", "unknown")
    names = (column.name if column.kind in plain else f"{column.name} ({column.kind})" for column in table.columns)
    head = ["metric", "scheme", *(_escaped(name) for name in names)]
    lines = [
        [metric, _escaped(row.scheme), *(_markdown_cell(cell, differences) for cell in row.cells)]
        for metric, rows in table.groups
        for row in rows
    ]
    lines.append(["queries", "(skipped)", *(f"{column.queries} ({column.skipped})" for column in table.columns)])
    widths = [max(3, *(len(line[i]) for line in [head, *lines])) for i in range(len(head))]
    rule = ["-" * width for width in widths]
    return "\n".join(f"| {' | '.join(_aligned(line, widths))} |" for line in [head, rule, *lines])


def text_table(table: ScoreTable) -> str:
    """The table for a terminal: a block per metric, a line per domain, a column per scheme.

    ``*`` marks the best of a line. Four schemes fit into 120 characters. No trailing newline.
    """
    lines: list[list[str]] = []
    for metric, rows in table.groups:
        lines.append([f"{metric}, %", *(" ".join(row.scheme.split()) for row in rows), "queries (skipped)"])
        for i, column in enumerate(table.columns):
            name = f"{column.name} (seen)" if column.kind == "seen" else column.name
            cells = [_text_cell(row.cells[i]) for row in rows]
            lines.append([" ".join(name.split()), *cells, f"{column.queries} ({column.skipped})"])
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    height = len(table.columns) + 1
    aligned = ["  ".join(_aligned(line, widths)).rstrip() for line in lines]
    blocks = (aligned[i : i + height] for i in range(0, len(aligned), height))
    rule = "-" * max(len(line) for line in aligned)
    return "\n\n".join("\n".join([block[0], rule, *block[1:]]) for block in blocks)


def _aligned(line: list[str], widths: list[int]) -> list[str]:
    return [text.ljust(width) for text, width in zip(line, widths, strict=True)]


def _escaped(text: str) -> str:
    # A bar or a line break in a name would break the table; "<" would be read as HTML by a Markdown renderer.
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")


def _text_cell(cell: Cell | None) -> str:
    if cell is None:
        return "not scored"
    value, _, interval = percent_with_interval(cell.value, cell.interval).partition(" ")
    return f"{value:>5}{'*' if cell.best else ' '}{interval}"


def _markdown_cell(cell: Cell | None, differences: bool) -> str:
    if cell is None:
        return "not scored"
    value, _, interval = percent_with_interval(cell.value, cell.interval).partition(" ")
    text = f"{f'**{value}**' if cell.best else value} {interval}"
    if differences and cell.difference is not None:
        gap = cell.difference
        text += f" {points(gap.value)} [{points(gap.interval.low)}, {points(gap.interval.high)}]"
        if gap.p_value is not None:
            text += f" {p_text(gap.p_value)}"
    return text
