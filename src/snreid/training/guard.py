"""What protects a training run: NaN and infinity are caught in the step they appear, SIGTERM and Ctrl-C end the run
after the current step. The decision on a step is a number on the device, so that a GPU need not be waited for.

docs/reliability.md R3 and R4 say with which numbers.
"""

import math
import os
import signal
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from types import FrameType, TracebackType
from typing import Any

import torch
from torch import Tensor, nn

from snreid.errors import DivergenceError, Interrupted, UserInterrupted

MAX_SKIPPED = 3
"""So many steps in a row may be skipped because of a non-finite loss or gradient; one more ends the run."""


class StopSignal:
    """Turns SIGTERM and Ctrl-C (SIGINT) into a request that the loop answers after the current step; a second one of the same kind
    ends the process at once. Ctrl-C is left alone where it would not raise ``KeyboardInterrupt``: somebody else has decided what it does.

    While ``deferring`` is off (validation, nothing half done) the first signal raises ``Interrupted`` there and then. A request that
    nobody has answered when the block ends without an error raises it at the end, so none is lost: not one that comes after the last
    look, and not one whose ``Interrupted`` was swallowed (Python does that inside ``__del__``).
    """

    def __init__(self) -> None:
        self.came: int | None = None
        """The first signal."""
        self.deferring = True
        self._before: dict[int, Any] = {}

    @property
    def requested(self) -> bool:
        """Whether a signal came."""
        return self.came is not None

    def __enter__(self) -> "StopSignal":
        # Only the main thread may set handlers; a loop in another thread is stopped by whoever owns the process.
        if threading.current_thread() is threading.main_thread():
            self._take(signal.SIGTERM)
            if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
                self._take(signal.SIGINT)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)
        if self.requested and kind is None:
            raise stopped(self.came)

    def interruptible(self) -> None:
        """From here on a signal raises at once, also one that has come already."""
        self.deferring = False
        if self.requested:
            raise stopped(self.came)

    def _take(self, number: int) -> None:
        self._before[number] = signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        first, self.came = self.came is None, self.came or number
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
        if not first:
            return  # SIGTERM behind Ctrl-C, as the parent of ``--jobs`` sends it, must not disturb who saves because of the first
        if not self.deferring:
            raise stopped(number)
        if number == signal.SIGINT:
            # Past Python's streams: the signal may have come while one of them was being written to.
            os.write(2, b"\nsnreid: Ctrl-C: finishing and saving the current step; once more ends it at once\n")


def stopped(came: int | None = None) -> Interrupted:
    """The error a run ends with after the signal ``came``; None: another process of the job got one."""
    by_hand = came == signal.SIGINT
    name = "Ctrl-C" if by_hand else "SIGTERM"
    return (UserInterrupted if by_hand else Interrupted)(
        f"{name} asks a run to stop after the current step",
        found=name,
        fix="start the same command again to continue",
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
        found=f"{what}; the batch was: {', '.join(names)}",
        fix="repair or leave out these images and start the same command, which continues from the last good checkpoint; or start anew "
        "in another --out folder with a lower learning rate (--optimizer.lr, of MAR --lr)",
    )
