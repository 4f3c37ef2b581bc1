"""How many processor cores a process may use.

Python and the libraries that compute count the cores that they see. A container (``docker --cpus 2``, a limit of Kubernetes, a share of
systemd) sees all cores of its machine and is stopped for the rest of each period once its time is used up, so threads on all of them wait
for each other most of the time.
"""

import os
import re
from collections.abc import Iterator
from math import ceil
from pathlib import Path, PurePosixPath

_PERIOD = 100_000.0
"""Microseconds of the kernel's default period."""


def usable_cores() -> int:
    """Cores that this process may use: those it may run on, or as many as its control group pays for, at least 1."""
    return core_quota() or _seen()


def core_quota(root: Path = Path("/")) -> int | None:
    """What the control groups of this process allow, in cores, rounded up; None where that is no less than the cores it sees.

    Read under ``root`` from the process's group and those above it: ``cpu.max`` (version 2), ``cpu.cfs_quota_us`` over
    ``cpu.cfs_period_us`` (version 1). What is missing or no number limits nothing.
    """
    seen = _seen()
    shares = (share for folder in _groups(root) for share in _shares(folder))
    cores = max(1, ceil(min(shares, default=seen)))
    return cores if cores < seen else None


def _seen() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _groups(root: Path) -> Iterator[Path]:
    """Folders of the groups. Within a container the path may be that of outside, so the top of each tree counts in any case."""
    top = root / "sys/fs/cgroup"
    for line in _text(root / "proc/self/cgroup").splitlines() or ["0::/"]:
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if number == "0" and not controllers:
            trees = [top]
        elif "cpu" in controllers.split(","):
            trees = [top / "cpu", top / controllers]
        else:
            continue
        place = PurePosixPath(path.lstrip("/"))
        if ".." not in place.parts:
            yield from (tree / one for tree in trees for one in (place, *place.parents))


def _shares(folder: Path) -> Iterator[float]:
    """Cores that this very group allows, where it says."""
    second, _, its_period = _text(folder / "cpu.max").strip().partition(" ")
    first, period = (_text(folder / f"cpu.cfs_{name}_us") for name in ("quota", "period"))
    for time, of in ((second, its_period), (first, period)):
        if allowed := _number(time):  # none of "max" and -1: as much as there is
            yield allowed / (_number(of) or _PERIOD)


def _number(word: str) -> float | None:
    """A positive whole number of no absurd length, else None."""
    return float(word) or None if re.fullmatch(r"\s*\d{1,18}\s*", word) else None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""
