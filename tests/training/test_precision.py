"""Precisions: where they can be had, and the loss scale of float16 beside torch's own."""

import pytest
import torch
from torch import nn

from snreid.errors import ExperimentError
from snreid.training.precision import LossScale, autocast, require_precision


def test_float16_is_refused_on_a_cpu_and_nothing_else_is() -> None:
    with pytest.raises(ExperimentError, match=r"fp16 is for GPUs.*--precision fp16 on the device cpu.*bf16"):
        require_precision("fp16", torch.device("cpu"))
    require_precision("fp16", torch.device("cuda", 0))
    require_precision("bf16", torch.device("cpu"))
    require_precision("float32", torch.device("cpu"))


def test_autocast_is_what_its_name_says() -> None:
    kinds = {}
    for precision in ("float32", "bf16", "fp16"):
        with autocast(precision, "cpu"):
            on = torch.is_autocast_enabled("cpu")
            kinds[precision] = torch.get_autocast_dtype("cpu") if on else torch.float32
    assert kinds == {"float32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def test_the_factor_goes_the_way_of_torchs_scaler() -> None:
    weight = nn.Parameter(torch.ones(1))
    optimizer = torch.optim.SGD([weight], lr=0.0)
    scaler = torch.amp.GradScaler("cpu", growth_interval=2000)
    ours = LossScale(torch.device("cpu"))
    bad_at = {0, 1, 5, 2005, 4010}
    for step in range(4100):
        assert float(ours.factor) == scaler.get_scale(), step
        scaler.scale(weight.sum() * (torch.inf if step in bad_at else 1.0)).backward()
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad()
        ours.update(torch.tensor(float(step in bad_at)))


def test_it_goes_on_where_a_checkpoint_left_it() -> None:
    ours, other = LossScale(torch.device("cpu")), LossScale(torch.device("cpu"))
    for bad in (1.0, 0.0, 0.0):
        ours.update(torch.tensor(bad))
    other.restore({name: value.clone() for name, value in ours.tensors().items()})
    assert (float(other.factor), float(other.streak)) == (2.0**15, 2)
    fresh = LossScale(torch.device("cpu"))
    fresh.restore({})
    assert (float(fresh.factor), float(fresh.streak)) == (2.0**16, 0)
