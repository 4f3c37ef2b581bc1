"""Filling a table: each cell once, what is missing said, splits averaged, shares of several processes."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from snreid.errors import DivergenceError
from snreid.experiments.experiment import Experiment
from snreid.experiments.runs import Run, open_run
from snreid.records import Scores
from snreid.studies import run as orchestrator
from snreid.studies.plan import Plan, availabilities
from snreid.studies.protocols import Budget, single
from snreid.studies.run import FAILED, CaseResult, pooled_scores
from support.tiny import drawn, session
from support.tiny_tables import adapted, rows, tiny


def plan(**changes: Any) -> Plan:
    return replace(Plan(cases=tiny().cases, rows=rows("baseline", "snr"), seeds=(0, 1)), **changes)


def fill(what: Plan, out: Path, **more: Any) -> None:
    """No data set is on disk: the data folder is not there."""
    orchestrator.fill([what], availabilities([what], out / "no-data"), out, session(root=out / "no-data"), **more)


def collected(what: Plan, out: Path) -> tuple[CaseResult, ...]:
    return orchestrator.collect(what, availabilities([what], out / "no-data"), out)


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, CaseResult]:
    out = tmp_path_factory.mktemp("filled")
    fill(plan(), out)
    here, away = collected(plan(), out)
    assert not away.filled and not away.available.can_run and "market1501" in away.available.absent
    return out, here


def test_every_cell_is_a_run_of_just_that_row_case_and_seed(filled: tuple[Path, CaseResult]) -> None:
    out, here = filled
    found = {path.parent.name for path in (out / "small/noon").glob("*/model.safetensors")}
    assert found == {"baseline-0", "baseline-1", "snr-0", "snr-1"} and not (out / "small/market1501").exists()
    run = open_run(out / "small/noon/snr-1")
    assert run.experiment.recipe == "snr" and run.experiment.seed == 1
    assert run.experiment.sources == here.case.sources
    assert (run.experiment.epochs, run.experiment.batches_per_epoch) == (2, 1), "the case says how long small trains"
    assert [len(found) for name in ("baseline", "snr") for found in here.runs[name].values()] == [2] * 8


def test_a_second_time_nothing_is_done(filled: tuple[Path, CaseResult]) -> None:
    out, here = filled
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    fill(plan(), out)
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == before
    again = collected(plan(), out)[0]
    assert again.table.groups == here.table.groups


def test_the_mean_of_splits_is_the_mean_of_their_means_and_has_their_spread(filled: tuple[Path, CaseResult]) -> None:
    _, here = filled
    splits = here.case.benchmarks[1]
    row = here.rows[1]
    each = [[here.scores["snr"][t.name][seed].mean_ap for t in splits.targets] for seed in (0, 1)]
    place = [column.name for column in here.table.columns].index("night")
    cell = here.table.rows("mAP")[1].cells[place]
    assert cell is not None and cell.value == pytest.approx(np.mean(each), abs=1e-12)
    assert cell.seeds == pytest.approx(np.mean(each, axis=1))
    assert here.spread(row, splits) == pytest.approx(np.std(np.mean(each, axis=0), ddof=1))
    assert here.spread(row, here.case.benchmarks[0]) is None


def test_seen_columns_and_the_mean_of_the_unseen_are_told_apart(filled: tuple[Path, CaseResult]) -> None:
    _, here = filled
    kinds = [(column.name, column.kind) for column in here.table.columns]
    assert kinds == [("mean of 2 unseen", "mean"), ("dusk", "unseen"), ("night", "unseen"), ("noon", "seen")]


def scores(values: list[float], queries: int, index: list[int]) -> Scores:
    some = np.array(values)
    return Scores(some, some / 2, np.arange(1, len(values) + 1), np.array(index), queries, np.array(index) + 1)


def test_pooled_queries_are_counted_through() -> None:
    joint = pooled_scores([scores([0.1, 0.2], 3, [0, 2]), scores([0.9], 2, [1]), scores([0.5], 1, [0])])
    assert joint.average_precision.tolist() == [0.1, 0.2, 0.9, 0.5] and joint.queries == 6
    assert joint.persons.tolist() == [1, 3, 2, 1]
    assert joint.query_index.tolist() == [0, 2, 4, 5] and joint.first_rank.tolist() == [1, 2, 1, 1]
    assert joint.inverse_negative_penalty.tolist() == [0.05, 0.1, 0.45, 0.25] and joint.skipped_queries == 2


def test_cells_of_another_budget_or_preset_are_not_taken_for_these(filled: tuple[Path, CaseResult]) -> None:
    out, _ = filled
    longer = plan(budget=Budget(epochs=3, batches_per_epoch=1))
    found = collected(longer, out)[0]
    assert not found.filled and found.available.can_run


def test_two_cases_of_the_same_sources_are_one_training_that_is_scored_for_both(tmp_path: Path) -> None:
    here = tiny(absent=False).cases[0]
    other = replace(here, benchmarks=(single(drawn("mall")),))  # of the same name, as the table of adaptation has it
    both = plan(cases=(here, other), rows=rows("baseline"), seeds=(0,))
    fill(both, tmp_path)
    assert [path.name for path in (tmp_path / "small").iterdir()] == ["noon"]
    first, second = collected(both, tmp_path)
    assert first.filled and [column.name for column in second.table.columns] == ["mall"]


def test_shares_are_disjoint_and_together_the_whole(tmp_path: Path) -> None:
    fill(plan(seeds=(0,)), tmp_path, shard=(1, 2))
    assert [path.name for path in (tmp_path / "small/noon").iterdir()] == ["snr-0"]
    partly = collected(plan(seeds=(0,)), tmp_path)[0]
    assert partly.filled and not partly.runs["baseline"] and partly.table.rows("mAP")[0].cells[0] is None


def test_one_training_that_ends_in_nan_does_not_cost_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = orchestrator.train

    def train(experiment: Experiment, *args: Any, **kwargs: Any) -> Run:
        if experiment.recipe == "baseline":
            raise DivergenceError("The loss is finite", found="NaN at step 3", fix="lower the rate")
        return real(experiment, *args, **kwargs)

    monkeypatch.setattr(orchestrator, "train", train)
    fill(plan(seeds=(0,)), tmp_path)
    found = collected(plan(seeds=(0,)), tmp_path)[0]
    assert list(found.failed) == ["BASELINE, seed 0"] and "NaN at step 3" in found.failed["BASELINE, seed 0"]
    assert len(found.runs["snr"]["dusk"]) == 1
    monkeypatch.setattr(orchestrator, "train", real)
    fill(plan(seeds=(0,)), tmp_path)
    assert (
        not (tmp_path / "small/noon/baseline-0" / FAILED).exists()
        and not collected(plan(seeds=(0,)), tmp_path)[0].failed
    )


def test_an_adapted_row_starts_from_the_trained_run_and_is_scored_on_its_target_alone(tmp_path: Path) -> None:
    with_it = plan(cases=tiny(absent=False).cases, rows=(*rows("snr"), adapted("snr", "adaptive-bn")), seeds=(0,))
    fill(with_it, tmp_path)
    assert {path.name for path in (tmp_path / "small/noon").iterdir()} == {"snr-0", "snr-0-adaptive-bn-dusk"}
    (found,) = collected(with_it, tmp_path)
    assert list(found.scores["snr-adaptive-bn"]) == ["dusk"], "neither the splits nor the domain trained on"
    cells = found.table.rows("mAP")[1].cells
    assert [cell is not None for cell in cells] == [False, True, False, False]
    run = open_run(tmp_path / "small/noon/snr-0-adaptive-bn-dusk")
    assert (
        run.record["adaptation"]["source"] == "snr-0" and found.runs["snr-adaptive-bn"]["dusk"][0].folder == run.folder
    )
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    fill(with_it, tmp_path)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_an_adaptation_that_cannot_be_made_does_not_cost_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from snreid.errors import ExperimentError

    def adapt(*args: Any, **kwargs: Any) -> Run:
        raise ExperimentError("Two clusters at least", found="one", fix="raise eps")

    monkeypatch.setattr(orchestrator, "adapt_run", adapt)
    with_it = plan(cases=tiny(absent=False).cases, rows=(adapted("snr", "adaptive-bn"), *rows("snr")), seeds=(0,))
    fill(with_it, tmp_path)
    (found,) = collected(with_it, tmp_path)
    assert "Two clusters at least" in found.failed["SNR + adaptive-bn, seed 0"] and found.runs["snr"]["dusk"]


def test_an_adaptation_with_other_settings_is_not_taken_for_the_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from snreid.adaptation import AdaptiveBN

    with_it = plan(cases=tiny(absent=False).cases, rows=(*rows("snr"), adapted("snr", "adaptive-bn")), seeds=(0,))
    fill(with_it, tmp_path)
    assert collected(with_it, tmp_path)[0].runs["snr-adaptive-bn"]
    start = AdaptiveBN.for_experiment
    monkeypatch.setattr(AdaptiveBN, "for_experiment", lambda one: replace(start(one), seed=9))
    (found,) = collected(with_it, tmp_path)
    assert not found.runs["snr-adaptive-bn"] and found.runs["snr"]
