"""Frozen stages: exactly what runs before their end, untouched by training, while what a scheme puts after them trains."""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from snreid.errors import ExperimentError
from snreid.models import (
    IBN,
    AllBatchInstance,
    AllInstance,
    AllSwitchable,
    Backbone,
    IBNb,
    MixStyle,
    ModelConfig,
    Plain,
    ReIDModel,
    Scheme,
    StageInstance,
    StageSNR,
)
from snreid.models.backbone import synchronized
from snreid.models.freezing import parts_until

SMALL = Backbone(name="resnet10t", channels=(8, 8, 16, 16))
EVERY = {"conv1.1", "conv1.4", "bn1", "layer1.0.bn1", "layer1.0.bn2", "layer1.0.downsample.2"}
"""Norms of the stem and of stage 1."""
BACKBONES: dict[str, dict[str, Any]] = {
    "resnet18": {},
    "efficientnet_b0": {},
    "mobilenetv3_small_050": {},
    "convnext_atto": {},
    "densenet121": {},
    "vit_tiny_patch16_224": {"image_size": (64, 32)},
    "swin_s3_tiny_224": {"image_size": (64, 32)},
}


def small(scheme: Scheme | None = None) -> ReIDModel:
    torch.manual_seed(0)
    return ModelConfig(backbone=SMALL, scheme=scheme or StageSNR()).build(5)


def images() -> Tensor:
    return torch.randn(4, 3, 64, 32, generator=torch.Generator().manual_seed(1))


def step(model: ReIDModel) -> None:
    """One of plain gradient descent with decay, on everything that has a gradient."""
    out = model(images())
    stages = sum(stage.restored.square().sum() for stage in out.stages)
    (out.logits.square().sum() + out.embedding.square().sum() + stages).backward()
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.01, weight_decay=0.1)
    optimizer.step()
    optimizer.zero_grad()


def changed(before: dict[str, Tensor], model: nn.Module) -> set[str]:
    return {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}


def state(model: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


@pytest.mark.parametrize("name", BACKBONES)
def test_the_frozen_modules_are_those_that_run_before_the_end_of_the_stage(name: str) -> None:
    backbone = Backbone(name=name, **BACKBONES[name])
    trunk = backbone.build()
    network = trunk.network.eval()
    ran: list[str] = []
    ends: dict[str, set[str]] = {}
    for key, module in network.named_modules():
        if list(module.parameters(recurse=False)):
            module.register_forward_hook(lambda *_, key=key: ran.append(key))
    for stage in trunk.stages:
        place = network.get_submodule(stage.name)
        place.register_forward_hook(lambda *_, key=stage.name: ends.__setitem__(key, set(ran)))
    with torch.no_grad():
        network.forward_features(torch.zeros(1, 3, *(backbone.image_size or (64, 32))))  # type: ignore[operator]
    for stage in trunk.stages:
        parts = parts_until(network, stage.name)
        below = {key for key in ran for part in parts if key == part or key.startswith(f"{part}.")}
        assert below == ends[stage.name] and below, stage
    assert parts_until(network, "") == [key for key, _ in network.named_children()]


@pytest.mark.parametrize("stages", [1, 2, 4])
def test_frozen_weights_and_statistics_stay_and_snr_after_them_moves(stages: int) -> None:
    model = small()
    model.freeze(stages)
    before = state(model)
    for _ in range(2):
        step(model)
    moved = changed(before, model)
    frozen = ("backbone.conv1", "backbone.bn1", *(f"backbone.layer{number}." for number in range(1, stages + 1)))
    assert not [name for name in moved if name.startswith(frozen)]
    for number in range(1, 5):
        assert f"after.{number}.gate.fc1.weight" in moved or any(
            name.startswith(f"after.{number}.gate") for name in moved
        )
    for number in range(stages + 1, 5):
        assert (
            f"backbone.layer{number}.0.conv1.weight" in moved and f"backbone.layer{number}.0.bn1.running_mean" in moved
        )
    assert "head.neck.running_mean" in moved and "head.classifier.weight" in moved


def test_no_graph_is_built_in_front_of_the_first_module_that_trains() -> None:
    model = small(StageSNR(stages=(2,)))
    model.freeze(2)
    seen: dict[str, Tensor] = {}
    for name in ("layer1", "layer2"):
        module = model.backbone.get_submodule(name)
        module.register_forward_hook(lambda _m, _i, out, key=name: seen.__setitem__(key, out), prepend=True)
    model(images())
    assert not seen["layer1"].requires_grad and not seen["layer2"].requires_grad
    model.freeze(0)
    model(images())
    assert seen["layer1"].requires_grad


def test_the_frozen_part_embeds_in_training_as_in_evaluation() -> None:
    model = small(Plain())
    for _ in range(3):
        model(images())  # statistics that are not those of a batch
    model.freeze(1)
    seen: list[Tensor] = []
    model.backbone.get_submodule("layer1").register_forward_hook(lambda _m, _i, out: seen.append(out.detach()))
    model(images())
    model.eval()(images())
    assert torch.equal(*seen)


@pytest.mark.parametrize(
    ("scheme", "training"),
    [
        (Plain(), set()),
        (AllInstance(), set()),
        (IBN(), set()),
        (IBNb(), {"layer1.0.act2.0"}),
        (StageInstance(), set()),
        (MixStyle(), set()),
        (AllSwitchable(), EVERY),
        (AllBatchInstance(), EVERY),
    ],
    ids=lambda value: type(value).__name__,
)
def test_norms_of_a_scheme_rest_unless_they_have_something_new_to_learn(scheme: Scheme, training: set[str]) -> None:
    model = small(scheme)
    model.freeze(1)
    before, new = state(model), {f"backbone.{name}" for name in training}
    for name in new:
        assert model.get_submodule(name).training
    for _ in range(2):
        step(model)
    frozen = ("backbone.conv1", "backbone.bn1", "backbone.layer1")
    moved = {name.rpartition(".")[0] for name in changed(before, model) if name.startswith(frozen)}
    assert {name.removesuffix(".batch") for name in moved} == new
    if isinstance(scheme, StageInstance):
        assert "after.1.norm.weight" in changed(before, model)
    if isinstance(scheme, MixStyle):
        assert model.after["1"].training


def test_a_whole_backbone_rests_for_a_while_and_then_only_its_first_stages() -> None:
    model = small()
    untouched = {name for name, p in model.named_parameters() if not p.requires_grad}
    model.freeze(1, backbone=True)
    trains = {name for name, p in model.named_parameters() if p.requires_grad}
    assert trains and not any(name.startswith("backbone.") for name in trains)
    before = state(model)
    step(model)
    assert not [name for name in changed(before, model) if name.startswith("backbone.")]
    model.freeze(1)
    still = {name for name, p in model.named_parameters() if not p.requires_grad} - untouched
    assert all(name.startswith(("backbone.conv1.", "backbone.bn1.", "backbone.layer1.")) for name in still) and still
    assert model.backbone.get_submodule("layer2").training and not model.backbone.get_submodule("layer1").training
    model.freeze(0)
    assert untouched == {name for name, p in model.named_parameters() if not p.requires_grad}
    assert all(module.training for module in model.modules())


def test_frozen_stages_stay_in_evaluation_through_copies_evaluation_and_other_norms() -> None:
    model = small(Plain())
    model.freeze(1)
    twin = copy.deepcopy(model)
    twin.eval()
    assert not any(module.training for module in twin.modules())
    synchronized(twin).train()
    assert twin.training and twin.backbone.get_submodule("layer2").training
    assert isinstance(twin.backbone.get_submodule("bn1"), nn.SyncBatchNorm)
    assert not twin.backbone.get_submodule("bn1").training and not twin.backbone.get_submodule("layer1.0.bn1").training


def test_what_has_no_place_in_a_module_rests_too() -> None:
    backbone = Backbone(name="vit_tiny_patch16_224", image_size=(64, 32))
    model = ModelConfig(backbone=backbone, scheme=Plain()).build(3)
    model.freeze(1)
    still = {name.removeprefix("backbone.") for name, p in model.named_parameters() if not p.requires_grad}
    assert {"cls_token", "pos_embed", "patch_embed.proj.weight", "blocks.2.norm1.weight"} <= still
    assert not any(name.startswith("blocks.3.") for name in still)


def test_more_stages_than_there_are_are_refused() -> None:
    with pytest.raises(ExperimentError, match="5 of 4"):
        small().freeze(5)
