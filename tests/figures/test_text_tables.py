"""The plain table read back cell by cell."""

import re

from snreid.figures.formatting import percent
from snreid.figures.report_page import Report
from snreid.figures.text_tables import text_table


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
