"""A table that was run, held against what was published: as text for a terminal, and as a record that the documents are written from."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

from snreid.figures.table import Cell, ScoreTable
from snreid.figures.text import percent, points
from snreid.studies.paper_tables import Published, Row, Table
from snreid.studies.protocols import Column
from snreid.studies.reproduction import CaseResult
from snreid.studies.study import record

_WIDTHS = (26, 16, 34, 11, 20)
"""Characters of the text's columns: row, published, ours, seeds, difference."""


def comparison_text(table: Table, results: Sequence[CaseResult]) -> str:
    """For each case and column of it a block: published | ours with its 95 % interval | difference, in percent and points.

    Cells that cannot be filled here say why. No trailing newline.
    """
    return "\n\n".join("\n".join(_case_lines(table, result)) for result in results)


def _case_lines(table: Table, result: CaseResult) -> Iterator[str]:
    sources = " + ".join(source.name for source in result.case.sources)
    yield f"{table.title}\ntrained on {sources}"
    yield from (f"  not on this machine: {name}: {why}" for name, why in result.looked.absent.items())
    yield from (f"  failed: {cell}: {why}" for cell, why in result.failed.items())
    if not result.filled:
        yield "  nothing trained yet" if result.looked.runs else "  cannot be run here"
        yield from _published_only(table, result, ())
        return
    yield from (f"  note: {note}" for note in _notes(table, result))
    scores = result.table()
    yield _line("", "published", "ours, mAP [95 %] / rank-1", "seeds", "ours - published")
    for place, column in enumerate(scores.columns):
        known = next((c for c in result.looked.columns if c.name == column.name), None)
        count = f", mean of {len(known.targets)} splits" if known and len(known.targets) > 1 else ""
        yield f"{column.name}{' (seen)' if column.kind == 'seen' else ''}{count}"
        for row, own in zip(
            table.rows, zip(*(scores.rows(metric) for metric in ("mAP", "rank-1")), strict=True), strict=True
        ):
            yield _row_line(table, result, row, known, [one.cells[place] for one in own])
    yield from _published_only(table, result, [column.name for column in result.looked.columns])
    yield from order_sentences(table, result, scores)


def _notes(table: Table, result: CaseResult) -> list[str]:
    """What stands beside the numbers: what the readers noticed, and which rows have seen images of what they are scored on."""
    adapted = [
        f"{row.label}: adapted to each target by its training images, without their labels"
        for row in table.rows
        if row.adaptation and result.runs.get(row.name)
    ]
    return [*result.looked.remarks, *adapted]


def _published_only(table: Table, result: CaseResult, shown: Sequence[str]) -> Iterator[str]:
    """Published numbers on columns that are not among the ``shown`` ones."""
    for row in table.rows:
        for column in result.case.columns:
            found = table.published.get((row.name, result.case.name, column.name))
            if found is not None and column.name not in shown:
                yield f"  published: {row.label}, {column.name}: {_published(found)}"


def _row_line(table: Table, result: CaseResult, row: Row, column: Column | None, cells: Sequence[Cell | None]) -> str:
    """``cells``: mAP and rank-1. ``column``: None for the mean over the unseen ones."""
    found = table.published.get((row.name, result.case.name, column.name)) if column else None
    mean_ap, rank1 = cells
    if mean_ap is None or rank1 is None:
        return _line(f"  {row.label}", _published(found), "not run", "", "")
    spread = result.spread(row, column) if column else None
    own = f"{_interval(mean_ap)}{'' if spread is None else f' ± {percent(spread)}'} / {percent(rank1.value)}"
    return _line(
        f"  {row.label}", _published(found), own, f"n = {len(mean_ap.seeds)}", _difference(found, mean_ap, rank1)
    )


def _difference(found: Published | None, mean_ap: Cell, rank1: Cell) -> str:
    if found is None:
        return ""
    gaps = [
        points(cell.value - value / 100) if value is not None else "-"
        for cell, value in ((mean_ap, found.mean_ap), (rank1, found.rank1))
    ]
    return " / ".join(gaps)


def _published(found: Published | None) -> str:
    if found is None:
        return ""
    values = ("-" if value is None else f"{value:.1f}" for value in (found.mean_ap, found.rank1))
    return f"{' / '.join(values)} ({found.source})"


def _line(*parts: str) -> str:
    return " ".join(part.ljust(width) for part, width in zip(parts, _WIDTHS, strict=True)).rstrip()


def order_sentences(table: Table, result: CaseResult, scores: ScoreTable) -> list[str]:
    """Whether the rows stand in the order that the paper has them in: across domains, and in the training domain the last at least as
    high as the first (SNR and Baseline).

    Means alone are ordered; where ours differ the sentence says between which rows, each with its interval.
    """
    if not table.order:
        return []
    label = {row.name: row.label for row in table.rows}
    kinds = {column.kind for column in scores.columns}
    across = "mean" if "mean" in kinds else "unseen"
    sentences = []
    for place, column in enumerate(scores.columns):
        cells = {row.scheme: row.cells[place] for row in scores.rows("mAP")}
        if column.kind == across:
            ranked = [(label[name], cells[label[name]]) for name in table.order]
            sentences.append(_order_sentence(column.name, [(name, cell) for name, cell in ranked if cell is not None]))
        elif column.kind == "seen":
            ends = [(label[name], cells[label[name]]) for name in (table.order[0], table.order[-1])]
            found = [(name, cell) for name, cell in ends if cell is not None]
            sentences.append(_order_sentence(f"{column.name} (seen)", found, ties=True))
    return [sentence for sentence in sentences if sentence]


def _order_sentence(where: str, ranked: Sequence[tuple[str, Cell]], *, ties: bool = False) -> str:
    """``ties``: equal values are in order too."""
    if len(ranked) < 2:
        return ""
    wanted = (" <= " if ties else " < ").join(name for name, _ in ranked)
    wrong = [
        f"{one} {_interval(low)} is {'above' if ties else 'not below'} {other} {_interval(high)}"
        for (one, low), (other, high) in pairwise(ranked)
        if low.value > high.value or (low.value == high.value and not ties)
    ]
    return f"{where}: the paper has {wanted}; " + ("so have ours" if not wrong else "ours differ: " + "; ".join(wrong))


def _interval(cell: Cell) -> str:
    return f"{percent(cell.value)} [{percent(cell.interval.low)}, {percent(cell.interval.high)}]"


def case_record(table: Table, result: CaseResult, seconds: float) -> dict[str, Any]:
    """One case of a table as a record (``study.record``), with what was published, what is missing and what is said about the order."""
    label = {row.name: row.label for row in table.rows}
    scored = result.table()
    scores = {label[name]: columns for name, columns in result.scores.items()}
    runs = {label[name]: columns for name, columns in result.runs.items()}
    title = f"{table.title}: {' + '.join(s.name for s in result.case.sources)}"
    published = [
        {"scheme": label[row], "target": column, "mAP": found.mean_ap, "rank1": found.rank1, "source": found.source}
        for (row, case, column), found in table.published.items()
        if case == result.case.name
    ]
    spreads = [
        {"scheme": row.label, "target": column.name, "std": spread, "splits": len(column.targets)}
        for row in table.rows
        for column in result.looked.columns
        if (spread := result.spread(row, column)) is not None
    ]
    return {
        **record(title, scored, scores, result.looked.data, runs, seconds),
        "published": published,
        "splits": spreads,
        "notes": _notes(table, result),
        "absent": dict(result.looked.absent),
        "failed": dict(result.failed),
        "order": order_sentences(table, result, scored),
    }
