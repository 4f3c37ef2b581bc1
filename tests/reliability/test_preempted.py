"""R2 and R3 as a cluster does it: every process of the job gets the signal, loader workers too, and validation is on."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch

from snreid.cli import main
from snreid.experiments.runs import open_run
from snreid.models.weights import load_model
from snreid.training.checkpoint import CheckpointStore
from snreid.training.log import read_metrics
from support.tiny import FLAGS, OPTIONS
from support.two_processes import free_port

pytestmark = pytest.mark.slow

EPOCHS = 12
TOGETHER_EPOCHS = 60
SOURCE = "noon:" + OPTIONS.replace("train_persons=6", "train_persons=12")


def command(out: Path, *, epochs: int = EPOCHS, persons: int = 3, workers: int = 0) -> list[str]:
    """``snreid train`` with a third of the people held out and scored after every epoch; every step is saved. With ``workers``
    images are decoded on the way, by so many processes."""
    flags = list(FLAGS)
    for name, value in {"--epochs": epochs, "--sampling.persons": persons, "--workers": workers}.items():
        flags[flags.index(name) + 1] = str(value)
    flags += ["--validation.fraction", "0.34", "--validation.every", "1", "--save-seconds", "0"]
    if workers:
        flags += ["--memory-gb", "0"]
    return ["train", "baseline", "--source", SOURCE, *flags, "--out", str(out)]


def start(words: Sequence[str], processes: int = 1) -> list[subprocess.Popen[str]]:
    """``snreid`` in one or more processes that know of each other, each the head of a group of its own (its loader workers)."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    if processes > 1:
        environment |= {"WORLD_SIZE": str(processes), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    return [
        subprocess.Popen(
            [sys.executable, "-m", "snreid", *words],
            env=environment | ({"RANK": str(rank), "LOCAL_RANK": str(rank)} if processes > 1 else {}),
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        for rank in range(processes)
    ]


def saved_step(out: Path) -> int:
    pointer = CheckpointStore(out / "checkpoints").last()
    return pointer.step if pointer else 0


def wait_until(holds: Callable[[], bool], processes: Sequence[subprocess.Popen[str]], seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert all(process.poll() is None for process in processes), [p.communicate()[1] for p in processes]
        assert time.monotonic() < end, "nothing happened for two minutes"
        time.sleep(0.002)


def differing(out: Path, other: Path) -> list[str]:
    """Names of the weights that are not the same bits."""
    found, expected = (load_model(folder / "model.safetensors").tensors for folder in (out, other))
    assert found.keys() == expected.keys()
    return [name for name, value in expected.items() if not torch.equal(value, found[name])]


def validations(out: Path) -> list[tuple[int, float]]:
    """Step and mAP of every validation."""
    return [(line["step"], line["validation_mAP"]) for line in read_metrics(out) if "validation_mAP" in line]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run nobody disturbed, decoded once into memory, without loader workers."""
    torch.set_num_threads(1)
    out = tmp_path_factory.mktemp("preempted") / "whole"
    assert main(command(out)) == 0
    return out


@pytest.mark.slow
def test_the_model_is_the_best_on_held_out_people(whole: Path) -> None:
    scores = validations(whole)
    steps = scores[-1][0] // EPOCHS
    assert [step for step, _ in scores] == [steps * (epoch + 1) for epoch in range(EPOCHS)]
    best = max(score for _, score in scores)
    epoch = next(step for step, score in scores if score == best) // steps
    assert open_run(whole).record["finished"]["checkpoint"] == (
        f"best on held-out source identities (epoch {epoch}, mAP {best:.4f})"
    )
    assert open_run(whole).record["training"]["persons"] == 8  # of 12


@pytest.mark.slow
def test_sigterm_to_every_process_of_the_job_and_then_sigkill_change_no_bit(whole: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    words = command(out, workers=2)
    (process,) = start(words)
    wait_until(lambda: saved_step(out) >= 5, [process])
    asked = time.monotonic()
    os.killpg(process.pid, signal.SIGTERM)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 143 and time.monotonic() - asked < 10, said
    former = saved_step(out)
    (process,) = start(words)
    wait_until(lambda: saved_step(out) >= former + 4, [process])
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert main(words) == 0
    assert differing(out, whole) == []
    assert sorted(set(validations(out))) == validations(whole)


@pytest.mark.slow
def test_a_lost_process_ends_the_others_and_the_job_can_be_started_again(tmp_path: Path) -> None:
    out = tmp_path / "run"
    words = command(out, persons=4, epochs=TOGETHER_EPOCHS)
    first, second = start(words, processes=2)
    try:
        wait_until(lambda: saved_step(out) >= 5, [first, second])
        second.kill()
        _, said = first.communicate(timeout=30)
        assert first.returncode == 1 and "process 0 of 2 lost another one" in said and "Traceback" not in said, said
        former = saved_step(out)
        assert 5 <= former < TOGETHER_EPOCHS
        again = start(words, processes=2)
        wait_until(lambda: saved_step(out) > former, again)
        for process in again:
            process.terminate()
        ends = [process.communicate(timeout=60) and process.returncode for process in again]
    finally:
        for process in (first, second):
            process.kill()
            process.communicate()
    assert ends == [143, 143]


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_two_processes_killed_ten_times_end_with_the_same_bits(tmp_path: Path) -> None:
    def words(out: Path) -> list[str]:
        return command(out, persons=4, workers=2, epochs=TOGETHER_EPOCHS)

    def finish(out: Path) -> None:
        assert [p.communicate() and p.returncode for p in start(words(out), processes=2)] == [0, 0]

    finish(tmp_path / "whole")
    out, dice = tmp_path / "killed", random.Random(10)
    for number in range(10):
        processes = start(words(out), processes=2)
        target = saved_step(out) + dice.randint(1, 2 + number // 3)
        wait_until(lambda target=target: saved_step(out) >= target, processes)  # type: ignore[misc]
        time.sleep(dice.uniform(0, 0.05))
        for process in dice.sample(processes, 2):
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
    finish(out)
    assert differing(out, tmp_path / "whole") == []
