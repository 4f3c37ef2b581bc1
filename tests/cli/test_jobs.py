"""Several processes that fill one table: shares, failures in the user's words, nothing left running."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from snreid.cli.jobs import check_jobs, fill_in_jobs, shard_named
from snreid.errors import ExperimentError, SnreidError
from support.tiny import FLAGS, SOURCE, TARGET, session


def test_a_share_is_k_of_n() -> None:
    assert shard_named("1/3") == (1, 3)
    for wrong in ("3/3", "1", "a/b", "-1/2", "1/0", ""):
        with pytest.raises(ExperimentError, match="K/N"):
            shard_named(wrong)


def test_jobs_are_at_least_one_and_no_torchrun() -> None:
    check_jobs(1, 4)
    check_jobs(2, 1)
    check_jobs(1, 1, "0/2")
    for jobs, world, shard in ((0, 1, ""), (2, 2, ""), (2, 1, "0/2")):
        with pytest.raises(ExperimentError, match="torchrun"):
            check_jobs(jobs, world, shard)


def test_a_share_that_fails_is_told_with_its_last_words(tmp_path: Path) -> None:
    with pytest.raises(SnreidError, match="job 0 ended with code 2: snreid: A protocol is A-to-B") as caught:
        fill_in_jobs(["protocol", "nowhere"], 2, [], tmp_path / "out", session())
    assert "job-0.log" in str(caught.value) and (tmp_path / "out/job-0.log").is_file()


@pytest.mark.parametrize(("jobs", "cores", "expected"), [(2, 6, "3"), (4, 6, "1"), (3, 1, "1")])
def test_the_cores_that_may_be_used_are_shared_out(
    jobs: int, cores: int, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr("snreid.cli.jobs.usable_cores", lambda: cores)
    said: list[str] = []

    class Done:
        returncode = 0

        def __init__(self, *_: object, env: dict[str, str], **__: object) -> None:
            said.append(env["OMP_NUM_THREADS"])

        def poll(self) -> int:
            return 0

        def wait(self, _: float) -> int:
            return 0

    monkeypatch.setattr(subprocess, "Popen", Done)
    fill_in_jobs(["protocol"], jobs, [], tmp_path / "out", session())
    assert said == [expected] * jobs


@pytest.mark.slow
def test_sigterm_stops_every_share_with_its_state_saved(tmp_path: Path) -> None:
    words = [f"{SOURCE}-to-{TARGET}", "--recipe", "baseline", "snr", *FLAGS]
    words[words.index("--epochs") + 1] = "2000"
    command = [
        sys.executable,
        "-m",
        "snreid",
        "protocol",
        *words,
        "--jobs",
        "2",
        "--save-seconds",
        "1",
        "--out",
        str(tmp_path),
    ]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    states = [tmp_path / "small/noon" / name / "checkpoints" for name in ("baseline-0", "snr-0")]
    until = time.monotonic() + 200
    while not all(state.is_dir() and any(state.iterdir()) for state in states) and time.monotonic() < until:
        time.sleep(0.2)
    running.send_signal(signal.SIGTERM)
    said, _ = running.communicate(timeout=90)
    assert running.returncode == 143, said
    assert all(any(state.iterdir()) for state in states), said
    assert "SIGTERM" in (tmp_path / "job-0.log").read_text()
