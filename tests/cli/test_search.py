"""``snreid search``: the nearest rows of a gallery, by definition, and their contact sheet."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import snreid
from snreid.cli.extract import main as extract
from snreid.cli.search import main
from snreid.errors import DataError, ExperimentError
from snreid.evaluation import write_features
from snreid.records import Features
from support.tiny import picture_files

Captured = pytest.CaptureFixture[str]
CPU = ["--device", "cpu"]


def slow_list(query: list[list[float]], gallery: list[list[float]]) -> list[tuple[float, int]]:
    """(1 - cosine, row) in plain Python, nearest first; the query is a mean of unit vectors."""

    def unit(vector: list[float]) -> list[float]:
        length = sum(x * x for x in vector) ** 0.5
        return [x / length for x in vector]

    mean = unit([sum(column) for column in zip(*map(unit, query), strict=True)])
    found = [(1 - sum(a * b for a, b in zip(mean, unit(row), strict=True)), place) for place, row in enumerate(gallery)]
    return sorted(found)


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Twelve pictures in the folder of this test."""
    monkeypatch.chdir(tmp_path)
    return picture_files(Path("photos"), 12)


@pytest.mark.parametrize(
    ("queries", "flags"), [(["q/000.png"], []), (["q/000.png", "q/002.png"], ["--half"]), (["q"], [])]
)
def test_the_nearest_rows_of_a_file_of_extract(
    pair: tuple[Path, Path], photos: list[Path], queries: list[str], flags: list[str], capsys: Captured
) -> None:
    asked = picture_files(Path("q"), 14)[11:]  # pictures 11 to 13 of the same noise; 11 is in the gallery
    for number, path in enumerate(asked):
        path.rename(f"q/{number:03d}.png")
    for path in sorted(Path("q").glob("*.png"))[3:]:
        path.unlink()
    run = str(pair[0])
    assert extract([run, "photos", "--out", "f.npz", *CPU, *flags]) == 0
    capsys.readouterr()
    assert main([run, *queries, "--in", "f.npz", "--top", "5", "--json", *CPU]) == 0
    told = json.loads(capsys.readouterr().out)
    used = [Path(f"q/{n:03d}.png") for n in range(3)] if queries == ["q"] else list(map(Path, queries))
    embedder = snreid.load(run)
    slow = slow_list(embedder.extract(used).astype(float).tolist(), embedder.extract(photos).astype(float).tolist())
    assert told["query"] == list(map(str, used)) and told["metric"] == "cosine"
    assert [one["rank"] for one in told["found"]] == [1, 2, 3, 4, 5]
    found = {one["name"]: one["distance"] for one in told["found"]}
    for distance, row in slow[:5]:
        assert found[str(photos[row])] == pytest.approx(distance, abs=2e-3 if flags else 1e-5)
    assert main([run, *queries, "--in", "f.npz", "--top", "99", *CPU]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1 + 12 and lines[0].split() == ["rank", "distance", "image"]
    assert lines[1].split() == ["1", f"{told['found'][0]['distance']:.4f}", told["found"][0]["name"]]


def test_a_labelled_gallery_tells_persons_and_keeps_the_lengths_of_the_euclidean_metric(
    euclidean: Path, photos: list[Path], capsys: Captured
) -> None:
    unit = snreid.load(euclidean).extract(photos)
    embeddings = (7 * unit).astype(np.float32)  # of other lengths than 1, as in a foreign file
    labelled = Features(embeddings, np.arange(12), np.full(12, 3), tuple(path.name for path in photos))
    write_features(Path("g.npz"), labelled, labelled)
    words = [str(euclidean), str(photos[4]), "--in", "g.npz", "--top", "12", "--json", *CPU]
    assert main([*words, "--metric", "cosine"]) == 0
    (own,) = [one for one in json.loads(capsys.readouterr().out)["found"] if one["name"] == "004.png"]
    assert (own["person"], own["camera"], own["distance"]) == (4, 3, pytest.approx(0, abs=1e-5))
    assert main(words) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["metric"] == "euclidean"
    slow = np.linalg.norm(raw(euclidean, photos[4]).astype(float) - embeddings.astype(float), axis=1)
    assert [one["distance"] for one in told["found"]] == pytest.approx(sorted(slow.tolist()), rel=1e-4)
    # Rows of length 1, as extract writes them, are compared with a query of length 1.
    assert extract([str(euclidean), "photos", "--out", "f.npz", *CPU]) == 0
    capsys.readouterr()
    assert main([str(euclidean), str(photos[4]), "--in", "f.npz", "--top", "12", "--json", *CPU]) == 0
    apart = np.linalg.norm(unit[4].astype(float) - unit.astype(float), axis=1)
    told = json.loads(capsys.readouterr().out)
    assert [one["distance"] for one in told["found"]] == pytest.approx(sorted(apart.tolist()), abs=1e-3)
    assert "person" not in told["found"][0]


def test_labels_are_told_as_the_gallery_has_them(pair: tuple[Path, Path], photos: list[Path], capsys: Captured) -> None:
    labels: dict[str, Any] = {
        "persons": np.array(["anna", "bo", "-1"] * 4),
        "cameras": np.array(["hall", "-1", "-1"] * 4),
    }
    np.savez("g.npz", embeddings=snreid.load(pair[0]).extract(photos), names=np.array(list(map(str, photos))), **labels)
    words = [str(pair[0]), str(photos[0]), "--in", "g.npz", "--top", "12", *CPU]
    assert main([*words, "--json"]) == 0
    found = {one["name"]: one for one in json.loads(capsys.readouterr().out)["found"]}
    assert (found[str(photos[0])]["person"], found[str(photos[0])]["camera"]) == ("anna", "hall")
    assert found[str(photos[1])]["person"] == "bo" and "camera" not in found[str(photos[1])]
    assert "person" not in found[str(photos[2])]
    assert main(words) == 0
    ends = {line.split()[2]: line.split("  ")[-1] for line in capsys.readouterr().out.splitlines()[1:]}
    assert ends[str(photos[0])] == "(person anna, camera hall)" and ends[str(photos[1])] == "(person bo)"
    assert ends[str(photos[2])] == str(photos[2])


def raw(run: Path, path: Path) -> np.ndarray:
    """The embedding of an image as the network gives it."""
    from snreid.cli.backends import Network, embed_files

    embedder = snreid.load(run)
    (vector,) = embed_files(Network(embedder, (embedder.input.height, embedder.input.width)), [path], unit=False)
    return np.asarray(vector)


def test_the_sheet_shows_what_was_found_and_says_what_is_missing(
    pair: tuple[Path, Path], photos: list[Path], capsys: Captured
) -> None:
    run = str(pair[0])
    assert extract([run, "photos", "--out", "deep/f.npz", *CPU]) == 0
    words = [run, "photos/003.png", "--in", "deep/f.npz", "--out", "sheet.png", *CPU]
    assert main(words) == 0
    said = capsys.readouterr()
    assert "missing" not in said.err and said.out.endswith("Sheet: sheet.png\n")
    with Image.open("sheet.png") as sheet:
        whole = np.asarray(sheet)
    assert tuple(whole.shape) == (28 + 2 * (160 + 28) + 8, 10 * 88 + 8, 3)
    for place in ("elsewhere/photos", "deep/photos"):  # --images, or beside the gallery
        shutil.copytree("photos", place)
    query = Path("photos/003.png").rename("query.png")
    shutil.rmtree("photos")
    words[1] = str(query)
    assert main(words) == 0 and "missing" not in capsys.readouterr().err
    shutil.rmtree("deep/photos")
    assert main([*words, "--images", "elsewhere"]) == 0 and "missing" not in capsys.readouterr().err
    with Image.open("sheet.png") as sheet:
        assert np.array_equal(np.asarray(sheet)[30:], whole[30:])
    Path("elsewhere/photos/003.png").write_bytes(b"damaged")
    assert main([*words, "--images", "elsewhere", "--json"]) == 0
    streams = capsys.readouterr()
    assert json.loads(streams.out)["missing"] == ["photos/003.png"]
    assert "1 of 10 images are missing on the sheet; --images DIR says where they are: photos/003.png" in streams.err


def test_a_gallery_of_another_model_and_wrong_requests_are_refused(
    pair: tuple[Path, Path], photos: list[Path], capsys: Captured
) -> None:
    assert extract([str(pair[0]), "photos", "--out", "f.npz", *CPU]) == 0
    query = str(photos[0])
    with pytest.raises(ExperimentError, match=r"of the same model\. Found: f\.npz is of run"):
        main([str(pair[1]), query, "--in", "f.npz", *CPU])
    with np.load("f.npz") as stored:
        np.savez("silent.npz", names=stored["names"], embeddings=stored["embeddings"][:, :5])
    with pytest.raises(DataError, match="query 8, gallery 5"):
        main([str(pair[1]), query, "--in", "silent.npz", *CPU])
    for words, message in (
        ([query, "--in", "f.npz", "--top", "0"], "--top 0"),
        ([query, "--in", "f.npz", "--out", "sheet.jpg"], r"ends in \.png"),
    ):
        with pytest.raises(ExperimentError, match=message):
            main([str(pair[0]), *words])
    with pytest.raises(DataError, match=r"lost\.npz"):
        main([str(pair[0]), query, "--in", "lost.npz"])
    with pytest.raises(DataError, match=r"lost\.png: does not exist.*Fix: restore it, or name others"):
        main([str(pair[0]), query, "lost.png", "--in", "f.npz", *CPU])
