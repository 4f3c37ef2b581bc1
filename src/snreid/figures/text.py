"""Numbers as words, and the table of a report as plain text: for a terminal, and as Markdown for docs and README."""

from snreid.figures.table import Cell, ScoreTable


def percent(share: float) -> str:
    """A share between 0 and 1 as percent with one decimal, without the sign: 0.4123 -> ``41.2``."""
    return f"{100 * share:.1f}"


def points(share: float) -> str:
    """A difference of shares in points with its sign: 0.031 -> ``+3.1``; what rounds to zero has none."""
    shown = f"{100 * share:+.1f}"
    return "0.0" if shown in ("+0.0", "-0.0") else shown


def p_text(p_value: float) -> str:
    """A p value as it is read: ``p = 0.03``, never ``p = 0``."""
    return "p < 0.001" if p_value < 0.001 else f"p = {p_value:.3f}" if p_value < 0.1 else f"p = {p_value:.2f}"


def markdown_table(table: ScoreTable, *, differences: bool = True) -> str:
    """The table as Markdown: a line per metric and scheme, a column per domain, padded so that the source reads well.

    A cell holds value and interval in percent and, with ``differences``, the difference to the baseline with its
    interval in points and its p value. The best of each column is in ``**``. Ends with the queries and the skipped
    ones; no trailing newline.
    """
    names = (column.name if column.kind == "mean" else f"{column.name} ({column.kind})" for column in table.columns)
    head = ["metric", "scheme", *(_escaped(name) for name in names)]
    lines = [
        [metric, _escaped(row.scheme), *(_markdown_cell(cell, differences) for cell in row.cells)]
        for metric, rows in table.groups
        for row in rows
    ]
    lines.append(["queries", "(skipped)", *(f"{column.queries} ({column.skipped})" for column in table.columns)])
    widths = [max(3, *(len(line[i]) for line in [head, *lines])) for i in range(len(head))]
    rule = ["-" * width for width in widths]
    return "\n".join(f"| {' | '.join(_padded(line, widths))} |" for line in [head, rule, *lines])


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
    shown = ["  ".join(_padded(line, widths)).rstrip() for line in lines]
    blocks = (shown[i : i + height] for i in range(0, len(shown), height))
    rule = "-" * max(len(line) for line in shown)
    return "\n\n".join("\n".join([block[0], rule, *block[1:]]) for block in blocks)


def _padded(line: list[str], widths: list[int]) -> list[str]:
    return [text.ljust(width) for text, width in zip(line, widths, strict=True)]


def _escaped(text: str) -> str:
    # A bar or a line break in a name would break the table; "<" would be read as HTML by a Markdown renderer.
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")


def _range(cell: Cell) -> str:
    return f"[{percent(cell.interval.low)}, {percent(cell.interval.high)}]"


def _text_cell(cell: Cell | None) -> str:
    return "not scored" if cell is None else f"{percent(cell.value):>5}{'*' if cell.best else ' '}{_range(cell)}"


def _markdown_cell(cell: Cell | None, differences: bool) -> str:
    if cell is None:
        return "not scored"
    value = percent(cell.value)
    text = f"{f'**{value}**' if cell.best else value} {_range(cell)}"
    if differences and cell.difference is not None:
        gap = cell.difference
        text += f" {points(gap.value)} [{points(gap.interval.low)}, {points(gap.interval.high)}]"
        if gap.p_value is not None:
            text += f" {p_text(gap.p_value)}"
    return text
