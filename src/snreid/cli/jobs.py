"""Fill the cells of a table with several processes: on few cores two single-threaded trainings do more work than one with two threads."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from snreid.errors import ExperimentError, SnreidError
from snreid.system.cores import usable_cores

if TYPE_CHECKING:
    from snreid.studies.plan import Training
    from snreid.training.session import Session

_POLL_SECONDS = 1.0
_PATIENCE_SECONDS = 60.0
"""A process asked to stop saves its state first."""


def shard_named(text: str) -> tuple[int, int]:
    """``K/N`` as a share of the cells, K from 0. Raises ``ExperimentError`` for anything else."""
    number, _, of = text.partition("/")
    if not (number.isdecimal() and of.isdecimal() and int(number) < int(of)):
        raise ExperimentError("A share of the cells is K/N, K from 0 to N - 1", found=repr(text), fix="write 0/2")
    return int(number), int(of)


def check_jobs(jobs: int, world: int = 1, shard: str = "") -> None:
    """Raise ``ExperimentError`` for an invalid number of processes."""
    if jobs < 1 or (jobs > 1 and (world > 1 or shard)):
        raise ExperimentError(
            "Cells are filled by one process or more; several of them are no torchrun job and share all cells among themselves",
            found=f"--jobs {jobs}"
            + (f" under torchrun with {world} processes" if world > 1 else "")
            + (f" --shard {shard}" if shard else ""),
            fix="give --jobs 1 or more, without torchrun and without --shard",
        )


def fill_in_jobs(words: Sequence[str], jobs: int, todo: "Sequence[Training]", out: Path, session: "Session") -> None:
    """Starts the same command ``jobs`` times, each with its share of the cells, and waits; their output goes to ``job-K.log`` in the
    output folder. SIGTERM or Ctrl-C stops all of them, each with its state saved.

    Raises ``SnreidError`` with the last output of a process that failed.
    """
    places = [
        folder
        for training in todo
        for folder in (training.folder, *(adapted for _, adapted, _ in training.adaptations))
    ]
    threads = str(max(1, usable_cores() // jobs))
    environment = {"OMP_NUM_THREADS": threads, **os.environ}
    out.mkdir(parents=True, exist_ok=True)
    logs = [out / f"job-{k}.log" for k in range(jobs)]
    command = [sys.executable, "-m", "snreid", *words, "--jobs", "1"]
    with ExitStack() as stack:
        started: list[subprocess.Popen[bytes]] = []
        stack.callback(_stop, started)
        for k, log in enumerate(logs):
            stream = stack.enter_context(log.open("wb"))
            started.append(
                subprocess.Popen(
                    [*command, "--shard", f"{k}/{jobs}"],
                    stdin=subprocess.DEVNULL,
                    stdout=stream,
                    stderr=stream,
                    env=environment,
                )
            )
        _wait(started, places, session.say)
    bad = [k for k, process in enumerate(started) if process.returncode]
    if bad:
        said = logs[bad[0]].read_text(encoding="utf-8", errors="replace").strip()
        # An error is the last message of the program, in several lines.
        start = said.rfind("snreid: ") if "\nsnreid: " in f"\n{said}" else said.rfind("\n") + 1
        raise SnreidError(
            "Every process that fills a table ends well",
            found=f"job {bad[0]} ended with code {started[bad[0]].returncode}: {' '.join(said[start:].split()) or 'it said nothing'}",
            fix=f"see {logs[bad[0]]}, and start the same command again: it continues with the missing cells",
        )


def _wait(started: Sequence["subprocess.Popen[bytes]"], places: Sequence[Path], say: Callable[[str], None]) -> None:
    began, shown = time.monotonic(), -1
    at_start = _trained(places)
    while any(process.poll() is None for process in started):
        done = _trained(places)
        if done != shown:
            shown, minutes = done, (time.monotonic() - began) / 60
            say(f"{done} of {len(places)} cells trained, {minutes:.0f} min")
        if any(process.returncode for process in started):
            return  # the others are stopped: the user should learn of a failure now and not in an hour
        time.sleep(_POLL_SECONDS)
    say(f"{_trained(places) - at_start} cells trained in {(time.monotonic() - began) / 60:.1f} min")


def _trained(places: Sequence[Path]) -> int:
    from snreid.models.delta import has_weights

    return sum(map(has_weights, places))


def _stop(started: Sequence["subprocess.Popen[bytes]"]) -> None:
    for process in started:
        if process.poll() is None:
            process.terminate()
    for process in started:
        try:
            process.wait(_PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
