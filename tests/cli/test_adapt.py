"""``snreid adapt``: a run and a target in, a run folder out that every other command takes."""

from pathlib import Path

import pytest

from snreid.cli import main as snreid
from snreid.cli.adapt import chosen, main
from snreid.cli.train import main as train
from snreid.errors import DataError, ExperimentError
from snreid.experiments.runs import open_run
from snreid.experiments.scoring import read_result
from support.tiny import OPTIONS, TARGET, drawn, experiment, picture_files

QUIET = ["--workers", "0", "--device", "cpu"]


def test_the_adapted_run_is_one_for_every_other_command(
    pair: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main([str(pair[0]), "--method", "adaptive-bn", "-t", TARGET, "--batch", "8", *QUIET]) == 0
    folder = Path("runs/baseline-adaptive-bn-dusk")
    run = open_run(folder)
    assert run.record["adaptation"]["method"] == {"kind": "AdaptiveBN", "seed": 0, "batch": 8, "passes": 1}
    streams = capsys.readouterr()
    assert streams.out == "" and f"The adapted run is in {folder}" in streams.err
    assert not (folder / "evaluation").exists(), "nothing is scored unless asked for"
    night = f"night:{OPTIONS}"
    for words in (
        ["evaluate", str(folder), "-t", night],
        ["compare", str(folder), str(pair[0]), "-t", TARGET],
        ["report", str(pair[0]), str(folder), "-t", TARGET, "--out", str(tmp_path / "report")],
    ):
        assert snreid([*words, *QUIET]) == 0, capsys.readouterr().err
    assert "baseline-adaptive-bn-dusk" in (tmp_path / "report" / "report.html").read_text()


def test_with_evaluate_it_shows_before_and_after_with_intervals(
    pair: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [
        str(pair[0]),
        "-t",
        TARGET,
        "--method",
        "adaptive-bn",
        "--evaluate",
        "--out",
        str(tmp_path / "out"),
        *QUIET,
    ]
    assert main(words) == 0
    shown = capsys.readouterr().out
    data = drawn("dusk").read(Path())
    assert shown.index("dusk, before") < shown.index("dusk, after")
    lines = {name: next(line for line in shown.splitlines() if f" {name} " in line) for name in ("mAP", "rank-1")}
    for folder, column in ((pair[0], 2), (tmp_path / "out", 3)):
        result = read_result(folder, data)
        assert result is not None
        for name, value in (("mAP", result.scores.mean_ap), ("rank-1", result.scores.rank(1))):
            assert f" {100 * value:.1f} [" in lines[name].split("│")[column]
    assert "after - before: mAP " in shown and "p = " in shown


def test_a_method_starts_for_the_run_and_its_settings_are_flags(capsys: pytest.CaptureFixture[str]) -> None:
    found = chosen("adaptive-bn", experiment(seed=7), ["--passes", "3"])
    assert found.to_json() == {"kind": "AdaptiveBN", "seed": 7, "batch": 128, "passes": 3}
    with pytest.raises(ExperimentError, match=r"is one of .*adaptive-bn.*did you mean 'adaptive-bn'"):
        chosen("adaptivebn", experiment(), [])
    with pytest.raises(SystemExit):
        chosen("adaptive-bn", experiment(), ["--pases", "3"])
    assert "--pases" in capsys.readouterr().err


def test_wrong_requests_are_answered(pair: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(ExperimentError, match="takes RUN first, then flags"):
        main(["-t", TARGET])
    for name in (f"{TARGET}@all", f"{TARGET}@all@dark-3"):
        with pytest.raises(ExperimentError, match=r"stay unseen.*@all.*name dusk"):
            main([str(pair[0]), "-t", name, "--method", "adaptive-bn", *QUIET])
    with pytest.raises(DataError, match="market1501 needs a folder"):
        main([str(pair[0]), "-t", "market1501", "--root", str(tmp_path), "--method", "adaptive-bn", *QUIET])
    out = tmp_path / "out"
    assert main([str(pair[0]), "-t", TARGET, "--method", "adaptive-bn", "--out", str(out), *QUIET]) == 0
    with pytest.raises(ExperimentError, match="use snreid adapt"):
        train([str(out / "experiment.json"), "--out", str(tmp_path / "again")])


def test_help_shows_the_settings_of_the_methods(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help-all", "--method", "adaptive-bn"]) == 0
    shown = capsys.readouterr().out
    assert "runs/RUN-METHOD-TARGET" in shown and "--passes" in shown and "--temperature" not in shown
    with pytest.raises(SystemExit):
        main(["--help"])
    assert "--passes" not in capsys.readouterr().out


def test_a_folder_that_nobody_has_labelled_is_a_target_too(
    pair: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = picture_files(tmp_path / "shop" / "monday", 5)
    words = [str(pair[0]), "--images", str(tmp_path / "shop"), "--method", "adaptive-bn", *QUIET]
    assert main([*words, "--out", str(tmp_path / "out")]) == 0
    entry = open_run(tmp_path / "out").record["adaptation"]
    assert (entry["target"], entry["images"]) == ("shop", len(paths))
    for more in (["-t", TARGET], ["--evaluate"]):
        with pytest.raises(ExperimentError, match="one target"):
            main([*words, *more])
    with pytest.raises(ExperimentError, match="Found: neither"):
        main([str(pair[0]), *QUIET])
    (tmp_path / "empty").mkdir()
    with pytest.raises(ExperimentError, match=f"--images {tmp_path / 'shop'}"):
        main([str(pair[0]), "-t", str(tmp_path / "shop"), *QUIET])
    for folder, said in (("empty", "none in"), ("nowhere", "is no folder")):
        with pytest.raises(DataError, match=said):
            main([str(pair[0]), "--images", str(tmp_path / folder), *QUIET])
