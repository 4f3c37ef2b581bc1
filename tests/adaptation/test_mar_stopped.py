"""MAR from the command line, in a process of its own that is stopped and killed."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from snreid.cli import main
from snreid.experiments.runs import Run
from snreid.models.weights import load_model
from snreid.training.checkpoint import CheckpointStore
from snreid.training.log import read_metrics
from support.tiny import TARGET


def logged(out: Path) -> int:
    lines = read_metrics(out)
    return int(lines[-1]["step"]) if lines else 0


def saved(out: Path) -> int:
    pointer = CheckpointStore(out / "checkpoints").last()
    return pointer.step if pointer else 0


def end(words: list[str], when: Callable[[], bool], how: signal.Signals) -> tuple[int, str]:
    """Starts the command and sends the signal as soon as ``when`` holds; its exit code and what it said."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "snreid", *words]
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
    while not when() and process.poll() is None:
        time.sleep(0.005)
    process.send_signal(how)
    _, said = process.communicate(timeout=120)
    return process.returncode, said


@pytest.mark.soak  # the short forms, inside one process, are in test_mar.py
def test_stopped_by_sigterm_and_killed_it_ends_with_the_same_weights(baseline: Run, tmp_path: Path) -> None:
    flags = (
        "--epochs 8 --batches-per-epoch 5 --source-batch 8 --target-batch 8 --save-seconds 0 --workers 0 --device cpu"
    )
    words = ["adapt", str(baseline.folder), "-t", TARGET, "--method", "mar", *flags.split()]
    whole, out = tmp_path / "whole", tmp_path / "stopped"
    assert main([*words, "--out", str(whole)]) == 0
    code, said = end([*words, "--out", str(out)], lambda: logged(out) >= 7, signal.SIGTERM)
    assert code == 143 and "the same command continues from there" in said, said
    assert 7 <= saved(out) == logged(out) < 40
    former = saved(out)
    code, said = end([*words, "--out", str(out)], lambda: saved(out) >= former + 6, signal.SIGKILL)
    assert code == -signal.SIGKILL and former + 6 <= saved(out) < 40, said
    assert main([*words, "--out", str(out)]) == 0
    tensors = [load_model(folder / "model.safetensors").tensors for folder in (whole, out)]
    assert all(torch.equal(value, tensors[1][name]) for name, value in tensors[0].items())
    assert [line["step"] for line in read_metrics(out)] == list(range(1, 41))
