"""A study: what is there is not done again, rows are what they say, and the report and record hold the scores."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from snreid.errors import ExperimentError
from snreid.figures import text_table
from snreid.recipes import all_recipes
from snreid.study import DESCRIPTIONS, Study, StudyResult, label, report, run_study, score_runs, write_record
from tiny import ALONE, console, drawn, experiment, machine, trained

LABELS = ["Baseline", "Baseline-A-IN", "Baseline-IBN", "Baseline-A-SN", "Baseline-IN", "SNR w/o L_SNR", "SNR"]


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


def test_finished_runs_give_the_same_result_wherever_they_are(done: tuple[StudyResult, Path]) -> None:
    result, out = done
    runs = [run for runs in result.runs.values() for run in runs]
    again = score_runs(result.study, runs, machine(out), group=ALONE, console=console())
    assert again.scores["SNR"]["dusk"][1].mean_ap == result.scores["SNR"]["dusk"][1].mean_ap


def test_the_report_knows_seen_from_unseen_and_shows_rank_lists(done: tuple[StudyResult, Path]) -> None:
    page = report(done[0], examples=("dusk",), commands=("snreid study",))
    assert [(d.name, d.seen, d.description) for d in page.domains] == [("noon", True, ""), ("dusk", False, "Low sun.")]
    assert page.trained_on == "noon" and page.baseline == "Baseline"
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


def test_labels_are_the_papers_and_an_own_name_stays() -> None:
    assert [label(row("small")) for row in all_recipes().values()] == LABELS == list(DESCRIPTIONS)
    assert label(replace(experiment("snr"), recipe="snr-code")) == "snr-code"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"experiments": ()}, "scheme"),
        ({"targets": ()}, "target"),
        ({"seeds": ()}, "seed"),
        ({"seeds": (1, 1)}, "1, 1"),
        ({"targets": (drawn(), drawn(seed=3))}, "noon, noon"),
        ({"experiments": (experiment(), experiment(epochs=3))}, "Baseline, Baseline"),
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
    first = result.runs["Baseline"][0]
    for runs, words in (([first, longer], "with other settings"), ([first, first], "the same run")):
        with pytest.raises(ExperimentError, match=words):
            score_runs(result.study, runs, machine(out), group=ALONE, console=console())
