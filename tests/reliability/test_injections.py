"""R4: NaN and infinity put into pixels, gradients and weights at random never reach a file (reliability.md)."""

import math
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from snreid.errors import DivergenceError
from snreid.images.loading import PixelStore
from snreid.images.transforms import Augmentation, InputFormat
from snreid.losses import CrossEntropy, Triplet
from snreid.outputs import Outputs
from snreid.records import Sample, Split
from snreid.training.checkpoint import CheckpointStore
from snreid.training.loop import Hooks, Loop, StepReport, TrainingPlan
from snreid.training.optim import Adam, WarmupCosine
from snreid.training.sampling import IdentityBatches, Sampling
from support.tiny import ALONE

pytestmark = pytest.mark.slow

PERSONS = np.repeat(np.arange(4), 4)
STEPS = 8


class Picture:
    """A picture of noise."""

    def __init__(self, number: int) -> None:
        self.number, self.name = number, f"picture-{number}"

    def read(self) -> NDArray[np.uint8]:
        return np.random.default_rng(self.number).integers(0, 256, (16, 16, 3), dtype=np.uint8)


class Network(nn.Module):
    """The least that has every kind of state; spoils itself at the steps it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution, self.norm = nn.Conv2d(3, 8, 3, stride=4), nn.BatchNorm2d(8)
        self.classes = nn.Linear(8, 4)
        self.step = 0
        self.spoil: dict[int, tuple[str, float]] = {}

    def forward(self, images: Tensor) -> Outputs:
        kind, value = self.spoil.get(self.step, ("", 0.0))
        self.step += 1
        if kind == "pixel":
            images = images.clone()
            images[0, 0, 0, 0] = value
        if kind == "weight":
            with torch.no_grad():
                self.convolution.weight[0, 0, 0, 0] = value
        features = self.norm(self.convolution(images)).relu().mean((2, 3))
        if kind == "gradient":
            features.register_hook(lambda gradient: gradient * value)
        return Outputs(pooled=features, embedding=features, logits=self.classes(features), stages=())


def plan() -> TrainingPlan:
    store = PixelStore(Split(tuple(Sample(Picture(i), int(p) + 1, 1) for i, p in enumerate(PERSONS))), 16, 16)
    store.open()
    return TrainingPlan(
        model=Network(),
        losses=(CrossEntropy(), Triplet()),
        store=store,
        persons=PERSONS,
        batches=IdentityBatches(Sampling(persons=2, images=2), PERSONS, np.zeros(16, dtype=np.int64), 0, STEPS // 2),
        augmentation=Augmentation(),
        input=InputFormat(height=16, width=16),
        optim=Adam(lr=1e-3),
        schedule=WarmupCosine(warmup_epochs=1),
        epochs=2,
        seed=0,
    )


def assert_finite(tensors: dict[str, Tensor]) -> None:
    assert all(bool(torch.isfinite(t).all()) for t in tensors.values())


def expected_end(spoil: dict[int, tuple[str, float]]) -> int | None:
    """The step (from 0) in which the run has to end: that of the first broken weight, or the fourth bad one in a row."""
    row = 0
    for step in range(STEPS):
        row = row + 1 if step in spoil else 0
        if row == 4 or spoil.get(step, ("",))[0] == "weight":
            return step
    return None


@pytest.mark.parametrize("trials", [25, pytest.param(1000, marks=[pytest.mark.soak, pytest.mark.timeout(3600)])])
def test_what_is_not_finite_is_caught_in_its_step_and_never_saved(tmp_path: Path, trials: int) -> None:
    torch.set_num_threads(1)
    dice = random.Random(trials)
    ends = 0
    for trial in range(trials):
        what, reports = plan(), list[StepReport]()
        steps = dice.sample(range(STEPS), dice.randint(1, STEPS - 1))
        kinds = ("pixel", "gradient", "weight") if dice.random() < 0.3 else ("pixel", "gradient")
        spoil = {s: (dice.choice(kinds), dice.choice((math.nan, math.inf, -math.inf))) for s in steps}
        what.model.spoil = spoil  # type: ignore[assignment]
        end, folder = expected_end(spoil), tmp_path / str(trial)
        store = CheckpointStore(folder)
        loop = Loop(what, store, group=ALONE, hooks=Hooks(report=reports.append), save_seconds=0)
        if end is None:
            loop.run()
            assert_finite(what.model.state_dict())
            assert [r.skipped for r in reports] == [len([s for s in spoil if s <= step]) for step in range(STEPS)]
        else:
            ends += 1
            with pytest.raises(DivergenceError) as caught:
                loop.run()
            batch = what.batches.epoch(end // (STEPS // 2))[end % (STEPS // 2)]
            assert all(f"picture-{i}" in str(caught.value) for i in batch)
            assert len(reports) == end
        state = store.load()
        # An epoch's last step is saved after the epoch's end, so every step before the bad one is in the file.
        assert (state.step if state else 0) == (STEPS if end is None else end)
        if state is not None:
            assert_finite(dict(state.tensors))
    assert trials // 4 < ends < trials
