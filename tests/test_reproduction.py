"""Filling a table: each cell once, what is missing said, splits averaged, shares of several processes."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from snreid.errors import DivergenceError
from snreid.experiment import Experiment
from snreid.protocols import Budget, one
from snreid.records import Scores
from snreid.reproduction import FAILED, CaseResult, Plan, Shard, collect, fill, look, pooled, trainings
from snreid.runs import Run, open_run
from tiny import ALONE, console, drawn, machine
from tiny_tables import Tiny, rows, tiny_table


def plan(**changes: Any) -> Plan:
    return replace(Plan(cases=Tiny().cases(), rows=rows("baseline", "snr"), seeds=(0, 1)), **changes)


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, CaseResult]:
    out = tmp_path_factory.mktemp("filled")
    fill([plan()], machine(out, root=out / "no-data"), group=ALONE, console=console())
    here, away = collect(plan(), machine(out, root=out / "no-data"))
    assert not away.filled and not away.looked.runs and "market1501" in away.looked.absent
    return out, here


def test_every_cell_is_a_run_of_just_that_row_case_and_seed(filled: tuple[Path, CaseResult]) -> None:
    out, here = filled
    found = {path.parent.name for path in (out / "small/noon").glob("*/model.safetensors")}
    assert found == {"baseline-0", "baseline-1", "snr-0", "snr-1"} and not (out / "small/market1501").exists()
    run = open_run(out / "small/noon/snr-1")
    assert run.experiment.recipe == "snr" and run.experiment.seed == 1
    assert run.experiment.sources == here.case.sources
    assert (run.experiment.epochs, run.experiment.batches_per_epoch) == (2, 1), "the case says how long small trains"
    assert [len(here.runs[name]) for name in ("baseline", "snr")] == [2, 2]


def test_a_second_time_nothing_is_done(filled: tuple[Path, CaseResult]) -> None:
    out, here = filled
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    fill([plan()], machine(out, root=out / "no-data"), group=ALONE, console=console())
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == before
    again = collect(plan(), machine(out, root=out / "no-data"))[0]
    assert again.table().groups == here.table().groups


def test_the_mean_of_splits_is_the_mean_of_their_means_and_has_their_spread(filled: tuple[Path, CaseResult]) -> None:
    _, here = filled
    splits = here.case.columns[1]
    row = here.rows[1]
    each = [[here.scores["snr"][t.name][seed].mean_ap for t in splits.targets] for seed in (0, 1)]
    place = [column.name for column in here.table().columns].index("night")
    cell = here.table().rows("mAP")[1].cells[place]
    assert cell is not None and cell.value == pytest.approx(np.mean(each), abs=1e-12)
    assert cell.seeds == pytest.approx(np.mean(each, axis=1))
    assert here.spread(row, splits) == pytest.approx(np.std(np.mean(each, axis=0), ddof=1))
    assert here.spread(row, here.case.columns[0]) is None


def test_seen_columns_and_the_mean_of_the_unseen_are_told_apart(filled: tuple[Path, CaseResult]) -> None:
    _, here = filled
    kinds = [(column.name, column.kind) for column in here.table().columns]
    assert kinds == [("mean of 2 unseen", "mean"), ("dusk", "unseen"), ("night", "unseen"), ("noon", "seen")]


def scores(values: list[float], queries: int, index: list[int]) -> Scores:
    some = np.array(values)
    return Scores(some, some / 2, np.arange(1, len(values) + 1), np.array(index), queries)


def test_pooled_queries_are_counted_through() -> None:
    joint = pooled([scores([0.1, 0.2], 3, [0, 2]), scores([0.9], 2, [1]), scores([0.5], 1, [0])])
    assert joint.average_precision.tolist() == [0.1, 0.2, 0.9, 0.5] and joint.queries == 6
    assert joint.query_index.tolist() == [0, 2, 4, 5] and joint.first_rank.tolist() == [1, 2, 1, 1]
    assert joint.inverse_negative_penalty.tolist() == [0.05, 0.1, 0.45, 0.25] and joint.skipped_queries == 2


def test_cells_of_another_budget_or_preset_are_not_taken_for_these(filled: tuple[Path, CaseResult]) -> None:
    out, _ = filled
    longer = plan(budget=Budget(epochs=3, batches_per_epoch=1))
    found = collect(longer, machine(out, root=out / "no-data"))[0]
    assert not found.filled and found.looked.runs


def test_rows_say_how_long_they_train_where_the_case_does_not_count() -> None:
    here = Tiny().cases()[0]
    row = rows("baseline")[0]
    assert plan().experiment(row, here, 0).batches_per_epoch == 1
    assert plan(case_budget=False).experiment(row, here, 0).batches_per_epoch is None
    assert plan(preset="short").experiment(row, here, 0).batches_per_epoch is None


def test_a_cell_of_two_tables_is_filled_once() -> None:
    two = [plan(), plan(rows=rows("snr", "snr-no-loss"))]
    found = trainings(two, Path("x"))
    assert len(found) == 2 * 2 * 3  # sources, seeds, rows
    assert len({one.folder for one in found}) == len(found) and found[0].folder == Path("x/small/noon/baseline-0")
    shared = next(one for one in found if one.folder.name == "snr-0")
    assert [case.name for case in shared.cases] == ["here", "here"]


def test_two_cases_of_the_same_sources_are_one_training_that_is_scored_for_both(tmp_path: Path) -> None:
    here = Tiny(absent=False).cases()[0]
    other = replace(here, name="other", columns=(one(drawn("mall")),))
    both = plan(cases=(here, other), rows=rows("baseline"), seeds=(0,))
    fill([both], machine(tmp_path), group=ALONE, console=console())
    assert [path.name for path in (tmp_path / "small").iterdir()] == ["noon"]
    first, second = collect(both, machine(tmp_path))
    assert first.filled and [column.name for column in second.table().columns] == ["mall"]


def test_shares_are_disjoint_and_together_the_whole(tmp_path: Path) -> None:
    assert [[k for k in range(7) if Shard(n, 3).has(k)] for n in range(3)] == [[0, 3, 6], [1, 4], [2, 5]]
    own = machine(tmp_path, root=tmp_path / "no-data")
    fill([plan(seeds=(0,))], own, group=ALONE, console=console(), shard=Shard(1, 2))
    assert [path.name for path in (tmp_path / "small/noon").iterdir()] == ["snr-0"]
    partly = collect(plan(seeds=(0,)), own)[0]
    assert partly.filled and not partly.runs["baseline"] and partly.table().rows("mAP")[0].cells[0] is None


def test_one_training_that_ends_in_nan_does_not_cost_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from snreid import reproduction

    real = reproduction.train

    def train(experiment: Experiment, *args: Any, **kwargs: Any) -> Run:
        if experiment.recipe == "baseline":
            raise DivergenceError("The loss is finite", came="NaN at step 3", repair="lower the rate")
        return real(experiment, *args, **kwargs)

    monkeypatch.setattr(reproduction, "train", train)
    own = machine(tmp_path, root=tmp_path / "no-data")
    fill([plan(seeds=(0,))], own, group=ALONE, console=console())
    found = collect(plan(seeds=(0,)), own)[0]
    assert list(found.failed) == ["BASELINE, seed 0"] and "NaN at step 3" in found.failed["BASELINE, seed 0"]
    assert len(found.runs["snr"]) == 1
    monkeypatch.setattr(reproduction, "train", real)
    fill([plan(seeds=(0,))], own, group=ALONE, console=console())
    assert (tmp_path / "small/noon/baseline-0" / FAILED).exists() and not collect(plan(seeds=(0,)), own)[0].failed


def test_a_case_says_what_is_missing_and_runs_with_the_columns_that_are_there(tmp_path: Path) -> None:
    here, away = Tiny().cases()
    assert look(here, tmp_path).runs and not look(here, tmp_path).absent
    found = look(away, tmp_path)
    assert not found.can_train and "market1501" in found.absent["market1501"].lower()
    both = replace(here, columns=(*away.columns, replace(here.columns[0], name="lost", targets=away.sources)))
    partly = look(both, tmp_path)
    assert partly.runs and [column.name for column in partly.columns] == ["dusk"] and list(partly.absent) == ["lost"]


def test_the_table_of_the_tests_is_one(tmp_path: Path) -> None:
    assert [row.name for row in tiny_table().rows] == ["baseline", "snr"]
