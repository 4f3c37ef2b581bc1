"""Frozen records shared by all layers: images with labels, splits, features, scores. Does not use torch."""

import os
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

NO_CAMERA = -1
"""Camera id of an image whose camera is unknown; the same-camera rule is then off."""
JUNK = -1
"""Person id of a gallery image that is dropped for every query (Market-1501's ``-1``)."""
NO_TRACK = -1
"""Track of an image that belongs to none."""
DISTRACTOR = 0
"""Person id that a data set's reader gives to distractors, such as Market-1501's: they stay in the gallery, and no query bears it."""

_NOTHING = frozenset({"", "nan", "none", "null", "na", "n/a"})


def is_missing(label: str | None) -> bool:
    """Whether a label is empty, or a word that programs write for it."""
    return label is None or label.strip().lower() in _NOTHING


SPLIT_WORDS = {
    "train": "train",
    "training": "train",
    "val": "train",
    "validation": "train",
    "bounding_box_train": "train",
    "query": "query",
    "probe": "query",
    "gallery": "gallery",
    "bounding_box_test": "gallery",
    "test": "test",
}
"""How people call the parts of a data set -> train, query, gallery, or test for query and gallery in one."""


@runtime_checkable
class ImageSource(Protocol):
    """A source of pixels: a file or a renderer."""

    @property
    def name(self) -> str:
        """Name shown to users: a path, or a drawn image's name. Unique within a split."""
        ...

    def read(self) -> NDArray[np.uint8]:
        """Returns RGB pixels, (H, W, 3), uint8. Raises ``DataError`` naming the image and the reason."""
        ...


@runtime_checkable
class Stamped(Protocol):
    """An image source whose pixels can be cached, because it can tell whether they have changed."""

    def stamp(self) -> str | None:
        """Identifies the pixels without reading them: equal stamps mean equal pixels. None if that is unknown."""
        ...


def stamp_of(image: ImageSource) -> str | None:
    """Returns the stamp of an image source, or None if it has none."""
    return image.stamp() if isinstance(image, Stamped) else None


@dataclass(frozen=True, slots=True)
class Sample:
    """One image with its labels."""

    image: ImageSource
    person: int
    """Identity within its data set: >= 1 a person, 0 a distractor."""
    camera: int
    """Camera within its data set, >= 1, or ``NO_CAMERA``."""
    track: int = NO_TRACK
    """Images of a person on a camera in a row: number within its data set, >= 1, or ``NO_TRACK``."""


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

    @cached_property
    def tracks(self) -> NDArray[np.int64]:
        """(N,) track of every sample."""
        return np.array([s.track for s in self.samples], dtype=np.int64)


def fingerprint(*splits: Split, anywhere: bool = False) -> str:
    """Returns a digest of the names, persons and cameras of ordered splits. It does not read pixels.

    ``anywhere``: ignore the common prefix of all names of a split, so that a moved data set keeps its digest.
    """
    digest = sha256()
    for split in splits:
        names = [sample.image.name for sample in split.samples]
        begin = len(os.path.commonprefix(names)) if anywhere else 0  # noqa: RUF071  (not used as a path)
        digest.update(b"\0".join(name[begin:].encode("utf-8", "surrogateescape") for name in names))
        digest.update(split.persons.tobytes() + split.cameras.tobytes())
    return digest.hexdigest()


def first_images(persons: NDArray[np.int64], cameras: NDArray[np.int64], *, every: bool = False) -> list[int]:
    """Which images of a test set are its queries where nothing says so.

    Args:
        persons: (N,) identity of every image.
        cameras: (N,) camera of every image.
        every: Whether every image with a match is one.

    Returns:
        Positions of the first image of every person on every camera, if the person has a match: is on another camera too, or has another
        image whose camera is unknown.
    """
    places = np.where(cameras == NO_CAMERA, -2 - np.arange(len(cameras)), cameras).tolist()  # unknown: one of its own
    met: defaultdict[int, set[int]] = defaultdict(set)
    for person, place in zip(persons.tolist(), places, strict=True):
        met[person].add(place)
    keys = list(zip(persons.tolist(), cameras.tolist(), strict=True))
    matched = [position for position, (person, _) in enumerate(keys) if len(met[person]) > 1]
    return matched if every else list({keys[position]: position for position in reversed(matched)}.values())[::-1]


@dataclass(frozen=True)
class ReIDData:
    """A data set as a protocol sees it."""

    name: str
    train: Split
    query: Split
    gallery: Split
    has_cameras: bool = True
    """False for data without camera labels: every camera is ``NO_CAMERA`` and a query ignores only itself."""
    notes: tuple[str, ...] = ()
    """Sentences for the user on what the reader dropped or noticed."""
    split_id: str = ""
    """``DataSet.split_id`` of the data set it was read from."""

    @property
    def remarks(self) -> tuple[str, ...]:
        """The notes, each prefixed with the data set's name (the same for all of its random splits)."""
        name = self.split_id.partition("/")[0] or self.name
        return tuple(f"{name}: {note}" for note in self.notes)


@dataclass(frozen=True, slots=True)
class Expected:
    """Published counts of a data set's split (method.md 6); ``snreid data check`` compares the data on disk with them."""

    split: str
    """``"train"``, ``"query"``, ``"gallery"``, or ``"all"`` for the three together."""
    images: int
    persons: int | None = None
    cameras: int | None = None


class DataSet(ABC):
    """A named data set, read on demand. Subclasses are frozen keyword-only dataclasses."""

    @property
    @abstractmethod
    def name(self) -> str:
        """Short name on the command line, in results and in file names."""

    @property
    def collection(self) -> str:
        """Name of the camera network: training on one data set makes all others of its collection *seen*. Equals the
        data set's name, unless data sets of several names share their cameras."""
        return self.name

    @property
    def split_id(self) -> str:
        """Which of several published or random splits this is, as in ``viper/3 (sha256 1a2b3c4d5e6f)``; stored with every
        result. Empty if the data set has only one split."""
        return ""

    @abstractmethod
    def read(self, root: Path) -> ReIDData:
        """Reads samples with labels, without opening any image.

        ``root`` is the user's data folder. Raises ``DataError`` (rule, found, fix) if something is missing.
        """

    @property
    def expected(self) -> tuple[Expected, ...]:
        """Published counts; empty if there are none."""
        return ()

    @property
    def home(self) -> str:
        """Where to find the data set's web page (nothing is ever downloaded)."""
        return ""


@dataclass(frozen=True)
class Features:
    """Embeddings of a split."""

    embeddings: NDArray[np.float32] | NDArray[np.float16]
    """(N, D), not necessarily normalized. float16 values are used as float32."""
    persons: NDArray[np.int64]
    """(N,)"""
    cameras: NDArray[np.int64]
    """(N,)"""
    names: tuple[str, ...] = field(default=())
    """(N,) names of the images, or empty. Where no camera tells, a query ignores its person's gallery entry of the same name."""
    camera_names: Mapping[int, str] = field(default_factory=dict)
    """Camera -> what it is called, where its name is not its number."""
    person_names: Mapping[int, str] = field(default_factory=dict)
    """Person -> what it is called, likewise."""

    def camera_text(self, camera: int) -> str:
        """The name of a camera, or its number as text."""
        return self.camera_names.get(camera, str(camera))


@dataclass(frozen=True)
class Scores:
    """Per-query scores of a ranking; all shares are between 0 and 1 (shown in percent)."""

    average_precision: NDArray[np.float64]
    """(V,) average precision of each query with a valid match, in query order."""
    inverse_negative_penalty: NDArray[np.float64]
    """(V,) matches / rank of the last match (INP; its mean is mINP)."""
    first_rank: NDArray[np.int64]
    """(V,) rank of the first match, from 1."""
    query_index: NDArray[np.int64]
    """(V,) positions of these queries in the query split."""
    queries: int
    """Number of all queries, with or without a valid match."""
    persons: NDArray[np.int64]
    """(V,) the person of each of the valid queries: intervals draw persons."""

    @property
    def skipped_queries(self) -> int:
        """Number of queries without a valid match, which no mean includes."""
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
        """Returns CMC at ``k``: the share (0 to 1) of valid queries whose first match is within rank ``k``."""
        return float((self.first_rank <= k).mean())

    def cmc(self, length: int) -> NDArray[np.float64]:
        """Returns CMC at ranks 1 to ``length``, (length,)."""
        return np.array([self.rank(k) for k in range(1, length + 1)])


@dataclass(frozen=True, slots=True)
class Interval:
    """A confidence interval, in the unit of the value it belongs to."""

    low: float
    high: float
    level: float = 0.95


@dataclass(frozen=True)
class RankList:
    """The first gallery entries of one query, for display."""

    query: int
    """Position in the query split."""
    gallery: NDArray[np.int64]
    """(K,) positions in the gallery split, best first, ignored entries included."""
    score: NDArray[np.float32]
    """(K,) similarity (cosine, or minus the Euclidean distance)."""
    verdict: tuple[str, ...]
    """(K,) ``"right"``, ``"wrong"`` or ``"ignored"`` (same person on the same camera, or junk)."""
