"""Random halves of small data sets, drawn once with a written seed and shipped with the package as ``splits/NAME.json``.

VIPeR, PRID2011, GRID, i-LIDS and CUHK01 are scored on ten random splits of their persons, and results on them could not be
compared while every program drew its own. Here a split is a number from 0 to 9; the file that says it has a hash that the
reader knows and every result names. ``benchmarks/draw_splits.py`` draws the files anew, byte by byte the same: the draws are
digests of SHA-256, so they depend on no random number generator of any version.

Persons are named by position: 0 is the lowest number among those the split is drawn from.
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
"""Of all splits that are shipped."""
COUNT = 10
"""Splits of a data set."""
_FOLDER = Path(__file__).parent / "splits"
_FAIR = 2520
"""Divisible by 1 to 10: a number below it, taken modulo the images of a person, is equally likely to be any of them."""
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
    """Of the data set and of the file."""
    persons: int
    """How many the splits are drawn from."""
    train: int
    """How many of them are for training; the others are for the test."""
    sha256: str
    """Of the shipped file, in hexadecimal."""
    images: bool = False
    """Whether a query and a gallery image of every test person are drawn too."""

    def require(self, split: int) -> None:
        """Raise ``ExperimentError`` unless ``split`` is one of the ten."""
        if not 0 <= split < COUNT:
            raise ExperimentError(
                f"{self.name} has {COUNT} splits, 0 to {COUNT - 1}",
                found=f"split {split}",
                fix=f"give {self.name}:split=0",
            )

    def identify(self, split: int) -> str:
        """What a result calls the split: ``viper/3 (sha256 1a2b3c4d5e6f)``."""
        return f"{self.name}/{split} (sha256 {self.sha256[:12]})"

    def halves(self, split: int, persons: Iterable[int]) -> tuple[frozenset[int], frozenset[int]]:
        """The persons to train on and to test on, of the numbers that are on disk.

        Raises ``DataError`` unless these are as many as the split was drawn from, and for a damaged file.
        """
        numbers = sorted(set(persons))
        if len(numbers) != self.persons:
            raise DataError(
                f"a split of {self.name} is drawn from its {self.persons} persons, and with others it is another split",
                found=f"{len(numbers)} persons",
                fix="restore the missing files, or remove those that do not belong there",
            )
        test = frozenset(numbers[position] for position in self._read(split)["test"])
        return frozenset(numbers) - test, test

    def pairs(self, split: int) -> tuple[tuple[int, int], ...]:
        """For every test person, in the order of their numbers: the two numbers that choose its query and gallery image.

        Raises ``DataError`` for a damaged file.
        """
        return tuple((first, second) for first, second in self._read(split)["images"])

    def _read(self, split: int) -> dict[str, Any]:
        path = _FOLDER / f"{self.name}.json"
        try:
            content = path.read_bytes()
        except OSError as error:
            raise self._damaged(path, str(error)) from None
        found = sha256(content).hexdigest()
        if found != self.sha256:
            raise self._damaged(path, f"a file with sha256 {found}, not {self.sha256}")
        drawn: dict[str, Any] = json.loads(content)["splits"][split]
        return drawn

    def _damaged(self, path: Path, came: str) -> DataError:
        return DataError(
            f"the splits of {self.name} are read as they were shipped",
            found=f"{path}: {came}",
            fix="install snreid again",
        )


def pair_of(images: int, first: int, second: int) -> tuple[int, int]:
    """Positions of a person's query and gallery image, never the same, among ``images`` >= 2 of them. ``first`` and
    ``second`` are the person's two numbers of ``DrawnSplits.pairs``."""
    query = first % images
    return query, (query + 1 + second % (images - 1)) % images


def draw(splits: DrawnSplits) -> bytes:
    """The file of these splits: JSON, one line for each split."""
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
    return {"test": test, "images": [[_number(splits.name, split, one, which) for which in (0, 1)] for one in test]}


def _digest(*words: str | int) -> bytes:
    return sha256(" ".join(map(str, (SEED, *words))).encode()).digest()


def _number(*words: str | int) -> int:
    return int.from_bytes(_digest(*words)[:8], "big") % _FAIR


@dataclass(frozen=True, kw_only=True)
class SplitDataSet(DataSet):
    """A data set that is scored on ten random splits."""

    split: int = 0
    """Which one, 0 to 9; the published practice is the mean over all ten."""

    def __post_init__(self) -> None:
        """Refuse a split that does not exist."""
        self.splits.require(self.split)

    @property
    @abstractmethod
    def splits(self) -> DrawnSplits:
        """The ten splits."""

    @property
    def name(self) -> str:
        """With its split, as in ``viper-split3``: results of several splits lie side by side."""
        return f"{self.splits.name}-split{self.split}"

    @property
    def collection(self) -> str:
        """The name without the split."""
        return self.splits.name

    @property
    def split_id(self) -> str:
        """As in ``viper/3 (sha256 1a2b3c4d5e6f)``."""
        return self.splits.identify(self.split)
