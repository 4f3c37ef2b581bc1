"""The input of an adaptation, as built objects; it holds no labels of the target."""

from dataclasses import dataclass

from snreid.adaptation.unlabelled import Unlabelled
from snreid.errors import ExperimentError
from snreid.experiments.experiment import Experiment
from snreid.experiments.run_folder import RunFolder
from snreid.images.loading import PixelStore
from snreid.inference.embedder import Embedder
from snreid.models.reid import ReIDModel
from snreid.training.session import Session
from snreid.training.training_set import TrainingSet


@dataclass(frozen=True)
class SourceImages:
    """The labelled images that the run was trained on."""

    training: TrainingSet
    """Its persons are the classes of the model's classifier."""
    store: PixelStore
    """Their opened images, row by row."""


@dataclass(frozen=True, kw_only=True)
class AdaptationJob:
    """A model to adapt in place, and the images for it."""

    experiment: Experiment
    """Experiment of the source run."""
    model: ReIDModel
    """The source run's model, on its device; adapted in place."""
    target: Unlabelled
    """The readable images of the target."""
    store: PixelStore
    """The target's opened images, row by row, at the size the network sees."""
    source: SourceImages | None
    """None unless the method ``needs_source``."""
    folder: RunFolder
    """Folder of the adapted run; it trains plans and keeps their checkpoints."""

    @property
    def session(self) -> Session:
        """The session of the run folder."""
        return self.folder.session

    @property
    def labelled(self) -> SourceImages:
        """Returns the source images. Raises ``ExperimentError`` if the method did not request them."""
        if self.source is None:
            raise ExperimentError("A method that uses source images says so", found="needs_source is False")
        return self.source

    def embedder(self) -> Embedder:
        """Returns an embedder for the current model, in eval mode."""
        session = self.session
        return Embedder(self.model, self.experiment.input, device=session.device, bf16=session.machine.bf16)
