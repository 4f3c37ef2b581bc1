"""A filled table beside what was published: as text and as a record."""

import json
from pathlib import Path

import pytest

from snreid.comparison import case_record, comparison_text, order_sentences
from snreid.reproduction import CaseResult, Plan, collect, fill
from snreid.tables import Table
from tiny import ALONE, console, machine
from tiny_tables import Tiny, tiny_table


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[Table, tuple[CaseResult, ...]]:
    out = tmp_path_factory.mktemp("compared")
    table = tiny_table()
    plan = Plan(cases=Tiny().cases(), rows=table.rows, seeds=(0, 1))
    own = machine(out, root=out / "no-data")
    fill([plan], own, group=ALONE, console=console())
    return table, collect(plan, own)


def block(text: str, head: str) -> list[str]:
    lines = text.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith(head))
    return lines[start : start + 3]


def test_published_ours_and_the_difference_stand_side_by_side(both: tuple[Table, tuple[CaseResult, ...]]) -> None:
    table, results = both
    text = comparison_text(table, results)
    cell = results[0].table().rows("mAP")[1].cells[1]
    assert cell is not None
    line = block(text, "dusk")[2]
    low, high = 100 * cell.interval.low, 100 * cell.interval.high
    assert line.startswith("  SNR") and "50.0 / - (SNR)" in line and "n = 2" in line
    assert f"{100 * cell.value:.1f} [{low:.1f}, {high:.1f}]" in line
    assert f"{100 * cell.value - 50:+.1f} / -" in line
    assert "(SNR)" not in block(text, "dusk")[1], "the Baseline's cell is empty in the paper and stays so"


def test_the_mean_of_splits_says_of_how_many_and_their_spread(both: tuple[Table, tuple[CaseResult, ...]]) -> None:
    head, *lines = block(comparison_text(*both), "night")
    assert head == "night, mean of 2 splits" and all("±" in line for line in lines)


def test_what_is_not_here_says_so_and_keeps_its_published_number(both: tuple[Table, tuple[CaseResult, ...]]) -> None:
    text = comparison_text(*both)
    away = text[text.index("trained on market1501") :]
    assert "not on this machine: market1501" in away and "cannot be run here" in away
    assert "published: SNR, dusk: 33.6 / 55.1 (SNR)" in away


def test_the_order_of_the_paper_is_held_against_ours(both: tuple[Table, tuple[CaseResult, ...]]) -> None:
    table, (here, _) = both
    scores = here.table()
    across, seen = order_sentences(table, here, scores)
    for sentence, place in ((across, 0), (seen, 3)):
        low, high = (row.cells[place] for row in scores.rows("mAP"))
        assert low is not None and high is not None
        assert ("so have ours" in sentence) == (low.value < high.value)
        assert ("ours differ: BASELINE" in sentence) == (low.value >= high.value)
    assert across.startswith("mean of 2 unseen: the paper has BASELINE < SNR")
    assert seen.startswith("noon (seen)")
    assert order_sentences(tiny_table(order=()), here, scores) == []


def test_the_record_holds_table_rows_published_spreads_and_order(both: tuple[Table, tuple[CaseResult, ...]]) -> None:
    table, (here, _) = both
    record = json.loads(json.dumps(case_record(table, here, 1.0)))
    assert record["published"] == [{"scheme": "SNR", "target": "dusk", "mAP": 50.0, "rank1": None, "source": "SNR"}]
    assert len(record["rows"]) == 2 * 2 * 4 and {row["scheme"] for row in record["rows"]} == {"BASELINE", "SNR"}
    assert [(one["scheme"], one["splits"]) for one in record["splits"]] == [("BASELINE", 2), ("SNR", 2)]
    assert record["order"] == order_sentences(table, here, here.table()) and record["absent"] == {}
    assert set(record["experiments"]) == {"BASELINE", "SNR"} and record["training"]["images"] > 0


def test_a_table_that_nobody_has_filled_says_so(tmp_path: Path) -> None:
    table = tiny_table()
    plan = Plan(cases=Tiny(absent=False).cases(), rows=table.rows)
    assert "nothing trained yet" in comparison_text(table, collect(plan, machine(tmp_path)))
