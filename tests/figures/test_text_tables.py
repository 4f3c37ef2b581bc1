"""The plain tables read back cell by cell."""

import re

from snreid.figures import Report, markdown_table, text_table
from snreid.figures.formatting import percent
from support.report_samples import make_report


def test_markdown_holds_the_table_and_pads_it(report: Report) -> None:
    table = report.table()
    lines = markdown_table(table).split("\n")
    assert len({len(line) for line in lines}) == 1
    read = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]
    assert read[0][2:] == ["mean of 2 unseen", "evening street (unseen)", "night (unseen)", "studio (seen)"]
    rows = [(metric, row) for metric, rows in table.groups for row in rows]
    assert len(lines) == 2 + len(rows) + 1
    for line, (metric, row) in zip(read[2:-1], rows, strict=True):
        assert line[:2] == [metric, row.scheme]
        for text, cell in zip(line[2:], row.cells, strict=True):
            assert cell is not None
            numbers = re.findall(r"[+-]?\d+\.\d", text)
            wanted = [percent(cell.value), percent(cell.interval.low), percent(cell.interval.high)]
            assert numbers[:3] == wanted
            assert ("**" in text) == cell.best
            assert ("p " in text) == (cell.difference is not None and cell.difference.p_value is not None)
    assert read[-1] == ["queries", "(skipped)", "80 (4)", "40 (2)", "40 (2)", "40 (2)"]
    assert "p " not in markdown_table(table, differences=False)


def test_a_name_cannot_break_the_markdown() -> None:
    text = markdown_table(make_report(domain="a | b\n<script>").table())
    assert "a \\| b &lt;script> (unseen)" in text
    assert len(text.split("\n")) == 9


def test_text_table_has_a_line_per_domain(report: Report) -> None:
    table = report.table()
    blocks = text_table(table).split("\n\n")
    assert [block.split(",")[0] for block in blocks] == ["mAP", "rank-1"]
    for block, (_, rows) in zip(blocks, table.groups, strict=True):
        lines = block.split("\n")[2:]
        assert max(map(len, lines)) <= 120
        for i, (line, column) in enumerate(zip(lines, table.columns, strict=True)):
            assert line.startswith(column.name) and line.endswith(f"{column.queries} ({column.skipped})")
            shown = re.findall(r"(\d+\.\d)([* ])\[", line)
            cells = [row.cells[i] for row in rows]
            assert shown == [(percent(c.value), "*" if c.best else " ") for c in cells if c is not None]
