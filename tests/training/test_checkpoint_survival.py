"""R1: a writer killed at any instant leaves a state that loads and whose hash is right (reliability.md)."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from snreid.training.checkpoint import CheckpointStore

WRITERS = """
import os, sys
from pathlib import Path
import torch
from snreid.training.checkpoint import CheckpointStore, TrainingState

torch.set_num_threads(1)

def write(folder, numbers):
    store = CheckpointStore(folder)
    store.sweep()
    former = store.load()
    step = former.step if former else 0
    weight = torch.zeros(numbers)
    os.write(1, f"{os.getpid()}\\n".encode())
    while True:
        step += 1
        weight.fill_(step)
        state = TrainingState(tensors={"weight": weight}, step=step, epoch=0, batch=step)
        store.save(state)

for line in sys.stdin:
    folder, size = line.rstrip().rsplit(" ", 1)
    child = os.fork()
    if child == 0:
        write(Path(folder), int(size) // 4)
    os.waitpid(child, 0)
    os.write(1, b"dead\\n")
"""
"""Imports torch once, then forks one writer per line of its input: a writer saves back to back until it is killed."""


@pytest.fixture
def writers() -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-c", WRITERS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    ) as process:
        yield process
        assert process.stdin is not None
        process.stdin.close()
        process.wait(timeout=60)


def kill_while_saving(writers: subprocess.Popen[str], folder: Path, size: int, wait: float) -> None:
    """Has a writer started, waits until it saves and then ``wait`` seconds, and kills it."""
    assert writers.stdin is not None
    assert writers.stdout is not None
    writers.stdin.write(f"{folder} {size}\n")
    pid = int(writers.stdout.readline())
    time.sleep(wait)
    os.kill(pid, signal.SIGKILL)
    assert writers.stdout.readline() == "dead\n"


def assert_whole(store: CheckpointStore) -> int:
    """``last`` loads (which checks the hash) and holds the numbers of its step; returns the step."""
    last = store.load()
    if last is not None:
        assert bool((last.tensors["weight"] == last.step).all())
    return last.step if last else 0


def survive(writers: subprocess.Popen[str], folder: Path, *, kills: int, size: int, longest: float) -> None:
    store, instants, steps = CheckpointStore(folder), random.Random(7), [0]
    for _ in range(kills):
        kill_while_saving(writers, folder, size, instants.uniform(0.0, longest))
        steps.append(assert_whole(store))
        # Killed before its first save, a writer has made no folder yet.
        left = [path.name for path in folder.glob("*")]
        assert len(left) <= 4, left  # the pointer, its state, one more under way, one temporary
    assert steps == sorted(steps), "a state that was in force is never lost"
    assert steps[-1] > 0
    store.sweep()
    assert all(".tmp." not in path.name for path in folder.iterdir())
    assert len(list(folder.glob("step-*"))) <= 1


@pytest.mark.slow
def test_last_survives_sigkill_at_any_instant(writers: subprocess.Popen[str], tmp_path: Path) -> None:
    survive(writers, tmp_path / "run", kills=15, size=5_000_000, longest=0.2)


@pytest.mark.soak
@pytest.mark.timeout(7200)
def test_last_survives_200_kills_of_a_100_mb_state(writers: subprocess.Popen[str], tmp_path: Path) -> None:
    survive(writers, tmp_path / "run", kills=200, size=100_000_000, longest=3.0)
