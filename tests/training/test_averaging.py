"""Averaged weights: by hand in numpy over the weights of every step, unmoved where a step is refused, exact after a resume."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from snreid.errors import Interrupted
from snreid.training.averaging import Average
from snreid.training.checkpoint import CheckpointStore
from snreid.training.loop import Hooks, Loop, StepReport, TrainingPlan
from snreid.training.stop_signal import stopped
from support.tiny import ALONE, plan
from support.two_processes import answers_of_two

Weights = dict[str, Tensor]
DECAY = 0.3
"""Reached after some steps: before them the warm start decides."""


def averaging(recipe: str = "snr") -> tuple[TrainingPlan, Average]:
    what = plan(recipe)
    average = Average(what.model, DECAY)
    return replace(what, average=average), average


def state(model: nn.Module) -> Weights:
    return {name: value.detach().clone() for name, value in model.state_dict().items()}


def by_hand(history: list[Weights]) -> dict[str, np.ndarray]:
    """From the weights before the first step and after each."""
    average = {name: value.double().numpy() for name, value in history[0].items()}
    for earlier, now in enumerate(history[1:]):
        decay = min(DECAY, (1 + earlier) / (10 + earlier))
        for name, value in now.items():
            counter = not value.is_floating_point()
            average[name] = value.numpy() if counter else decay * average[name] + (1 - decay) * value.double().numpy()
    return average


@pytest.mark.parametrize("lag", [0, 1])
def test_the_average_of_a_training_is_that_by_hand(lag: int, tmp_path: Path) -> None:
    what, average = averaging()
    history = [state(what.model)]
    model = what.model
    # The report comes after the step, of a lagging loop one step later; the optimizer's own end is where weights are read.
    moved = average.update
    average.update = lambda bad: (moved(bad), history.append(state(model)))[0]  # type: ignore[method-assign]
    Loop(what, CheckpointStore(tmp_path), group=ALONE, hooks=Hooks(), lag=lag).run()
    assert len(history) == 9 and float(average.updates) == 8
    expected = by_hand(history)
    for name, value in average.model.state_dict().items():
        np.testing.assert_allclose(value.double().numpy(), expected[name], rtol=1e-4, atol=1e-6, err_msg=name)
    far = [name for name, value in expected.items() if not np.allclose(value, history[-1][name], rtol=1e-3)]
    assert "head.classifier.weight" in far and "backbone.bn1.running_mean" in far


def test_the_training_itself_is_that_without_an_average(tmp_path: Path) -> None:
    (what, _), without = averaging(), plan("snr")
    for number, one in enumerate((what, without)):
        Loop(one, CheckpointStore(tmp_path / str(number)), group=ALONE, hooks=Hooks()).run()
    assert all(torch.equal(value, without.model.state_dict()[name]) for name, value in what.model.state_dict().items())


def test_a_refused_step_moves_nothing() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    average = Average(model, 0.9)
    before = state(average.model)
    nn.init.constant_(model[0].weight, 7.0)
    average.update(torch.ones(()))
    assert float(average.updates) == 0
    assert all(
        torch.equal(value, before[name]) for name, value in average.model.state_dict().items() if "num" not in name
    )
    average.update(torch.zeros(()))
    assert float(average.updates) == 1
    expected = 0.1 * before["0.weight"] + 0.9 * 7.0
    assert torch.allclose(average.model.state_dict()["0.weight"], expected)


@pytest.mark.parametrize("at", [1, 4, 6])
def test_a_training_that_was_stopped_ends_with_the_same_average(at: int, tmp_path: Path) -> None:
    whole, expected = averaging()
    Loop(whole, CheckpointStore(tmp_path / "whole"), group=ALONE, hooks=Hooks()).run()

    def stop(step: StepReport) -> None:
        if step.step == at:
            raise stopped()

    store = CheckpointStore(tmp_path / "cut")
    first, _ = averaging()
    with pytest.raises(Interrupted):
        Loop(first, store, group=ALONE, hooks=Hooks(report=stop), save_seconds=0).run()
    second, found = averaging()
    Loop(second, store, group=ALONE, hooks=Hooks()).run()
    for one, other in ((expected.model, found.model), (whole.model, second.model)):
        assert all(torch.equal(value, other.state_dict()[name]) for name, value in one.state_dict().items())
    assert torch.equal(expected.updates, found.updates)


TOGETHER = """
import timm.models  # once, before there are two processes
from dataclasses import replace
from pathlib import Path

import torch
from snreid.training.averaging import Average
from snreid.training.checkpoint import CheckpointStore
from snreid.training.loop import Hooks, Loop
from snreid.training.sampling import IdentityBatches, Sampling
from snreid.training.stop_signal import stopped
from support.tiny import plan

def work(group):
    what = plan("snr", epochs=3)
    sampling = Sampling(persons=4, images=2)
    batches = IdentityBatches(sampling, what.persons, 0 * what.persons, 0, 3)
    model = what.model
    what = replace(what, batches=batches, average=Average(model, 0.5))
    backbone = {name: value.clone() for name, value in model.named_parameters() if name.startswith("backbone.")}
    moved = []

    def epoch_start(epoch):
        model.freeze(1, backbone=epoch < 1)

    def epoch_end(epoch, kept):
        moved.append(sorted({name.split(".")[1] for name, value in model.named_parameters()
                             if name in backbone and not torch.equal(value, backbone[name])}))
        return kept

    hooks = Hooks(epoch_start=epoch_start, epoch_end=epoch_end)
    Loop(what, CheckpointStore(Path(FOLDER)), group=group, hooks=hooks).run()
    sums = {name: float(value.double().sum()) for name, value in what.average.model.state_dict().items()}
    return {"moved": moved, "sums": sums, "live": {n: float(p.detach().double().sum()) for n, p in model.named_parameters()}}
"""


def test_two_processes_have_one_average_and_freeze_together(tmp_path: Path) -> None:
    code = TOGETHER.replace("FOLDER", repr(str(tmp_path / "checkpoints")))
    first, second = answers_of_two(code, tmp_path, wrapped=True)
    assert first == second
    assert first["moved"] == [[], ["layer2", "layer3", "layer4"], ["layer2", "layer3", "layer4"]]
    assert first["sums"]["head.classifier.weight"] != first["live"]["head.classifier.weight"]
