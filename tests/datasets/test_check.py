"""The data report: counts, bad images, equal pictures, shared persons; as text of lines that fit a screen."""

import json
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from snreid.datasets import (
    AllImages,
    DataReport,
    DrawnPedestrians,
    FolderTree,
    Market1501,
    MarketFormat,
    check,
)
from snreid.errors import DataError
from snreid.images.reading import FileImage
from snreid.records import DataSet, Expected, ReIDData, Sample, Split


@dataclass(frozen=True, kw_only=True)
class Toy(DataSet):
    """Files named ``split-person-camera-number.png``; nothing is refused, so that the report has something to find."""

    wanted: tuple[Expected, ...] = ()

    @property
    def name(self) -> str:
        """``toy``."""
        return "toy"

    @property
    def home(self) -> str:
        """A page in words."""
        return "the toy page of nobody"

    @property
    def expected(self) -> tuple[Expected, ...]:
        """As given."""
        return self.wanted

    def read(self, root: Path) -> ReIDData:
        """Whatever the names say."""
        found: dict[str, list[Sample]] = {"train": [], "query": [], "gallery": []}
        for path in sorted(root.glob("*.png")):
            split, person, camera, _ = path.stem.split("-")
            found[split].append(Sample(FileImage(str(path)), int(person), int(camera)))
        if not any(found.values()):
            raise DataError("a toy has files", found=str(root), fix="make some " * 100)
        return ReIDData("toy", *(Split(tuple(samples)) for samples in found.values()), notes=("a note",))


@pytest.fixture
def root(tmp_path: Path, rng: np.random.Generator) -> Path:
    """Two persons to train on, one to test, each picture different."""
    for stem in ("train-1-1-a", "train-1-2-b", "train-2-1-c", "train-2-2-d", "query-3-1-e", "gallery-3-2-f"):
        Image.fromarray(rng.integers(0, 256, (8, 4, 3)).astype(np.uint8)).save(tmp_path / f"{stem}.png")
    return tmp_path


COUNTS = (Expected("train", 4, 2, 2), Expected("query", 1, 1, 1), Expected("gallery", 1, 1))


def unfolded(lines: tuple[str, ...]) -> str:
    """The text in one line: where it is folded says nothing."""
    assert len(lines) <= 40
    assert max(map(len, lines)) <= 100
    return " ".join(line.strip() for line in lines)


def test_up_to_ten_bad_images_are_named_with_their_whole_reasons(root: Path, tmp_path: Path) -> None:
    deep = tmp_path / ("long folder " * 7).strip()
    deep.mkdir()
    for number in range(10):
        (deep / f"train-9-1-{number}.png").write_bytes(b"no picture at all")
    lines = check(Toy(), deep, decode=True).lines()
    text = unfolded(lines)
    reason = "is no picture (it begins with b'no pictu'); the formats read are JPEG, PNG, BMP"
    assert text.count(reason) == text.count(", PPM") == 10 and "more:" not in text
    assert all(f"train-9-1-{number}.png: is no" in text for number in range(10))
    for number in (10, 11):
        (deep / f"train-9-1-{number}.png").write_bytes(b"")
    text = unfolded(check(Toy(), deep, decode=True).lines())
    assert "12 images cannot be used:" in text and "and 2 more: --json lists all" in text


def test_what_has_no_blank_is_broken_and_not_cut() -> None:
    long = "/".join(["folder-with-hyphens"] * 12)
    report = DataReport("toy", long, "", notes=tuple(f"{long} {number}" for number in range(6)))
    lines = report.lines()
    assert max(map(len, lines)) <= 100
    joined = "".join(line.strip() for line in lines)
    assert joined.count(long) == 7 and sum("note:" in line for line in lines) == 6
    broken = [line for line in lines if line.endswith("/")]
    assert len(broken) >= 7 and all(line.endswith("folder-with-hyphens/") for line in broken)
    assert max(map(len, DataReport("toy", "x" * 250, "").lines())) == 100


def test_many_persons_say_how_many_more_there_are() -> None:
    text = unfolded(DataReport("toy", "x", "", shared_persons=tuple(range(1, 13)), single_persons=(5,)).lines())
    assert "12 persons are both in training and in the test: 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 and 2 more: --json" in text
    assert "1 training persons have one image: 5" in text


def test_good_data_is_in_order(root: Path) -> None:
    report = check(Toy(wanted=COUNTS), root, decode=True)
    assert report.ok
    assert report.decoded
    assert [(s.split, s.images, s.persons, s.cameras) for s in report.splits] == [
        ("train", 4, 2, 2),
        ("query", 1, 1, 1),
        ("gallery", 1, 1, 1),
    ]
    assert report.splits[0].images_per_camera == {1: 2, 2: 2}
    text = unfolded(report.lines())
    assert "in order" in text
    assert "note: a note" in text
    assert "nobody" not in text
    assert "not opened" in unfolded(check(Toy(wanted=COUNTS), root, decode=False).lines())


def test_missing_images_are_counted_and_the_page_is_named(root: Path) -> None:
    (root / "train-2-2-d.png").unlink()
    (root / "train-2-1-c.png").unlink()
    (root / "query-3-1-x.png").touch()
    report = check(Toy(wanted=COUNTS), root, decode=False)
    assert not report.ok
    text = unfolded(report.lines())
    for said in (
        "NOT in order",
        "train: 2 images missing, 1 persons missing",
        "query: 1 images too many",
        "the toy page",
    ):
        assert said in text


def test_bad_images_and_equal_pictures_are_found(root: Path) -> None:
    (root / "train-1-1-a.png").write_bytes(b"")
    Image.open(root / "train-2-1-c.png").save(root / "gallery-9-1-z.png", compress_level=0)
    seen: list[tuple[int, int]] = []
    report = check(Toy(), root, decode=True, progress=lambda done, count: seen.append((done, count)))
    assert [(Path(one.name).name, one.reason) for one in report.bad] == [("train-1-1-a.png", "is empty (0 bytes)")]
    assert [tuple(Path(name).name for name in pair) for pair in report.same_pictures] == [
        ("train-2-1-c.png", "gallery-9-1-z.png")
    ]
    assert [done for done, _ in seen] == sorted({done for done, _ in seen})
    assert seen[-1] == (7, 7) and {count for _, count in seen} == {7}
    text = unfolded(report.lines())
    assert "1 images cannot be used" in text
    assert "1 pictures are both in training and in the test" in text
    blind = check(Toy(), root, decode=False)
    assert (blind.bad, blind.same_pictures, blind.ok) == ((), (), True)


def test_shared_and_single_persons_and_unmatched_queries_are_found(root: Path) -> None:
    for stem in ("gallery-1-3-g", "train-0-1-h", "train-0-2-i", "gallery-0-1-j", "train-5-1-k", "query-8-1-l"):
        Image.new("RGB", (4, 8)).save(root / f"{stem}.png")
    report = check(Toy(), root, decode=False)
    assert report.shared_persons == (1,)  # distractors are nobody
    assert report.single_persons == (5,)
    assert report.queries_without_match == 1
    assert not report.ok
    text = unfolded(report.lines())
    assert "1 persons are both in training and in the test: 1" in text
    assert "1 training persons have one image: 5" in text


def test_what_cannot_be_read_is_reported_and_not_raised(tmp_path: Path) -> None:
    report = check(Toy(), tmp_path, decode=True)
    assert not report.ok
    assert "a toy has files" in unfolded(report.lines())
    market = check(Market1501(), tmp_path, decode=False)
    text = unfolded(market.lines())
    assert "bounding_box_train" in text
    assert "Zheng" in text
    assert "12,936" in text


def test_the_report_is_one_json_object(root: Path) -> None:
    (root / "train-1-1-a.png").write_bytes(b"x")
    report = check(Toy(wanted=COUNTS), root, decode=True)
    told = json.loads(report.to_json())
    assert told["ok"] is False
    assert told["bad"][0]["name"] == str(root / "train-1-1-a.png")
    assert told["splits"][0]["images"] == 4
    assert told["splits"][0]["expected"]["persons"] == 2
    assert told["splits"][0]["problem"] == ""


def test_names_are_escaped_on_the_terminal_and_kept_in_the_numbers(tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9\x1b[31m")
    (tmp_path / "shop").mkdir()
    for camera in "12":
        (tmp_path / "shop" / f"{name}-{camera}.png").touch()
    report = check(FolderTree(path="shop", pattern="{person}-{camera}.png"), tmp_path, decode=True)
    text = "\n".join(report.lines())
    assert r"caf\udce9\u001b[31m-1.png:isempty" in "".join(text.split()) and text.encode() and "\x1b" not in text
    assert "\x1b" not in report.to_json() and report.to_json().encode()
    assert json.loads(report.to_json())["bad"][0]["name"].endswith(f"{name}-1.png")


def test_the_report_names_the_place_of_a_folder_of_ones_own_and_none_for_drawn_people(tmp_path: Path) -> None:
    shop = MarketFormat(folder=str(tmp_path / "shop"))
    assert check(shop, Path("data"), decode=False).lines()[0] == f"shop in {tmp_path / 'shop'}: NOT in order"
    assert check(AllImages(of=shop), Path("data"), decode=False).root == str(tmp_path / "shop")
    assert check(Market1501(), Path("data"), decode=False).root == "data"
    drawn = DrawnPedestrians(domain="noon", train_persons=2, test_persons=2)
    assert check(drawn, Path("data"), decode=False).lines()[0] == "noon: in order"
