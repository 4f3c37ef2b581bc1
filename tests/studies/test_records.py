"""A study: what is there is not done again, rows are what they say, and the report and record hold the scores."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from snreid.datasets import CUHK03, Market1501
from snreid.errors import DataError, ExperimentError
from snreid.evaluation import read_features
from snreid.experiments.runs import Run, open_run
from snreid.experiments.scoring import features_path
from snreid.figures.report_page import Report, render_report
from snreid.figures.text_tables import text_table
from snreid.records import DataSet, ReIDData, Scores, Split
from snreid.studies.plan import Availability, Plan, study_plan
from snreid.studies.records import record, report
from snreid.studies.rows import DESCRIPTIONS
from snreid.studies.run import CaseResult, run_study, score_models
from snreid.training.training_set import join
from support.tiny import Files, drawn, experiment, picture_files, session, trained


def study_of(*names: str, seeds: tuple[int, ...] = (0,), targets: tuple[DataSet, ...] = ()) -> Plan:
    return study_plan([experiment(name) for name in names], targets or (drawn("noon"), drawn("dusk")), seeds)


def runs_of(result: CaseResult) -> list[Run]:
    return [run for row in result.rows for run in result.runs[row.name]["dusk"]]


def page_of(result: CaseResult, **more: Any) -> Report:
    return report(result, "tiny", descriptions={"dusk": "Low sun."}, **more)


Done = tuple[Plan, CaseResult, Path]


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Done:
    out = tmp_path_factory.mktemp("study")
    plan = study_of("baseline", "snr", seeds=(0, 1))
    return plan, run_study(plan, out, session()), out


def test_every_scheme_has_a_score_of_every_seed_on_every_target(done: Done) -> None:
    _plan, result, out = done
    assert list(result.scores) == ["baseline", "snr"]
    assert all(list(columns) == ["noon", "dusk"] for columns in result.scores.values())
    assert all(len(found) == 2 for columns in result.scores.values() for found in columns.values())
    assert [run.name for run in runs_of(result)] == ["baseline-0", "baseline-1", "snr-0", "snr-1"]
    assert {p.name for p in out.iterdir()} == {"baseline-0", "baseline-1", "snr-0", "snr-1"}


def test_what_is_there_is_not_done_again(done: Done) -> None:
    plan, result, out = done
    before = {p: p.stat().st_mtime_ns for p in out.rglob("*")}
    again = run_study(plan, out, session())
    assert {p: p.stat().st_mtime_ns for p in out.rglob("*")} == before
    for name, columns in result.scores.items():
        for target, found in columns.items():
            assert [s.mean_ap for s in again.scores[name][target]] == [s.mean_ap for s in found]


def test_scores_outlive_the_weights(done: Done, tmp_path: Path) -> None:
    plan, result, out = done
    kept = shutil.copytree(
        out, tmp_path / "kept", ignore=shutil.ignore_patterns("*.safetensors", "embeddings", "metrics*")
    )
    kept_runs = [open_run(kept / run.name) for run in runs_of(result)]
    for again in (run_study(plan, kept, session()), score_models(plan, kept_runs, session())):
        assert again.scores["snr"]["dusk"][1].mean_ap == result.scores["snr"]["dusk"][1].mean_ap
        assert page_of(again).table() == page_of(result).table() and again.table == result.table
    assert not list(kept.rglob("*.safetensors"))


def test_a_run_without_weights_and_scores_is_trained_anew(done: Done, tmp_path: Path) -> None:
    plan, result, out = done
    kept = shutil.copytree(out, tmp_path / "kept")
    for gone in ("model.safetensors", "evaluation/dusk.npz"):
        (kept / "snr-1" / gone).unlink()
    again = run_study(plan, kept, session())
    assert (kept / "snr-1" / "model.safetensors").is_file()
    assert again.scores["snr"]["dusk"][1].mean_ap == result.scores["snr"]["dusk"][1].mean_ap


def test_finished_runs_give_the_same_result_wherever_they_are(done: Done) -> None:
    plan, result, _out = done
    again = score_models(plan, runs_of(result), session())
    assert again.scores["snr"]["dusk"][1].mean_ap == result.scores["snr"]["dusk"][1].mean_ap


def test_the_report_knows_seen_from_unseen_and_shows_rank_lists(done: Done) -> None:
    page = page_of(done[1], examples=("dusk",), commands=("snreid study",))
    assert [(d.name, d.seen, d.description) for d in page.domains] == [("noon", True, ""), ("dusk", False, "Low sun.")]
    assert page.trained_on == "noon" and page.baseline == "Baseline" and page.notes == ()
    assert [s.description for s in page.schemes] == [DESCRIPTIONS["baseline"], DESCRIPTIONS["snr"]]
    assert page.examples and all([name for name, _ in one.lists] == ["Baseline", "SNR"] for one in page.examples)
    assert {r.name: r.seeds for r in page.runs} == {"Baseline": (0, 1), "SNR": (0, 1)}
    table = text_table(page.table())
    assert "noon (seen)" in table and "dusk" in table


def test_the_record_holds_every_single_score(done: Done) -> None:
    _plan, result, _ = done
    written = json.loads(json.dumps(record(result, "tiny", 12.34)))
    assert written["title"] == "tiny" and written["seconds"] == 12.3 and len(written["rows"]) == 8
    for row in written["rows"]:
        scores = result.scores[{"Baseline": "baseline", "SNR": "snr"}[row["scheme"]]][row["target"]][row["seed"]]
        assert row["mAP"] == pytest.approx(scores.mean_ap) and row["rank1"] == pytest.approx(scores.rank(1))
        assert row["train_seconds"] > 0
    assert set(written["experiments"]) == {"Baseline", "SNR"}
    assert not any("adapted_to" in row for row in written["rows"])


def test_the_record_says_what_a_run_was_adapted_to(done: Done) -> None:
    _plan, result, _ = done
    adapted = {
        target: tuple(
            replace(run, record={**run.record, "adaptation": {"target": "dusk", "method": {}}}) for run in runs
        )
        for target, runs in result.runs["snr"].items()
    }
    rows = record(replace(result, runs={**result.runs, "snr": adapted}), "tiny", 1.0)["rows"]
    assert {row.get("adapted_to") for row in rows if row["scheme"] == "SNR"} == {"dusk"}
    assert {row.get("adapted_to") for row in rows if row["scheme"] == "Baseline"} == {None}


def unscored(plan: Plan, data: tuple[ReIDData, ...], run: Run) -> CaseResult:
    """A study with a run and no scores."""
    available = Availability(plan.cases[0], {d.name: d for d in data}, {})
    names = [row.name for row in plan.rows]
    runs, scores = {key: {data[0].name: (run, run)} for key in names}, dict[str, dict[str, tuple[Scores, ...]]]()
    return CaseResult(available, plan.rows, runs, scores)


def empty(name: str, *notes: str) -> ReIDData:
    return ReIDData(name, Split(()), Split(()), Split(()), notes=notes)


def run_in(folder: Path, *remarks: str) -> Run:
    provenance = {"versions": {}, "python": "", "command": ""}
    record = {"experiment": {}, "training": {"remarks": list(remarks)}, "provenance": provenance}
    return Run(folder, experiment(), record)


def seen(sources: tuple[DataSet, ...], *targets: DataSet) -> list[bool]:
    """Which targets a report calls seen."""
    plan = study_plan([experiment(sources=sources)], targets, [0])
    result = unscored(plan, tuple(empty(target.name) for target in targets), run_in(Path()))
    return [domain.seen for domain in page_of(result).domains]


def test_what_the_sources_cameras_took_is_seen_whatever_its_name_is() -> None:
    noon = (drawn("noon"),)
    assert seen(noon, drawn("noon", people="dusk"), drawn("dusk", people="noon")) == [True, False]
    assert seen(noon, drawn("noon")) == [True]
    assert seen((CUHK03(),), CUHK03(boxes="labelled"), Market1501()) == [True, False]
    assert seen((CUHK03(boxes="labelled"),), CUHK03()) == [True]


@pytest.fixture(scope="module")
def damaged(tmp_path_factory: pytest.TempPathFactory) -> Done:
    """A study whose target lost three of its images: queries and gallery images both."""
    out = tmp_path_factory.mktemp("damaged")
    target = Files(folder=out / "data", damaged=(0, 6, 13))
    plan = study_of("baseline", "snr", targets=(target, drawn("dusk")))
    with pytest.raises(DataError, match="3 of 40 are not"):  # of both targets
        run_study(plan, out / "runs", session())
    return plan, run_study(plan, out / "runs", session(skip_bad=True)), out


def test_a_report_is_of_the_images_that_were_scored(damaged: Done) -> None:
    _, result, out = damaged
    page = page_of(result, examples=("files", "dusk"))
    (domain, _), bad = page.domains, {str(out / "data" / f"{n:03d}.png") for n in (0, 6, 13)}
    query = result.available.data["files"].query
    assert len(query) == 21
    assert not {sample.image.name for sample in (*domain.samples, *query.samples)} & bad
    assert page.notes == ("files: 3 images could not be read and were left out.",)
    for example in page.examples:
        for name, ranks in example.lists:
            asked, gallery = read_features(
                features_path(
                    result.runs[{"Baseline": "baseline", "SNR": "snr"}[name]][example.domain][0].folder, example.domain
                )
            )
            assert example.sample.image.name == asked.names[ranks.query]
            positions = [int(i) for i in ranks.gallery]
            assert [example.gallery.samples[i].image.name for i in positions] == [gallery.names[i] for i in positions]
    assert "3 images could not be read" in render_report(page)


def test_scores_without_bad_images_are_not_made_again(damaged: Done) -> None:
    plan, result, out = damaged
    before = {p: p.stat().st_mtime_ns for p in (out / "runs").rglob("*.npz")}
    again = run_study(plan, out / "runs", session(skip_bad=True))
    assert {p: p.stat().st_mtime_ns for p in (out / "runs").rglob("*.npz")} == before and len(before) == 8
    assert again.available.data == result.available.data and again.left_out == result.left_out


def test_scores_of_an_image_that_went_bad_in_between_are_no_table(tmp_path: Path) -> None:
    target = Files(folder=tmp_path / "data")
    out, skipping = tmp_path / "runs", session(skip_bad=True)
    run_study(study_of("baseline", targets=(target,)), out, skipping)
    worse = study_of("baseline", "snr", targets=(replace(target, damaged=(3,)),))
    with pytest.raises(
        ExperimentError, match=r"files without 0 and without 1 unreadable.*baseline-0.*snr-0.*score again"
    ):
        run_study(worse, out, session(skip_bad=True))
    picture_files(tmp_path / "data", 24)
    both = study_of("baseline", "snr", targets=(target,))
    assert run_study(both, out, session(skip_bad=True)).left_out == {"files": ()}


def test_runs_of_other_settings_or_the_same_seed_are_no_row(done: Done, tmp_path: Path) -> None:
    plan, result, _out = done
    longer = trained(tmp_path / "longer", epochs=3)
    elsewhere = trained(tmp_path / "elsewhere", "snr", sources=(drawn("dusk"),))
    first = runs_of(result)[0]
    cases = (
        ([first, longer], "with other settings"),
        ([first, first], "the same run"),
        ([first, elsewhere], r"baseline-0 on noon, .*elsewhere on dusk"),
    )
    for runs, words in cases:
        with pytest.raises(ExperimentError, match=words):
            score_models(plan, runs, session())


def test_a_report_says_what_the_readers_of_its_targets_noticed() -> None:
    plan = study_plan([experiment()], [drawn("dusk")], [0])
    result = unscored(plan, (empty("dusk", "it is withdrawn"),), run_in(Path()))
    assert page_of(result).notes == ("dusk: it is withdrawn",)


def test_what_the_readers_of_the_sources_noticed_is_in_the_record_and_the_page(tmp_path: Path) -> None:
    training = replace(join([drawn().read(tmp_path)]), remarks=("noon: drawn in a hurry",))
    assert training.only(np.arange(4)).remarks == ("noon: drawn in a hurry",)
    plan = study_plan([experiment()], [drawn("dusk")], [0])
    result = unscored(plan, (empty("dusk", "it is withdrawn"),), run_in(tmp_path, *training.remarks))
    assert page_of(result).notes == ("noon: drawn in a hurry", "dusk: it is withdrawn")
