"""What is written in Market-1501's format is read back with the same labels."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from snreid.datasets.market1501 import MarketFormat
from snreid.datasets.market_writer import market_name, write_market_format
from snreid.datasets.synthetic import DrawnPedestrians
from snreid.errors import DataError
from snreid.records import NO_CAMERA, ReIDData, Sample, Split


@pytest.fixture(scope="module")
def drawn() -> ReIDData:
    """A few drawn images."""
    return DrawnPedestrians(
        train_persons=2, test_persons=2, cameras_per_person=2, images_per_camera=2, distractors=1, height=64
    ).read(Path())


def test_round_trip(drawn: ReIDData, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    written = write_market_format(drawn, tmp_path / "new" / "drawn", lambda done, total: told.append((done, total)))
    assert written == len(drawn.train) + len(drawn.query) + len(drawn.gallery)
    assert told == [(n + 1, written) for n in range(written)]
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["drawn"]
    back = MarketFormat(folder="drawn").read(tmp_path / "new")
    for name in ("train", "query", "gallery"):
        mine, theirs = getattr(drawn, name), getattr(back, name)
        assert Counter(zip(mine.persons, mine.cameras, strict=True)) == Counter(
            zip(theirs.persons, theirs.cameras, strict=True)
        )
    pixels, original = back.query.samples[0].image.read(), drawn.query.samples[0].image.read()
    assert np.abs(pixels.astype(int) - original).mean() < 4.0


def test_an_empty_folder_is_used_and_a_full_one_refused(drawn: ReIDData, tmp_path: Path) -> None:
    folder = tmp_path / "drawn"
    folder.mkdir()
    write_market_format(drawn, folder)
    before = sorted(folder.rglob("*"))
    with pytest.raises(DataError, match=r"new or empty folder.*holds something already.*another folder"):
        write_market_format(drawn, folder)
    assert sorted(folder.rglob("*")) == before
    with pytest.raises(DataError, match="is a file"):
        write_market_format(drawn, before[-1])


def test_a_failure_leaves_nothing_behind(drawn: ReIDData, tmp_path: Path) -> None:
    class Broken(Exception):
        pass

    def stop(done: int, total: int) -> None:
        if done == 3:
            raise Broken

    with pytest.raises(Broken):
        write_market_format(drawn, tmp_path / "drawn", stop)
    assert list(tmp_path.iterdir()) == []


def test_names(drawn: ReIDData) -> None:
    image = drawn.train.samples[0].image
    assert market_name(Sample(image, 2, 1), 451) == "0002_c1s1_000451_00.jpg"
    assert market_name(Sample(image, 0, 6), 7) == "0000_c6s1_000007_00.jpg"
    assert market_name(Sample(image, -1, 3), 7) == "-1_c3s1_000007_00.jpg"
    with pytest.raises(DataError, match="person 1 and camera -1"):
        market_name(Sample(image, 1, NO_CAMERA), 1)


def test_data_without_cameras_is_refused(drawn: ReIDData, tmp_path: Path) -> None:
    blind = Split(tuple(Sample(s.image, s.person, NO_CAMERA) for s in drawn.train.samples))
    with pytest.raises(DataError, match="camera"):
        write_market_format(ReIDData("blind", blind, drawn.query, drawn.gallery, False), tmp_path / "drawn")
    assert not (tmp_path / "drawn").exists()
