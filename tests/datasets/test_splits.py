"""The splits that are shipped: drawn again byte by byte, fair, and refused when they are damaged."""

import json
from collections import Counter
from hashlib import sha256
from pathlib import Path

import pytest

from snreid.datasets import CUHK01, GRID, ILIDS, PRID2011, VIPeR, _splits
from snreid.datasets._splits import COUNT, DrawnSplits, SplitDataSet, draw, pair_of
from snreid.errors import DataError, ExperimentError
from snreid.experiments.serialization import from_json, to_json

ALL = (CUHK01, GRID, ILIDS, PRID2011, VIPeR)


@pytest.mark.parametrize("kind", ALL)
def test_the_shipped_file_is_drawn_again_byte_by_byte(kind: type[SplitDataSet]) -> None:
    splits = kind().splits
    content = (_splits._FOLDER / f"{splits.name}.json").read_bytes()
    assert draw(splits) == content
    assert sha256(content).hexdigest() == splits.sha256
    stored = json.loads(content)
    assert (stored["data"], stored["seed"], stored["persons"], stored["train"]) == (
        splits.name,
        _splits.SEED,
        splits.persons,
        splits.train,
    )


@pytest.mark.parametrize("kind", ALL)
def test_every_split_parts_all_persons_in_two_and_no_two_are_alike(kind: type[SplitDataSet]) -> None:
    splits = kind().splits
    numbers = range(7, 7 + 3 * splits.persons, 3)
    seen = set()
    for split in range(COUNT):
        train, test = splits.halves(split, numbers)
        assert train | test == set(numbers) and not train & test
        assert len(train) == splits.train
        seen.add(test)
    assert len(seen) == COUNT
    # Nobody is always for the test or always for training more often than chance has it: 2 * 2^-10 each.
    often = Counter(person for test in seen for person in test)
    assert sum(often[number] in (0, COUNT) for number in numbers) <= 8


def test_a_split_is_sorted_by_the_digests_that_the_file_describes() -> None:
    """The sentence in the file, word by word."""
    order = sorted(range(632), key=lambda position: sha256(f"20261128 viper 3 {position}".encode()).hexdigest())
    train, test = VIPeR(split=3).splits.halves(3, range(632))
    assert train == set(order[:316]) and test == set(order[316:])


def test_a_pair_is_two_images_and_all_pairs_are_equally_likely() -> None:
    for images in range(2, 9):
        pairs = Counter(pair_of(images, a, b) for a in range(images) for b in range(images - 1))
        assert len(pairs) == images * (images - 1) and set(pairs.values()) == {1}
        assert all(query != gallery for query, gallery in pairs)
        assert _splits._FAIR % images == 0 and _splits._FAIR % (images - 1) == 0
    numbers = [number for split in range(COUNT) for pair in ILIDS().splits.pairs(split) for number in pair]
    assert len(numbers) == COUNT * 60 * 2 and min(numbers) >= 0 and max(numbers) < _splits._FAIR
    assert len(set(numbers)) > 900  # of 1200 draws from 2520, about 955 differ


@pytest.mark.parametrize("kind", ALL)
def test_a_split_is_named_in_the_name_and_in_the_split_id_and_has_to_exist(kind: type[SplitDataSet]) -> None:
    third = kind(split=3)
    name = third.splits.name
    assert third.name == f"{name}-split3"
    assert third.split_id == f"{name}/3 (sha256 {third.splits.sha256[:12]})"
    assert from_json(SplitDataSet, to_json(third)) == third
    assert kind().split == 0
    for wrong in (-1, 10):
        with pytest.raises(ExperimentError, match=f"{name} has 10 splits, 0 to 9"):
            kind(split=wrong)


def test_other_persons_than_those_drawn_from_are_refused() -> None:
    with pytest.raises(DataError, match="drawn from its 632 persons"):
        VIPeR().splits.halves(0, range(631))


@pytest.mark.parametrize("content", [None, b"", b"{}", b"more"])
def test_a_damaged_or_missing_file_is_refused(
    content: bytes | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_splits, "_FOLDER", tmp_path)
    if content is not None:
        (tmp_path / "viper.json").write_bytes(content)
    with pytest.raises(DataError, match="as they were shipped") as caught:
        VIPeR().splits.halves(0, range(632))
    assert str(tmp_path / "viper.json") in caught.value.found and "install snreid again" in caught.value.fix


def test_a_file_with_another_draw_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_splits, "_FOLDER", tmp_path)
    (tmp_path / "viper.json").write_bytes(draw(DrawnSplits(name="viper", persons=632, train=315, sha256="")))
    with pytest.raises(DataError, match="sha256"):
        VIPeR().splits.halves(0, range(632))
