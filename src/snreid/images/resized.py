"""Test images resized by another filter, for networks of others that were trained so."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from snreid.images.reading import Interpolation, resize
from snreid.records import ImageSource, Split, stamp_of


@dataclass(frozen=True, slots=True)
class ResizedImage:
    """An image in the size of a network's input, so that no further resize changes it."""

    of: ImageSource
    height: int
    width: int
    by: Interpolation

    @property
    def name(self) -> str:
        """The image's own."""
        return self.of.name

    def read(self) -> NDArray[np.uint8]:
        """Pixels (``height``, ``width``, 3), RGB, uint8. Raises as the image does."""
        return resize(self.of.read(), self.height, self.width, by=self.by)

    def stamp(self) -> str | None:
        """That of the image, with size and filter."""
        stamp = stamp_of(self.of)
        return None if stamp is None else f"{stamp} {self.by} {self.height} x {self.width}"


def resized(split: Split, height: int, width: int, by: Interpolation) -> Split:
    """The split with its images resized by the filter ``by`` when they are read; names and labels stay."""
    if by == "bilinear":  # what every image is resized by
        return split
    return Split(tuple(replace(s, image=ResizedImage(s.image, height, width, by)) for s in split.samples))
