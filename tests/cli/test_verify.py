"""``snreid verify``: a score, a threshold from labelled pairs, a verdict; kept and used again; never of another model."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import snreid
from snreid.cli import main as command
from snreid.cli.names import dataset_named
from snreid.cli.verify import main
from snreid.errors import CheckpointError, DataError, ExperimentError
from snreid.evaluation import calibrate, write_features
from snreid.images.loading import PixelStore
from snreid.inference.embedder import features
from snreid.inference.inputs import image_sources
from snreid.records import NO_CAMERA, Features, Sample, Split
from support.tiny import TARGET, picture_files

Captured = pytest.CaptureFixture[str]
QUIET = ["--workers", "0", "--device", "cpu"]
RATE = ["--fmr", "0.05"]


def embedded(run: Path) -> tuple[Features, Features]:
    """Query and gallery of the target, not normalized."""
    data, embedder = dataset_named(TARGET).read(Path()), snreid.load(run)
    return tuple(  # type: ignore[return-value]
        Features(
            embedder.extract([sample.image.read() for sample in split.samples]),
            split.persons,
            split.cameras,
            tuple(sample.image.name for sample in split.samples),
        )
        for split in (data.query, data.gallery)
    )


def test_the_score_is_the_cosine_of_the_embeddings(pair: tuple[Path, Path], tmp_path: Path, capsys: Captured) -> None:
    a, b = picture_files(tmp_path, 2)
    first, second = snreid.load(pair[0]).extract([a, b]).astype(float)
    cosine = sum(x * y for x, y in zip(first.tolist(), second.tolist(), strict=True))
    assert main([str(pair[0]), str(a), str(b), *QUIET, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["score"] == pytest.approx(cosine, abs=1e-5)
    assert (told["images"], told["metric"], told["same"], told["calibration"]) == (
        [str(a), str(b)],
        "cosine",
        None,
        None,
    )
    assert main([str(pair[0]), str(a), str(b), *QUIET]) == 0
    assert capsys.readouterr().out == f"cosine {cosine:.5f} (-1 to 1; higher is more alike)\n"


def test_a_run_of_the_euclidean_metric_tells_the_distance_of_what_is_not_normalized(
    euclidean: Path, tmp_path: Path, capsys: Captured
) -> None:
    a, b = picture_files(tmp_path / "p", 2)
    store = PixelStore(Split(tuple(Sample(source, 1, NO_CAMERA) for source in image_sources([a, b]))), 32, 16)
    store.open()
    first, second = features(snreid.load(euclidean), store).embeddings.astype(float)
    distance = sum((x - y) ** 2 for x, y in zip(first.tolist(), second.tolist(), strict=True)) ** 0.5
    assert main([str(euclidean), str(a), str(b), *QUIET]) == 0
    assert capsys.readouterr().out == f"distance {distance:.5f} (0 or more; lower is more alike)\n"
    assert main([str(euclidean), str(a), str(a), *QUIET, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["score"] == pytest.approx(0, abs=1e-5)


def test_a_data_set_gives_the_threshold_its_embeddings_the_same_and_a_kept_one_too(
    pair: tuple[Path, Path], tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run, (a, b) = str(pair[0]), map(str, picture_files(tmp_path / "p", 2))
    words = [run, "--calibrate", TARGET, *RATE, "--roc", "roc.svg", "--out", "kept.json", *QUIET, "--json"]
    assert main(words) == 0
    told = json.loads(capsys.readouterr().out)
    found = told["calibration"]
    slow = calibrate(*embedded(pair[0]), false_match_rate=0.05)
    assert found["threshold"] == pytest.approx(slow.threshold, abs=2e-5)
    assert (found["genuine"], found["impostor"], found["persons"]) == (slow.genuine, slow.impostor, 4)
    assert found["true_match_rate"] == pytest.approx(slow.true_match_rate, abs=1 / slow.genuine)
    assert (told["score"], told["same"], found["data"]) == (None, None, "dusk") and "roc" not in found
    assert (tmp_path / "roc.svg").read_text().startswith("<svg ")
    write_features(tmp_path / "mine.npz", *embedded(pair[0]))
    assert main([run, "--calibrate", "mine.npz", *RATE, *QUIET, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["calibration"]["threshold"] == pytest.approx(slow.threshold, abs=2e-5)

    assert main([run, a, b, "--calibrate", "kept.json", "--roc", "again.svg", *QUIET, "--json"]) == 0
    again = json.loads(capsys.readouterr().out)
    assert len(found["notes"]) == 2 and all("rough" in note for note in found["notes"])
    assert again["calibration"] == found and again["same"] == (again["score"] >= found["threshold"])
    assert (tmp_path / "again.svg").read_text() == (tmp_path / "roc.svg").read_text()
    assert main([run, a, a, "--calibrate", "kept.json", *QUIET]) == 0
    said = capsys.readouterr()
    lines = said.out.splitlines()
    assert lines[1] == f"the same person: the threshold is cosine at least {found['threshold']:.5f}"
    assert f" % of {slow.genuine:,} pairs of the same person match" in lines[2]
    assert "fewer than 30 make it rough" in said.err and "fewer than 10" in said.err


def test_normalized_rows_give_no_euclidean_threshold_and_a_table_labels_rows(
    euclidean: Path, tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    query, gallery = embedded(euclidean)
    write_features(tmp_path / "unit.npz", query, gallery)
    with pytest.raises(ExperimentError, match=r"rows of length 1 in unit\.npz.*Fix: add --metric cosine"):
        main([str(euclidean), "--calibrate", "unit.npz", *RATE, *QUIET])
    assert main([str(euclidean), "--calibrate", "unit.npz", "--metric", "cosine", *RATE, *QUIET]) == 0
    np.save("rows.npy", np.concatenate([query.embeddings, gallery.embeddings]))
    lines = ["path,person,camera,split"]
    for part, side in (("query", query), ("gallery", gallery)):
        labels = zip(side.persons, side.cameras, strict=True)
        lines += [f"{part}{row}.png,{person},{camera},{part}" for row, (person, camera) in enumerate(labels)]
    Path("rows.csv").write_text("\n".join(lines))
    capsys.readouterr()
    for files in (["unit.npz"], ["rows.npy", "rows.csv"]):
        assert main([str(euclidean), "--calibrate", *files, "--metric", "cosine", *RATE, *QUIET, "--json"]) == 0
    first, second = (json.loads(line)["calibration"] for line in capsys.readouterr().out.splitlines())
    assert {**first, "data": ""} == {**second, "data": ""}
    words = [str(euclidean), "--calibrate", "unit.npz", "--metric", "cosine", *RATE, "--out", "kept.json", *QUIET]
    assert main(words) == 0
    (a, b), _ = map(str, picture_files(tmp_path / "p", 2)), capsys.readouterr()
    assert main([str(euclidean), a, b, "--calibrate", "kept.json", *QUIET]) == 0  # the kept metric, not the run's
    first, second = snreid.load(euclidean).extract([a, b]).astype(float)
    assert capsys.readouterr().out.startswith(f"cosine {float(first @ second):.4f}")
    with pytest.raises(ExperimentError, match=r"made on one data set.*noon dusk"):
        main([str(euclidean), "--calibrate", "noon", "dusk", *QUIET])


def test_too_few_pairs_for_the_rate_are_told(pair: tuple[Path, Path]) -> None:
    with pytest.raises(DataError, match=r"pairs for a rate of 0\.001, one in 1,000"):
        main([str(pair[0]), "--calibrate", TARGET, *QUIET])


def test_a_threshold_is_never_that_of_another_model(
    pair: tuple[Path, Path], tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main([str(pair[0]), "--calibrate", TARGET, *RATE, "--out", "kept.json", *QUIET]) == 0
    with pytest.raises(
        ExperimentError, match=r"of the same model\. Found: kept\.json is of run \w{16}, this model is run"
    ):
        main([str(pair[1]), "--calibrate", "kept.json", *QUIET])
    for flags, message in ((["--fmr", "0.1"], "0.1 and, in kept.json, 0.05"), (["--metric", "euclidean"], "cosine")):
        with pytest.raises(ExperimentError, match=message):
            main([str(pair[0]), "--calibrate", "kept.json", *flags, *QUIET])
    stored = json.loads((tmp_path / "kept.json").read_text())
    wrong: list[Any] = [{**stored, "threshold": "high"}, {**stored, "roc": [[2, 0, 0]]}, {**stored, "more": 1}, [], 7]
    for content in ("{", *map(json.dumps, wrong)):
        (tmp_path / "kept.json").write_text(content)
        assert command(["verify", str(pair[0]), "--calibrate", "kept.json", *QUIET]) == 2
        assert "Traceback" not in capsys.readouterr().err
    assert command(["verify", str(pair[0]), "--calibrate", "lost.json", *QUIET]) == 2


def test_what_is_wrong_is_told_before_anything_is_embedded(
    pair: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, (a, b) = str(pair[0]), map(str, picture_files(tmp_path, 2))
    with pytest.raises(DataError, match=r"Found: .*lost\.png: does not exist.*Fix: restore it, or name others"):
        main([run, a, str(tmp_path / "lost.png"), *QUIET])
    monkeypatch.setattr("snreid.cli.verify.ready", lambda *_: pytest.fail("the model was loaded"))
    for words, message in (
        ([a], r"compares two images.*Found: .*000\.png"),
        ([], "neither images nor --calibrate"),
        ([str(tmp_path), str(tmp_path)], "compares two images"),
        ([a, b, "--calibrate", TARGET, "--fmr", "nan"], "lies between 0 and 1"),
        ([a, b, "--fmr", "0.1"], "--fmr belongs to a calibration"),
        ([a, b, "--calibrate", TARGET, "--roc", "roc.png"], r"--roc names a file that ends in \.svg"),
        ([a, b, "--calibrate", TARGET, "--out", "c.txt"], r"--out names a file that ends in \.json"),
    ):
        with pytest.raises(ExperimentError, match=message):
            main([run, *words])


def test_embeddings_of_another_length_give_no_threshold(
    pair: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    query, gallery = (
        Features(side.embeddings[:, :5], side.persons, side.cameras, side.names) for side in embedded(pair[0])
    )
    write_features(Path("short.npz"), query, gallery)
    with pytest.raises(ExperimentError, match=r"of the same model\. Found: 5 numbers .* short\.npz, 8 of this model"):
        main([str(pair[0]), "--calibrate", "short.npz", *RATE, *QUIET])


def test_a_calibration_kept_without_an_ending_is_taken_again(
    pair: tuple[Path, Path], tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for words in ([TARGET, *RATE, "--out", "kept"], ["kept"]):
        assert main([str(pair[0]), "--calibrate", *words, *QUIET, "--json"]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first == second


def test_a_broken_model_is_told(pair: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = map(str, picture_files(tmp_path, 2))
    monkeypatch.setattr("snreid.inference.embedder.Embedder.__call__", lambda _, x: np.zeros((len(x), 4), np.float32))
    with pytest.raises(CheckpointError, match="only zeros"):
        main([str(pair[0]), a, b, *QUIET])
