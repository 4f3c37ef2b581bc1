"""``snreid diagnose``: the whole way, from a run or anybody's embeddings to a page, a JSON file and tables."""

import json
from pathlib import Path

import numpy as np
import pytest

from snreid.cli import main as snreid_main
from snreid.cli.diagnose import main
from snreid.cli.names import dataset_named
from snreid.errors import DataError, SnreidError
from snreid.evaluation import write_features
from snreid.records import Features, ReIDData
from support.tiny import TARGET, colour_onnx

Captured = pytest.CaptureFixture[str]
QUIET = ["--workers", "0", "--device", "cpu"]


def mean_colours(data: ReIDData) -> tuple[Features, Features]:
    found = []
    for split in (data.query, data.gallery):
        vectors = np.stack([s.image.read().mean((0, 1)) for s in split.samples]).astype(np.float32)
        found.append(Features(vectors, split.persons, split.cameras, tuple(s.image.name for s in split.samples)))
    return found[0], found[1]


def test_a_run_is_diagnosed_and_its_corruptions_are_those_of_evaluate(
    pair: tuple[Path, Path], tmp_path: Path, capsys: Captured
) -> None:
    words = [str(pair[1]), "-t", TARGET, "--corruptions", "dark", "jpeg", "--severity", "2", "4", "--json"]
    assert main([*words, "--out", str(tmp_path / "seen"), *QUIET]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert sorted(path.name for path in (tmp_path / "seen").iterdir()) == ["dusk.html", "dusk.json"]
    stored = json.loads((tmp_path / "seen" / "dusk.json").read_text())
    assert {key: stored.pop(key) for key in ("model", "trained_on")} == {"model": "snr", "trained_on": "noon"}
    assert stored.pop("provenance")["versions"] and stored == shown
    assert snreid_main(["evaluate", str(pair[1]), "-t", TARGET, f"{TARGET}@dark-4", "--json", *QUIET]) == 0
    clean, dark = json.loads(capsys.readouterr().out)["targets"]
    assert dark["target"] == "dusk@dark-4"
    assert shown["overall"]["mAP"]["value"] == pytest.approx(clean["mAP"])
    found = {(c["kind"], c["severity"]): c for c in shown["corruptions"]}
    assert list(found) == [("dark", 2), ("dark", 4), ("jpeg", 2), ("jpeg", 4)]
    assert found["dark", 4]["mAP"]["value"] == pytest.approx(dark["mAP"])
    assert found["dark", 4]["difference"]["mAP"]["value"] == pytest.approx(dark["mAP"] - clean["mAP"])
    assert [one["name"] for one in shown["properties"]] == ["brightness", "size", "sharpness", "brightness gap"]
    page = (tmp_path / "seen" / "dusk.html").read_text()
    assert "Worst queries" in page and "Trained on" in page and "cameras never seen" in page


def test_by_default_it_lies_in_the_run_and_tables_are_printed(pair: tuple[Path, Path], capsys: Captured) -> None:
    assert main([str(pair[0]), "-t", TARGET, "--corruptions", "--no-images", *QUIET]) == 0
    streams = capsys.readouterr()
    assert (
        "mAP of query camera" in streams.out and "brightness" in streams.out and "corrupted queries" not in streams.out
    )
    assert str(pair[0] / "diagnosis" / "dusk.html") in streams.err
    page = (pair[0] / "diagnosis" / "dusk.html").read_text()
    assert "<img" not in page and "Camera pairs" in page


def test_embeddings_of_anybody_have_camera_pairs_and_with_a_target_images_too(
    tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    query, gallery = mean_colours(dataset_named(TARGET).read(Path()))
    write_features(tmp_path / "mine.npz", query, gallery)
    assert main(["--features", "mine.npz", "--json"]) == 0
    alone = json.loads(capsys.readouterr().out)
    assert alone["target"] == "mine" and alone["camera_pairs"] and not alone["properties"] and not alone["corruptions"]
    assert (tmp_path / "runs" / "diagnosis-mine" / "mine.html").is_file()
    assert main(["--features", "mine.npz", "-t", TARGET, "--json", "--out", "with", *QUIET]) == 0
    both = json.loads(capsys.readouterr().out)
    assert both["target"] == "dusk" and both["camera_pairs"] == alone["camera_pairs"]
    assert both["properties"][0]["buckets"]
    assert "Worst queries" in (tmp_path / "with" / "dusk.html").read_text()
    with pytest.raises(DataError, match="rows of noon"):
        main(
            ["--features", "mine.npz", "-t", TARGET.replace("dusk", "noon").replace("test_persons=4", "test_persons=5")]
        )


def test_an_onnx_file_is_diagnosed_with_the_flags_of_evaluate(
    tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    colour_onnx(tmp_path / "colour.onnx")
    flags = ["--mean", "0", "0", "0", "--std", "1", "1", "1", "--onnx-interpolation", "bicubic", *QUIET]
    words = ["colour.onnx", "-t", TARGET, "--corruptions", "dark", "--severity", "4", "--json", *flags]
    assert main(words) == 0
    shown = json.loads(capsys.readouterr().out)
    assert snreid_main(["evaluate", "colour.onnx", "-t", TARGET, f"{TARGET}@dark-4", "--json", *flags]) == 0
    clean, dark = json.loads(capsys.readouterr().out)["targets"]
    assert shown["overall"]["mAP"]["value"] == clean["mAP"]
    assert shown["corruptions"][0]["mAP"]["value"] == pytest.approx(dark["mAP"])
    (size,) = [one for one in shown["properties"] if one["name"] == "size"]
    assert "2,048" in size["remark"], "properties are of the images as they are, 64 x 32"
    assert any("not known whether these cameras are new" in note for note in shown["notes"])
    page = (tmp_path / "runs" / "diagnosis-colour" / "dusk.html").read_text()
    assert "Worst queries" in page and "Trained on" not in page and "colour.onnx" in page
    assert main(["--onnx", *words[:4], "--out", "again", *flags]) == 0
    assert (tmp_path / "again" / "dusk.html").is_file()


def test_cameras_that_are_text_are_shown_as_they_were(tmp_path: Path, capsys: Captured) -> None:
    query, gallery = mean_colours(dataset_named(TARGET).read(Path()))
    names = np.array(["", "hall", "yard", "door", "lift", "roof", "shop"])
    cameras = {f"{side}_camera": names[one.cameras] for side, one in (("query", query), ("gallery", gallery))}
    persons = {"query_person": query.persons, "gallery_person": gallery.persons}
    np.savez(tmp_path / "f.npz", query=query.embeddings, gallery=gallery.embeddings, **persons, **cameras)
    assert main(["--features", str(tmp_path / "f.npz"), "--out", str(tmp_path / "out")]) == 0
    used = set(names[query.cameras])
    shown, page = capsys.readouterr().out, (tmp_path / "out" / "f.html").read_text()
    stored = json.loads((tmp_path / "out" / "f.json").read_text())
    assert {pair["query_camera"] for pair in stored["camera_pairs"]} == used
    assert all(name in shown and f"camera {name}" in page for name in used)
    assert any("corruptions are left out" in note for note in stored["notes"])


def test_embeddings_without_cameras_are_diagnosed(tmp_path: Path, capsys: Captured) -> None:
    query, gallery = mean_colours(dataset_named(TARGET).read(Path()))
    blind = [
        Features(one.embeddings, one.persons, np.full(len(one.persons), -1), one.names) for one in (query, gallery)
    ]
    write_features(tmp_path / "mine.npz", *blind)
    assert main(["--features", str(tmp_path / "mine.npz"), "--out", str(tmp_path / "out")]) == 0
    assert "No camera is known" in capsys.readouterr().out
    assert "There is no pair to score" in (tmp_path / "out" / "mine.html").read_text()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "folder of a run before all flags.*Found: nothing"),
        (["-t", "noon"], "folder of a run before all flags"),
        (["RUN"], "needs a target"),
        (["RUN", "--features", "x.npz", "-t", "noon"], "Found: run and features"),
        (["RUN", "--onnx", "x.onnx", "-t", "noon"], "Found: run and onnx"),
        (["RUN", "--onnx-bgr", "-t", "noon"], "are of an ONNX file"),
        (["x.onnx"], "needs a target"),
        (["x.onnx", "-t", "noon", "--precision", "bf16"], "onnxruntime computes on the CPU"),
        (["x.onnx", "-t", "noon"], "The ONNX file must exist"),
        (["--features", "x.npz", "-t", "noon", "dusk"], "rows of one data set"),
        (["--features", "x.npz"], "features file must exist"),
        (["--features", "x.npz", "--height", "64"], "are of an ONNX file.*--height with x.npz"),
        (["RUN", "-t", "noon", "--severity", "0"], "1 .mild. to 5.*Found: 0"),
        (["RUN", "-t", "noon", "--worst", "-1"], "0 or more"),
        (["RUN", "-t", "noon", "--out", "RUN"], "folder for pages"),
        (["RUN", "-t", "nooon"], "did you mean 'noon'"),
        (["RUN", "-t", "noon", "noon"], "noon twice"),
    ],
)
def test_wrong_requests_are_refused(
    words: list[str], message: str, pair: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SnreidError, match=message):
        main([str(pair[0]) if word == "RUN" else word for word in words])
    assert not list(tmp_path.iterdir())


def test_an_unknown_corruption_is_named(pair: tuple[Path, Path], capsys: Captured) -> None:
    with pytest.raises(SystemExit):
        main([str(pair[0]), "-t", TARGET, "--corruptions", "fog"])
    assert "fog" in capsys.readouterr().err


def test_what_a_reader_noticed_stands_in_the_diagnosis(
    pair: tuple[Path, Path], tmp_path: Path, capsys: Captured
) -> None:
    words = [str(pair[0]), "-t", f"{TARGET}@dark-3", "--corruptions", "--no-images", "--json"]
    assert main([*words, "--out", str(tmp_path), *QUIET]) == 0
    assert "dusk@dark-3: query images: dark, severity 3" in json.loads(capsys.readouterr().out)["notes"]
