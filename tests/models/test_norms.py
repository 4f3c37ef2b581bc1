"""The seven schemes as edits of a backbone."""

from dataclasses import FrozenInstanceError
from typing import get_args

import pytest
import torch
from torch import nn

from snreid.errors import ExperimentError
from snreid.models import IBN, AllInstance, AllSwitchable, Backbone, Plain, Scheme, StageInstance, StageSNR
from snreid.models.backbone import Trunk
from snreid.models.layers import AffineInstance, HalfInstance, StageInstanceNorm, Switchable
from snreid.models.snr import SNR, Gate

ALL: tuple[Scheme, ...] = (Plain(), AllInstance(), IBN(), AllSwitchable(), StageInstance(), StageSNR())


def _trunk(name: str = "resnet10t") -> Trunk:
    options = {"image_size": (64, 32)} if "vit" in name else {}
    return Backbone(name=name, **options).build()


def _kinds(network: nn.Module, kind: type[nn.Module]) -> list[str]:
    return [name for name, module in network.named_modules() if isinstance(module, kind)]


def test_schemes_are_values_with_the_papers_names() -> None:
    assert [scheme.label for scheme in ALL] == [
        "Baseline",
        "Baseline-A-IN",
        "Baseline-IBN",
        "Baseline-A-SN",
        "Baseline-IN",
        "SNR",
    ]
    assert len(set(ALL)) == len(ALL)
    assert StageSNR() == StageSNR(stages=(1, 2, 3, 4), gate="channel", pool="mean", reduction=16)
    with pytest.raises(FrozenInstanceError):
        StageSNR().stages = (1,)  # type: ignore[misc]


def test_plain_changes_nothing() -> None:
    trunk = _trunk()
    before = [type(module) for module in trunk.network.modules()]
    assert Plain().apply(trunk) == {}
    assert [type(module) for module in trunk.network.modules()] == before


@pytest.mark.parametrize(("scheme", "kind"), [(AllInstance(), AffineInstance), (AllSwitchable(), Switchable)])
@pytest.mark.parametrize("name", ["resnet10t", "mobilenetv3_small_100"])
def test_every_batch_norm_is_replaced_with_its_scale_and_shift(
    name: str, scheme: Scheme, kind: type[nn.Module]
) -> None:
    trunk = _trunk(name)
    norms = _kinds(trunk.network, nn.BatchNorm2d)
    for key in norms:
        norm = trunk.network.get_submodule(key)
        nn.init.normal_(norm.weight)  # type: ignore[arg-type]
        nn.init.normal_(norm.bias)  # type: ignore[arg-type]
    old = {key: value.clone() for key, value in trunk.network.state_dict().items()}
    assert scheme.apply(trunk) == {}
    assert _kinds(trunk.network, kind) == norms
    assert not _kinds(trunk.network, nn.BatchNorm2d)
    new = trunk.network.state_dict()
    for key in norms:
        assert torch.equal(new[f"{key}.weight"], old[f"{key}.weight"])
        assert torch.equal(new[f"{key}.bias"], old[f"{key}.bias"])
    assert trunk.network.eval().forward_features(torch.randn(2, 3, 64, 32)).isfinite().all()  # type: ignore[operator]


def test_ibn_a_touches_the_first_norm_of_each_block_of_stages_1_to_3() -> None:
    trunk = _trunk("resnet18")
    assert IBN().apply(trunk) == {}
    assert _kinds(trunk.network, HalfInstance) == [
        f"layer{stage}.{block}.bn1" for stage in (1, 2, 3) for block in (0, 1)
    ]
    halves = trunk.network.get_submodule("layer1.0.bn1")
    assert (halves.instance.weight.numel(), halves.batch.num_features) == (32, 32)  # type: ignore[union-attr]


@pytest.mark.parametrize("scheme", [AllInstance(), AllSwitchable(), IBN()])
@pytest.mark.parametrize("name", ["convnext_atto", "test_vit"])
def test_a_scheme_that_does_not_fit_says_so(name: str, scheme: Scheme) -> None:
    trunk = _trunk(name)
    with pytest.raises(ExperimentError, match=name):
        scheme.apply(trunk)


def test_ibn_is_refused_where_its_stages_are_not_a_resnets() -> None:
    with pytest.raises(ExperimentError, match="blocks of a ResNet"):
        IBN().apply(_trunk("mobilenetv3_small_100"))


@pytest.mark.parametrize("stages", [(1,), (2, 4), (1, 2, 3, 4)])
def test_stage_schemes_follow_the_chosen_stages(stages: tuple[int, ...]) -> None:
    trunk = _trunk()
    channels = {stage.number: stage.channels for stage in trunk.stages}
    after = StageSNR(stages=stages, reduction=8).apply(trunk)
    assert tuple(after) == stages
    for number, module in after.items():
        assert isinstance(module, SNR)
        assert module.gate.reduce.weight.shape == (channels[number] // 8, channels[number])
    assert all(isinstance(module, StageInstanceNorm) for module in StageInstance(stages=stages).apply(trunk).values())


@pytest.mark.parametrize("gate", get_args(Gate))
def test_the_gate_reaches_the_module(gate: Gate) -> None:
    module = StageSNR(stages=(1,), gate=gate, pool="relu").apply(_trunk())[1]
    assert isinstance(module, SNR) and module.gate_kind == gate and module.pool_kind == "relu"


@pytest.mark.parametrize("stages", [(), (0, 1), (2, 1), (1, 1)])
def test_stages_that_cannot_be_are_refused(stages: tuple[int, ...]) -> None:
    for kind in (StageSNR, StageInstance):
        with pytest.raises(ExperimentError, match="rising numbers"):
            kind(stages=stages)


def test_a_fifth_stage_is_refused_when_it_is_applied() -> None:
    with pytest.raises(ExperimentError, match="stage 5, where resnet10t has 4"):
        StageSNR(stages=(4, 5)).apply(_trunk())


def test_settings_are_checked_when_they_are_made() -> None:
    with pytest.raises(ExperimentError, match="reduction"):
        StageSNR(reduction=0)
    with pytest.raises(ExperimentError, match="spatial gate"):
        StageSNR(gate="spatial").apply(_trunk("test_vit"))
