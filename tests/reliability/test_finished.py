"""The last moments of a run: wherever it dies between its last step and its end, the next start ends it, and trains nothing."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from snreid.experiments import job, run_folder
from snreid.experiments.run_folder import RunFolder
from snreid.experiments.runs import open_run
from snreid.models.weights import load_model
from snreid.training.log import read_metrics
from support.tiny import trained


class PowerCut(Exception):
    """What no part of the program catches."""


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return dict(load_model(folder / "model.safetensors").tensors)


def cut_after(function: Callable[..., Any], calls: int) -> Callable[..., Any]:
    """The function, with a power cut instead of call number ``calls`` (from 0) and later ones."""
    count = iter(range(1000))

    def until(*arguments: Any, **named: Any) -> Any:
        if next(count) >= calls:
            raise PowerCut
        return function(*arguments, **named)

    return until


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    return trained(tmp_path_factory.mktemp("finished") / "whole").folder


@pytest.mark.parametrize(
    ("owner", "name", "calls", "has_weights", "has_finished"),
    [
        pytest.param(job, "save_model", 0, False, False, id="before the weights"),
        pytest.param(run_folder, "write_json", 1, True, False, id="before the record"),  # the first one is at the start
        pytest.param(RunFolder, "_sweep", 1, True, True, id="before the sweep"),  # the first one is at the start
    ],
)
def test_a_run_cut_off_at_its_end_is_ended_by_the_next_start(
    whole: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    owner: object,
    name: str,
    calls: int,
    has_weights: bool,
    has_finished: bool,
) -> None:
    out = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, cut_after(getattr(owner, name), calls))
        with pytest.raises(PowerCut):
            trained(out)
    assert (out / "model.safetensors").exists() == has_weights and open_run(out).finished == has_finished
    assert (out / "checkpoints" / "last.json").exists()
    before = read_metrics(out)
    assert trained(out).finished
    assert not (out / "checkpoints").exists() and read_metrics(out) == before
    found, expected = weights(out), weights(whole)
    assert all(torch.equal(found[name], value) for name, value in expected.items())


def test_a_finished_run_is_returned_without_opening_an_image(whole: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job, "training_set", cut_after(job.training_set, 0))
    assert trained(whole).record == open_run(whole).record


def test_a_finished_run_whose_weights_were_deleted_is_trained_again(whole: Path, tmp_path: Path) -> None:
    run = trained(tmp_path / "run")
    (run.folder / "model.safetensors").unlink()
    assert not open_run(run.folder).finished
    assert trained(run.folder).finished
    found, expected = weights(run.folder), weights(whole)
    assert all(torch.equal(found[name], value) for name, value in expected.items())
