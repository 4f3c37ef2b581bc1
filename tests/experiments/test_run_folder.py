"""The folder of a run while it is made: the loop goes on from its own checkpoints and from no others."""

import json
import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from snreid.adaptation import MAR, AdaptiveBN, Unlabelled, adapt_run
from snreid.errors import BusyError, CheckpointError, Interrupted
from snreid.experiments.runs import Run
from snreid.system.locks import folder_lock
from snreid.training.log import follow
from snreid.training.loop import StepReport
from support.tiny import drawn, session, trained


@pytest.fixture
def baseline(tmp_path: Path) -> Run:
    """A finished Baseline on drawn people."""
    return trained(tmp_path / "baseline")


@pytest.fixture
def dusk() -> Unlabelled:
    """24 images of a domain that the run has not seen."""
    return Unlabelled.of(drawn("dusk").read(Path()))


def stopping(log: Any, bar: Any) -> Callable[[StepReport], None]:
    """In the place of ``follow``: asks for the end after every step."""
    inner = follow(log, bar)

    def report(step: StepReport) -> None:
        inner(step)
        os.kill(os.getpid(), signal.SIGTERM)

    return report


def test_checkpoints_of_other_settings_are_refused_whatever_the_record_says(
    baseline: Run, dusk: Unlabelled, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    method = MAR(epochs=2, batches_per_epoch=2, source_batch=8, target_batch=8, mining=0.2)
    other, out = replace(method, lr=1e-3), tmp_path / "out"

    def go(chosen: MAR) -> Run:
        return adapt_run(chosen, baseline, dusk, out, session())

    with monkeypatch.context() as patch:
        patch.setattr("snreid.experiments.run_folder.follow", stopping)
        with pytest.raises(Interrupted):
            go(method)
    before = (out / "experiment.json").read_text()
    record = json.loads(before)
    record["adaptation"]["method"] = other.to_json()
    (out / "experiment.json").write_text(json.dumps(record))
    with pytest.raises(CheckpointError, match="belong to other settings"):
        go(other)
    (out / "experiment.json").write_text(before)
    assert go(method).finished


def test_a_folder_that_another_process_writes_to_is_left_alone(baseline: Run, dusk: Unlabelled, tmp_path: Path) -> None:
    out = tmp_path / "busy"
    with folder_lock(out, "training"):
        for work in (
            lambda: trained(out),
            lambda: adapt_run(AdaptiveBN(), baseline, dusk, out, session()),
        ):
            with pytest.raises(BusyError, match=rf"process {os.getpid()} has been training in {out} since"):
                work()
        assert [path.name for path in out.iterdir()] == [".lock"]
    assert trained(out).finished
    assert not (out / ".lock").exists()
