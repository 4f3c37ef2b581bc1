"""``torchrun --nproc-per-node 2``: two processes train one run and print one answer."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from snreid.cli import main
from snreid.experiments.runs import open_run
from snreid.models.weights import load_model
from snreid.training.log import read_metrics
from support.tiny import FLAGS, SOURCE, TARGET
from support.two_processes import free_port

pytestmark = pytest.mark.slow


def both(*words: str) -> subprocess.CompletedProcess[str]:
    """``snreid`` with ``words``, in two processes."""
    launcher = ["-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-addr", "127.0.0.1", "--master-port"]
    done = subprocess.run(
        [sys.executable, *launcher, str(free_port()), "-m", "snreid", *words],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Folder of a run that two processes trained, and what they said."""
    out = tmp_path_factory.mktemp("two") / "run"
    flags = list(FLAGS)
    flags[flags.index("--sampling.persons") + 1] = "4"  # two for each process
    done = both("train", "snr", "--source", SOURCE, *flags, "--save-seconds", "0", "--out", str(out))
    return out, done.stdout + done.stderr


def test_two_processes_train_one_run(run: tuple[Path, str]) -> None:
    out, said = run
    opened = open_run(out)
    assert opened.finished and opened.record["training"]["processes"] == 2
    assert said.count("The run is in") == 1
    lines = read_metrics(out)
    assert [line["step"] for line in lines] == list(range(1, 7))  # 24 images / 8 a batch, two epochs
    assert all(line["skipped"] == 0 for line in lines)
    left = {p.relative_to(out).parts[0] for p in out.rglob("*")}
    assert left - {"tensorboard"} == {"experiment.json", "metrics.jsonl", "model.safetensors"}
    saved = load_model(out / "model.safetensors").tensors
    assert all(bool(torch.isfinite(value).all()) for value in saved.values())
    assert not any(name.startswith("module.") for name in saved)


def test_two_processes_print_one_answer_which_is_that_of_one(
    run: tuple[Path, str], capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["evaluate", str(run[0]), "--target", TARGET, "--json", "--device", "cpu", "--workers", "0"]
    together = json.loads(both(*words).stdout)
    assert main(words) == 0
    assert together == json.loads(capsys.readouterr().out)
    assert together["queries"] > 0
