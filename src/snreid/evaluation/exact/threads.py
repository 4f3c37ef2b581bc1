"""Who is at work on the processor: several threads of ours with a matrix product of one thread each.

The other way around, a product with all threads at a time, leaves the matrix library's threads waiting between products, and they wait
by turning in a loop: that time is lost (docs/decisions.md, "Speed, second look").
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
"""A library's own variable counts before the one for all of them."""
_MOST = 16
"""More threads than these wait for what is done in order behind them."""
MOST_AHEAD = 4
"""For work whose results are looked at one after the other, and take memory while they wait."""
_lock = threading.Lock()
_holders = 0
_limits: threadpool_limits | None = None


def threads() -> int:
    """As many as the matrix library may use by the environment, else the cores that may be used, and no more than pay."""
    setting = next((os.environ[name] for name in _SAID if os.environ.get(name)), "").partition(",")[0]  # "4,2": nested
    return max(1, min(_MOST, int(setting) if setting.isdecimal() else usable_cores()))


@contextmanager
def products_alone() -> Iterator[None]:
    """Matrix products of numpy take one thread each while this is held by anybody in the process; afterwards as many as before."""
    global _holders, _limits
    # Counted, because the limit belongs to the process: of two that begin and end in turn the last one restores what the first one found.
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
    """What ``work`` makes of each item, in order, up to ``threads`` + 1 of them ahead; one thread: here, one after the other."""
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
