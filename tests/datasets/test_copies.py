"""Copies among matches: by bytes, only among pairs that count, and only of files."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from snreid.datasets import FolderTree, check
from snreid.datasets.copies import copied_queries, copies_note
from snreid.images.reading import FileImage
from snreid.records import NO_CAMERA, ReIDData, Sample, Split
from support.tiny import drawn


def picture(path: Path, seed: int) -> Path:
    """A small picture whose pixels the seed decides, in a file whose size it does not."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (8, 4, 3), dtype=np.uint8)).save(path, "BMP")
    return path


def data(folder: Path, queries: list[tuple[int, int, int]], gallery: list[tuple[int, int, int]]) -> ReIDData:
    """A data set of (picture, person, camera)."""

    def split(side: str, labels: list[tuple[int, int, int]]) -> Split:
        files = [picture(folder / side / f"{n}.bmp", seed) for n, (seed, _, _) in enumerate(labels)]
        return Split(tuple(Sample(FileImage(str(f)), p, c) for f, (_, p, c) in zip(files, labels, strict=True)))

    sides = split("query", queries), split("gallery", gallery)
    return ReIDData("toy", Split(()), *sides, has_cameras=queries[0][2] != NO_CAMERA)


@pytest.mark.parametrize(
    ("query", "gallery", "found"),
    [
        ((1, 5, 1), [(2, 5, 2), (1, 5, 2)], 1),  # another camera number
        ((1, 5, NO_CAMERA), [(1, 5, NO_CAMERA)], 1),  # no cameras, another name
        ((1, 5, 1), [(1, 5, 1), (2, 5, 2)], 0),  # the query's camera: ignored anyway
        ((1, 5, 1), [(1, 6, 2), (2, 5, 2)], 0),  # another person: no match
        ((1, 5, 1), [(2, 5, 2), (3, 5, 3)], 0),  # equal sizes, other pictures
    ],
)
def test_only_matches_with_equal_bytes_are_copies(
    tmp_path: Path, query: tuple[int, int, int], gallery: list[tuple[int, int, int]], found: int
) -> None:
    given = data(tmp_path, [query, (9, 7, query[2])], gallery)
    copies = copied_queries(given)
    assert len(copies) == found
    for name, other in copies:
        assert name != other and Path(name).read_bytes() == Path(other).read_bytes()


def test_one_file_that_is_query_and_gallery_is_no_copy(tmp_path: Path) -> None:
    given = data(tmp_path, [(1, 5, NO_CAMERA), (2, 5, NO_CAMERA)], [(1, 5, NO_CAMERA)])
    assert not copied_queries(ReIDData("toy", Split(()), given.query, given.query, has_cameras=False))


def test_drawn_people_are_no_files() -> None:
    assert not copied_queries(drawn("dusk", test_persons=2).read(Path()))


def test_the_check_notes_them_and_remains_in_order(tmp_path: Path) -> None:
    for person in range(3):
        for number in range(2):
            picture(tmp_path / "query" / f"p{person}" / f"{number}.bmp", 10 * person + number)
            picture(tmp_path / "gallery" / f"p{person}" / f"{number}.bmp", 10 * person + number + (5 if number else 0))
    report = check(FolderTree(path=str(tmp_path), pattern="{split}/{person}/{*}.bmp"), tmp_path, decode=False)
    (note,) = [note for note in report.notes if "copy" in note]
    assert report.ok and note.startswith(copies_note(3, 6)) and "0.bmp" in note
