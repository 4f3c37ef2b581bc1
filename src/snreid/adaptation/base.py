"""The base class of adaptation methods."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

from snreid.adaptation.job import AdaptationJob
from snreid.errors import ExperimentError
from snreid.experiments.experiment import Experiment
from snreid.experiments.serialization import from_json, known_kinds, to_json
from snreid.losses import DualCausality, EntropyCausality, Loss


@dataclass(frozen=True, kw_only=True)
class Adaptation(ABC):
    """An adaptation as a value; its fields are flags of ``snreid adapt``."""

    name: ClassVar[str]
    """Name on the command line and in folder names."""
    as_delta: ClassVar[bool] = False
    """Store only the weights that changed, and read the others from the source run."""

    seed: int = 0
    """All randomness is a pure function of it."""

    def __post_init__(self) -> None:
        if not 0 <= self.seed < 2**32:
            raise ExperimentError("The seed is between 0 and 2^32 - 1", found=str(self.seed), fix="use --seed 0")

    @classmethod
    def for_experiment(cls, experiment: Experiment) -> Self:
        """Returns the method with the seed of ``experiment`` and settings that fit its preset. They never depend on a target."""
        return cls(seed=experiment.seed)

    @property
    def needs_source(self) -> bool:
        """Whether the method uses the labelled source images, which must then be on disk."""
        return False

    @abstractmethod
    def fit(self, job: AdaptationJob) -> Mapping[str, Any]:
        """Adapts ``job.model`` in place.

        A method that takes longer than seconds trains with ``job.folder.loop``: it saves its state, so that repeating the call resumes
        training and ends with the same weights.

        Returns:
            Facts for the record, as JSON.

        Raises:
            DataError: There are too few images.
            ExperimentError: The settings do not fit the images.
            CheckpointError: A training state is missing or damaged.
            DivergenceError: The loss is no longer finite.
            Interrupted: After SIGTERM or Ctrl-C; the state is saved.
        """

    def to_json(self) -> Any:
        """The method as JSON; ``Adaptation.from_json`` reads it back equal."""
        return to_json(self)

    @staticmethod
    def from_json(data: Any) -> "Adaptation":
        """Raises ``ExperimentError`` naming the field that is wrong."""
        # The base is abstract; the result is an instance of a subclass.
        return from_json(Adaptation, data, "adaptation")  # type: ignore[type-abstract]

    def is_in(self, stored: Any) -> bool:
        """Whether the JSON ``stored`` describes this method and settings; an older version may have written fewer fields."""
        try:
            return Adaptation.from_json(stored) == self
        except ExperimentError:
            return False


def causality_losses(experiment: Experiment, factor: float) -> tuple[Loss, ...]:
    """The causality losses of a run, their weights multiplied by ``factor``; those of weight 0 are left out."""
    return weighted((loss for loss in experiment.losses if isinstance(loss, DualCausality | EntropyCausality)), factor)


def weighted(losses: Iterable[Loss], factor: float) -> tuple[Loss, ...]:
    """The losses, their weights multiplied by ``factor``; those of weight 0 are left out."""
    scaled = [replace(loss, weight=loss.weight * factor) for loss in losses]
    return tuple(loss for loss in scaled if loss.weight > 0)


def methods() -> dict[str, type[Adaptation]]:
    """Every method by its name."""
    kinds: list[type[Adaptation]] = list(known_kinds(Adaptation).values())
    return {kind.name: kind for kind in sorted(kinds, key=lambda kind: kind.name)}
