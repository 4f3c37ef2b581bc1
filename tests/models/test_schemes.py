"""The schemes as edits of a backbone."""

from dataclasses import FrozenInstanceError
from typing import get_args

import pytest
import timm
import torch
from torch import nn

from snreid.errors import ExperimentError
from snreid.models import (
    IBN,
    AllBatchInstance,
    AllInstance,
    AllSwitchable,
    Backbone,
    IBNb,
    Plain,
    Scheme,
    StageInstance,
    StageSNR,
)
from snreid.models.norm_layers import AffineInstance, BatchInstance, HalfInstance, StageInstanceNorm, Switchable
from snreid.models.snr import SNR, Gate
from snreid.models.trunk import Stage, Trunk, stage_names

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
    assert (IBNb().label, AllBatchInstance().label) == ("Baseline-IBN-b", "Baseline-BIN")
    assert len(set(ALL)) == len(ALL)
    assert StageSNR() == StageSNR(stages=(1, 2, 3, 4), gate="channel", pool="mean", reduction=16)
    with pytest.raises(FrozenInstanceError):
        StageSNR().stages = (1,)  # type: ignore[misc]


def test_plain_changes_nothing() -> None:
    trunk = _trunk()
    before = [type(module) for module in trunk.network.modules()]
    assert Plain().apply(trunk) == {}
    assert [type(module) for module in trunk.network.modules()] == before


@pytest.mark.parametrize(
    ("scheme", "kind"),
    [(AllInstance(), AffineInstance), (AllSwitchable(), Switchable), (AllBatchInstance(), BatchInstance)],
)
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
    left = _kinds(trunk.network, nn.BatchNorm2d)
    assert left == ([f"{key}.batch" for key in norms] if kind is BatchInstance else [])
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


def test_ibn_a_of_inverted_residuals_takes_the_norm_behind_the_widening_convolution() -> None:
    trunk = _trunk("tf_efficientnet_lite0")
    images = torch.randn(2, 3, 64, 32)
    IBN().apply(trunk)
    assert _kinds(trunk.network, HalfInstance) == [
        f"blocks.{stage}.{block}.bn1" for stage, count in ((1, 2), (2, 2), (3, 3), (4, 3)) for block in range(count)
    ]
    # The twin: the first such block by hand, in training mode.
    network = trunk.network.train()
    given: dict[str, torch.Tensor] = {}
    part = network.get_submodule
    for key in ("blocks.0", "blocks.1.0.bn1"):
        part(key).register_forward_hook(lambda _m, _i, out, key=key: given.update({key: out.clone()}))
    network.forward_features(images)  # type: ignore[operator]
    maps = part("blocks.1.0.conv_pw")(given["blocks.0"])
    own, rest = maps[:, :48], maps[:, 48:]
    own = (own - own.mean((2, 3), keepdim=True)) / (own.var((2, 3), keepdim=True, correction=0) + 1e-3).sqrt()
    rest = (rest - rest.mean((0, 2, 3), keepdim=True)) / (rest.var((0, 2, 3), keepdim=True, correction=0) + 1e-3).sqrt()
    assert torch.allclose(given["blocks.1.0.bn1"], torch.cat([own, rest], 1).clamp(0, 6), atol=1e-4)


def test_ibn_a_of_a_network_without_blocks_is_refused_and_no_plain_one() -> None:
    with torch.device("meta"):
        network = timm.create_model("vgg11_bn", num_classes=0)
    stages = tuple(
        Stage(number, name, channels, 4, "nchw", 0)
        for number, (name, channels) in enumerate(stage_names(network, "vgg11_bn"), 1)
    )
    with pytest.raises(ExperimentError, match=r"IBN-a is defined for blocks.*vgg11_bn"):
        IBN().apply(Trunk("vgg11_bn", network, stages, 512, "nchw", 0, ends_in_stage=True))


def test_bin_starts_as_the_batch_norms_it_replaces() -> None:
    trunk, images = _trunk("resnet18"), torch.randn(2, 3, 64, 32)
    for key in _kinds(trunk.network, nn.BatchNorm2d):
        nn.init.uniform_(trunk.network.get_submodule(key).running_var, 0.5, 2)  # type: ignore[arg-type]
    before = trunk.network.eval().forward_features(images)  # type: ignore[operator]
    AllBatchInstance().apply(trunk)
    assert torch.allclose(trunk.network.eval().forward_features(images), before, atol=1e-5)  # type: ignore[operator]


@pytest.mark.parametrize(
    ("name", "blocks", "last"),
    [("resnet18", (2, 2), "act2"), ("resnet50", (3, 4), "act3"), ("resnet10t", (1, 1), "act2")],
)
def test_ibn_b_normalizes_the_stem_and_the_sums_that_end_stages_1_and_2(
    name: str, blocks: tuple[int, int], last: str
) -> None:
    trunk = _trunk(name)
    scale = trunk.network.get_parameter("bn1.weight")
    nn.init.normal_(scale)
    keys = set(trunk.network.state_dict())
    assert IBNb().apply(trunk) == {}
    places = [f"layer{stage}.{count - 1}.{last}.0" for stage, count in zip((1, 2), blocks, strict=True)]
    assert _kinds(trunk.network, AffineInstance) == ["bn1", *places]
    assert torch.equal(trunk.network.get_parameter("bn1.weight"), scale)
    new = set(trunk.network.state_dict())
    assert new - keys == {f"{place}.{part}" for place in places for part in ("weight", "bias")}
    assert keys - new == {f"bn1.{part}" for part in ("running_mean", "running_var", "num_batches_tracked")}


def test_ibn_b_normalizes_after_the_addition_and_before_the_activation() -> None:
    """The twin: the stage by hand, block by block, with the norm where the paper's figure has it."""
    trunk = _trunk("resnet18")
    images = torch.randn(2, 3, 64, 32)
    IBNb().apply(trunk)
    trunk.network.eval()
    given: dict[str, torch.Tensor] = {}
    for key in ("maxpool", "layer1"):
        trunk.network.get_submodule(key).register_forward_hook(lambda _m, _i, out, key=key: given.update({key: out}))
    trunk.network.forward_features(images)  # type: ignore[operator]
    part = trunk.network.get_submodule
    maps = part("layer1.0")(given["maxpool"].clone())
    inner = torch.relu(part("layer1.1.bn1")(part("layer1.1.conv1")(maps)))
    total = maps + part("layer1.1.bn2")(part("layer1.1.conv2")(inner))
    mean, variance = total.mean((2, 3), keepdim=True), total.var((2, 3), keepdim=True, correction=0)
    assert torch.allclose(given["layer1"], torch.relu((total - mean) / (variance + 1e-5).sqrt()), atol=1e-5)


@pytest.mark.parametrize("scheme", [AllInstance(), AllSwitchable(), IBN(), IBNb(), AllBatchInstance()])
@pytest.mark.parametrize("name", ["convnext_atto", "test_vit"])
def test_a_scheme_that_does_not_fit_says_so(name: str, scheme: Scheme) -> None:
    trunk = _trunk(name)
    with pytest.raises(ExperimentError, match=name):
        scheme.apply(trunk)


def test_ibn_is_refused_where_its_blocks_begin_otherwise() -> None:
    with pytest.raises(ExperimentError, match="inverted residuals"):
        IBN().apply(_trunk("mobilenetv3_small_100"))
    for chain in ("vgg11_bn", "legacy_xception"):  # stages that are single layers have no blocks
        with pytest.raises(ExperimentError, match=f"{chain}, block"):
            IBN().apply(_trunk(chain))
    trunk = _trunk("mobilenetv3_small_100")
    before = list(trunk.network.state_dict())
    with pytest.raises(ExperimentError, match="defined for a ResNet"):
        IBNb().apply(trunk)
    assert list(trunk.network.state_dict()) == before, "untouched"


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


def test_snr_with_ibn_is_both() -> None:
    trunk = _trunk("resnet18")
    modules = StageSNR(stages=(1, 2), ibn=True).apply(trunk)
    assert list(modules) == [1, 2] and all(isinstance(module, SNR) for module in modules.values())
    assert _kinds(trunk.network, HalfInstance) == [f"layer{n}.{block}.bn1" for n in (1, 2, 3) for block in (0, 1)]
    trunk = _trunk("convnext_atto")
    with pytest.raises(ExperimentError, match="convnext_atto"):
        StageSNR(ibn=True).apply(trunk)
