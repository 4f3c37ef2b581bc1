"""A target without its labels: the only view of it that an adaptation gets."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from snreid.errors import DataError
from snreid.images.files import Listing, list_images
from snreid.images.reading import FileImage
from snreid.records import DISTRACTOR, NO_CAMERA, ImageSource, ReIDData, Sample, Split, fingerprint


@dataclass(frozen=True)
class Unlabelled:
    """N training images of a target with their cameras, and no identities.

    An adaptation gets only this record, so that it cannot read a label even by mistake.
    """

    name: str
    """The target's name."""
    images: tuple[ImageSource, ...]
    """N images. Their names are for messages only."""
    cameras: NDArray[np.int64]
    """(N,) cameras, >= 1, or all ``NO_CAMERA``."""
    notes: tuple[str, ...] = ()
    """Remarks for the user."""

    @classmethod
    def of(cls, data: ReIDData) -> "Unlabelled":
        """Takes the training images of a target, never its query or gallery. Raises ``DataError`` if it has none."""
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
        """Takes all image files in and below a folder, sorted by path, without cameras. Raises ``DataError`` if there are none."""
        there = list_images(folder, deep=True) if folder.is_dir() else Listing((), ())
        if not there.images:
            raise DataError(
                "A folder to adapt to holds image files",
                found=f"none in {folder}{there.note and f'; {there.note}'}"
                if folder.is_dir()
                else f"{folder} is no folder",
                fix="check the path",
            )
        images = tuple(FileImage(str(folder / name)) for name in there.images)
        cameras = np.full(len(images), NO_CAMERA, dtype=np.int64)
        return cls(folder.resolve().name, images, cameras, (there.note,) if there.note else ())

    def __len__(self) -> int:
        return len(self.images)

    @property
    def has_cameras(self) -> bool:
        """Whether cameras are known."""
        return bool((self.cameras != NO_CAMERA).all())

    @property
    def split(self) -> Split:
        """The images as a split for reading pixels; every person is ``DISTRACTOR``."""
        pairs = zip(self.images, self.cameras.tolist(), strict=True)
        return Split(tuple(Sample(image, DISTRACTOR, camera) for image, camera in pairs))

    @property
    def fingerprint(self) -> str:
        """A digest of the images' names and cameras; it does not depend on where the folder is."""
        return fingerprint(self.split, anywhere=True)

    def only(self, keep: NDArray[np.int64]) -> "Unlabelled":
        """Returns the images at positions ``keep``."""
        return Unlabelled(self.name, tuple(self.images[i] for i in keep), self.cameras[keep])
