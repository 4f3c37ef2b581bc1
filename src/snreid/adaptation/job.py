"""What an adaptation works on: built objects, no folders to search and no labels of the target."""

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
    """Persons are the classes of the model's classifier."""
    store: PixelStore
    """Their opened images, row by row."""


@dataclass(frozen=True, kw_only=True)
class AdaptationJob:
    """A model to adapt in place, and the images for it."""

    experiment: Experiment
    """Of the source run."""
    model: ReIDModel
    """On its device, with the weights of the source run; changed in place."""
    target: Unlabelled
    """Only images that can be read."""
    store: PixelStore
    """The target's opened images, row by row, at the size the network sees."""
    source: SourceImages | None
    """None unless the method ``needs_source``."""
    folder: RunFolder
    """The folder of the adapted run; trains plans and keeps their checkpoints."""

    @property
    def session(self) -> Session:
        """Where and how to compute."""
        return self.folder.session

    @property
    def labelled(self) -> SourceImages:
        """The source images. Raises ``ExperimentError`` if the method did not ask for them."""
        if self.source is None:
            raise ExperimentError("A method that uses source images says so", found="needs_source is False")
        return self.source

    def embedder(self) -> Embedder:
        """The model as it is now, embedding in eval mode."""
        session = self.session
        return Embedder(self.model, self.experiment.input, device=session.device, bf16=session.machine.bf16)
