"""A counting bar for reading and embedding: live on a terminal, silent elsewhere unless it takes long."""

import contextlib
import time
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

_PATIENCE = 10.0
"""Seconds between two plain lines where there is no terminal."""


@contextlib.contextmanager
def counting(console: Console | None, what: str) -> Iterator[Callable[[int, int], None] | None]:
    """Yields a callable taking (done, all), or None when nothing is to be shown (``console`` None)."""
    if console is None:
        yield None
        return
    if not console.is_terminal:
        yield _plain(console, what)
        return
    columns = (TextColumn("{task.description}"), BarColumn(bar_width=24), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, count: bar.update(task, completed=done, total=count)


def _plain(console: Console, what: str) -> Callable[[int, int], None]:
    began = shown = time.monotonic()

    def tell(done: int, count: int) -> None:
        """A line now and then."""
        nonlocal shown
        now = time.monotonic()
        if now - shown >= _PATIENCE:
            shown = now
            left = (now - began) / max(done, 1) * (count - done)
            console.out(f"{what}: {done}/{count}, {left:.0f} s left", highlight=False)

    return tell
