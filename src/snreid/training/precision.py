"""Mixed precision: which devices support it, and the loss scale that keeps float16 gradients from underflowing."""

import torch
from torch import Tensor

from snreid.errors import ExperimentError
from snreid.system.machine import Precision

_START = 2.0**16
_PATIENCE = 2000


def require_precision(precision: Precision, device: torch.device) -> None:
    """Raises ``ExperimentError`` for float16 on a CPU, which has no kernels to train in it."""
    if precision == "fp16" and device.type != "cuda":
        raise ExperimentError(
            "The precision fp16 is for GPUs",
            found=f"--precision fp16 on the device {device}",
            fix="use --precision bf16 (a CPU with bfloat16 units), or float32",
        )


def autocast(precision: Precision, device_type: str) -> torch.autocast:
    """Returns the autocast context for a forward pass; for ``float32`` it is disabled."""
    half = torch.float16 if precision == "fp16" else torch.bfloat16
    return torch.autocast(device_type, half, enabled=precision != "float32")


class LossScale:
    """The factor on the loss under float16, by the rule of torch's ``GradScaler`` (Micikevicius et al., arXiv 1710.03740).

    It halves after a step with non-finite gradients and doubles after 2000 good steps in a row. Both numbers live on the device, so
    that the host does not wait, and in the checkpoint (``tensors``).
    """

    def __init__(self, device: torch.device) -> None:
        self.factor = torch.full((), _START, device=device)
        """() float32, a power of 2."""
        self.streak = torch.zeros((), device=device)
        """() float32: good steps since the factor last changed."""

    def update(self, bad: Tensor) -> None:
        """Updates the factor after a step; ``bad``: () 0 or 1."""
        refused = bad > 0
        streak = torch.where(refused, 0.0, self.streak + 1)
        grown = streak >= _PATIENCE
        self.factor = torch.where(refused, self.factor / 2, torch.where(grown, self.factor * 2, self.factor))
        self.streak = torch.where(grown, 0.0, streak)

    def tensors(self) -> dict[str, Tensor]:
        """Returns the state to store in a checkpoint."""
        return {"factor": self.factor, "streak": self.streak}

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Restores what ``tensors`` returned. A run begun in another precision stored nothing, so the scale keeps its initial value."""
        if tensors:
            self.factor = tensors["factor"].to(self.factor.device)
            self.streak = tensors["streak"].to(self.streak.device)
