"""Training with ``--compile``: the same losses and weights as without, step by step, in float64, where rounding cannot hide anything.

In float32 two runs drift apart: Adam divides each gradient by its size, so that the sign of a gradient that is all rounding becomes a
whole step. By hand, with the inductor backend, one sees what is seen here.
"""

import copy

import pytest
import torch

from snreid.losses.causality import DualCausality
from snreid.losses.identity import CrossEntropy
from snreid.losses.triplet import Triplet
from snreid.models import Backbone, ModelConfig, StageSNR
from snreid.training.parallel import Objective


@pytest.mark.filterwarnings("ignore:The .grad attribute")  # torch's own, where a graph breaks
@pytest.mark.slow
def test_compiled_steps_are_those_of_eager() -> None:
    torch.manual_seed(0)
    backbone = Backbone(name="resnet10t", channels=(24, 48, 96, 192))
    eager = ModelConfig(backbone=backbone, scheme=StageSNR()).build(5).double().train()
    compiled = copy.deepcopy(eager)
    losses = (CrossEntropy(), Triplet(), DualCausality())
    alike = [Objective(model, losses, precision="float32") for model in (eager, compiled)]
    steps = (alike[0], torch.compile(alike[1], backend="aot_eager"))
    optimizers = [torch.optim.SGD(model.parameters(), 0.01) for model in (eager, compiled)]
    persons = torch.arange(8) // 2
    for _ in range(3):
        images = torch.randn(8, 3, 64, 32, dtype=torch.float64)
        totals = []
        for step, optimizer in zip(steps, optimizers, strict=True):
            total, _ = step(images, persons)
            optimizer.zero_grad()
            total.backward()
            optimizer.step()
            totals.append(float(total.detach()))
        assert totals[1] == pytest.approx(totals[0], rel=1e-12)
    for one, other in zip(eager.parameters(), compiled.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-11)
