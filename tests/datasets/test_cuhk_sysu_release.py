"""The cropper on a made-up release: MATLAB's structures as scipy writes them, frames whose pixels say where they are."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from snreid.datasets import CUHKSYSU
from snreid.datasets.cuhk_sysu_release import CropReport, PersonBox, crop, read_boxes
from snreid.errors import DataError
from snreid.images.reading import read_image

HEIGHT, WIDTH = 60, 80
BOXES: dict[str, list[tuple[str, Any]]] = {
    "p7": [("s1.jpg", [10, 20, 16, 24]), ("s3.jpg", [0, 0, 80, 60])],
    "p11934": [("s1.jpg", [70, 50, 16, 24]), ("s12.jpg", [-6, -4, 16, 24]), ("s3.jpg", [40.9, 8.9, 9.9, 9.9])],
}
"""Two boxes reach beyond their frame."""


def annotate(path: Path, persons: dict[str, list[tuple[str, Any]]]) -> None:
    """``Person.mat`` as the release has it: struct arrays of one row, cells of text and numbers."""
    kind = [("idname", object), ("nAppear", object), ("scene", object)]
    rows = np.empty((1, len(persons)), dtype=kind)
    for at, (name, boxes) in enumerate(persons.items()):
        scenes = np.empty((1, len(boxes)), dtype=[("imname", object), ("idlocate", object), ("ishard", object)])
        for index, (frame, box) in enumerate(boxes):
            scenes[0, index] = (frame, np.array(box), np.uint8(index % 2))
        rows[0, at] = (name, np.uint8(len(boxes)), scenes)
    path.parent.mkdir(parents=True, exist_ok=True)
    savemat(path, {"Person": rows})


def pixels() -> np.ndarray:
    """Red says the column, green the row, smooth so that JPEG keeps them nearly."""
    rows, columns = np.mgrid[0:HEIGHT, 0:WIDTH]
    return np.stack([3 * columns, 4 * rows, np.full_like(rows, 90)], axis=2).astype(np.uint8)


@pytest.fixture
def release(tmp_path: Path) -> Path:
    """A release of three frames and two persons."""
    folder = tmp_path / "release"
    (folder / "Image" / "SSM").mkdir(parents=True)
    for name in ("s1.jpg", "s3.jpg", "s12.jpg"):
        Image.fromarray(pixels()).save(folder / "Image" / "SSM" / name, quality=100, subsampling=0)
    annotate(folder / "annotation" / "Person.mat", BOXES)
    return folder


def test_every_box_is_cut_where_it_is_and_read_as_a_data_set(release: Path, tmp_path: Path) -> None:
    out = tmp_path / "data" / "cropped_images"
    told: list[tuple[int, int]] = []
    report = crop(release, out, lambda done, count: told.append((done, count)))
    assert told == [(1, 3), (2, 3), (3, 3)]
    wanted = {  # name: left, top, right, bottom inside the frame
        "p7_s1_1.jpg": (10, 20, 26, 44),
        "p7_s3_2.jpg": (0, 0, 80, 60),
        "p11934_s1_1.jpg": (70, 50, 80, 60),
        "p11934_s12_2.jpg": (0, 0, 10, 20),
        "p11934_s3_3.jpg": (40, 8, 49, 17),
    }
    assert {path.name for path in out.iterdir()} == set(wanted)
    for name, (left, top, right, bottom) in wanted.items():
        part = read_image(out / name).astype(int)
        assert part.shape == (bottom - top, right - left, 3)
        assert np.abs(part - pixels()[top:bottom, left:right]).max() <= 6, name
    assert (report.persons, report.written, report.kept, report.clipped) == (2, 5, 0, 2)
    assert not report.ok and report.problem == "34,569 crops missing, 11,932 persons missing"
    data = CUHKSYSU().read(tmp_path / "data")
    assert sorted(data.train.persons.tolist()) == [7, 7, 11934, 11934, 11934]


def test_an_interrupted_run_goes_on_and_leaves_what_is_there(release: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"

    def stop(done: int, count: int) -> None:
        """After the first frame."""
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        crop(release, out, stop)
    first = {path.name: path.read_bytes() for path in out.iterdir()}
    assert 0 < len(first) < 5 and not any("partial" in name for name in first)
    report = crop(release, out)
    assert (report.written, report.kept) == (5 - len(first), len(first))
    assert all((out / name).read_bytes() == content for name, content in first.items())
    (release / "Image" / "SSM" / "s1.jpg").unlink()  # not needed any more
    again = crop(release, out)
    assert (again.written, again.kept, again.clipped, again.unreadable) == (0, 5, report.clipped, [])


def test_files_of_others_are_never_touched(release: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "notes.txt").write_text("mine")
    (out / "p7_s1_1.jpg").write_text("no picture")
    Image.new("RGB", (40, 40)).save(out / "p7_s3_2.jpg")
    Image.new("RGB", (40, 40)).save(out / "p11934_s3_3.jpg")
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    report = crop(release, out)
    assert {name: (out / name).read_bytes() for name in before} == before
    assert len(report.others) == 2 and not report.ok  # 40 x 40 fits into the box of the whole frame
    assert "p7_s1_1.jpg" in " ".join(report.others) and "40 x 40, more than the box of 9 x 9" in " ".join(report.others)
    assert "files bear the name of a crop and are none" in "\n".join(report.lines())


@pytest.mark.parametrize(
    ("box", "why"),
    [
        ([10, 20, 0, 24], "has no area"),
        ([10, 20, 16, -3], "has no area"),
        ([10, 20, 16], "not x, y, width and height"),
        ([], "not x, y, width and height"),
        ([10, float("nan"), 16, 24], "not x, y, width and height"),
        ([80, 20, 16, 24], "outside of the 80 x 60 frame"),
        ([-16, 20, 16, 24], "outside of the 80 x 60 frame"),
        ([0, -30, 16, 24], "outside of the 80 x 60 frame"),
    ],
)
def test_a_malformed_box_is_named_and_the_others_are_cut(
    box: list[float], why: str, release: Path, tmp_path: Path
) -> None:
    annotate(release / "annotation" / "Person.mat", {**BOXES, "p8": [("s3.jpg", [1, 1, 5, 5]), ("s12.jpg", box)]})
    report = crop(release, tmp_path / "out")
    assert len(report.malformed) == 1 and report.written == 6
    assert report.malformed[0].startswith("p8, box 2, in s12.jpg: ") and why in report.malformed[0]
    assert not (tmp_path / "out" / "p8_s12_2.jpg").exists()
    assert report.malformed[0] in "\n".join(report.lines())


def test_frames_that_are_missing_or_damaged_are_named(release: Path, tmp_path: Path) -> None:
    (release / "Image" / "SSM" / "s1.jpg").unlink()
    (release / "Image" / "SSM" / "s12.jpg").write_bytes(b"\xff\xd8\xff")
    report = crop(release, tmp_path / "out")
    assert report.written == 2 and len(report.unreadable) == 2
    assert "s1.jpg" in report.unreadable[0] and "s12.jpg" in report.unreadable[1]


@pytest.mark.parametrize(
    "persons",
    [
        {"x7": BOXES["p7"]},
        {"p0": BOXES["p7"]},
        {"p7": [("../../evil.jpg", [1, 1, 2, 2])]},
        {"p7": [("s1.png", [1, 1, 2, 2])]},
    ],
)
def test_names_of_another_form_are_refused(
    persons: dict[str, list[tuple[str, Any]]], release: Path, tmp_path: Path
) -> None:
    annotate(release / "annotation" / "Person.mat", persons)
    with pytest.raises(DataError, match=r"idname \(p1, p2"):
        crop(release, tmp_path / "out")


def test_a_damaged_annotation_another_folder_and_a_file_are_refused(release: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"annotation/Person.mat, Image/SSM"):
        crop(tmp_path / "nowhere", tmp_path / "out")
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="is a file"):
        crop(release, tmp_path / "file")
    path = release / "annotation" / "Person.mat"
    for content in (b"", b"MATLAB 5.0 MAT-file", path.read_bytes()[:400]):
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"Person\.mat"):
            crop(release, tmp_path / "out")
    savemat(path, {"Persons": np.ones(3)})
    with pytest.raises(DataError, match="KeyError"):
        read_boxes(path)
    savemat(path, {"Person": np.ones(3)})
    with pytest.raises(DataError, match=r"Person\.mat"):
        read_boxes(path)


def test_the_report_is_in_order_with_the_published_counts_only() -> None:
    whole = CropReport("out", 11_934, 30_000, 4_574, 3, (), (), ())
    assert whole.ok and whole.problem == "" and json.loads(whole.to_json())["ok"]
    assert (
        whole.lines()[0]
        == "out: 34,574 crops (30,000 written, 4,574 there before) of 11,934 persons; published: 34,574 of 11,934"
    )
    many = CropReport("out", 11_934, 34_574, 0, 0, tuple(f"box {n}" for n in range(12)), (), ())
    assert not many.ok and "  and 2 more: --json lists all" in many.lines()
    assert PersonBox(11422, "s16929.jpg", 1, 0, 0, 5, 5).name == "p11422_s16929_1.jpg"
