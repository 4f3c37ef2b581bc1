"""Use of the processor: several threads of our own, each with single-threaded matrix products.

With one multi-threaded product at a time instead, the matrix library's threads would spin between products, which wastes time
(docs/log/speed-network.md, "Speed, second look").
"""

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

from threadpoolctl import threadpool_limits

from snreid.system.cores import usable_cores

Item = TypeVar("Item")
Made = TypeVar("Made")
_SAID = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS")
"""A library's own variable takes precedence over the common one."""
_MOST = 16
"""More threads than these wait for the sequential part."""
MOST_AHEAD = 4
"""For work whose results are consumed one after the other, and take memory while they wait."""
_lock = threading.Lock()
_holders = 0
_limits: threadpool_limits | None = None


def threads() -> int:
    """The matrix library's limit from the environment, else the available cores; at most the number that still helps."""
    setting = next((os.environ[name] for name in _SAID if os.environ.get(name)), "").partition(",")[0]  # "4,2": nested
    return max(1, min(_MOST, int(setting) if setting.isdecimal() else usable_cores()))


@contextmanager
def products_alone() -> Iterator[None]:
    """Limit numpy's matrix products to one thread while any caller in the process holds this; restore the limit afterwards."""
    global _holders, _limits
    # Counted, because the limit belongs to the process: when two uses overlap, the last to end restores what the first one saw.
    with _lock:
        if not _holders:
            _limits = threadpool_limits(1, user_api="blas")
        _holders += 1
    try:
        yield
    finally:
        with _lock:
            _holders -= 1
            if not _holders and _limits is not None:
                _limits.restore_original_limits()
                _limits = None


def in_order(work: Callable[[Item], Made], items: Iterable[Item], threads: int) -> Iterator[Made]:
    """Yield ``work`` of each item, in order, computed up to ``threads`` + 1 items ahead; one thread: here, one after the other."""
    if threads == 1:
        yield from map(work, items)
        return
    with ThreadPoolExecutor(threads) as pool:
        waiting: deque[Future[Made]] = deque()
        for item in items:
            waiting.append(pool.submit(work, item))
            if len(waiting) > threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
