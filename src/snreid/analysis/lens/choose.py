"""Selects images of a data set evenly over its cameras and file order, without using identity labels."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from snreid.records import DISTRACTOR, NO_CAMERA, ReIDData, Sample, Split

MOST_SETS = 24
"""Most cameras to distinguish; if the data sets have more, each data set is one set."""


@dataclass(frozen=True)
class Chosen:
    """Images of one data set."""

    name: str
    split: Split
    """Camera after camera, each in the order of the files."""
    part: str
    """The part they come from: ``test`` (query and gallery) or ``training``."""
    available: int
    """Number of images to choose from."""
    remarks: tuple[str, ...] = ()
    """The reader's remarks (``ReIDData.remarks``)."""


def choose(data: ReIDData, count: int) -> Chosen:
    """Chooses at most ``count`` images of a data set's query and gallery, or of its training part if it has neither.

    Every camera gives the same number of images (those with fewer give all, others make up the rest), evenly spaced in file
    order. Junk (persons below 0) and repeated names are left out.
    """
    part, split = "test", Split((*data.query.samples, *data.gallery.samples))
    if not len(split):
        part, split = "training", data.train
    unique = {sample.image.name: sample for sample in reversed(split.samples) if sample.person >= DISTRACTOR}
    samples = sorted(unique.values(), key=lambda sample: sample.image.name)
    cameras = sorted({sample.camera for sample in samples})
    groups = [[sample for sample in samples if sample.camera == camera] for camera in cameras]
    taken = [
        sample
        for group, share in zip(groups, shares([len(g) for g in groups], count), strict=True)
        for sample in evenly(group, share)
    ]
    return Chosen(data.name, Split(tuple(taken)), part, len(samples), data.remarks)


def shares(sizes: Sequence[int], count: int) -> list[int]:
    """Splits ``count`` over groups as equally as their ``sizes`` allow; earlier groups get the remainder."""
    given = [0] * len(sizes)
    left = min(count, sum(sizes))
    while left:
        for place, size in enumerate(sizes):
            if left and given[place] < size:
                given[place] += 1
                left -= 1
    return given


def evenly(samples: Sequence[Sample], count: int) -> list[Sample]:
    """Returns ``count`` evenly spaced samples, first and last included."""
    places = np.linspace(0, len(samples) - 1, min(count, len(samples))).round().astype(int)
    return [samples[place] for place in places.tolist()]


@dataclass(frozen=True)
class Sets:
    """Images of several data sets, grouped by camera."""

    names: tuple[str, ...]
    """Such as ``noon, camera 2``."""
    domains: tuple[str, ...]
    """The data set of each set."""
    images: tuple[NDArray[np.int64], ...]
    """Positions of the images of each set in the joint order."""
    by_camera: bool
    """False if each data set is one set, because it has no cameras or there are more than ``MOST_SETS``."""


def group(chosen: Sequence[Chosen]) -> Sets:
    """Groups the images of all data sets by camera; a data set without cameras is one set."""
    sets: dict[tuple[str, int], list[int]] = {}
    everyone = [(data.name, sample.camera) for data in chosen for sample in data.split.samples]
    by_camera = len(set(everyone)) <= MOST_SETS
    for place, (name, camera) in enumerate(everyone):
        sets.setdefault((name, camera if by_camera else NO_CAMERA), []).append(place)
    names = tuple(name if camera == NO_CAMERA else f"{name}, camera {camera}" for name, camera in sets)
    images = tuple(np.array(places, dtype=np.int64) for places in sets.values())
    known = by_camera and any(camera != NO_CAMERA for _, camera in sets)
    return Sets(names, tuple(name for name, _ in sets), images, known)
