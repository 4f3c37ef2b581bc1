"""Which images of a data set are looked at: evenly over its cameras and over the order of its files, by no label of a person."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from snreid.records import DISTRACTOR, NO_CAMERA, ReIDData, Sample, Split

MOST_SETS = 24
"""Cameras that are told apart; where the data sets have more, each data set is one set."""


@dataclass(frozen=True)
class Chosen:
    """Images of one data set."""

    name: str
    split: Split
    """Camera after camera, each in the order of the files."""
    part: str
    """Where they come from: ``test`` (query and gallery) or ``training``."""
    available: int
    """Images they were taken from."""
    remarks: tuple[str, ...] = ()
    """What its reader noticed (``ReIDData.remarks``)."""


def choose(data: ReIDData, count: int) -> Chosen:
    """At most ``count`` images of a data set's query and gallery, or of its training part where it has neither.

    Every camera gives the same number of images (those with fewer give all, others fill up), evenly spaced in the order of the
    files. Junk (persons below 0) is left out, and of images of one name all but the first.
    """
    part, split = "test", Split((*data.query.samples, *data.gallery.samples))
    if not len(split):
        part, split = "training", data.train
    unique = {sample.image.name: sample for sample in reversed(split.samples) if sample.person >= DISTRACTOR}
    samples = sorted(unique.values(), key=lambda sample: sample.image.name)
    cameras = sorted({sample.camera for sample in samples})
    groups = [[sample for sample in samples if sample.camera == camera] for camera in cameras]
    taken = [
        one
        for group, share in zip(groups, shares([len(g) for g in groups], count), strict=True)
        for one in evenly(group, share)
    ]
    return Chosen(data.name, Split(tuple(taken)), part, len(samples), data.remarks)


def shares(sizes: Sequence[int], count: int) -> list[int]:
    """How many each of several groups gives of ``count`` in all: as equal as their ``sizes`` allow, earlier ones first."""
    given = [0] * len(sizes)
    left = min(count, sum(sizes))
    while left:
        for place, size in enumerate(sizes):
            if left and given[place] < size:
                given[place] += 1
                left -= 1
    return given


def evenly(samples: Sequence[Sample], count: int) -> list[Sample]:
    """``count`` of the samples, evenly spaced, first to last."""
    places = np.linspace(0, len(samples) - 1, min(count, len(samples))).round().astype(int)
    return [samples[place] for place in places.tolist()]


@dataclass(frozen=True)
class Sets:
    """Images of several data sets, grouped by camera."""

    names: tuple[str, ...]
    """Such as ``noon, camera 2``."""
    domains: tuple[str, ...]
    """The data set of each."""
    images: tuple[NDArray[np.int64], ...]
    """Positions of the images of each in the joint order."""
    by_camera: bool
    """False where each data set is one set, for want of cameras or because they are more than ``MOST_SETS``."""


def group(chosen: Sequence[Chosen]) -> Sets:
    """The images of all data sets, one set for each camera; a data set without cameras is one set."""
    found: dict[tuple[str, int], list[int]] = {}
    everyone = [(data.name, sample.camera) for data in chosen for sample in data.split.samples]
    by_camera = len(set(everyone)) <= MOST_SETS
    for place, (name, camera) in enumerate(everyone):
        found.setdefault((name, camera if by_camera else NO_CAMERA), []).append(place)
    names = tuple(name if camera == NO_CAMERA else f"{name}, camera {camera}" for name, camera in found)
    images = tuple(np.array(places, dtype=np.int64) for places in found.values())
    known = by_camera and any(camera != NO_CAMERA for _, camera in found)
    return Sets(names, tuple(name for name, _ in found), images, known)
