"""Frozen records that cross layers: images with labels, splits, features, scores. No torch here."""

import os
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

NO_CAMERA = -1
"""Camera id of an image whose camera is not known; the same-camera rule is then off."""
JUNK = -1
"""Person id of a gallery image that is dropped for every query (Market-1501's ``-1``)."""
DISTRACTOR = 0
"""Person id of Market-1501's distractors: they stay in the gallery and match nobody."""


class ImageSource(Protocol):
    """Where pixels come from: a file or a drawing program."""

    @property
    def name(self) -> str:
        """What a person is shown: a path, or a drawn image's name. Unique inside a split."""
        ...

    def read(self) -> NDArray[np.uint8]:
        """Pixels, (H, W, 3), RGB, uint8. Raises ``DataError`` naming the image and the reason."""
        ...


@runtime_checkable
class Stamped(Protocol):
    """An image source whose pixels can be kept, because it can tell whether they are still the same."""

    def stamp(self) -> str | None:
        """All that decides the pixels, without reading them: equal stamps, equal pixels. None: that cannot be told."""
        ...


def stamp_of(image: ImageSource) -> str | None:
    """The stamp of an image source, None where it has none."""
    return image.stamp() if isinstance(image, Stamped) else None


@dataclass(frozen=True, slots=True)
class Sample:
    """One image with its labels."""

    image: ImageSource
    person: int
    """Identity inside its data set: >= 1 a person, 0 a distractor."""
    camera: int
    """Camera inside its data set, >= 1, or ``NO_CAMERA``."""


@dataclass(frozen=True)
class Split:
    """An ordered set of samples."""

    samples: tuple[Sample, ...]

    def __len__(self) -> int:
        return len(self.samples)

    @cached_property
    def persons(self) -> NDArray[np.int64]:
        """(N,) identity of every sample."""
        return np.array([s.person for s in self.samples], dtype=np.int64)

    @cached_property
    def cameras(self) -> NDArray[np.int64]:
        """(N,) camera of every sample."""
        return np.array([s.camera for s in self.samples], dtype=np.int64)


def fingerprint(*splits: Split, anywhere: bool = False) -> str:
    """A digest of ordered splits: names, persons and cameras of their samples. Pixels are not looked at.

    ``anywhere``: leave out what all names of a split begin with, so that a data set that was moved keeps its digest.
    """
    digest = sha256()
    for split in splits:
        names = [sample.image.name for sample in split.samples]
        begin = len(os.path.commonprefix(names)) if anywhere else 0  # noqa: RUF071  (no path is made of it)
        digest.update(b"\0".join(name[begin:].encode("utf-8", "surrogateescape") for name in names))
        digest.update(split.persons.tobytes() + split.cameras.tobytes())
    return digest.hexdigest()


@dataclass(frozen=True)
class ReIDData:
    """A data set as a protocol sees it."""

    name: str
    train: Split
    query: Split
    gallery: Split
    has_cameras: bool = True
    """False is the "no cameras" mode: every camera is ``NO_CAMERA`` and a query is only kept from matching itself."""
    notes: tuple[str, ...] = ()
    """What the reader dropped or noticed, in sentences for the user."""
    split_id: str = ""
    """``DataSet.split_id`` of the data set it was read from."""

    @property
    def remarks(self) -> tuple[str, ...]:
        """The notes as a user is told them: after the data set's name, which is one for all of its random splits."""
        name = self.split_id.partition("/")[0] or self.name
        return tuple(f"{name}: {note}" for note in self.notes)


@dataclass(frozen=True, slots=True)
class Expected:
    """Published counts of a data set's split (method.md 6), held against what is on disk by ``snreid data check``."""

    split: str
    """``"train"``, ``"query"``, ``"gallery"``, or ``"all"`` for the three together."""
    images: int
    persons: int | None = None
    cameras: int | None = None


class DataSet(ABC):
    """A data set by name; reading is a verb. Subclasses are frozen keyword-only dataclasses."""

    @property
    @abstractmethod
    def name(self) -> str:
        """The short name used on the command line and in results; it becomes part of file names."""

    @property
    def collection(self) -> str:
        """Where its images were taken, in a word: who is trained on one data set has *seen* every other one of its
        collection. The name, unless data sets of several names share their cameras."""
        return self.name

    @property
    def split_id(self) -> str:
        """Which one of several published or drawn splits this is, as in ``viper/3 (sha256 1a2b3c4d5e6f)``; every stored
        result names it. Empty where a data set has one split only."""
        return ""

    @abstractmethod
    def read(self, root: Path) -> ReIDData:
        """Samples with labels, without opening a single image.

        ``root`` is the user's data folder. Raises ``DataError`` (rule, found, fix) when something is missing.
        """

    @property
    def expected(self) -> tuple[Expected, ...]:
        """Published counts; empty when there are none."""
        return ()

    @property
    def home(self) -> str:
        """Where the data set's own page is, in words (no download is ever started)."""
        return ""


@dataclass(frozen=True)
class Features:
    """Embeddings of a split."""

    embeddings: NDArray[np.float32] | NDArray[np.float16]
    """(N, D), not necessarily normalized. float16 counts as the float32 numbers that it stands for."""
    persons: NDArray[np.int64]
    """(N,)"""
    cameras: NDArray[np.int64]
    """(N,)"""
    names: tuple[str, ...] = field(default=())
    """(N,) names of the images, or empty. Where a query and a gallery entry bear the same name, that entry is ignored."""


@dataclass(frozen=True)
class Scores:
    """What a ranking is worth, query by query; all shares are between 0 and 1 (shown in percent)."""

    average_precision: NDArray[np.float64]
    """(V,) one value per query that has a valid match, in the order of the queries."""
    inverse_negative_penalty: NDArray[np.float64]
    """(V,) matches / rank of the last match (INP; its mean is mINP)."""
    first_rank: NDArray[np.int64]
    """(V,) rank of the first match, from 1."""
    query_index: NDArray[np.int64]
    """(V,) which queries these are, as positions in the query split."""
    queries: int
    """All queries, with and without a valid match."""

    @property
    def skipped_queries(self) -> int:
        """Queries without a valid match: counted, shown, and in no mean."""
        return self.queries - len(self.average_precision)

    @property
    def mean_ap(self) -> float:
        """mAP, 0 to 1."""
        return float(self.average_precision.mean())

    @property
    def mean_inp(self) -> float:
        """mINP, 0 to 1."""
        return float(self.inverse_negative_penalty.mean())

    def rank(self, k: int) -> float:
        """Share (0 to 1) of the valid queries whose first match is among the first ``k``: CMC at ``k``."""
        return float((self.first_rank <= k).mean())

    def cmc(self, length: int) -> NDArray[np.float64]:
        """(length,) CMC at ranks 1 to ``length``."""
        return np.array([self.rank(k) for k in range(1, length + 1)])


@dataclass(frozen=True, slots=True)
class Interval:
    """A confidence interval, in the unit of the value it belongs to."""

    low: float
    high: float
    level: float = 0.95


@dataclass(frozen=True)
class RankList:
    """The first gallery entries of one query, for a person to look at."""

    query: int
    """Position in the query split."""
    gallery: NDArray[np.int64]
    """(K,) positions in the gallery split, best first, ignored entries included."""
    score: NDArray[np.float32]
    """(K,) similarity (cosine, or minus the Euclidean distance)."""
    verdict: tuple[str, ...]
    """(K,) ``"right"``, ``"wrong"`` or ``"ignored"`` (same person on the same camera, or junk)."""
