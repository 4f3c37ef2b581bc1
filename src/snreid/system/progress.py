"""A progress bar for reading and embedding: live on a terminal; elsewhere a line now and then if it takes long."""

import contextlib
import time
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

_PATIENCE = 10.0
"""Seconds between two lines where there is no terminal."""


@contextlib.contextmanager
def counting(console: Console | None, what: str) -> Iterator[Callable[[int, int], None] | None]:
    """Show progress while the block runs, behind the text ``what``.

    Yields a callable that takes (done, total), or None if there is no console.
    """
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
    shown = time.monotonic()
    first: tuple[float, int] | None = None
    """When the first ones were done, and how many: what was prepared for them is not a pace."""

    def tell(done: int, count: int) -> None:
        """Print a line if the last one is older than ``_PATIENCE``."""
        nonlocal first, shown
        now = time.monotonic()
        began, before = first = first or (now, done)
        if now - shown >= _PATIENCE:
            shown = now
            left = f", {(now - began) / (done - before) * (count - done):.0f} s left" if done > before else ""
            console.out(f"{what}: {done}/{count}{left}", highlight=False)

    return tell
