"""``snreid report``: a page of runs that are there already."""

import json
from pathlib import Path

import numpy as np
import pytest

from snreid.cli import main as command
from snreid.cli.names import dataset_named
from snreid.cli.report import _name, main
from snreid.errors import DataError, SnreidError
from snreid.evaluation import write_features
from snreid.records import Features
from support.tiny import TARGET, colour_onnx

QUIET = ["--workers", "0", "--device", "cpu"]


def test_finished_runs_become_a_page_and_nothing_is_trained(
    pair: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = [(folder / "model.safetensors").stat().st_mtime_ns for folder in pair]
    out = tmp_path / "page"
    words = [
        *map(str, pair),
        "-t",
        TARGET,
        "--examples",
        "dusk",
        "--out",
        str(out),
        "--record",
        str(tmp_path / "numbers.json"),
        *QUIET,
    ]
    assert main(words) == 0
    streams = capsys.readouterr()
    shown = streams.out
    rows = json.loads((tmp_path / "numbers.json").read_text())["rows"]
    assert [(row["scheme"], row["target"], row["seed"]) for row in rows] == [
        ("Baseline", "dusk", 0),
        ("SNR", "dusk", 0),
    ]
    assert "is replaced" not in streams.err
    assert f"Report: {out / 'report.html'}" in shown
    assert shown.index("Baseline") < shown.index("SNR"), "the first run is what the others are held against"
    assert "SNR" in (out / "report.html").read_text()
    assert [(folder / "model.safetensors").stat().st_mtime_ns for folder in pair] == weights


def test_reports_of_other_runs_or_targets_have_other_folders_and_replacing_one_is_told(
    pair: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    noon = TARGET.replace("dusk", "noon")
    words = [str(pair[0]), "-t", TARGET, "--workers", "0", "--device", "cpu"]
    assert main(words) == 0
    assert main([str(pair[0]), "-t", noon, *words[3:]]) == 0
    assert sorted(p.name for p in Path("runs").iterdir()) == ["report-baseline-on-dusk", "report-baseline-on-noon"]
    assert "is replaced" not in capsys.readouterr().err
    assert main(words) == 0
    assert "The page in runs/report-baseline-on-dusk is replaced" in capsys.readouterr().err


def test_an_onnx_file_is_a_row_beside_a_run_and_alone(
    pair: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    colour_onnx(tmp_path / "colour.onnx")
    flags = ["--mean", "0", "0", "0", "--std", "1", "1", "1", *QUIET]
    assert main([str(pair[1]), "colour.onnx", "-t", TARGET, "--examples", "dusk", "--out", "both", *flags]) == 0
    shown = capsys.readouterr().out
    assert shown.index("SNR") < shown.index("colour.onnx")
    assert command(["evaluate", "colour.onnx", "-t", TARGET, "--json", *flags]) == 0
    score = f"{100 * json.loads(capsys.readouterr().out)['mAP']:.1f}"
    page = Path("both/report.html").read_text()
    assert score in shown and "Rank lists" in page and "what colour.onnx was trained on is not known" in page
    assert "Of the runs: No label of an unseen domain" in page and "does not tell what it was trained on" in page
    noon = TARGET.replace("dusk", "noon")
    assert main(["colour.onnx", "-t", TARGET, noon, "--out", "alone", *flags]) == 0
    shown, page = capsys.readouterr().out, Path("alone/report.html").read_text()
    assert score in shown and "mean of 2" in page
    assert "nseen" not in page and "No label of" not in page and "How colour.onnx was chosen is not known" in page


def test_files_of_embeddings_are_rows_with_images_and_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    data = dataset_named(TARGET).read(Path())
    for name, axes in (("mine", (0, 1)), ("theirs", (0,))):
        sides = []
        for split in (data.query, data.gallery):
            rows = [s.image.read().mean(axes).ravel() for s in split.samples]
            names = tuple(s.image.name for s in split.samples)
            sides.append(Features(np.stack(rows).astype(np.float32), split.persons, split.cameras, names))
        write_features(tmp_path / f"{name}.npz", *sides)
    assert main(["mine.npz", "theirs.npz", "--out", "bare", *QUIET]) == 0
    bare = capsys.readouterr().out
    page = Path("bare/report.html").read_text()
    assert "<img" not in page and "nseen" not in page and "Scored on" in page
    assert main(["mine.npz", "theirs.npz", "-t", TARGET, "--examples", "dusk", "--out", "with", *QUIET]) == 0
    page = Path("with/report.html").read_text()
    assert "<img" in page and "Rank lists" in page
    scores = []
    for name in ("mine", "theirs"):
        assert command(["evaluate", "--features", f"{name}.npz", "--json"]) == 0
        streams = capsys.readouterr().out.splitlines()
        scores.append(f"{100 * json.loads(streams[-1])['mAP']:.1f}")
    assert scores[0] != scores[1] and all(score in bare and score in page for score in scores)
    other = TARGET.replace("dusk", "noon").replace("test_persons=4", "test_persons=5")
    with pytest.raises(DataError, match="rows of noon"):
        main(["mine.npz", "-t", other, *QUIET])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["RUN"], "needs a target"),
        (["x.onnx"], "needs a target"),
        (["RUN", "f.npz", "-t", "noon", "dusk"], "f.npz with --target noon dusk"),
        (["RUN", "--onnx-bgr", "-t", "noon"], "are of an ONNX file"),
        (["x.onnx", "-t", "noon", "--precision", "bf16"], "computes on the CPU"),
        (["x.onnx", "-t", "noon"], "The ONNX file must exist"),
        (["none.npz"], "features file must exist"),
        (["f.npz", "-t", "nooon"], "did you mean 'noon'"),
        (["f.npz", "./f.npz"], "f.npz twice"),
        (["f.npz", "--record", "numbers.json"], "f.npz"),
        (["RUN", "-t", "noon", "--record", "numbers.txt"], "numbers.txt"),
    ],
)
def test_wrong_requests_are_refused(
    words: list[str], said: str, pair: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    rows = Features(np.eye(2, dtype=np.float32), np.array([1, 2]), np.array([1, 1]))
    write_features(tmp_path / "f.npz", rows, Features(rows.embeddings, rows.persons, rows.cameras + 1))
    with pytest.raises(SnreidError, match=said):
        main([str(pair[0]) if word == "RUN" else word for word in words])


def test_the_name_of_a_folder_says_runs_and_targets_and_never_grows_too_long() -> None:
    assert _name(["a-0", "b-0"], ["dusk", "noon"]) == "report-a-0+b-0-on-dusk+noon"
    many = [f"snr-market1501-{seed}" for seed in range(20)]
    assert len(_name(many, ["dusk"]).encode()) < 120 and "20-runs" in _name(many, ["dusk"])
    assert _name(many, ["dusk"]) != _name([*many[1:], "other"], ["dusk"])
