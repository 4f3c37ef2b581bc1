"""How many processor cores this process may use.

The libraries that compute start a thread on each core they see. A container (``docker --cpus 2``, a CPU limit of Kubernetes) sees all
cores of its machine, but is paused for the rest of each period once its time is used up: too many threads then wait for each other.
"""

import os


def usable_cores() -> int:
    """Cores this process may use, at least 1: the least of affinity, container quota (rounded up) and ``LOKY_MAX_CPU_COUNT``."""
    from joblib import cpu_count  # here, because joblib takes a quarter of a second to import

    return int(cpu_count())


def core_quota() -> int | None:
    """``usable_cores`` where they are fewer than the cores that other libraries see, else None."""
    seen = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    usable = usable_cores()
    return usable if usable < seen else None
