"""Joins sources into one training set: a joint identity space, a domain label per image, and held-out identities for validation."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from snreid.errors import DataError, ExperimentError
from snreid.records import NO_CAMERA, ReIDData, Sample, Split, fingerprint

Labels = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Validation:
    """Selects a checkpoint on held-out *source* identities; target labels never select anything."""

    fraction: float = 0.0
    """Share of each source's training identities that is held out; 0 trains on all of them and keeps the last checkpoint."""
    every: int = 10
    """Epochs between two validations."""

    def __post_init__(self) -> None:
        if not 0 <= self.fraction <= 0.5 or self.every < 1:
            raise ExperimentError(
                "The held-out share must be between 0 and 0.5, and validation at least 1 epoch apart",
                found=f"fraction {self.fraction}, every {self.every}",
                fix="set --validation.fraction 0.1 and --validation.every 10, for example",
            )


@dataclass(frozen=True)
class TrainingSet:
    """N images with labels in the joint spaces."""

    split: Split
    persons: Labels
    """(N,) 0-based identity over all sources: the classifier's classes."""
    domains: Labels
    """(N,) 0-based domain: the source, or the camera over all sources."""
    sources: Labels
    """(N,) 0-based source."""
    names: tuple[str, ...]
    """Names of the sources."""
    remarks: tuple[str, ...] = ()
    """Remarks of the sources' readers, each sentence once."""

    @property
    def identities(self) -> int:
        """Number of training identities."""
        return int(self.persons.max()) + 1

    @property
    def sources_of_persons(self) -> Labels:
        """(identities,) source of each identity."""
        sources = np.zeros(self.identities, dtype=np.int64)
        sources[self.persons] = self.sources
        return sources

    @property
    def fingerprint(self) -> str:
        """A digest of the images' names, persons and cameras; it does not depend on where the sources are stored."""
        parts = (np.flatnonzero(self.sources == source) for source in range(len(self.names)))
        return fingerprint(*(Split(tuple(self.split.samples[i] for i in part)) for part in parts), anywhere=True)

    def only(self, keep: Labels) -> "TrainingSet":
        """Returns the images at positions ``keep``, with identities renumbered. Raises ``DataError`` if none is left."""
        if not len(keep):
            raise DataError("A training set needs images", found="none that can be used", fix="restore the image files")
        _, persons = np.unique(self.persons[keep], return_inverse=True)
        split = Split(tuple(self.split.samples[i] for i in keep))
        return TrainingSet(split, persons, self.domains[keep], self.sources[keep], self.names, self.remarks)


def join(sources: Sequence[ReIDData], domains: str = "source") -> TrainingSet:
    """Joins the training images of ``sources`` in one identity space, without distractors and junk (person <= 0).

    ``domains`` is ``"source"`` or ``"camera"``. Raises ``DataError`` for an empty source, a repeated name, or missing camera labels.
    """
    names = tuple(s.name for s in sources)
    if len(set(names)) != len(names) or not names:
        raise DataError(
            "Each source must be named once, and there must be one",
            found=f"{', '.join(names) or 'none'}",
            fix="leave one out, or give one a name of its own, for example --source DIR:name=shop-a",
        )
    samples: list[Sample] = []
    person_keys: list[tuple[int, int]] = []
    domain_keys: list[tuple[int, int]] = []
    for number, source in enumerate(sources):
        kept = [s for s in source.train.samples if s.person > 0]
        if not kept:
            raise DataError(
                "A source needs training images", found=f"{source.name} has none", fix="take another source"
            )
        if domains == "camera" and any(s.camera == NO_CAMERA for s in kept):
            raise DataError(
                "Cameras as domains need a camera for every image",
                found=f"{source.name} has images without one",
                fix="use --sampling.domains source",
            )
        samples += kept
        person_keys += [(number, s.person) for s in kept]
        domain_keys += [(number, s.camera if domains == "camera" else 0) for s in kept]
    return TrainingSet(
        Split(tuple(samples)),
        _number(person_keys),
        _number(domain_keys),
        np.array([source for source, _ in person_keys], dtype=np.int64),
        names,
        tuple(dict.fromkeys(remark for source in sources for remark in source.remarks)),
    )


def hold_out(training: TrainingSet, fraction: float, seed: int) -> tuple[Labels, Labels]:
    """Splits off ``fraction`` of each source's identities; returns the positions of (training, validation) images, ascending.

    Raises ``DataError`` when a source has too few identities to hold out two of them.
    """
    random = np.random.Generator(np.random.Philox(key=np.array([seed, 0xDA7A], dtype=np.uint64)))
    held: list[int] = []
    for source, name in enumerate(training.names):
        persons = np.unique(training.persons[training.sources == source])
        count = round(fraction * len(persons))
        if count < 2:
            raise DataError(
                "Validation needs at least 2 held-out identities of each source",
                found=f"{fraction:g} of the {len(persons)} identities of {name} is {count}",
                fix="raise --validation.fraction, or set it to 0 to take the last checkpoint",
            )
        held += [int(p) for p in random.permutation(persons)[:count]]
    outside = np.isin(training.persons, held)
    return np.flatnonzero(~outside), np.flatnonzero(outside)


def validation_split(held_out: TrainingSet) -> tuple[Labels, Labels]:
    """Splits held-out images into (query, gallery) positions: each person's first image per camera is a query, the rest are gallery.

    A person's only image on a camera is both; the same-camera rule keeps it from matching itself. A person seen by only one camera
    gets no query, because that rule would leave no match. Without cameras the first image of each person is the query. Raises
    ``DataError`` if there is no query.
    """
    places: dict[tuple[int, int], list[int]] = {}
    cameras: dict[int, set[int]] = {}
    for position, sample in enumerate(held_out.split.samples):
        person = int(held_out.persons[position])
        places.setdefault((person, sample.camera), []).append(position)
        cameras.setdefault(person, set()).add(sample.camera)
    query: list[int] = []
    gallery: list[int] = []
    for (person, camera), positions in places.items():
        if camera == NO_CAMERA or len(cameras[person]) > 1:
            query.append(positions[0])
        gallery += positions[1:] or positions
    if not query:
        raise DataError(
            "Validation needs held-out identities that two cameras see",
            found=f"{len(cameras)} identities with one camera each",
            fix="set --validation.fraction 0 to take the last checkpoint",
        )
    return np.array(sorted(query), dtype=np.int64), np.array(sorted(gallery), dtype=np.int64)


def _number(keys: list[tuple[int, int]]) -> Labels:
    return np.unique(keys, axis=0, return_inverse=True)[1].reshape(-1)
