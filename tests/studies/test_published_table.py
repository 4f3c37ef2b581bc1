"""A filled table beside what was published: as text and as a record."""

import json
from dataclasses import replace
from operator import le, lt
from pathlib import Path

import pytest

from snreid.studies.paper_tables import PaperTable
from snreid.studies.plan import Plan, availabilities
from snreid.studies.published_table import case_record, comparison_text, order_sentences
from snreid.studies.run import CaseResult, collect, fill
from support.tiny import session
from support.tiny_tables import adapted, tiny, tiny_table


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[PaperTable, tuple[CaseResult, ...]]:
    out = tmp_path_factory.mktemp("compared")
    table = tiny_table()
    plan = Plan(cases=tiny().cases, rows=table.rows, seeds=(0, 1))
    available = availabilities([plan], out / "no-data")
    fill([plan], available, out, session())
    return table, collect(plan, available, out)


def block(text: str, head: str) -> list[str]:
    lines = text.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith(head))
    return lines[start : start + 3]


def test_published_ours_and_the_difference_stand_side_by_side(both: tuple[PaperTable, tuple[CaseResult, ...]]) -> None:
    table, results = both
    text = comparison_text(table, results)
    cell = results[0].table.rows("mAP")[1].cells[1]
    assert cell is not None
    line = block(text, "dusk")[2]
    low, high = 100 * cell.interval.low, 100 * cell.interval.high
    assert line.startswith("  SNR") and "50.0 / - (SNR)" in line and "n = 2" in line
    assert f"{100 * cell.value:.1f} [{low:.1f}, {high:.1f}]" in line
    assert f"{100 * cell.value - 50:+.1f} / -" in line
    assert "(SNR)" not in block(text, "dusk")[1], "the Baseline's cell is empty in the paper and stays so"


def test_the_mean_of_splits_says_of_how_many_and_their_spread(both: tuple[PaperTable, tuple[CaseResult, ...]]) -> None:
    head, *lines = block(comparison_text(*both), "night")
    assert head == "night, mean of 2 splits" and all("±" in line for line in lines)


def test_what_is_not_here_says_so_and_keeps_its_published_number(
    both: tuple[PaperTable, tuple[CaseResult, ...]],
) -> None:
    text = comparison_text(*both)
    away = text[text.index("trained on market1501") :]
    assert "not on this machine: market1501" in away and "cannot be run here" in away
    assert "published: SNR, dusk: 33.6 / 55.1 (SNR)" in away


def test_the_order_of_the_paper_is_held_against_ours(both: tuple[PaperTable, tuple[CaseResult, ...]]) -> None:
    table, (here, _) = both
    scores = here.table
    across, seen = order_sentences(table, here, scores)
    for sentence, place, right in ((across, 0, lt), (seen, 3, le)):
        low, high = (row.cells[place] for row in scores.rows("mAP"))
        assert low is not None and high is not None
        assert ("so have ours" in sentence) == right(low.value, high.value)
        assert ("ours differ: BASELINE" in sentence) != right(low.value, high.value)
    assert across.startswith("mean of 2 unseen: the paper has BASELINE < SNR")
    assert seen.startswith("noon (seen): the paper has BASELINE <= SNR")
    assert order_sentences(tiny_table(order=()), here, scores) == []


def test_where_ours_differ_both_values_stand_with_their_intervals(
    both: tuple[PaperTable, tuple[CaseResult, ...]],
) -> None:
    _, (here, _) = both
    for order in (("baseline", "snr"), ("snr", "baseline")):
        scores = here.table
        sentence = order_sentences(tiny_table(order=order), here, scores)[0]
        if "so have ours" not in sentence:
            break
    cells = [scores.rows("mAP")[("baseline", "snr").index(name)].cells[0] for name in order]
    shown = [
        f"{name.upper()} {100 * cell.value:.1f} [{100 * cell.interval.low:.1f}, {100 * cell.interval.high:.1f}]"
        for name, cell in zip(order, cells, strict=True)
        if cell is not None
    ]
    assert sentence.endswith(f"ours differ: {shown[0]} is not below {shown[1]}")


def test_equal_rows_are_in_order_in_the_training_domain_and_nowhere_else(
    both: tuple[PaperTable, tuple[CaseResult, ...]],
) -> None:
    _, (here, _) = both
    same = replace(here, scores={**here.scores, "snr": here.scores["baseline"]})
    across, seen = order_sentences(tiny_table(), same, same.table)
    assert "is not below SNR" in across and seen.endswith("so have ours")


def test_the_record_holds_table_rows_published_spreads_and_order(
    both: tuple[PaperTable, tuple[CaseResult, ...]],
) -> None:
    table, (here, _) = both
    record = json.loads(json.dumps(case_record(table, here, 1.0)))
    assert record["published"] == [{"scheme": "SNR", "target": "dusk", "mAP": 50.0, "rank1": None, "source": "SNR"}]
    assert len(record["rows"]) == 2 * 2 * 4 and {row["scheme"] for row in record["rows"]} == {"BASELINE", "SNR"}
    assert [(one["scheme"], one["splits"]) for one in record["splits"]] == [("BASELINE", 2), ("SNR", 2)]
    assert record["order"] == order_sentences(table, here, here.table) and record["absent"] == {}
    assert set(record["experiments"]) == {"BASELINE", "SNR"} and record["training"]["images"] > 0


def test_a_table_that_nobody_has_filled_says_so(tmp_path: Path) -> None:
    table = tiny_table()
    plan = Plan(cases=tiny(absent=False).cases, rows=table.rows)
    assert "nothing trained yet" in comparison_text(table, collect(plan, availabilities([plan], tmp_path), tmp_path))


def test_notes_stand_above_the_numbers_and_in_the_record(both: tuple[PaperTable, tuple[CaseResult, ...]]) -> None:
    table, (here, _) = both
    noted = replace(here, available=replace(here.available, remarks=("dusk: it is withdrawn",)))
    text = comparison_text(table, [noted])
    assert text.index("  note: dusk: it is withdrawn") < text.index("published")
    row = replace(adapted("snr", "adaptive-bn"), label="SNR + BN")
    more = replace(
        noted,
        rows=(*here.rows, row),
        scores={**here.scores, row.name: here.scores["snr"]},
        runs={**here.runs, row.name: here.runs["snr"]},
    )
    notes = case_record(replace(table, rows=more.rows), more, 1.0)["notes"]
    assert notes == [
        "dusk: it is withdrawn",
        "SNR + BN: adapted to each target by its training images, without their labels",
    ]


def test_a_published_number_stays_where_its_column_is_not_here(both: tuple[PaperTable, tuple[CaseResult, ...]]) -> None:
    table, (here, _) = both
    without = {name: data for name, data in here.available.data.items() if name != "dusk"}
    text = comparison_text(
        table, [replace(here, available=replace(here.available, data=without, absent={"dusk": "lost"}))]
    )
    assert "not on this machine: dusk: lost" in text and "  published: SNR, dusk: 50.0 / - (SNR)" in text
    assert "  published:" not in comparison_text(table, [here])
