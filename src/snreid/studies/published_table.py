"""Compares the results of a table with the published numbers, as text for a terminal and as a record for the documentation."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

from snreid.figures.formatting import percent, points
from snreid.figures.score_table import Cell, ScoreTable
from snreid.studies.paper_tables import PaperTable, Published
from snreid.studies.plan import Row
from snreid.studies.protocols import Benchmark
from snreid.studies.records import record
from snreid.studies.run import CaseResult

_WIDTHS = (26, 16, 34, 11, 20)
"""Column widths in characters: row, published, ours, seeds, difference."""


def comparison_text(table: PaperTable, results: Sequence[CaseResult]) -> str:
    """Returns a block per case and column: published | ours with its 95 % interval | difference, in percent and points.

    Cells that cannot be filled give the reason. No trailing newline.
    """
    return "\n\n".join("\n".join(_case_lines(table, result)) for result in results)


def _case_lines(table: PaperTable, result: CaseResult) -> Iterator[str]:
    sources = " + ".join(source.name for source in result.case.sources)
    yield f"{table.title}\ntrained on {sources}"
    yield from (f"  not on this machine: {name}: {why}" for name, why in result.available.absent.items())
    yield from (f"  failed: {cell}: {why}" for cell, why in result.failed.items())
    if not result.filled:
        yield "  nothing trained yet" if result.available.can_run else "  cannot be run here"
        yield from _published_only(table, result, ())
        return
    yield from (f"  note: {note}" for note in _notes(table, result))
    scores = result.table
    yield _line("", "published", "ours, mAP [95 %] / rank-1", "seeds", "ours - published")
    for place, column in enumerate(scores.columns):
        known = next((c for c in result.available.benchmarks if c.name == column.name), None)
        count = f", mean of {len(known.targets)} splits" if known and len(known.targets) > 1 else ""
        yield f"{column.name}{' (seen)' if column.kind == 'seen' else ''}{count}"
        for row, mean_ap, rank1 in zip(table.rows, scores.rows("mAP"), scores.rows("rank-1"), strict=True):
            yield _row_line(table, result, row, known, [mean_ap.cells[place], rank1.cells[place]])
    yield from _published_only(table, result, [column.name for column in result.available.benchmarks])
    yield from order_sentences(table, result, scores)


def _notes(table: PaperTable, result: CaseResult) -> list[str]:
    """Remarks of the data readers, and which rows were adapted to images of the data set they are scored on."""
    adapted = [
        f"{row.label}: adapted to each target by its training images, without their labels"
        for row in table.rows
        if row.adaptation and result.runs.get(row.name)
    ]
    return [*result.available.remarks, *adapted]


def _published_only(table: PaperTable, result: CaseResult, shown: Sequence[str]) -> Iterator[str]:
    """Published numbers of columns that are not among the ``shown`` ones."""
    for row in table.rows:
        for column in result.case.benchmarks:
            published = table.published.get((row.name, result.case.name, column.name))
            if published is not None and column.name not in shown:
                yield f"  published: {row.label}, {column.name}: {_published_text(published)}"


def _row_line(
    table: PaperTable, result: CaseResult, row: Row, column: Benchmark | None, cells: Sequence[Cell | None]
) -> str:
    """``cells``: mAP and rank-1. ``column``: None for the mean over unseen columns."""
    published = table.published.get((row.name, result.case.name, column.name)) if column else None
    mean_ap, rank1 = cells
    if mean_ap is None or rank1 is None:
        return _line(f"  {row.label}", _published_text(published), "not run", "", "")
    spread = result.spread(row, column) if column else None
    ours = f"{_interval(mean_ap)}{'' if spread is None else f' ± {percent(spread)}'} / {percent(rank1.value)}"
    return _line(
        f"  {row.label}",
        _published_text(published),
        ours,
        f"n = {len(mean_ap.seeds)}",
        _difference(published, mean_ap, rank1),
    )


def _difference(published: Published | None, mean_ap: Cell, rank1: Cell) -> str:
    if published is None:
        return ""
    gaps = [
        points(cell.value - value / 100) if value is not None else "-"
        for cell, value in ((mean_ap, published.mean_ap), (rank1, published.rank1))
    ]
    return " / ".join(gaps)


def _published_text(published: Published | None) -> str:
    if published is None:
        return ""
    values = ("-" if value is None else f"{value:.1f}" for value in (published.mean_ap, published.rank1))
    return f"{' / '.join(values)} ({published.source})"


def _line(*parts: str) -> str:
    return " ".join(part.ljust(width) for part, width in zip(parts, _WIDTHS, strict=True)).rstrip()


def order_sentences(table: PaperTable, result: CaseResult, scores: ScoreTable) -> list[str]:
    """Returns sentences on whether the rows keep the paper's order: across domains, and in the training domain with the last row at least
    as high as the first (SNR and Baseline).

    Compares means only; if the order differs, the sentence names the rows with their intervals.
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
            known = [(name, cell) for name, cell in ends if cell is not None]
            sentences.append(_order_sentence(f"{column.name} (seen)", known, ties=True))
    return [sentence for sentence in sentences if sentence]


def _order_sentence(where: str, ranked: Sequence[tuple[str, Cell]], *, ties: bool = False) -> str:
    """``ties``: equal values also count as ordered."""
    if len(ranked) < 2:
        return ""
    wanted = (" <= " if ties else " < ").join(name for name, _ in ranked)
    wrong = [
        f"{worse} {_interval(low)} is {'above' if ties else 'not below'} {better} {_interval(high)}"
        for (worse, low), (better, high) in pairwise(ranked)
        if low.value > high.value or (low.value == high.value and not ties)
    ]
    return f"{where}: the paper has {wanted}; " + ("so have ours" if not wrong else "ours differ: " + "; ".join(wrong))


def _interval(cell: Cell) -> str:
    return f"{percent(cell.value)} [{percent(cell.interval.low)}, {percent(cell.interval.high)}]"


def case_record(table: PaperTable, result: CaseResult, seconds: float) -> dict[str, Any]:
    """Returns one case of a table as a record (``records.record``), with published numbers, missing data and sentences on the order."""
    label = {row.name: row.label for row in table.rows}
    title = f"{table.title}: {' + '.join(s.name for s in result.case.sources)}"
    published = [
        {"scheme": label[row], "target": column, "mAP": value.mean_ap, "rank1": value.rank1, "source": value.source}
        for (row, case, column), value in table.published.items()
        if case == result.case.name
    ]
    spreads = [
        {"scheme": row.label, "target": column.name, "std": spread, "splits": len(column.targets)}
        for row in table.rows
        for column in result.available.benchmarks
        if (spread := result.spread(row, column)) is not None
    ]
    return {
        **record(result, title, seconds),
        "published": published,
        "splits": spreads,
        "notes": _notes(table, result),
        "absent": dict(result.available.absent),
        "failed": dict(result.failed),
        "order": order_sentences(table, result, result.table),
    }
