"""What is to be filled: which runs, where, and what of it can be had."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from snreid.datasets import AllImages, Market1501
from snreid.errors import ExperimentError
from snreid.studies.plan import Plan, availabilities, availability, example_names, study_plan, trainings, wanted
from snreid.studies.protocols import single, single_source
from support.tiny import drawn, experiment
from support.tiny_tables import adapted, rows, tiny


def plan(**changes: Any) -> Plan:
    return replace(Plan(cases=tiny().cases, rows=rows("baseline", "snr"), seeds=(0, 1)), **changes)


def test_what_is_adapted_comes_with_the_run_it_starts_from() -> None:
    here = tiny().cases[0]
    row = adapted("snr", "adaptive-bn")
    assert row.adapted_to(here) == ("dusk",) and rows("snr")[0].adapted_to(here) == ()
    (one, _) = trainings([plan(rows=(row, *rows("snr")), seeds=(3,))], Path("x"))
    assert one.folder == Path("x/small/noon/snr-3") and one.cases == (here,)
    assert one.adaptations == (("adaptive-bn", Path("x/small/noon/snr-3-adaptive-bn-dusk"), "dusk"),)


def test_rows_say_how_long_they_train_where_the_case_does_not_count() -> None:
    here = tiny().cases[0]
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
    here, away = tiny().cases
    assert availability(here, tmp_path).can_run and not availability(here, tmp_path).absent
    found = availability(away, tmp_path)
    assert not found.can_train and "market1501" in found.absent["market1501"].lower()
    both = replace(here, benchmarks=(*away.benchmarks, replace(here.benchmarks[0], name="lost", targets=away.sources)))
    partly = availability(both, tmp_path)
    assert (
        partly.can_run and [column.name for column in partly.benchmarks] == ["dusk"] and list(partly.absent) == ["lost"]
    )


def test_a_seed_counts_once() -> None:
    for seeds in ((), (0, 1, 0)):
        with pytest.raises(ExperimentError, match="by each once"):
            plan(seeds=seeds)


def test_a_data_set_to_train_on_only_is_a_source_and_no_target(tmp_path: Path) -> None:
    source = AllImages(of=drawn())
    (case,) = single_source(source, drawn("dusk")).cases
    assert [column.name for column in case.benchmarks] == ["dusk", "noon@all"]
    found = availability(case, tmp_path)
    assert found.can_run and [column.name for column in found.benchmarks] == ["dusk"]
    assert found.absent == {"noon@all as a target": "it has no query and gallery images"}
    assert len(found.remarks) == len(set(found.remarks)) and "noon@all: all labelled images" in found.remarks[0]


def test_what_is_wanted_is_what_the_data_here_allow(tmp_path: Path) -> None:
    here, away = tiny().cases
    lost = replace(
        here, name="lost", benchmarks=(*here.benchmarks, *replace(away, benchmarks=(single(Market1501()),)).benchmarks)
    )
    plans = [plan(cases=(lost, away), rows=(*rows("snr"), adapted("snr", "adaptive-bn")), seeds=(0,))]
    assert len(trainings(plans, Path("x"))) == 2
    (found,) = wanted(plans, availabilities(plans, tmp_path), Path("x"))
    assert found.folder == Path("x/small/noon/snr-0") and [name for _, _, name in found.adaptations] == ["dusk"]


def test_nobody_is_scored_on_images_that_were_trained_on(tmp_path: Path) -> None:
    (case,) = single_source(AllImages(of=drawn()), drawn()).cases
    found = availability(case, tmp_path)
    assert not found.can_run and found.can_train
    assert found.absent["noon as a target"] == "16 of its 16 test images are trained on"


def study_of(**changes: Any) -> Plan:
    given = {"experiments": [experiment()], "targets": [drawn("noon"), drawn("dusk")], "seeds": [0], **changes}
    return study_plan(**given)


def test_a_study_is_a_plan_of_one_case_whose_runs_lie_side_by_side() -> None:
    plan = study_of(experiments=[experiment(), experiment("snr", epochs=3)], seeds=[4, 7])
    made = trainings([plan], Path("x"))
    assert [training.folder for training in made] == [
        Path("x") / name for name in ("baseline-4", "snr-4", "baseline-7", "snr-7")
    ]
    assert made[3].experiment == experiment("snr", epochs=3, seed=7), "just the experiment, with the seed of the study"
    assert [training.embeddings for training in made] == [True, True, False, False], "rank lists are of the first seed"
    assert [benchmark.name for benchmark in plan.cases[0].benchmarks] == ["noon", "dusk"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"experiments": ()}, "scheme"),
        ({"targets": ()}, "target"),
        ({"seeds": ()}, "seed"),
        ({"seeds": (1, 1)}, "1, 1"),
        ({"targets": (drawn(), drawn(seed=3))}, "noon, noon"),
        ({"experiments": (experiment(), experiment(epochs=3))}, "Baseline, Baseline"),
        (
            {"experiments": (experiment(), experiment("snr", sources=(drawn("dusk"),)))},
            "the same sources.*Baseline on noon, SNR on dusk.*a table of each",
        ),
        (
            {"experiments": (experiment(), experiment("snr", sources=(drawn(train_persons=7),)))},
            "Baseline on noon, SNR on noon of other settings",
        ),
    ],
)
def test_what_would_be_counted_twice_or_not_at_all_is_refused(change: dict[str, object], words: str) -> None:
    with pytest.raises(ExperimentError, match=words):
        study_of(**change)


def test_rank_lists_of_no_target_are_refused_before_anything_runs() -> None:
    assert example_names(study_of(), ["dusk"], []) == ("dusk",)
    words = ["some/folder/dusk", "night:seed=1"]
    known = [benchmark.name for case in study_of().cases for benchmark in case.benchmarks]
    assert example_names(study_of(), words[:1], words) == (known[0],)
    with pytest.raises(ExperimentError, match=r"mall.*noon, dusk"):
        example_names(study_of(), ["dusk", "mall"], [])
