"""The shared context of a program: machine settings, processes, console, decoded images."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from typing import Self

from rich.console import Console

from snreid.errors import BusyError, visible
from snreid.images.loading import PixelCache
from snreid.system.machine import Machine
from snreid.training.distributed import ProcessGroup, join
from snreid.training.parallel import agree


@dataclass(frozen=True, kw_only=True)
class Session:
    """The context that every computation runs in.

    Example:
        >>> from snreid.system.machine import Machine
        >>> session = Session.start(Machine(device="cpu", workers=0), quiet=True)
        >>> session.device, session.first
        ('cpu', True)
    """

    machine: Machine
    group: ProcessGroup
    """The processes that work together; ``group.device`` is this process's device."""
    console: Console
    """For progress and remarks; silent in all processes but the first."""
    pixels: PixelCache
    """Decoded images, shared by all runs of the session."""

    @classmethod
    def start(
        cls,
        machine: Machine | None = None,
        *,
        group: ProcessGroup | None = None,
        console: Console | None = None,
        quiet: bool = False,
    ) -> Self:
        """Starts a session of ``group``, else of the processes that torchrun or srun started, or of this one alone.

        ``console``: where to report; if None, stderr of the first process, unless ``quiet``. Raises ``ExperimentError`` if there is no
        such device, or the launcher's variables contradict each other.
        """
        machine = machine or Machine()
        group = group or join(machine.device)
        console = console or Console(stderr=True, quiet=quiet or not group.first)
        return cls(machine=machine, group=group, console=console, pixels=PixelCache.of(machine, console))

    @property
    def device(self) -> str:
        """Torch's name of this process's device."""
        return str(self.group.device)

    @property
    def first(self) -> bool:
        """Whether this process writes files and talks to the user."""
        return self.group.first

    @contextmanager
    def holding(self, lock: AbstractContextManager[None]) -> Iterator[None]:
        """Holds a lock (``system/locks.py``) for all processes that work together; the first one takes it. Raises ``BusyError`` in every
        process if another program holds it."""
        busy = None
        with ExitStack() as stack:
            if self.first:
                try:
                    stack.enter_context(lock)
                except BusyError as error:
                    busy = error
            if agree((busy is not None, False), self.group)[0]:
                raise busy or BusyError("One program at a time writes to a place", found="another one is at work there")
            yield

    def say(self, sentence: str) -> None:
        """Prints a line on the console, without styling; nothing for an empty sentence."""
        if sentence:
            self.console.out(visible(sentence), highlight=False)
