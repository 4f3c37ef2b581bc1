"""Catches NaN and infinity in the step in which they appear, before they reach a weight or a running statistic.

The verdict on a step is a number on the device, so the host need not wait for a GPU.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from snreid.errors import DivergenceError

MAX_SKIPPED = 3
"""Most consecutive steps that may be skipped because of a non-finite loss or gradient; one more ends the run."""


@dataclass
class FiniteGuard:
    """Decides for each step whether its update may be applied, and restores the buffers that a bad forward pass changed.

    ``forward`` updates the batch-norm statistics, so one NaN pixel would corrupt them for good even if the update is skipped:
    ``before`` copies them and ``undo`` restores the copy. ``verdict`` and ``undo`` run on the device without synchronizing;
    ``accept`` and ``refuse`` run on the host once it has read the verdict.
    """

    model: nn.Module
    in_a_row: int = 0
    """Bad steps since the last good one."""
    _kept: dict[torch.dtype, Tensor] = field(default_factory=dict)

    def before(self) -> None:
        """Copy the buffers (running statistics) before the forward passes of a step."""
        self._kept = {dtype: _joined(buffers) for dtype, buffers in self._buffers().items()}

    def verdict(self, loss: Tensor) -> Tensor:
        """() float32 on the loss's device: 0 if the loss and every gradient are finite, else 1."""
        gradients = [p.grad.detach() for p in self.model.parameters() if p.grad is not None]
        # NaN and infinity survive in the largest absolute value.
        norm = nn.utils.get_total_norm(gradients, math.inf) if gradients else loss.new_zeros(())
        return (~torch.isfinite(loss.detach().float() * 0 + norm.to(loss.device))).float()

    def undo(self, bad: Tensor) -> None:
        """Restore the buffers copied by ``before`` if ``bad`` (a ``verdict``) is 1, with few kernels for any number of buffers."""
        with torch.no_grad():
            for dtype, buffers in self._buffers().items():
                right = torch.where(bad > 0, self._kept[dtype], _joined(buffers))
                parts = torch.split(right, [buffer.numel() for buffer in buffers])
                torch._foreach_copy_(buffers, [p.view(b.shape) for p, b in zip(parts, buffers, strict=True)])

    def accept(self) -> None:
        """Record a good step."""
        self.in_a_row = 0

    def refuse(self, names: Sequence[str]) -> None:
        """Record a bad step on the images ``names``.

        Raises ``DivergenceError`` if a weight itself is not finite, or more than ``MAX_SKIPPED`` steps in a row were bad.
        """
        self.in_a_row += 1
        broken = next((n for n, p in self.model.named_parameters() if not bool(torch.isfinite(p).all())), None)
        if broken is not None or self.in_a_row > MAX_SKIPPED:
            raise diverged(broken or f"{self.in_a_row} steps in a row without a finite loss and gradient", names)

    def _buffers(self) -> dict[torch.dtype, list[Tensor]]:
        """Buffers by dtype, because only tensors of one dtype can be joined. Not cached: a model may replace its buffers."""
        by_type: dict[torch.dtype, list[Tensor]] = {}
        for buffer in self.model.buffers():
            by_type.setdefault(buffer.dtype, []).append(buffer)
        return by_type


def _joined(buffers: Sequence[Tensor]) -> Tensor:
    return torch.cat([buffer.detach().reshape(-1) for buffer in buffers])


def diverged(what: str, names: Iterable[str]) -> DivergenceError:
    """The error for a run that produced NaN or infinity, naming the images of the batch."""
    return DivergenceError(
        "Losses, gradients and weights must stay finite",
        found=f"{what}; the batch was: {', '.join(names)}",
        fix="repair or leave out these images and start the same command, which continues from the last good checkpoint; or start again "
        "in another --out folder with a lower learning rate (--optimizer.lr, of MAR --lr)",
    )
