"""What protects a training run: NaN and infinity are caught in the step they appear, SIGTERM ends the run after
the current step. The decision on a step is a number on the device, so that a GPU need not be waited for.

docs/reliability.md R3 and R4 say with which numbers.
"""

import math
import signal
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from types import FrameType, TracebackType

import torch
from torch import Tensor, nn

from snreid.errors import DivergenceError, Interrupted

MAX_SKIPPED = 3
"""So many steps in a row may be skipped because of a non-finite loss or gradient; one more ends the run."""


class StopSignal:
    """Turns SIGTERM into a request that the loop answers after the current step; a second SIGTERM ends the process at once.

    While ``deferring`` is off (validation, nothing half done) the first SIGTERM raises ``Interrupted`` there and then. A request that
    nobody has answered when the block ends without an error raises it at the end, so none is lost: not one that comes after the last
    look, and not one whose ``Interrupted`` was swallowed (Python does that inside ``__del__``).
    """

    def __init__(self) -> None:
        self.requested = False
        self.deferring = True
        self._before: object = None

    def __enter__(self) -> "StopSignal":
        # Only the main thread may set handlers; a loop in another thread is stopped by whoever owns the process.
        if threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGTERM, self._on_signal)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._before is not None:
            signal.signal(signal.SIGTERM, self._before)  # type: ignore[arg-type]
        if self.requested and kind is None:
            raise stopped()

    def interruptible(self) -> None:
        """From here on SIGTERM raises at once, also one that has come already."""
        self.deferring = False
        if self.requested:
            raise stopped()

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self.requested = True
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        if not self.deferring:
            raise stopped()


def stopped() -> Interrupted:
    """The error a run ends with after SIGTERM."""
    return Interrupted(
        "SIGTERM asks a run to stop after the current step",
        came="SIGTERM",
        repair="start the same command again to continue",
    )


@dataclass
class FiniteGuard:
    """Decides for each step whether its update may be applied, and puts back what a bad forward pass has touched.

    Batch-norm statistics are updated inside ``forward``, so one NaN pixel would poison them for good even if the
    update is skipped: ``before`` keeps a copy that ``undo`` restores. ``verdict`` and ``undo`` work on the device and
    make no host wait for it; ``accept`` and ``refuse`` are for the host, whenever it has seen the verdict.
    """

    model: nn.Module
    in_a_row: int = 0
    """Bad steps since the last good one."""
    _kept: dict[torch.dtype, Tensor] = field(default_factory=dict)

    def before(self) -> None:
        """Remember the buffers (running statistics) before the forward passes of a step."""
        self._kept = {dtype: _joined(buffers) for dtype, buffers in self._buffers().items()}

    def verdict(self, loss: Tensor) -> Tensor:
        """() float32 on the loss's device: 0 where the loss and every gradient are finite, else 1. Looks at the largest, in which NaN
        and infinity survive."""
        gradients = [p.grad.detach() for p in self.model.parameters() if p.grad is not None]
        norm = nn.utils.get_total_norm(gradients, math.inf) if gradients else loss.new_zeros(())
        return (~torch.isfinite(loss.detach().float() * 0 + norm.to(loss.device))).float()

    def undo(self, bad: Tensor) -> None:
        """Puts the buffers back to what they were ``before``, if ``bad`` (a ``verdict``) is 1; in few kernels however many there are."""
        with torch.no_grad():
            for dtype, buffers in self._buffers().items():
                right = torch.where(bad > 0, self._kept[dtype], _joined(buffers))
                parts = torch.split(right, [buffer.numel() for buffer in buffers])
                torch._foreach_copy_(buffers, [p.view(b.shape) for p, b in zip(parts, buffers, strict=True)])

    def accept(self) -> None:
        """The step was good."""
        self.in_a_row = 0

    def refuse(self, names: Sequence[str]) -> None:
        """The step was bad: counts.

        Raises ``DivergenceError`` with the ``names`` of the batch's images when a weight itself is not finite, or
        after more than ``MAX_SKIPPED`` bad steps in a row.
        """
        self.in_a_row += 1
        broken = next((n for n, p in self.model.named_parameters() if not bool(torch.isfinite(p).all())), None)
        if broken is not None or self.in_a_row > MAX_SKIPPED:
            raise diverged(broken or f"{self.in_a_row} steps in a row without a finite loss and gradient", names)

    def _buffers(self) -> dict[torch.dtype, list[Tensor]]:
        """By type, as only tensors of one type can be joined; asked anew, as a model may have put others in their place."""
        found: dict[torch.dtype, list[Tensor]] = {}
        for buffer in self.model.buffers():
            found.setdefault(buffer.dtype, []).append(buffer)
        return found


def _joined(buffers: Sequence[Tensor]) -> Tensor:
    return torch.cat([buffer.detach().reshape(-1) for buffer in buffers])


def diverged(what: str, names: Iterable[str]) -> DivergenceError:
    """The error of a run that met NaN or infinity, naming the images of the batch."""
    return DivergenceError(
        "Losses, gradients and weights must stay finite",
        came=f"{what}; the batch was: {', '.join(names)}",
        repair="repair or leave out these images and start the same command, which continues from the last good checkpoint; or start anew "
        "in another --out folder with a lower learning rate (--optimizer.lr, of MAR --lr)",
    )
