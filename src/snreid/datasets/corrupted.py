"""Any data set with corrupted test images: ``market1501@dark-3`` is Market-1501 with dark queries.

Images are corrupted when they are read; nothing is written. Labels, order and names do not change, so scores on clean and corrupted images
can be compared query by query, and a query still never matches itself.
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
from snreid.records import DataSet, Expected, ImageSource, ReIDData, Split, stamp_of
from snreid.system.provenance import program

Side = Literal["query", "gallery", "both"]


@dataclass(frozen=True, slots=True)
class CorruptedImage:
    """An image that is corrupted when it is read (an ``ImageSource``)."""

    of: ImageSource
    kind: Kind
    severity: int
    key: str
    """Seed of noise and cast: the image's name without the common folder of all test images, so that moving a data set does not change its
    pixels."""

    @property
    def name(self) -> str:
        """The name of the clean image."""
        return self.of.name

    def read(self) -> NDArray[np.uint8]:
        """Corrupted pixels (H, W, 3), RGB, uint8. Raises ``DataError`` as the clean image does."""
        return corrupt(self.of.read(), self.kind, self.severity, self.key)

    def stamp(self) -> str | None:
        """The clean image's stamp with the corruption's values and program: equal stamps mean equal pixels."""
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
    """The kind of corruption. (Not called ``kind``, which is the name of a value's class in JSON.)"""
    severity: int = 3
    """1 (mild) to 5 (hard)."""
    side: Side = "query"
    """Which images are corrupted. By default the queries only, as from a bad camera with a gallery of good ones; then the gallery is the
    same for every score and need not be embedded again."""

    def __post_init__(self) -> None:
        check_kind(self.corruption, self.severity)
        if self.side not in get_args(Side):
            raise ExperimentError(
                f"A corruption acts on one of {', '.join(get_args(Side))}",
                found=repr(self.side),
                fix="choose one of them",
            )

    @property
    def name(self) -> str:
        """As in ``market1501@dark-3``, or ``market1501@dark-3-both`` if the side is not the default."""
        side = "" if self.side == "query" else f"-{self.side}"
        return f"{self.of.name}@{self.corruption}-{self.severity}{side}"

    @property
    def collection(self) -> str:
        """As for the data set, whose cameras these are."""
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
        """The data set's samples; images of the ``side`` are corrupted when they are read. Raises as the data set does."""
        return self.apply(self.of.read(root))

    def apply(self, data: ReIDData) -> ReIDData:
        """Corrupt the test images of a data set that was read already."""
        names = [sample.image.name for split in (data.query, data.gallery) for sample in split.samples]
        common = os.path.commonprefix(names)  # noqa: RUF071  (no path is made of it)
        begin = 1 + max(common.rfind("/"), common.rfind("\\"))

        def corrupted(split: Split) -> Split:
            """The split with all of its images corrupted."""
            samples = []
            for sample in split.samples:
                image = CorruptedImage(sample.image, self.corruption, self.severity, sample.image.name[begin:])
                samples.append(replace(sample, image=image))
            return Split(tuple(samples))

        note = f"{'query and gallery' if self.side == 'both' else self.side} images: {self.corruption}, severity {self.severity}"
        return replace(
            data,
            name=self.name,
            query=data.query if self.side == "gallery" else corrupted(data.query),
            gallery=data.gallery if self.side == "query" else corrupted(data.gallery),
            notes=(*data.notes, note),
        )
