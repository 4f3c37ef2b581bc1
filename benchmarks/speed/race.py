"""How the speed scripts measure and report: competitors take turns inside one process, so that a busy machine slows them alike.

A script of this folder holds one subject: it builds its competitors, lets them ``race``, states its ``Target``s with what was measured
beside them, and calls ``report``. What counts are the ratios of CPU time (all threads of the process), which other processes on the
machine disturb less than the clock; the clock stands beside it. Memory is measured in a process of its own (``peak_of``).

    python benchmarks/speed/snr.py [--runs 5] [--quick] [--gpu]
"""

import argparse
import gc
import json
import math
import multiprocessing
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "benchmarks" / "results" / "speed"
Work = Callable[[], object]
_PACKAGES = ("torch", "numpy", "scipy", "timm", "torchvision", "onnxruntime", "openvino", "simplejpeg", "pillow")


@dataclass(frozen=True, kw_only=True)
class Row:
    """One competitor of one comparison; times are medians over the rounds, in seconds."""

    comparison: str
    name: str
    cpu: float
    """CPU time of all threads."""
    wall: float
    spread: float
    """Half of the interquartile range of the CPU time."""
    ratio: float
    """CPU time over that of the first competitor: the median over the rounds of the ratio within a round."""
    wall_ratio: float
    """The same of the clock."""
    low: float | None
    """95 % interval of ``ratio``, that of the median of the rounds' ratios by their order; None for fewer than six rounds."""
    high: float | None
    runs: int
    peak_mb: float | None = None
    """Largest extra memory, where it was measured."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """A number to reach, and what was measured."""

    subject: str
    target: str
    """As the issue states it: "<= 1.15x"."""
    measured: float | None
    """None: not measured on this machine, and ``note`` says why."""
    reached: bool | None
    limit: str
    """What it is held against."""
    unit: str = "x"
    note: str = ""
    """Why it is missed, or what a reader must know."""


def race(
    comparison: str,
    competitors: Mapping[str, Work],
    *,
    runs: int,
    peaks: Mapping[str, float] | None = None,
    cpu: bool = True,
) -> list[Row]:
    """Let the competitors take turns ``runs`` times after one warm-up round, every second round in the opposite order.

    ``cpu``: False where work happens in other processes or on a GPU, so that only the clock sees it."""
    cpu_times: dict[str, list[float]] = {name: [] for name in competitors}
    wall_times: dict[str, list[float]] = {name: [] for name in competitors}
    for turn in range(runs + 1):
        for name, work in list(competitors.items())[:: 1 if turn % 2 else -1]:
            gc.collect()
            began_cpu, began = time.process_time(), time.perf_counter()
            work()
            spent_cpu, spent = time.process_time() - began_cpu, time.perf_counter() - began
            if turn:
                cpu_times[name].append(spent_cpu if cpu else spent)
                wall_times[name].append(spent)
    first = next(iter(competitors))
    rows = []
    for name in competitors:
        middle = statistics.median(cpu_times[name])
        low, high = (_quantile(cpu_times[name], part) for part in (0.25, 0.75))
        span = interval([a / b for a, b in zip(cpu_times[name], cpu_times[first], strict=True)])
        rows.append(
            Row(
                comparison=comparison,
                name=name,
                cpu=middle,
                wall=statistics.median(wall_times[name]),
                spread=(high - low) / 2,
                ratio=_ratio(cpu_times[name], cpu_times[first]),
                wall_ratio=_ratio(wall_times[name], wall_times[first]),
                low=span and span[0],
                high=span and span[1],
                runs=runs,
                peak_mb=(peaks or {}).get(name),
            )
        )
    return rows


def peak_of(work: Callable[..., object], *arguments: Any, prepare: Callable[..., Any] | None = None) -> float:
    """Largest extra resident memory in MB while ``work`` runs, in a fresh process; ``prepare(*arguments)`` makes what it is given
    (outside the measurement), without it ``work`` gets the arguments. Both must be functions of a module."""
    processes = multiprocessing.get_context("spawn")
    with processes.Pool(1) as pool:
        return float(pool.apply(_peak, (work, prepare, arguments)))


def _peak(work: Callable[..., object], prepare: Callable[..., Any] | None, arguments: tuple[Any, ...]) -> float:
    """In the fresh process: resets the kernel's high-water mark, works, reads it again (Linux)."""
    given = prepare(*arguments) if prepare else arguments
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")
    before = _status_kb("VmRSS")
    work(*given)
    return (_status_kb("VmHWM") - before) / 1024


def _status_kb(field: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1])
    raise RuntimeError(f"/proc/self/status has no {field}")


def row(rows: Sequence[Row], comparison: str, name: str) -> Row:
    """The row of a competitor."""
    return next(one for one in rows if one.comparison == comparison and one.name == name)


def below(
    subject: str, limit: float, measured: float | None, held_against: str, *, unit: str = "x", note: str = ""
) -> Target:
    """A target of at most ``limit``."""
    reached = None if measured is None else measured <= limit
    return Target(
        subject=subject,
        target=f"<= {limit:g}{unit}",
        measured=measured,
        reached=reached,
        limit=held_against,
        unit=unit,
        note=note,
    )


def above(
    subject: str, limit: float, measured: float | None, held_against: str, *, unit: str = "x", note: str = ""
) -> Target:
    """A target of at least ``limit``."""
    reached = None if measured is None else measured >= limit
    return Target(
        subject=subject,
        target=f">= {limit:g}{unit}",
        measured=measured,
        reached=reached,
        limit=held_against,
        unit=unit,
        note=note,
    )


def options(description: str | None) -> argparse.ArgumentParser:
    """The flags that every script has; a script may add its own."""
    parser = argparse.ArgumentParser(description=(description or "").splitlines()[0])
    parser.add_argument("--runs", type=int, default=5, help="timed rounds after one warm-up")
    parser.add_argument("--quick", action="store_true", help="small sizes, to see that it runs; writes no record")
    parser.add_argument(
        "--gpu",
        action="store_true",
        help="only what needs a GPU (snr, network, training); the record is SCRIPT-gpu.json",
    )
    parser.add_argument("--out", type=Path, help="JSON to write (default: benchmarks/results/speed/SCRIPT.json)")
    return parser


def no_gpu() -> str:
    """Why rows that need a GPU are not measured here; empty where they are."""
    import torch

    return "" if torch.cuda.is_available() else "needs a GPU; this machine has none"


def report(script: str, given: argparse.Namespace, rows: Sequence[Row], targets: Sequence[Target]) -> None:
    """Prints what was measured and, unless ``--quick``, writes the record of the script (``__file__``)."""
    from rich.console import Console
    from rich.table import Table

    console = Console()
    table = Table("comparison", "what", "CPU s", "spread", "ratio", "clock s", "MB", title=Path(script).stem)
    for one in rows:
        memory = "" if one.peak_mb is None else f"{one.peak_mb:.0f}"
        table.add_row(
            one.comparison,
            one.name,
            f"{one.cpu:.4f}",
            f"{one.spread:.4f}",
            f"{one.ratio:.3f}" + ("" if one.low is None or one.ratio == 1 else f" ({one.low:.3f} to {one.high:.3f})"),
            f"{one.wall:.4f}",
            memory,
        )
    console.print(table)
    if given.quick:
        console.print("Small sizes, to see that it runs: judge nothing by these numbers.")
    for target in targets:
        # Percents above 1 are asked for in thousandths.
        digits = 4 if target.measured is not None and 1 <= target.measured < 2 else 3
        measured = "not measured" if target.measured is None else f"{target.measured:.{digits}g}{target.unit}"
        verdict = {True: "reached", False: "MISSED", None: "-"}[target.reached]
        console.print(
            f"{verdict:8} {target.subject}: {target.target}, measured {measured} (held against {target.limit}) {target.note}"
        )
    if (given.quick or (given.gpu and no_gpu())) and given.out is None:
        return
    out = given.out or RESULTS / f"{Path(script).stem}{'-gpu' if given.gpu else ''}.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    record = {
        "surroundings": surroundings(),
        "arguments": _arguments(),
        "rows": [asdict(r) for r in rows],
        "targets": [asdict(t) for t in targets],
    }
    out.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def _arguments() -> list[str]:
    """What the script was told, but where to write."""
    words = list(sys.argv[1:])
    while "--out" in words:
        place = words.index("--out")
        del words[place : place + 2]
    return [word for word in words if not word.startswith("--out=")]


def surroundings() -> dict[str, Any]:
    """What a number needs beside it to mean anything later: versions, threads, load of the machine, commit."""
    import torch

    from snreid.system.provenance import git_state, provenance

    versions = {}
    for package in _PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return {
        "provenance": {**provenance(), "git": git_state(ROOT, but=written())},
        "python": platform.python_version(),
        "versions": versions,
        "torch_threads": torch.get_num_threads(),
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 2),
        "processor": _processor(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    }


def written() -> list[str]:
    """What the scripts of this folder write themselves, from the top of the checkout: that they did so says nothing about what ran."""
    scripts = sorted(path.stem for path in Path(__file__).parent.glob("*.py"))
    records = [f"benchmarks/results/speed/{name}{kind}.json" for name in scripts for kind in ("", "-gpu")]
    return [*records, "docs/performance.md"]


def _processor() -> str:
    """The processor's name as Linux knows it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def interval(values: Sequence[float]) -> tuple[float, float] | None:
    """Where the median lies with 95 %, whatever the distribution: from the k-th smallest to the k-th largest value, with the largest
    k for which fewer than k of n values fall below the median with at most 2.5 % (binomial). None where no k is."""
    n, below, k = len(values), 0.0, 0
    while (below := below + math.comb(n, k) / 2**n) <= 0.025:
        k += 1
    ordered = sorted(values)
    return (ordered[k - 1], ordered[n - k]) if k else None


def _ratio(mine: Sequence[float], first: Sequence[float]) -> float:
    return statistics.median(a / b for a, b in zip(mine, first, strict=True))


def _quantile(values: Sequence[float], part: float) -> float:
    ordered = sorted(values)
    return ordered[round(part * (len(ordered) - 1))]
