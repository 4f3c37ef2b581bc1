"""What is written in Market-1501's format is read back with the same labels."""

import subprocess
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from snreid.datasets.market1501 import MarketFormat
from snreid.datasets.market_writer import market_name, write_market_format
from snreid.datasets.pedestrians import DrawnPedestrians
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


def draft(folder: Path, *inside: str) -> Path:
    """What a killed writer leaves beside ``folder``."""
    left = Path(tempfile.mkdtemp(prefix=f".{folder.name}.partial-", dir=folder.parent))
    for name in inside:
        (left / name).mkdir()
    return left


def test_what_killed_writers_left_is_swept_and_nothing_else(drawn: ReIDData, tmp_path: Path) -> None:
    folder = tmp_path / "noon [1]"
    dead = [draft(folder), draft(folder, "bounding_box_train", "query")]
    (dead[1] / "query" / "x.jpg").touch()
    other = [draft(tmp_path / "noon 1", "query"), draft(folder, "mine"), tmp_path / ".noon [1].partial-longer-name"]
    other[2].mkdir()
    (tmp_path / ".noon [1].partial-12345678").symlink_to(other[0])
    living = draft(folder, "query")
    holder = subprocess.Popen(
        ["flock", str(living), "sh", "-c", "echo held; exec sleep 60"], stdout=subprocess.PIPE, text=True
    )
    try:
        assert holder.stdout is not None and holder.stdout.readline() == "held\n"
        write_market_format(drawn, folder)
    finally:
        holder.kill()
        holder.wait()
        assert holder.stdout is not None
        holder.stdout.close()
    kept = {*other, living, folder, tmp_path / ".noon [1].partial-12345678"}
    assert set(tmp_path.iterdir()) == kept


def test_a_writer_at_work_is_not_swept_by_another(drawn: ReIDData, tmp_path: Path) -> None:
    def meanwhile(done: int, total: int) -> None:
        if done == 3:
            with pytest.raises(_Stop):
                write_market_format(drawn, tmp_path / "drawn", stop)

    class _Stop(Exception):
        pass

    def stop(done: int, total: int) -> None:
        raise _Stop

    write_market_format(drawn, tmp_path / "drawn", meanwhile)
    assert [path.name for path in tmp_path.iterdir()] == ["drawn"]


def test_a_full_disk_names_the_folder_and_leaves_nothing(
    drawn: ReIDData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("PIL.Image.Image.save", full)
    with pytest.raises(OSError, match=r"No space left on device: '\S*/made'"):
        write_market_format(drawn, tmp_path / "made")
    assert not list(tmp_path.iterdir())
