"""A study: what is there is not done again, rows are what they say, and the report and record hold the scores."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from snreid.datasets import CUHK03, Market1501
from snreid.errors import DataError, ExperimentError
from snreid.evaluation import read_features
from snreid.experiments.runs import Run, open_run
from snreid.experiments.scoring import features_path
from snreid.figures import render_report, text_table
from snreid.records import DataSet, ReIDData, Split
from snreid.studies.rows import DESCRIPTIONS
from snreid.studies.study import Study, StudyResult, _remarks, report, run_study, score_runs, write_record
from snreid.training.training_set import join
from tiny import ALONE, Files, console, drawn, experiment, machine, picture_files, trained


def study_of(*names: str, seeds: tuple[int, ...] = (0,)) -> Study:
    return Study(
        title="tiny",
        experiments=tuple(experiment(name) for name in names),
        targets=(drawn("noon"), drawn("dusk")),
        seeds=seeds,
        descriptions={"dusk": "Low sun."},
    )


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[StudyResult, Path]:
    out = tmp_path_factory.mktemp("study")
    return run_study(study_of("baseline", "snr", seeds=(0, 1)), machine(out), group=ALONE, console=console()), out


def test_every_scheme_has_a_score_of_every_seed_on_every_target(done: tuple[StudyResult, Path]) -> None:
    result, out = done
    assert list(result.scores) == ["Baseline", "SNR"]
    assert all(list(columns) == ["noon", "dusk"] for columns in result.scores.values())
    assert all(len(found) == 2 for columns in result.scores.values() for found in columns.values())
    assert [run.name for runs in result.runs.values() for run in runs] == ["baseline-0", "baseline-1", "snr-0", "snr-1"]
    assert {p.name for p in out.iterdir()} == {"baseline-0", "baseline-1", "snr-0", "snr-1"}


def test_what_is_there_is_not_done_again(done: tuple[StudyResult, Path]) -> None:
    result, out = done
    before = {p: p.stat().st_mtime_ns for p in out.rglob("*")}
    again = run_study(result.study, machine(out), group=ALONE, console=console())
    assert {p: p.stat().st_mtime_ns for p in out.rglob("*")} == before
    for name, columns in result.scores.items():
        for target, found in columns.items():
            assert [s.mean_ap for s in again.scores[name][target]] == [s.mean_ap for s in found]


def test_scores_outlive_the_weights(done: tuple[StudyResult, Path], tmp_path: Path) -> None:
    result, out = done
    kept = shutil.copytree(
        out, tmp_path / "kept", ignore=shutil.ignore_patterns("*.safetensors", "embeddings", "metrics*")
    )
    for again in (
        run_study(result.study, machine(kept), group=ALONE, console=console()),
        score_runs(result.study, [open_run(kept / run.name) for runs in result.runs.values() for run in runs], machine(kept),
                   group=ALONE, console=console()),
    ):  # fmt: skip
        assert again.scores["SNR"]["dusk"][1].mean_ap == result.scores["SNR"]["dusk"][1].mean_ap
        assert report(again).table() == report(result).table()
    assert not list(kept.rglob("*.safetensors"))


def test_a_run_without_weights_and_scores_is_trained_anew(done: tuple[StudyResult, Path], tmp_path: Path) -> None:
    result, out = done
    kept = shutil.copytree(out, tmp_path / "kept")
    for gone in ("model.safetensors", "evaluation/dusk.npz"):
        (kept / "snr-1" / gone).unlink()
    again = run_study(result.study, machine(kept), group=ALONE, console=console())
    assert (kept / "snr-1" / "model.safetensors").is_file()
    assert again.scores["SNR"]["dusk"][1].mean_ap == result.scores["SNR"]["dusk"][1].mean_ap


def test_finished_runs_give_the_same_result_wherever_they_are(done: tuple[StudyResult, Path]) -> None:
    result, out = done
    runs = [run for runs in result.runs.values() for run in runs]
    again = score_runs(result.study, runs, machine(out), group=ALONE, console=console())
    assert again.scores["SNR"]["dusk"][1].mean_ap == result.scores["SNR"]["dusk"][1].mean_ap


def test_the_report_knows_seen_from_unseen_and_shows_rank_lists(done: tuple[StudyResult, Path]) -> None:
    page = report(done[0], examples=("dusk",), commands=("snreid study",))
    assert [(d.name, d.seen, d.description) for d in page.domains] == [("noon", True, ""), ("dusk", False, "Low sun.")]
    assert page.trained_on == "noon" and page.baseline == "Baseline" and page.notes == ()
    assert [s.description for s in page.schemes] == [DESCRIPTIONS["baseline"], DESCRIPTIONS["snr"]]
    assert page.examples and all([name for name, _ in one.lists] == ["Baseline", "SNR"] for one in page.examples)
    assert {r.name: r.seeds for r in page.runs} == {"Baseline": (0, 1), "SNR": (0, 1)}
    table = text_table(page.table())
    assert "noon (seen)" in table and "dusk" in table


def test_the_record_holds_every_single_score(done: tuple[StudyResult, Path], tmp_path: Path) -> None:
    result, _ = done
    write_record(tmp_path / "deep" / "record.json", result, 12.34)
    record = json.loads((tmp_path / "deep" / "record.json").read_text())
    assert record["seconds"] == 12.3 and len(record["rows"]) == 8
    for row in record["rows"]:
        scores = result.scores[row["scheme"]][row["target"]][row["seed"]]
        assert row["mAP"] == pytest.approx(scores.mean_ap) and row["rank1"] == pytest.approx(scores.rank(1))
        assert row["train_seconds"] > 0
    assert set(record["experiments"]) == {"Baseline", "SNR"}


def seen(sources: tuple[DataSet, ...], *targets: DataSet) -> list[bool]:
    """Which targets a report calls seen."""
    study = Study(title="t", experiments=(experiment(sources=sources),), targets=targets, descriptions={})
    data = tuple(ReIDData(target.name, Split(()), Split(()), Split(())) for target in targets)
    return [domain.seen for domain in report(StudyResult(study, data, {"Baseline": {}}, {})).domains]


def test_what_the_sources_cameras_took_is_seen_whatever_its_name_is() -> None:
    noon = (drawn("noon"),)
    assert seen(noon, drawn("noon", people="dusk"), drawn("dusk", people="noon"), drawn("noon")) == [True, False, True]
    assert seen((CUHK03(),), CUHK03(boxes="labelled"), Market1501()) == [True, False]
    assert seen((CUHK03(boxes="labelled"),), CUHK03()) == [True]


@pytest.fixture(scope="module")
def damaged(tmp_path_factory: pytest.TempPathFactory) -> tuple[Study, StudyResult, Path]:
    """A study whose target lost three of its images: queries and gallery images both."""
    out = tmp_path_factory.mktemp("damaged")
    target = Files(folder=out / "data", damaged=(0, 6, 13))
    study = replace(study_of("baseline", "snr"), targets=(target, drawn("dusk")))
    with pytest.raises(DataError, match="3 of 40 are not"):  # of both targets
        run_study(study, machine(out / "runs"), group=ALONE, console=console())
    return study, run_study(study, machine(out / "runs", skip_bad=True), group=ALONE, console=console()), out


def test_a_report_is_of_the_images_that_were_scored(damaged: tuple[Study, StudyResult, Path]) -> None:
    _, result, out = damaged
    page = report(result, examples=("files", "dusk"))
    (domain, other), bad = page.domains, {str(out / "data" / f"{n:03d}.png") for n in (0, 6, 13)}
    assert domain.query is not None and len(domain.query) == 21 and other.query == result.data[1].query
    assert not {sample.image.name for sample in (*domain.samples, *domain.query.samples)} & bad
    assert page.notes == ("files: 3 images could not be read and were left out.",)
    for example in page.examples:
        for name, ranks in example.lists:
            query, gallery = read_features(features_path(result.runs[name][0].folder, example.domain))
            assert example.sample.image.name == query.names[ranks.query]
            positions = [int(i) for i in ranks.gallery]
            assert [example.gallery.samples[i].image.name for i in positions] == [gallery.names[i] for i in positions]
    assert "3 images could not be read" in render_report(page)


def test_scores_without_bad_images_are_not_made_again(damaged: tuple[Study, StudyResult, Path]) -> None:
    study, result, out = damaged
    before = {p: p.stat().st_mtime_ns for p in (out / "runs").rglob("*.npz")}
    again = run_study(study, machine(out / "runs", skip_bad=True), group=ALONE, console=console())
    assert {p: p.stat().st_mtime_ns for p in (out / "runs").rglob("*.npz")} == before and len(before) == 8
    assert again.data[0] == result.data[0] and again.left_out == result.left_out


def test_scores_of_an_image_that_went_bad_in_between_are_no_table(tmp_path: Path) -> None:
    target = Files(folder=tmp_path / "data")
    study = replace(study_of("baseline"), targets=(target,))
    skipping = machine(tmp_path / "runs", skip_bad=True)
    run_study(study, skipping, group=ALONE, console=console())
    both = replace(study_of("baseline", "snr"), targets=(replace(target, damaged=(3,)),))
    with pytest.raises(
        ExperimentError, match=r"files without 0 and without 1 unreadable.*baseline-0.*snr-0.*score again"
    ):
        run_study(both, skipping, group=ALONE, console=console())
    picture_files(tmp_path / "data", 24)
    assert run_study(replace(both, targets=(target,)), skipping, group=ALONE, console=console()).left_out == {
        "files": ()
    }


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
        replace(study_of("baseline"), **change)


def test_rank_lists_of_no_target_are_refused_before_anything_runs() -> None:
    study_of("baseline").check_examples(["dusk"])
    with pytest.raises(ExperimentError, match=r"mall.*noon, dusk"):
        study_of("baseline").check_examples(["dusk", "mall"])


def test_runs_of_other_settings_or_the_same_seed_are_no_row(done: tuple[StudyResult, Path], tmp_path: Path) -> None:
    result, out = done
    longer = trained(tmp_path / "longer", epochs=3)
    elsewhere = trained(tmp_path / "elsewhere", "snr", sources=(drawn("dusk"),))
    first = result.runs["Baseline"][0]
    cases = (
        ([first, longer], "with other settings"),
        ([first, first], "the same run"),
        ([first, elsewhere], r"baseline-0 on noon, .*elsewhere on dusk"),
    )
    for runs, words in cases:
        with pytest.raises(ExperimentError, match=words):
            score_runs(result.study, runs, machine(out), group=ALONE, console=console())


def test_a_report_says_what_the_readers_of_its_targets_noticed() -> None:
    study = Study(title="t", experiments=(experiment(),), targets=(drawn("dusk"),), descriptions={})
    data = ReIDData("dusk", Split(()), Split(()), Split(()), notes=("it is withdrawn",))
    assert report(StudyResult(study, (data,), {"Baseline": {}}, {})).notes == ("dusk: it is withdrawn",)


def test_what_the_readers_of_the_sources_noticed_is_in_the_record_and_the_page(tmp_path: Path) -> None:
    training = replace(join([drawn().read(tmp_path)]), remarks=("noon: drawn in a hurry",))
    assert training.only(np.arange(4)).remarks == ("noon: drawn in a hurry",)
    run = Run(experiment(), tmp_path, {"training": {"remarks": list(training.remarks)}})
    data = ReIDData("dusk", Split(()), Split(()), Split(()), notes=("it is withdrawn",))
    study = Study(title="t", experiments=(experiment(),), targets=(drawn("dusk"),), descriptions={})
    result = StudyResult(study, (data,), {}, {"A": (run, run)})
    assert _remarks(result) == ("noon: drawn in a hurry", "dusk: it is withdrawn")
