"""What an adaptation works on: built objects, no folders to look for and no labels of the target."""

from dataclasses import dataclass

from rich.console import Console

from snreid.adaptation.unlabelled import Unlabelled
from snreid.errors import ExperimentError
from snreid.experiments.experiment import Experiment
from snreid.images.loading import PixelStore
from snreid.inference.embedder import Embedder
from snreid.models.reid import ReIDModel
from snreid.system.machine import Machine
from snreid.training.distributed import ProcessGroup
from snreid.training.training_set import TrainingSet


@dataclass(frozen=True)
class SourceImages:
    """The labelled images that the run was trained on."""

    training: TrainingSet
    """Persons are the classes of the model's classifier."""
    store: PixelStore
    """Their opened images, row by row."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """A model to adapt in place, and what it may see."""

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
    machine: Machine
    """``machine.out`` is the folder of the adaptation; checkpoints belong below ``machine.out / "checkpoints"``."""
    group: ProcessGroup
    console: Console

    @property
    def labelled(self) -> SourceImages:
        """The source images. Raises ``ExperimentError`` when the method did not ask for them."""
        if self.source is None:
            raise ExperimentError("A method that looks at source images says so", found="needs_source is False")
        return self.source

    def embedder(self) -> Embedder:
        """The model as it is now, embedding in eval mode."""
        return Embedder(self.model, self.experiment.input, device=str(self.group.device), bf16=self.machine.bf16)
