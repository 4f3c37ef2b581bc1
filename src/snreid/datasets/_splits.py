"""Random splits of small data sets, sampled once with a fixed seed and shipped with the package as ``splits/NAME.json``.

VIPeR, PRID2011, GRID, i-LIDS and CUHK01 are scored on ten random splits of their persons, and results are only comparable on the same
splits. Here a split is a number from 0 to 9. The reader knows the hash of the file, and every result names it.
``benchmarks/draw_splits.py`` reproduces the files byte by byte: the random numbers are SHA-256 digests, independent of any random number
generator.

Persons are named by position: 0 is the lowest number among those the split is sampled from.
"""

import json
from abc import abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from snreid.errors import DataError, ExperimentError
from snreid.records import DataSet

SEED = 20261128
"""Seed of all shipped splits."""
COUNT = 10
"""Number of splits of a data set."""
_FOLDER = Path(__file__).parent / "splits"
_FAIR = 2520
"""Divisible by 1 to 10: a random number below it, modulo the number of a person's images, is uniform."""
_PERSONS = (
    "The persons that a split is drawn from have positions 0, 1, ... in the order of their numbers. For split s of data set d "
    "the positions are sorted by SHA-256 of the text 'SEED d s POSITION'; the first TRAIN of them are for training, the others "
    "are 'test'."
)
_IMAGES = (
    " 'images' are two numbers a and b for each person of the test: the first 8 bytes of SHA-256 of 'SEED d s POSITION 0' and of "
    "'SEED d s POSITION 1', modulo 2520. Of a person's n images in the order of their names, image a mod n (from 0) is the "
    "query and image (a mod n + 1 + b mod (n - 1)) mod n the gallery."
)


@dataclass(frozen=True, kw_only=True)
class DrawnSplits:
    """The ten splits of one data set."""

    name: str
    """Name of the data set and of the file."""
    persons: int
    """Number of persons that the splits are sampled from."""
    train: int
    """Number of persons for training; the others are for the test."""
    sha256: str
    """Hash of the shipped file, in hexadecimal."""
    images: bool = False
    """Whether a query and a gallery image of every test person are sampled too."""

    def halves(self, split: int, persons: Iterable[int]) -> tuple[frozenset[int], frozenset[int]]:
        """The persons to train on and those to test on, of the ``persons`` on disk (may repeat).

        Raises ``DataError`` if there are more or fewer than the split was sampled from, or the shipped file is damaged.
        """
        numbers = sorted(set(persons))
        if len(numbers) != self.persons:
            raise DataError(
                f"A split of {self.name} is drawn from its {self.persons} persons, and with others it is another split",
                found=f"{len(numbers)} persons",
                fix="restore the missing files, or remove those that do not belong there",
            )
        test = frozenset(numbers[position] for position in self._read(split)["test"])
        return frozenset(numbers) - test, test

    def pairs(self, split: int) -> tuple[tuple[int, int], ...]:
        """The two random numbers that choose the query and gallery image (``pair_of``) of every test person, in the order of their numbers.

        Raises ``DataError`` for a damaged file.
        """
        return tuple((first, second) for first, second in self._read(split)["images"])

    def _read(self, split: int) -> dict[str, Any]:
        path = _FOLDER / f"{self.name}.json"
        try:
            content = path.read_bytes()
        except OSError as error:
            raise self._damaged(path, str(error)) from None
        digest = sha256(content).hexdigest()
        if digest != self.sha256:
            raise self._damaged(path, f"a file with sha256 {digest}, not {self.sha256}")
        sampled: dict[str, Any] = json.loads(content)["splits"][split]
        return sampled

    def _damaged(self, path: Path, problem: str) -> DataError:
        return DataError(
            f"The splits of {self.name} are read as they were shipped",
            found=f"{path}: {problem}",
            fix="install snreid again",
        )


def pair_of(images: int, first: int, second: int) -> tuple[int, int]:
    """Positions of a person's query and gallery image, never the same, among its ``images`` >= 2. ``first`` and ``second`` are the
    person's two numbers from ``DrawnSplits.pairs``."""
    query = first % images
    return query, (query + 1 + second % (images - 1)) % images


def draw(splits: DrawnSplits) -> bytes:
    """Content of the file with these splits: JSON, one line for each split."""
    lines = [json.dumps(_drawn(splits, split), separators=(",", ":")) for split in range(COUNT)]
    head = {
        "data": splits.name,
        "seed": SEED,
        "persons": splits.persons,
        "train": splits.train,
        "how": _PERSONS + _IMAGES * splits.images,
    }
    text = json.dumps(head, indent=1)[:-2] + ',\n "splits": [\n  ' + ",\n  ".join(lines) + "\n ]\n}\n"
    return text.encode()


def _drawn(splits: DrawnSplits, split: int) -> dict[str, Any]:
    order = sorted(range(splits.persons), key=lambda position: _digest(splits.name, split, position))
    test = sorted(order[splits.train :])
    if not splits.images:
        return {"test": test}
    return {
        "test": test,
        "images": [[_number(splits.name, split, person, which) for which in (0, 1)] for person in test],
    }


def _digest(*words: str | int) -> bytes:
    return sha256(" ".join(map(str, (SEED, *words))).encode()).digest()


def _number(*words: str | int) -> int:
    return int.from_bytes(_digest(*words)[:8], "big") % _FAIR


@dataclass(frozen=True, kw_only=True)
class SplitDataSet(DataSet):
    """Base of the data sets that are scored on ten random splits."""

    split: int = 0
    """Number of the split, 0 to 9; published results are means over all ten."""

    def __post_init__(self) -> None:
        if not 0 <= self.split < COUNT:
            raise ExperimentError(
                f"{self.splits.name} has {COUNT} splits, 0 to {COUNT - 1}",
                found=f"split {self.split}",
                fix=f"give {self.splits.name}:split=0",
            )

    @property
    @abstractmethod
    def splits(self) -> DrawnSplits:
        """All ten splits."""

    @property
    def name(self) -> str:
        """The name with the split, as in ``viper-split3``, so that results of several splits can be kept side by side."""
        return f"{self.splits.name}-split{self.split}"

    @property
    def collection(self) -> str:
        """The name without the split."""
        return self.splits.name

    @property
    def split_id(self) -> str:
        """As in ``viper/3 (sha256 1a2b3c4d5e6f)``."""
        return f"{self.splits.name}/{self.split} (sha256 {self.splits.sha256[:12]})"
