"""Any data set with its test images made worse: ``market1501@dark-3`` is Market-1501 asked in the dark.

Images are corrupted when they are read, nothing is written. Labels, order and names stay those of the data set, so scores
on clean and corrupted images can be compared query by query, and a query is still kept from matching itself.
"""

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from snreid.datasets import corruptions
from snreid.datasets.corruptions import Kind, check_kind, corrupt
from snreid.errors import ExperimentError
from snreid.records import DataSet, Expected, ImageSource, ReIDData, Sample, Split, stamp_of
from snreid.system.provenance import program

Side = Literal["query", "gallery", "both"]


@dataclass(frozen=True, slots=True)
class CorruptedImage:
    """An image that is corrupted when it is read (an ``ImageSource``)."""

    of: ImageSource
    kind: Kind
    severity: int
    key: str
    """What noise and cast are drawn from: the image's name without the folder that all test images lie in, so that a data set
    that was moved gives the same pixels."""

    @property
    def name(self) -> str:
        """The name of the clean image."""
        return self.of.name

    def read(self) -> NDArray[np.uint8]:
        """Corrupted pixels, (H, W, 3), RGB, uint8. Raises ``DataError`` as the clean image does."""
        return corrupt(self.of.read(), self.kind, self.severity, self.key)

    def stamp(self) -> str | None:
        """What tells that the pixels are still the same: the clean image's stamp, the corruption's values and its program."""
        clean = stamp_of(self.of)
        return (
            None if clean is None else f"{clean} {self.kind} {self.severity} {self.key} {program(corruptions.__file__)}"
        )


@dataclass(frozen=True, kw_only=True)
class Corrupted(DataSet):
    """A data set whose test images are corrupted (kinds and formulas: `corruptions.py`). Its training images stay as they are.

    >>> from snreid.datasets import Corrupted, Market1501
    >>> Corrupted(of=Market1501(), corruption="dark", severity=3).name
    'market1501@dark-3'
    """

    of: DataSet
    corruption: Kind
    """What is done to its images. (Not called ``kind``: a value's class has that name in JSON.)"""
    severity: int = 3
    """1 (mild) to 5 (hard)."""
    side: Side = "query"
    """Which images: by default the queries only, a bad camera that asks a gallery of good ones. Every score then has the same
    gallery, and only the queries have to be embedded again."""

    def __post_init__(self) -> None:
        """Refuse what is not known."""
        check_kind(self.corruption, self.severity)
        if self.side not in get_args(Side):
            raise ExperimentError(
                f"a corruption acts on one of {', '.join(get_args(Side))}",
                found=repr(self.side),
                fix="choose one of them",
            )

    @property
    def name(self) -> str:
        """Such as ``market1501@dark-3``, and ``market1501@dark-3-both`` where the side is not the usual one."""
        side = "" if self.side == "query" else f"-{self.side}"
        return f"{self.of.name}@{self.corruption}-{self.severity}{side}"

    @property
    def collection(self) -> str:
        """That of the data set: who was trained on it has seen its cameras."""
        return self.of.collection

    @property
    def expected(self) -> tuple[Expected, ...]:
        """The data set's."""
        return self.of.expected

    @property
    def home(self) -> str:
        """The data set's."""
        return self.of.home

    def read(self, root: Path) -> ReIDData:
        """The data set's samples, those of the ``side`` corrupted once they are read. Raises what the data set raises."""
        return self.apply(self.of.read(root))

    def apply(self, data: ReIDData) -> ReIDData:
        """The same for samples of the data set that were read already (less those that could not be, for example)."""
        names = [sample.image.name for split in (data.query, data.gallery) for sample in split.samples]
        common = os.path.commonprefix(names)  # noqa: RUF071  (no path is made of it)
        begin = 1 + max(common.rfind("/"), common.rfind("\\"))

        def corrupted(split: Split, side: str) -> Split:
            """One side, if it is meant."""
            return self._corrupted(split, begin) if self.side in (side, "both") else split

        note = f"{'query and gallery' if self.side == 'both' else self.side} images: {self.corruption}, severity {self.severity}"
        return replace(
            data,
            name=self.name,
            query=corrupted(data.query, "query"),
            gallery=corrupted(data.gallery, "gallery"),
            notes=(*data.notes, note),
        )

    def _corrupted(self, split: Split, begin: int) -> Split:
        def worse(sample: Sample) -> Sample:
            """The sample with its image corrupted."""
            image = CorruptedImage(sample.image, self.corruption, self.severity, sample.image.name[begin:])
            return replace(sample, image=image)

        return Split(tuple(worse(sample) for sample in split.samples))
