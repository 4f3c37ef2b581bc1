"""SIGTERM and Ctrl-C end a training run after the current step."""

import os
import signal
import threading
from types import FrameType
from typing import Any

from snreid.errors import Interrupted, UserInterrupted


class StopSignal:
    """A context that turns SIGTERM and Ctrl-C (SIGINT) into a stop request, which the loop handles after the current step.

    A second signal of the same kind ends the process at once. Ctrl-C is left alone if its handler is not Python's own.

    While ``deferring`` is off (nothing is half done, as in validation), a signal raises ``Interrupted`` at once. A request still pending
    when the block ends without an error raises it there. So no signal is lost, not even one that arrives after the loop's last check, or
    one whose ``Interrupted`` Python swallowed inside ``__del__``.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        """The first signal."""
        self.deferring = True
        self._before: dict[int, Any] = {}

    @property
    def requested(self) -> bool:
        """Whether a signal was received."""
        return self.received is not None

    def __enter__(self) -> "StopSignal":
        # Only the main thread may set handlers; the owner of the process stops a loop in another thread.
        if threading.current_thread() is threading.main_thread():
            self._take(signal.SIGTERM)
            if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
                self._take(signal.SIGINT)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)
        if self.requested and kind is None:
            raise stopped(self.received)

    def interruptible(self) -> None:
        """Makes a signal raise ``Interrupted`` at once from now on, including one already received."""
        self.deferring = False
        if self.requested:
            raise stopped(self.received)

    def _take(self, number: int) -> None:
        self._before[number] = signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        first, self.received = self.received is None, self.received or number
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
        if not first:
            return  # SIGTERM after Ctrl-C, as the parent of ``--jobs`` sends it, must not disturb the save in progress
        if not self.deferring:
            raise stopped(number)
        if number == signal.SIGINT:
            # Not through Python's streams: the signal may have interrupted a write to one of them.
            os.write(2, b"\nsnreid: Ctrl-C: finishing and saving the current step; once more ends it at once\n")


def stopped(number: int | None = None) -> Interrupted:
    """The error that ends a run after signal ``number``; None: another process of the job received one."""
    by_hand = number == signal.SIGINT
    name = "Ctrl-C" if by_hand else "SIGTERM"
    return (UserInterrupted if by_hand else Interrupted)(
        f"{name} asks a run to stop after the current step",
        found=name,
        fix="start the same command again to continue",
    )
