"""Speed changes no number: twenty losses of the loop beside those of the plainest loop there is.

The twin knows no channels-last, no fused kernel, no guard and no lag. In float64 nothing but the method is left to
differ; in float32 the order of sums differs too, which so small a network multiplies from step to step.
"""

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from snreid.losses import total_loss
from snreid.outputs import Outputs
from snreid.training.checkpoint import CheckpointStore
from snreid.training.loop import Hooks, Loop, TrainingPlan
from snreid.training.optim import Adam
from support.tiny import ALONE, plan

STEPS = 20


class Wide(nn.Module):
    """A network in float64."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network.double()

    def forward(self, images: Tensor) -> Outputs:
        outputs: Outputs = self.network(images.double())
        return outputs


def made(recipe: str, *, wide: bool, lr: float) -> TrainingPlan:
    what = plan(recipe, epochs=2, batches=STEPS // 2, optim=Adam(lr=lr))
    return replace(what, model=Wide(what.model)) if wide else what


def ours(what: TrainingPlan, folder: Path, lag: int) -> list[float]:
    curve: list[float] = []
    hooks = Hooks(report=lambda step: curve.append(sum(step.parts.values())))
    Loop(what, CheckpointStore(folder), group=ALONE, hooks=hooks, lag=lag).run()
    return curve


def plainest(what: TrainingPlan, lr: float) -> list[float]:
    model = what.model.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    optimizer = torch.optim.Adam(
        [p for p in model.parameters() if p.requires_grad], weight_decay=5e-4, foreach=False, fused=False
    )
    curve = []
    for epoch, number in itertools.product(range(2), range(STEPS // 2)):
        batch = what.batches.epoch(epoch)[number]
        for group in optimizer.param_groups:
            group["lr"] = lr * what.schedule.factor(epoch + number / (STEPS // 2), 2)
        draws = what.augmentation.draws(what.seed, epoch, number, len(batch))
        images = what.augmentation(next(what.store.batches([batch])), draws, what.input)
        outputs = model(images.contiguous())
        loss = total_loss(what.losses, outputs, torch.from_numpy(what.persons[batch])).total
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        curve.append(loss.item())
    return curve


@pytest.mark.parametrize("recipe", ["baseline", "snr"])
@pytest.mark.parametrize("lag", [0, 1])
def test_in_float64_twenty_losses_are_those_of_the_plainest_loop(recipe: str, lag: int, tmp_path: Path) -> None:
    expected = plainest(made(recipe, wide=True, lr=2e-3), 2e-3)
    found = ours(made(recipe, wide=True, lr=2e-3), tmp_path, lag)
    assert len(found) == STEPS and np.ptp(expected) > 0.1
    assert found == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("recipe", ["baseline", "snr"])
def test_in_float32_they_are_as_near_as_rounding_lets_them_be(recipe: str, tmp_path: Path) -> None:
    expected = plainest(made(recipe, wide=False, lr=1e-4), 1e-4)
    found = ours(made(recipe, wide=False, lr=1e-4), tmp_path, 0)
    assert found == pytest.approx(expected, rel=2e-3)
