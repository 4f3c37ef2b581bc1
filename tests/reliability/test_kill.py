"""R2 and R3: a run killed at any instant, or asked to stop, ends with the bits of one that was left alone (reliability.md)."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from snreid.cli import main
from snreid.models.weights import load_model
from snreid.training.checkpoint import CheckpointStore
from snreid.training.log import read_metrics
from support.tiny import FLAGS, SOURCE, TARGET

BATCHES = 4
"""Steps in an epoch: 24 images, 6 in a batch."""
EPOCHS = 20
SCORE = "validation_mAP"
STARTED = """import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from snreid.cli import main
sys.exit(main())"""


def command(out: Path, epochs: int, *more: str, recipe: str = "baseline") -> list[str]:
    """The words of ``snreid train`` after the program's name."""
    flags = list(FLAGS)
    flags[flags.index("--epochs") + 1] = str(epochs)
    return ["train", recipe, "--source", SOURCE, *flags, *more, "--out", str(out)]


def start(words: list[str]) -> subprocess.Popen[str]:
    """A process of the command, in a session of its own; what is started in the background would ignore Ctrl-C."""
    return subprocess.Popen(
        [sys.executable, "-c", STARTED, *words],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def wait_until(process: subprocess.Popen[str], holds: Callable[[], bool], seconds: float = 120) -> bool:
    """Whether ``holds`` came true before the process ended."""
    end = time.monotonic() + seconds
    while process.poll() is None:
        if holds():
            return True
        assert time.monotonic() < end, "nothing happened for two minutes"
        time.sleep(0.002)
    return False


def saved_step(out: Path) -> int:
    pointer = CheckpointStore(out / "checkpoints").last()
    return pointer.step if pointer else 0


def logged_step(out: Path) -> int:
    return max((line["step"] for line in read_metrics(out)), default=0)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of ``EPOCHS`` that was left alone."""
    torch.set_num_threads(1)
    out = tmp_path_factory.mktemp("kill") / "whole"
    assert main(command(out, EPOCHS)) == 0
    return out


def assert_same_run(out: Path, other: Path, steps: int) -> None:
    """Equal weights, every step logged once with equal losses, equal scores on held-out people, nothing half written left."""
    found, expected = (load_model(folder / "model.safetensors").tensors for folder in (out, other))
    assert found.keys() == expected.keys()
    assert [name for name, value in expected.items() if not torch.equal(value, found[name])] == []
    lines, wanted = ([line for line in read_metrics(folder) if SCORE not in line] for folder in (out, other))
    scores = [{line["step"]: line[SCORE] for line in read_metrics(folder) if SCORE in line} for folder in (out, other)]
    assert scores[0] == scores[1]
    assert [line["step"] for line in lines] == list(range(1, steps + 1))
    measured = {"seconds", "waited"}
    for line, one in zip(lines, wanted, strict=True):
        assert {k: v for k, v in line.items() if k not in measured} == {
            k: v for k, v in one.items() if k not in measured
        }
    left = {p.relative_to(out).parts[0] for p in out.rglob("*")}
    assert left - {"tensorboard", "evaluation"} == {"experiment.json", "metrics.jsonl", "model.safetensors"}


def kill_and_finish(words: list[str], out: Path, steps: int, kills: int) -> None:
    """Kills the run ``kills`` times, each at a random instant at or after a random step that is saved, and lets it finish."""
    dice, end = random.Random(steps), 3 * steps // 4  # far enough from the last step that the kill never comes too late
    for number in range(kills):
        former = saved_step(out)
        target = former + dice.randint(1, max(1, 2 * (end - former) // (kills - number + 1) - 1))
        process = start(words)
        caught = wait_until(process, lambda target=target: saved_step(out) >= target)  # type: ignore[misc]
        time.sleep(dice.uniform(0, 0.03))
        process.kill()
        _, said = process.communicate()
        assert caught and process.returncode == -signal.SIGKILL, said
        assert former <= saved_step(out)
    assert main(words) == 0


@pytest.mark.slow
def test_a_run_killed_twice_ends_with_the_same_bits(whole: Path, tmp_path: Path) -> None:
    out = tmp_path / "killed"
    kill_and_finish(command(out, EPOCHS, "--save-seconds", "0"), out, EPOCHS * BATCHES, 2)
    assert_same_run(out, whole, EPOCHS * BATCHES)


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(("recipe", "more"), [("baseline", ()), ("snr", ("--memory-gb", "0"))])
def test_a_run_killed_fifty_times_ends_with_the_same_bits(tmp_path: Path, recipe: str, more: tuple[str, ...]) -> None:
    epochs = 100
    assert main(command(tmp_path / "whole", epochs, recipe=recipe)) == 0
    out = tmp_path / "killed"
    words = command(out, epochs, "--save-seconds", "0", *more, recipe=recipe)
    kill_and_finish(words, out, epochs * BATCHES, 50)
    assert_same_run(out, tmp_path / "whole", epochs * BATCHES)


def stop(words: list[str], out: Path, step: int, wait: float = 0.0) -> None:
    """SIGTERM ``wait`` seconds after ``step`` was logged: exit 143 within ten seconds, the step that was logged last is saved."""
    process = start(words)
    caught = wait_until(process, lambda: logged_step(out) >= step)
    time.sleep(wait)
    asked = time.monotonic()
    process.terminate()
    _, said = process.communicate(timeout=60)
    assert caught and time.monotonic() - asked < 10
    assert process.returncode == 143 and "the same command continues from there" in said, said
    assert step <= saved_step(out) == logged_step(out)


@pytest.mark.slow
def test_sigterm_saves_the_very_step_within_ten_seconds_and_the_rest_comes_out_the_same(
    whole: Path, tmp_path: Path
) -> None:
    out = tmp_path / "stopped"
    words = command(out, EPOCHS)  # saves once a minute: what is there after the signal was saved because of it
    stop(words, out, 6)
    assert saved_step(out) < EPOCHS * BATCHES
    assert main(words) == 0
    assert_same_run(out, whole, EPOCHS * BATCHES)


@pytest.mark.slow
def test_ctrl_c_reaches_every_process_of_the_terminal_and_saves_the_very_step(whole: Path, tmp_path: Path) -> None:
    out = tmp_path / "stopped"
    words = command(out, EPOCHS, "--memory-gb", "0")
    words[words.index("--workers") + 1] = "2"
    process = start(words)
    caught = wait_until(process, lambda: logged_step(out) >= 6)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: loader workers get it as well
    _, said = process.communicate(timeout=60)
    assert caught and process.returncode == 130, said
    assert "finishing and saving the current step" in said and "the same command continues from there" in said
    assert "Traceback" not in said
    assert 6 <= saved_step(out) == logged_step(out) < EPOCHS * BATCHES
    assert main(command(out, EPOCHS)) == 0
    assert_same_run(out, whole, EPOCHS * BATCHES)


def validating(out: Path) -> bool:
    """Whether a run that validates after every step does so now: its last step is logged, its score is not."""
    lines = read_metrics(out)
    return bool(lines) and SCORE not in lines[-1]


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_ctrl_c_during_validation_saves_every_share_of_several_jobs_and_the_rest_comes_out_the_same(
    tmp_path: Path,
) -> None:
    """Shares get SIGINT from the terminal, and while they save because of it SIGTERM from their parent, which got SIGINT too."""
    torch.set_num_threads(1)
    epochs, recipes, held = 120, ("baseline", "baseline-in"), SOURCE.replace("train_persons=6", "train_persons=100")
    flags = list(FLAGS)
    flags[flags.index("--epochs") + 1] = str(epochs)
    flags += ["--batches-per-epoch", "1", "--validation.fraction", "0.5", "--validation.every", "1"]
    words = ["protocol", f"{held}-to-{TARGET}", "--recipe", *recipes, *flags]
    runs = [Path("small/noon") / f"{recipe}-0" for recipe in recipes]
    whole, out = tmp_path / "whole", tmp_path / "out"
    assert main([*words, "--out", str(whole)]) == 0
    former, pending = [0, 0], 0
    for _ in range(3):
        process = start([*words, "--jobs", "2", "--out", str(out)])
        caught = wait_until(
            process,
            lambda former=former: (  # type: ignore[misc]
                all(logged_step(out / run) > step for run, step in zip(runs, former, strict=True))
                and any(validating(out / run) for run in runs)
            ),
        )
        os.killpg(process.pid, signal.SIGINT)
        _, said = process.communicate(timeout=60)
        assert caught and process.returncode == 130 and f"2 runs on their way saved in {out}" in said, said
        logs = [(out / f"job-{k}.log").read_text() for k in (0, 1)]
        assert all("stopped by Ctrl-C" in log and "Traceback" not in log for log in logs), logs
        states = [CheckpointStore(out / run / "checkpoints").load() for run in runs]
        former = [logged_step(out / run) for run in runs]
        assert [state and state.step for state in states] == former and max(former) < epochs
        pending += sum(state is not None and state.values["pending"] for state in states)
    assert pending, "no signal came during a validation"
    assert main([*words, "--out", str(out)]) == 0
    for run in runs:
        assert_same_run(out / run, whole / run, epochs)


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_sigterm_at_twenty_instants_changes_no_bit(tmp_path: Path) -> None:
    epochs, stops, dice = 100, 20, random.Random(20)
    assert main(command(tmp_path / "whole", epochs)) == 0
    out = tmp_path / "stopped"
    words = command(out, epochs)
    for number in range(1, stops + 1):
        last = epochs * BATCHES * number * 3 // (4 * stops)
        stop(words, out, dice.randint(saved_step(out) + 1, max(saved_step(out) + 1, last)), dice.uniform(0, 0.05))
    assert main(words) == 0
    assert_same_run(out, tmp_path / "whole", epochs * BATCHES)
