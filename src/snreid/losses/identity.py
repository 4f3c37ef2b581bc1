"""Identity loss: cross-entropy with label smoothing over the training identities (method.md section 3)."""

from dataclasses import dataclass

from torch.nn import functional

from snreid.distances import full_precision
from snreid.errors import ExperimentError
from snreid.losses import Loss
from snreid.outputs import Outputs
from snreid.tensors import Logits, PersonIds, Scalar


@dataclass(frozen=True, kw_only=True)
class CrossEntropy(Loss):
    """L_id: cross-entropy of the classifier, averaged over the batch, in nats; >= 0."""

    label_smoothing: float = 0.1
    """Share of the target spread evenly over all N identities, 0 <= share < 1."""

    def __post_init__(self) -> None:
        """Raises ``ExperimentError`` for a smoothing outside [0, 1)."""
        super().__post_init__()
        if not 0 <= self.label_smoothing < 1:
            raise ExperimentError(
                "Label smoothing is a share of at least 0 and below 1",
                came=str(self.label_smoothing),
                repair="use 0.1, or 0 for plain cross-entropy",
            )

    def __call__(self, outputs: Outputs, persons: PersonIds) -> Scalar:
        """See ``smoothed_cross_entropy``."""
        return smoothed_cross_entropy(outputs.logits, persons, self.label_smoothing)


def smoothed_cross_entropy(logits: Logits, persons: PersonIds, smoothing: float) -> Scalar:
    """Mean over images of -sum_k q_k log softmax(logits)_k with q = (1 - smoothing) onehot + smoothing / N.

    ``logits``: (B, N); ``persons``: (B,) between 0 and N - 1 (``IndexError`` from torch otherwise).
    """
    return functional.cross_entropy(full_precision(logits), persons, label_smoothing=smoothing)
