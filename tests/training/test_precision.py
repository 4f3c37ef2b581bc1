"""Precisions: where they can be had, and the loss scale of float16 beside torch's own."""

import itertools
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from snreid.errors import ExperimentError
from snreid.experiments.job import train
from snreid.images.transforms import Augmentation
from snreid.models import Backbone
from snreid.system.machine import Precision
from snreid.training.distributed import join
from snreid.training.log import read_metrics
from snreid.training.optim import SGD
from snreid.training.precision import LossScale, autocast, require_precision
from snreid.training.sampling import Sampling
from support.tiny import console, experiment, session


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


def _course(folder: Path, device: str, precision: Precision) -> tuple[list[float], list[int], str]:
    """The losses and the skipped steps so far of 24 steps, all on the same 24 images, and what was said. As ``snreid train`` trains."""
    small = experiment("snr")
    asked = replace(
        small,
        model=replace(small.model, backbone=Backbone(name="resnet18", weights="random", channels=(8, 8, 16, 16))),
        augmentation=Augmentation(enlarge=1.0, crop=0.0, flip=0.0, brightness=0.0, contrast=0.0),
        sampling=Sampling(persons=6, images=4),
        optimizer=SGD(lr=0.02),
        schedule=replace(small.schedule, warmup_epochs=0.0),
        epochs=24,
    )
    said = console()
    train(asked, folder, session(talk=said, group=join(device), device=device, precision=precision))
    lines = read_metrics(folder)
    losses = [sum(float(line[name]) for name in ("CrossEntropy", "Triplet", "DualCausality")) for line in lines]
    return losses, [int(line["skipped"]) for line in lines], said.file.getvalue()  # type: ignore[attr-defined]


@pytest.mark.gpu
@pytest.mark.parametrize(
    "device",
    [pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU, here is none"))],
)
def test_float16_trains_as_float32_does_and_steps_that_overflow_are_skipped(
    device: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected, none, _ = _course(tmp_path / "float32", device, "float32")
    assert len(expected) == 24 and not any(none) and expected[-1] < 0.6 * expected[0]

    monkeypatch.setattr("snreid.training.precision._START", 2.0**6)  # so low that no step overflows
    losses, skipped, _ = _course(tmp_path / "low", device, "fp16")
    assert not any(skipped) and all(map(torch.isfinite, torch.tensor(losses)))
    assert losses[0] == pytest.approx(expected[0], rel=1e-2) and losses[0] != expected[0]
    assert losses[-1] == pytest.approx(expected[-1], abs=0.1 * expected[0])

    monkeypatch.setattr("snreid.training.precision._START", 2.0**20)  # so high that the first ones do
    losses, skipped, said = _course(tmp_path / "high", device, "fp16")
    assert skipped[:2] == [1, 2] and all(0 <= b - a <= 1 for a, b in itertools.pairwise(skipped))
    assert losses[:3] == pytest.approx(losses[:1] * 3, rel=1e-2), "a step that is skipped changes nothing"
    assert skipped[-1] < 12 and losses[-1] < 0.8 * losses[0]
    assert f"{skipped[-1]} of 24 steps were skipped" in said
