"""Who is at work on the processor: several threads of ours with a matrix product of one thread each.

The other way around, a product with all threads at a time, leaves the matrix library's threads waiting between products, and they wait
by turning in a loop: a quarter of the processor's time goes there (measured, docs/performance.md).
"""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from threadpoolctl import threadpool_limits

_MOST = 4
"""More threads than these need more memory than their time is worth: each holds a block of scores."""
_lock = threading.Lock()
_holders = 0
_limits: threadpool_limits | None = None


def threads() -> int:
    """As many as the matrix library may use by the environment, and no more than pay."""
    said = next((os.environ[name] for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS") if os.environ.get(name)), "")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(_MOST, int(said) if said.isdecimal() else cores))


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
