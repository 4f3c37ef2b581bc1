"""Models that were not trained here, as rows of a report: networks in files, and embeddings in files."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from snreid.analysis.diagnosis import require_rows
from snreid.evaluation import read_features
from snreid.experiments.scoring import Result, features_path, save_result, score
from snreid.experiments.targets import TargetFeatures, embed_target
from snreid.images.reading import FileImage, Interpolation
from snreid.inference.embedder import EmbedBatch
from snreid.records import NO_CAMERA, DataSet, Features, ReIDData, Sample, Split
from snreid.training.session import Session


@dataclass(frozen=True, kw_only=True, eq=False)
class OtherModel(ABC):
    """A row of a report that is no run. Embeddings are compared by cosine."""

    name: str
    """Name in tables: that of the file."""
    about: ClassVar[str]
    """A sentence on what it is."""

    @property
    def label(self) -> str:
        """The name."""
        return self.name

    @abstractmethod
    def score(self, data: ReIDData, session: Session) -> Result:
        """Scores a target. Raises ``DataError`` as ``embed_target``, ``require_rows`` and ``evaluate`` do."""

    @abstractmethod
    def features(self, target: str) -> tuple[Features, Features]:
        """Query and gallery features of a scored target."""


@dataclass(frozen=True, kw_only=True, eq=False)
class NetworkFile(OtherModel):
    """A network in a file."""

    about = "A network in a file, which does not tell what it was trained on and how it was chosen."
    embed: EmbedBatch
    size: tuple[int, int]
    """Height and width of its input images, pixels."""
    by: Interpolation = "bilinear"
    """How its images are resized."""
    results: Path
    """Folder where its scores and embeddings are kept."""

    def score(self, data: ReIDData, session: Session) -> Result:
        """Embeds and scores a target, and keeps both."""
        embedded = embed_target(self.embed, self.size, data, session, self.results, by=self.by)
        result = score(embedded, "cosine", session.group)
        if session.first:
            save_result(self.results, result, embedded)
        return result

    def features(self, target: str) -> tuple[Features, Features]:
        """The kept embeddings."""
        return read_features(features_path(self.results, target))


@dataclass(frozen=True, kw_only=True, eq=False)
class FeaturesFile(OtherModel):
    """Embeddings of one target in a file."""

    about = "Embeddings in a file, which do not tell what their network was trained on and how it was chosen."
    query: Features
    gallery: Features

    def score(self, data: ReIDData, session: Session) -> Result:
        """Scores the embeddings if they are those of the target."""
        require_rows(self.query, self.gallery, data)
        return score(TargetFeatures(self.query, self.gallery, data), "cosine", session.group)

    def features(self, target: str) -> tuple[Features, Features]:
        """The embeddings."""
        return self.query, self.gallery


@dataclass(frozen=True, kw_only=True, eq=False)
class EmbeddedImages(DataSet):
    """The images behind embeddings, as a target. They can be shown where their names are files."""

    name: str = "embeddings"
    query: Features
    gallery: Features

    def read(self, root: Path) -> ReIDData:
        """The rows of query and gallery."""
        known = any((side.cameras != NO_CAMERA).any() for side in (self.query, self.gallery))
        return ReIDData(self.name, Split(()), _images(self.query), _images(self.gallery), known)


def _images(features: Features) -> Split:
    names = features.names or tuple(f"row {row}" for row in range(len(features.persons)))
    labels = zip(names, features.persons.tolist(), features.cameras.tolist(), strict=True)
    return Split(tuple(Sample(FileImage(name), person, camera) for name, person, camera in labels))
