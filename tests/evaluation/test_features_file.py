"""The features file: what comes back is what was written, other programs' names are read, and every way to be wrong is told."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from snreid.errors import DataError
from snreid.evaluation.evaluate import evaluate
from snreid.evaluation.features_file import MARK, label_array, read_features, read_gallery, read_mark, write_features
from snreid.records import NO_CAMERA, Features


def arrays(**changes: Any) -> dict[str, Any]:
    """A good file's arrays; a change to None removes one."""
    rng = np.random.default_rng(1)
    good = {
        "query": rng.normal(size=(3, 4)).astype(np.float32),
        "gallery": rng.normal(size=(5, 4)).astype(np.float32),
        "query_person": np.array([1, 2, 3]),
        "gallery_person": np.array([1, 2, 3, 0, -1]),
        "query_camera": np.array([1, 1, 2]),
        "gallery_camera": np.array([2, 2, 1, 1, 1]),
    } | changes
    return {name: value for name, value in good.items() if value is not None}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "features.npz"


def test_what_was_written_comes_back(file: Path, rng: np.random.Generator) -> None:
    def side(count: int, names: tuple[str, ...]) -> Features:
        values = rng.normal(size=(count, 6)).astype(np.float32)
        return Features(values, rng.integers(-1, 5, size=count), rng.integers(1, 4, size=count), names)

    pair = side(2, ("a.jpg", "ü.jpg")), side(3, ("1", "2", "3"))
    write_features(file, *pair)
    for read, written in zip(read_features(file), pair, strict=True):
        assert read.embeddings.tobytes() == written.embeddings.tobytes()
        assert read.embeddings.dtype == np.float32 and read.persons.dtype == read.cameras.dtype == np.int64
        assert read.persons.tolist() == written.persons.tolist()
        assert read.cameras.tolist() == written.cameras.tolist()
        assert read.names == written.names
    assert [path.name for path in file.parent.iterdir()] == ["features.npz"]


def test_without_cameras_and_names(file: Path) -> None:
    np.savez(file, **arrays(query_camera=None, gallery_camera=None))
    query, gallery = read_features(file)
    assert set(query.cameras) == set(gallery.cameras) == {NO_CAMERA} and query.names == ()
    write_features(file, query, gallery)
    with np.load(file, allow_pickle=False) as again:
        assert sorted(again.files) == ["gallery", "gallery_person", "query", "query_person"]


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, ">f4"])
def test_every_float_type_is_read_as_float32_but_float16(file: Path, dtype: Any) -> None:
    """Which stays what it is: half the memory."""
    given = arrays()
    given["query"], given["gallery"] = given["query"].astype(dtype), given["gallery"].astype(dtype)
    np.savez_compressed(file, **given)
    for read, side in zip(read_features(file), ("query", "gallery"), strict=True):
        assert read.embeddings.dtype == (np.float16 if dtype is np.float16 else np.float32)
        assert np.array_equal(read.embeddings, given[side].astype(np.float32))


def test_half_precision_halves_the_file_and_comes_back(file: Path, rng: np.random.Generator) -> None:
    labels = np.ones(1000, np.int64)
    whole = Features(rng.normal(size=(1000, 64)).astype(np.float32), labels, labels)
    write_features(file, whole, whole)
    size = file.stat().st_size
    write_features(file, whole, whole, half=True)
    query, gallery = read_features(file)
    assert file.stat().st_size < 0.6 * size
    assert query.embeddings.dtype == gallery.embeddings.dtype == np.float16
    assert query.embeddings.tobytes() == whole.embeddings.astype(np.float16).tobytes()
    write_features(file, query, gallery)  # without being asked again it stays half
    assert read_features(file)[1].embeddings.tobytes() == gallery.embeddings.tobytes()


def test_an_overflow_in_a_file_of_half_precision_is_named(file: Path) -> None:
    with np.errstate(over="ignore"):
        np.savez(file, **arrays(query=np.full((3, 4), 7e4).astype(np.float16)))
    with pytest.raises(DataError, match=r"query embedding is finite.*inf in row 0, column 0.*half precision"):
        read_features(file)


@pytest.mark.parametrize("dtype", [np.int8, np.int32, np.uint16, np.uint64])
def test_every_integer_type_is_read_as_int64(file: Path, dtype: Any) -> None:
    np.savez(file, **arrays(query_person=np.array([1, 2, 3], dtype)))
    assert read_features(file)[0].persons.tolist() == [1, 2, 3]


NAN = np.full((3, 4), np.nan, np.float32)
BAD: dict[str, tuple[dict[str, Any], str]] = {
    "missing": ({"gallery_person": None}, "add gallery_person"),
    "one camera array": ({"gallery_camera": None}, "add gallery_camera"),
    "one name array": ({"query_name": np.array(["a", "b", "c"])}, "add gallery_name"),
    "misspelt": (
        {"query_camera": None, "gallery_camera": None, "query_camra": np.ones(3, int)},
        "rename or remove query_camra",
    ),
    "NaN": ({"query": NAN}, "query embedding is finite.*nan in row 0, column 0"),
    "beyond float32": ({"gallery": np.full((5, 4), 1e300)}, "gallery embedding is finite.*inf in row 0"),
    "whole numbers": ({"query": np.ones((3, 4), int)}, "query embeddings are float16.*int64"),
    "long double": ({"query": np.ones((3, 4), np.longdouble)}, "query embeddings are float16"),
    "complex": ({"query": np.ones((3, 4), complex)}, "complex128"),
    "flat": ({"query": np.ones(4, np.float32)}, r"one row per image.*\(4,\)"),
    "no rows": ({"query": np.ones((0, 4), np.float32), "query_person": np.ones(0, int)}, r"\(0, 4\)"),
    "dimensions": ({"query": np.ones((3, 5), np.float32)}, "query 5, gallery 4"),
    "few labels": ({"gallery_person": np.array([1, 2])}, r"5 integers.*\(2,\)"),
    "labels in a table": (
        {"gallery_person": np.ones((5, 2), int)},
        r"gallery_person holds one label per row.*\(5, 2\)",
    ),
    "text on one side": (
        {"gallery_person": np.array(list("abcde"))},
        "persons of query and gallery.*both text.*1 and a",
    ),
    "labels with a point": (
        {"query_camera": np.array([1.0, 1.5, 2])},
        "query_camera.*Found: in .*1.5 in an array of float64",
    ),
    "labels that are missing": ({"query_camera": np.array([1.0, np.nan, 2])}, "query_camera.*nan in an array"),
    "labels that are infinite": ({"query_person": np.array([1.0, np.inf, 2])}, "query_person.*inf in an array"),
    "labels that are true": ({"query_person": np.array([True, False, True])}, "query_person.*bool"),
    "two spellings": ({"query_camera": np.array(["1", "01", "2"]), "gallery_camera": np.array(["1"] * 5)}, "01 and 1"),
    "two names": ({"gallery_pids": np.ones(5, int)}, "keep one of gallery_person and gallery_pids"),
    "columns": ({"gallery": np.ones((4, 5), np.float32), "query": np.ones((3, 4), np.float32)}, "transpose"),
    "labels too large": ({"query_person": np.array([2**63 + 1, 1, 1], np.uint64)}, "64 bits"),
    "labels too small": ({"query_person": np.array([-7, 1, 1])}, "-1 or above. Found: in .*-7"),
    "names of numbers": ({"query_name": np.arange(3), "gallery_name": np.arange(5)}, "list of text"),
    "too few names": ({"query_name": np.array(["a"]), "gallery_name": np.array(["b"])}, "1 names, 3 embeddings"),
    "objects": ({"query_person": np.array([1, "2", None], dtype=object)}, "without Python objects"),
}


@pytest.mark.parametrize("case", BAD)
def test_every_malformation_is_told(file: Path, case: str) -> None:
    change, message = BAD[case]
    np.savez(file, **arrays(**change))
    with pytest.raises(DataError, match=message) as caught:
        read_features(file)
    assert "features.npz" in str(caught.value) and caught.value.fix


def test_a_failed_write_leaves_the_old_file(file: Path, rng: np.random.Generator) -> None:
    np.savez(file, **arrays())
    before = file.read_bytes()
    query, gallery = read_features(file)
    with pytest.raises(DataError):
        write_features(file, query, Features(gallery.embeddings[:, :2], gallery.persons, gallery.cameras))
    assert file.read_bytes() == before


THEIRS: dict[str, dict[str, str]] = {
    "torchreid": {"query": "qf", "gallery": "gf", "query_person": "q_pids", "gallery_person": "g_pids"}
    | {"query_camera": "q_camids", "gallery_camera": "g_camids"},
    "baseline": {
        "query": "query_f",
        "gallery": "gallery_f",
        "query_person": "query_label",
        "gallery_person": "gallery_label",
    }
    | {"query_camera": "query_cam", "gallery_camera": "gallery_cam"},
    "features": {"query": "query_features", "gallery": "gallery_features", "query_person": "query_ids"}
    | {"gallery_person": "gallery_ids", "query_camera": "query_cams", "gallery_camera": "gallery_cams"},
    "capitals": {"query": "QF", "gallery": "GF"},
}


@pytest.mark.parametrize("program", THEIRS)
@pytest.mark.parametrize("shape", [(-1,), (1, -1), (-1, 1)])
@pytest.mark.parametrize("kind", [np.int64, np.float64])
def test_names_and_forms_of_other_programs(program: str, shape: tuple[int, ...], kind: Any, file: Path) -> None:
    """The names from their code, labels as rows and columns, as MATLAB and numpy.savez write them."""
    given = arrays()
    np.savez(file, **given)
    expected = read_features(file)
    for name in ("query_person", "gallery_person", "query_camera", "gallery_camera"):
        given[name] = given[name].reshape(shape).astype(kind)
    np.savez(file, epoch=60, **{THEIRS[program].get(name, name): values for name, values in given.items()})
    for found, wanted in zip(read_features(file), expected, strict=True):
        assert found.embeddings.tobytes() == wanted.embeddings.tobytes()
        assert found.persons.dtype == np.int64 and found.persons.tolist() == wanted.persons.tolist()
        assert found.cameras.tolist() == wanted.cameras.tolist() and not found.camera_names


def test_text_is_numbered_over_both_sides_and_shown_as_it_was(file: Path) -> None:
    cameras = {"query_camera": np.array(["hall", "door", "-1"]), "gallery_camera": np.array([b"lift"] * 4 + [b"hall"])}
    persons = {
        "query_person": np.array([["bo", "ann", "bo"]]),
        "gallery_person": np.array(["cy", "ann", "bo", "-1", "bo"]),
    }
    np.savez(file, **arrays(**cameras, **persons))
    query, gallery = read_features(file)
    assert query.persons.tolist() == [2, 1, 2] and gallery.persons.tolist() == [3, 1, 2, -1, 2]
    assert [query.camera_text(camera) for camera in query.cameras] == ["hall", "door", "-1"]
    assert [gallery.camera_text(camera) for camera in gallery.cameras] == ["lift"] * 4 + ["hall"]
    write_features(file, query, gallery)
    again = read_features(file)
    assert again[0].camera_names == query.camera_names and again[1].cameras.tolist() == gallery.cameras.tolist()
    # Texts that are numbers are these numbers, whatever the other side looks like.
    np.savez(file, **arrays(query_person=np.array(["0007", "3", "0012"]), gallery_person=np.array(["0007"] * 5)))
    assert read_features(file)[0].persons.tolist() == [7, 3, 12]
    np.savez(
        file, **arrays(query_person=np.array(["7", "3", "12"]), gallery_person=np.array(["7", "7", "3", "x", "y"]))
    )
    assert read_features(file)[0].persons.tolist() == [3, 2, 1], "12, 3, 7 in the order of text"


@pytest.mark.parametrize("text", ["", " ", "nan", "None", b"null"])
@pytest.mark.parametrize("content", ["person", "camera"])
def test_an_empty_text_is_no_label(file: Path, text: Any, content: str) -> None:
    labels = {f"query_{content}": np.array(["a", "b", "a"]), f"gallery_{content}": np.array(["a", "b", "a", text, "b"])}
    np.savez(file, **arrays(query_camera=np.arange(3), gallery_camera=np.arange(5)) | labels)
    with pytest.raises(DataError, match=rf"A {content} that is text is a name.*row 6.*write -1 where"):
        read_features(file)


def together(rng: np.random.Generator, **changes: Any) -> dict[str, Any]:
    """Sixteen images of four persons on two cameras, two of each pair, in one array each."""
    good = {
        "embeddings": rng.normal(size=(16, 6)).astype(np.float32),
        "persons": np.arange(4).repeat(4),
        "cameras": np.tile([1, 1, 2, 2], 4),
        "names": np.array([f"{row:02d}.jpg" for row in range(16)]),
    } | changes
    return {name: value for name, value in good.items() if value is not None}


def by_hand(given: dict[str, Any], query: list[int], gallery: list[int]) -> Any:
    """Scores of these rows."""
    sides = []
    for rows in (query, gallery):
        cameras = given.get("cameras", np.full(16, NO_CAMERA))[rows]
        names = tuple(given["names"][rows]) if "names" in given else tuple(map(str, rows))
        sides.append(Features(given["embeddings"][rows], given["persons"][rows], cameras, names))
    return evaluate(*sides).average_precision.tolist()


def test_images_together_are_parted_by_their_splits_or_by_the_rule_of_test_sets(
    file: Path, rng: np.random.Generator
) -> None:
    every, given = list(range(16)), together(rng)
    np.savez(file, **given)
    first = [0, 2, 4, 6, 8, 10, 12, 14]
    assert evaluate(*read_features(file)).average_precision.tolist() == by_hand(given, first, every)
    np.savez(file, **given, splits=np.array(["Test", "train"] * 8))
    kept = every[::2]
    assert evaluate(*read_features(file)).average_precision.tolist() == by_hand(given, kept, kept)
    words = np.array(["query", "gallery", "bounding_box_test", "probe"] * 4)
    np.savez(file, **given, splits=words)
    asked = by_hand(given, [row for row in every if row % 4 in (0, 3)], [row for row in every if row % 4 in (1, 2)])
    assert evaluate(*read_features(file)).average_precision.tolist() == asked
    feats = {"feats": given["embeddings"], "pids": given["persons"], "camids": given["cameras"], "num_query": 5}
    np.savez(file, **feats)
    assert evaluate(*read_features(file)).average_precision.tolist() == by_hand(given, every[:5], every[5:])


@pytest.mark.parametrize("names", [True, False])
def test_without_cameras_an_image_is_not_its_own_match(names: bool, file: Path, rng: np.random.Generator) -> None:
    given = together(rng, cameras=None, **({} if names else {"names": None}))
    np.savez(file, **given)
    query, gallery = read_features(file)
    assert len(query.persons) == 4 and len(gallery.persons) == 16 and set(query.names) <= set(gallery.names)
    assert evaluate(query, gallery).average_precision.tolist() == by_hand(given, [0, 4, 8, 12], list(range(16)))


def test_junk_asks_nothing(file: Path, rng: np.random.Generator) -> None:
    np.savez(file, **together(rng, persons=np.array([-1] * 4 + [5] * 12)))
    query, gallery = read_features(file)
    assert query.persons.tolist() == [5, 5] and Counter(gallery.persons.tolist()) == {-1: 4, 5: 12}


def test_a_file_for_queries_and_one_for_the_gallery(tmp_path: Path, rng: np.random.Generator) -> None:
    given = together(rng)
    paths = tmp_path / "q.npz", tmp_path / "g.npz"
    for path, rows in zip(paths, (slice(0, 16, 3), slice(1, 16, 2)), strict=True):
        cameras = np.array(["a", "b"])[given["cameras"] - 1]
        np.savez(path, **{name: values[rows] for name, values in (given | {"cameras": cameras}).items()})
    asked = by_hand(given, list(range(16))[::3], list(range(16))[1::2])
    assert evaluate(*read_features(*paths)).average_precision.tolist() == asked
    np.savez(paths[1], **{name: values for name, values in given.items() if name != "cameras"})
    with pytest.raises(DataError, match="cameras in the file of the queries only"):
        read_features(*paths)
    np.savez(paths[1], **arrays())
    with pytest.raises(DataError, match=r"g\.npz.*add embeddings, persons"):
        read_features(*paths)


def test_labels_of_a_file_that_has_none(tmp_path: Path, rng: np.random.Generator) -> None:
    given = together(rng)
    np.save(tmp_path / "f.npy", given["embeddings"])
    np.savez(tmp_path / "f.npz", embeddings=given["embeddings"], names=given["names"])
    labels = {name: given[name] for name in ("persons", "cameras", "names")}
    asked = by_hand(given, [0, 2, 4, 6, 8, 10, 12, 14], list(range(16)))
    for name in ("f.npy", "f.npz"):
        assert evaluate(*read_features(tmp_path / name, labels=labels)).average_precision.tolist() == asked
        with pytest.raises(DataError, match=r"with embeddings.*Fix: extract with --pattern.*FILE TABLE\.csv"):
            read_features(tmp_path / name)
        with pytest.raises(DataError, match="15 persons for 16 rows"):
            read_features(tmp_path / name, labels=labels | {"persons": given["persons"][1:]})
    for wrong in ({"cameras": given["cameras"]}, labels | {"embeddings": given["embeddings"]}, labels | {"x": [1]}):
        with pytest.raises(DataError, match="give persons, and leave out what is none"):
            read_features(tmp_path / "f.npy", labels=wrong)
    names = given["names"].astype("U20")
    names[[2, 3]] = "else/02", "else\\99.png"
    with pytest.raises(DataError, match=r"row 3 of .*f\.npz is 03\.jpg, of the labels else.99\.png.*sort"):
        read_features(tmp_path / "f.npz", labels=labels | {"names": names})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"splits": np.array(["test", "query"] * 8)}, "test beside query or gallery"),
        ({"splits": np.array(["tset"] * 16)}, "'tset'"),
        ({"splits": np.arange(16)}, "splits is a list of text"),
        ({"splits": np.array(["gallery"] * 16)}, r"query embeddings.*\(0, 6\)"),
        ({"num_query": 16}, "1 to 15; they come first.*Found: in .*16"),
        ({"num_query": np.array([3, 4])}, "num_query"),
        ({"cameras": np.ones(15, int)}, "15 cameras for 16 rows"),
        ({"embeddings": np.ones((6, 16), np.float32)}, "transpose"),
        ({"embeddings": np.float32(1)}, r"one row per image, .*shape \(\)"),
        ({"persons": None}, "extract with --pattern"),
        ({"embeddings": None, "persons": None}, "add embeddings, persons"),
        ({"names": np.array([b"\xff"] * 16)}, "names is text in UTF-8"),
    ],
)
def test_images_together_that_cannot_be_parted(
    change: dict[str, Any], message: str, file: Path, rng: np.random.Generator
) -> None:
    np.savez(file, **together(rng, **change))
    with pytest.raises(DataError, match=message) as caught:
        read_features(file)
    assert "features.npz" in str(caught.value) and caught.value.fix


def test_a_camera_that_is_known_is_not_missed_for_an_array_of_another_name(file: Path) -> None:
    np.savez(file, **arrays(query_frames=np.arange(3)))
    assert read_features(file)[0].cameras.tolist() == [1, 1, 2]


def test_labels_are_numbers_where_all_are() -> None:
    assert label_array(["3", " 12", "-1"]).tolist() == [3, 12, -1]
    assert label_array(["3", "c12 "]).tolist() == ["3", "c12"]
    with pytest.raises(DataError, match="Found: 07 and 7"):
        label_array(["7", "8", "07"])


def test_a_gallery_is_the_gallerys_images_or_all_that_are_together_with_or_without_labels(file: Path) -> None:
    np.savez(file, **arrays(), query_name=np.array(list("abc")), gallery_name=np.array(list("vwxyz")))
    found, (_, gallery) = read_gallery(file), read_features(file)
    assert found.names == gallery.names and found.embeddings.tobytes() == gallery.embeddings.tobytes()
    assert (found.persons.tolist(), found.cameras.tolist()) == (gallery.persons.tolist(), gallery.cameras.tolist())
    rows = arrays()["gallery"].astype(np.float16)
    np.savez(file, embeddings=rows, names=np.array(list("vwxyz")))
    bare = read_gallery(file)
    assert bare.names == tuple("vwxyz") and bare.embeddings.dtype == np.float16
    assert set(bare.persons) == set(bare.cameras) == {-1}
    np.savez(file, features=rows, pids=np.array(["anna", "b", "b", "b", "anna"]), splits=np.array(["query"] * 5))
    assert read_gallery(file).persons.tolist() == [1, 2, 2, 2, 1]
    assert read_gallery(file).person_names == {1: "anna", 2: "b"}
    np.save(file.with_suffix(".npy"), rows)
    assert len(read_gallery(file.with_suffix(".npy")).persons) == 5
    wrong: list[dict[str, Any]] = [
        {"names": np.array(["a"])},
        {"embeddings": rows, "names": np.array(["a"])},
        {"embeddings": rows[0]},
        {"embeddings": np.float32(1)},
        {"embeddings": rows, "persons": np.arange(4)},
        {"embeddings": np.array([object()] * 3)},
    ]
    for content in wrong:
        np.savez(file, **content)
        with pytest.raises(DataError, match="features"):
            read_gallery(file)


def test_the_mark_of_a_model_is_read_where_there_is_one(file: Path) -> None:
    for content, mark in (
        ({MARK: np.str_("run 1")}, "run 1"),
        ({}, ""),
        ({MARK: np.arange(3)}, ""),
        ({"model": np.str_("resnet50")}, ""),
    ):
        np.savez(file, **arrays(), **content)
        assert read_mark(file) == mark
        read_features(file)  # which does not mind it
