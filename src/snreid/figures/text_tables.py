"""The score table as plain text, for a terminal."""

from snreid.figures.formatting import percent_with_interval
from snreid.figures.score_table import Cell, ScoreTable


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


def _text_cell(cell: Cell | None) -> str:
    if cell is None:
        return "not scored"
    value, _, interval = percent_with_interval(cell.value, cell.interval).partition(" ")
    return f"{value:>5}{'*' if cell.best else ' '}{interval}"
