"""A target without its labels: all that an adaptation may see of it."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from snreid.errors import DataError
from snreid.images.files import list_images
from snreid.images.reading import FileImage
from snreid.records import DISTRACTOR, NO_CAMERA, ImageSource, ReIDData, Sample, Split, fingerprint


@dataclass(frozen=True)
class Unlabelled:
    """N training images of a target with the cameras that took them, and nothing about who is on them.

    An adaptation is given this record and no other, so that it cannot read a label, even by mistake.
    """

    name: str
    """The target's name."""
    images: tuple[ImageSource, ...]
    """N images. Their names are for messages only."""
    cameras: NDArray[np.int64]
    """(N,) cameras, >= 1, or all ``NO_CAMERA``."""

    @classmethod
    def of(cls, data: ReIDData) -> "Unlabelled":
        """The training images of a target; its query and gallery are never adapted to. Raises ``DataError`` when it has none."""
        if not len(data.train):
            raise DataError(
                "A target is adapted to by its training images: the images it is tested on stay unseen",
                found=f"{data.name} has none ({len(data.query)} query and {len(data.gallery)} gallery images)",
                fix="name a target with training images; of a folder or table of your own say which they are, by "
                "labels.role=train, {split} in the pattern or a column split",
            )
        samples = data.train.samples
        cameras = data.train.cameras if data.has_cameras else np.full(len(samples), NO_CAMERA, dtype=np.int64)
        return cls(data.name, tuple(sample.image for sample in samples), cameras)

    @classmethod
    def in_folder(cls, folder: Path) -> "Unlabelled":
        """All image files in a folder and below it, in the order of their paths; nobody and no camera is known. Raises ``DataError``."""
        names = list_images(folder, deep=True).images if folder.is_dir() else ()
        if not names:
            raise DataError(
                "A folder to adapt to holds image files",
                found=f"none in {folder}" if folder.is_dir() else f"{folder} is no folder",
                fix="check the path",
            )
        images = tuple(FileImage(str(folder / name)) for name in names)
        return cls(folder.resolve().name, images, np.full(len(images), NO_CAMERA, dtype=np.int64))

    def __len__(self) -> int:
        return len(self.images)

    @property
    def has_cameras(self) -> bool:
        """Whether cameras are known."""
        return bool((self.cameras != NO_CAMERA).all())

    @property
    def split(self) -> Split:
        """The images as a split for readers of pixels: everybody on it is ``DISTRACTOR``, that is nobody."""
        pairs = zip(self.images, self.cameras.tolist(), strict=True)
        return Split(tuple(Sample(image, DISTRACTOR, camera) for image, camera in pairs))

    @property
    def fingerprint(self) -> str:
        """A digest of the images' names (below their folder) and cameras, wherever the folder is."""
        return fingerprint(self.split, anywhere=True)

    def only(self, keep: NDArray[np.int64]) -> "Unlabelled":
        """The images at positions ``keep``."""
        return Unlabelled(self.name, tuple(self.images[i] for i in keep), self.cameras[keep])
