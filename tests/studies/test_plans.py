"""What is to be filled: which runs, where, and what of it can be had."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from snreid.datasets import AllImages, Market1501
from snreid.errors import ExperimentError
from snreid.studies.plans import Plan, Shard, adapted_to, look, look_all, trainings, wanted
from snreid.studies.protocols import SingleSource, one
from tiny import drawn
from tiny_tables import Tiny, adapted, rows


def plan(**changes: Any) -> Plan:
    return replace(Plan(cases=Tiny().cases(), rows=rows("baseline", "snr"), seeds=(0, 1)), **changes)


def test_shares_are_disjoint_and_together_the_whole() -> None:
    assert [[k for k in range(7) if Shard(n, 3).has(k)] for n in range(3)] == [[0, 3, 6], [1, 4], [2, 5]]


def test_what_is_adapted_comes_with_the_run_it_starts_from() -> None:
    here = Tiny().cases()[0]
    row = adapted("snr", "adaptive-bn")
    assert adapted_to(row, here) == ("dusk",) and adapted_to(rows("snr")[0], here) == ()
    (one, _) = trainings([plan(rows=(row, *rows("snr")), seeds=(3,))], Path("x"))
    assert one.folder == Path("x/small/noon/snr-3") and one.cases == (here,)
    assert one.adaptations == (("adaptive-bn", Path("x/small/noon/snr-3-adaptive-bn-dusk"), "dusk"),)


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
    assert [case.name for case in shared.cases] == ["here"]


def test_a_case_says_what_is_missing_and_runs_with_the_columns_that_are_there(tmp_path: Path) -> None:
    here, away = Tiny().cases()
    assert look(here, tmp_path).runs and not look(here, tmp_path).absent
    found = look(away, tmp_path)
    assert not found.can_train and "market1501" in found.absent["market1501"].lower()
    both = replace(here, columns=(*away.columns, replace(here.columns[0], name="lost", targets=away.sources)))
    partly = look(both, tmp_path)
    assert partly.runs and [column.name for column in partly.columns] == ["dusk"] and list(partly.absent) == ["lost"]


def test_a_seed_counts_once() -> None:
    for seeds in ((), (0, 1, 0)):
        with pytest.raises(ExperimentError, match="by each once"):
            plan(seeds=seeds)


def test_a_data_set_to_train_on_only_is_a_source_and_no_target(tmp_path: Path) -> None:
    source = AllImages(of=drawn())
    (case,) = SingleSource(source=source, target=drawn("dusk")).cases()
    assert [column.name for column in case.columns] == ["dusk", "noon@all"]
    found = look(case, tmp_path)
    assert found.runs and [column.name for column in found.columns] == ["dusk"]
    assert found.absent == {"noon@all as a target": "it has no query and gallery images"}
    assert len(found.remarks) == len(set(found.remarks)) and "noon@all: all labelled images" in found.remarks[0]


def test_what_is_wanted_is_what_the_data_here_allow(tmp_path: Path) -> None:
    here, away = Tiny().cases()
    lost = replace(here, name="lost", columns=(*here.columns, *replace(away, columns=(one(Market1501()),)).columns))
    plans = [plan(cases=(lost, away), rows=(*rows("snr"), adapted("snr", "adaptive-bn")), seeds=(0,))]
    assert len(trainings(plans, Path("x"))) == 2
    (found,) = wanted(plans, look_all(plans, tmp_path), Path("x"))
    assert found.folder == Path("x/small/noon/snr-0") and [name for _, _, name in found.adaptations] == ["dusk"]


def test_nobody_is_scored_on_images_that_were_trained_on(tmp_path: Path) -> None:
    (case,) = SingleSource(source=AllImages(of=drawn()), target=drawn(), seen=False).cases()
    found = look(case, tmp_path)
    assert not found.runs and found.can_train
    assert found.absent == {"noon as a target": "16 of its 16 test images are trained on"}
