"""FAMILY of unsupervised adaptations: frozen values that change a trained model by a target's images, never by its labels (method.md 7).

A method is a frozen keyword-only dataclass with one verb, ``fit``, which changes the model of a ``Job`` in place. ``adapt_run`` reads
what it needs, calls it and leaves a run folder that every other command takes.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from snreid.adaptation.job import Job, SourceImages
from snreid.adaptation.unlabelled import Unlabelled
from snreid.errors import ExperimentError
from snreid.experiments.experiment import Experiment
from snreid.experiments.serialization import from_json, known_kinds, to_json


@dataclass(frozen=True, kw_only=True)
class Adaptation(ABC):
    """An adaptation as a value; its fields are flags of ``snreid adapt``."""

    name: ClassVar[str]
    """On the command line and in folders' names."""
    as_delta: ClassVar[bool] = False
    """Whether so little of the model changes that only this is stored, beside the source run."""

    seed: int = 0
    """All randomness is a pure function of it."""

    def __post_init__(self) -> None:
        """Raises ``ExperimentError`` for settings that cannot be."""
        if not 0 <= self.seed < 2**32:
            raise ExperimentError("The seed is between 0 and 2^32 - 1", found=str(self.seed), fix="use --seed 0")

    @classmethod
    def for_experiment(cls, experiment: Experiment) -> Self:
        """The method as it starts for a run of ``experiment``: with its seed, and settings that fit its preset. No target decides them."""
        return cls(seed=experiment.seed)

    @property
    def needs_source(self) -> bool:
        """Whether the labelled source images are looked at; they have to be on disk then."""
        return False

    @abstractmethod
    def fit(self, job: Job) -> Mapping[str, Any]:
        """Adapts ``job.model`` in place and returns facts for the record, as JSON.

        What takes longer than seconds saves its state below ``job.machine.out / "checkpoints"`` and goes on from there when it is called
        again, with the same weights at the end; SIGTERM or Ctrl-C ends it with ``Interrupted``, the state saved. Raises ``DataError``,
        ``ExperimentError``, ``CheckpointError``, ``DivergenceError``, ``Interrupted``.
        """

    def to_json(self) -> Any:
        """The method as JSON; ``Adaptation.from_json`` reads it back equal."""
        return to_json(self)

    @staticmethod
    def from_json(data: Any) -> "Adaptation":
        """Raises ``ExperimentError`` naming the field that is wrong."""
        # The base is abstract; what comes back is one of its subclasses.
        return from_json(Adaptation, data, "adaptation")  # type: ignore[type-abstract]

    def is_in(self, stored: Any) -> bool:
        """Whether the JSON ``stored`` is this very method; written by an older version it may lack a field."""
        try:
            return Adaptation.from_json(stored) == self
        except ExperimentError:
            return False


def methods() -> dict[str, type[Adaptation]]:
    """Every method by its name."""
    kinds: list[type[Adaptation]] = list(known_kinds(Adaptation).values())
    return {kind.name: kind for kind in sorted(kinds, key=lambda kind: kind.name)}


from snreid.adaptation.adaptive_bn import AdaptiveBN  # noqa: E402  (the base has to exist first)
from snreid.adaptation.clustering import ClusterContrast  # noqa: E402
from snreid.adaptation.folder import adapt_run  # noqa: E402
from snreid.adaptation.mar import MAR  # noqa: E402

__all__ = [
    "MAR",
    "Adaptation",
    "AdaptiveBN",
    "ClusterContrast",
    "Job",
    "SourceImages",
    "Unlabelled",
    "adapt_run",
    "methods",
]
