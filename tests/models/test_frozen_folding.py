"""Frozen batch norms inside the convolutions before them: the values and gradients of the network as it is."""

import copy
from collections import OrderedDict
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from snreid.models.backbone import Backbone
from snreid.models.frozen_folding import FrozenFolding, _frozen_pairs
from snreid.models.norms import StageSNR
from snreid.models.reid import ModelConfig, ReIDModel


def built(name: str, stages: int = 1) -> ReIDModel:
    """With running statistics and scales that a fold cannot leave out unnoticed."""
    torch.manual_seed(0)
    model = ModelConfig(backbone=Backbone(name=name), scheme=StageSNR(stages=(1, 2))).build(4)
    for module in model.backbone.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor in (module.running_var, module.running_mean, module.weight):
                nn.init.uniform_(tensor, 0.5, 2)  # type: ignore[arg-type]
    model.freeze(stages)
    return model


def step(model: ReIDModel, images: Tensor) -> tuple[Tensor, dict[str, Tensor], dict[str, Tensor]]:
    """Embedding, gradients and buffers of one training step."""
    model.zero_grad()
    embedding = model(images).embedding
    embedding.square().sum().backward()
    gradients = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    return embedding.detach(), gradients, {name: value.clone() for name, value in model.named_buffers()}


def unfolded(model: ReIDModel, monkeypatch: pytest.MonkeyPatch) -> ReIDModel:
    """The twin: a copy whose frozen norms run as they are."""
    twin = copy.deepcopy(model)
    monkeypatch.setattr(twin._folding, "_of", lambda *_: ())
    return twin


@pytest.mark.parametrize(
    ("name", "pairs"), [("tf_efficientnet_lite0", 9), ("resnet18", 5), ("mobilenetv3_small_100", 3)]
)
def test_frozen_maps_are_those_of_the_network_as_it_is(name: str, pairs: int, monkeypatch: pytest.MonkeyPatch) -> None:
    model = built(name)
    twin, images = unfolded(model, monkeypatch), torch.randn(3, 3, 64, 32).contiguous(memory_format=torch.channels_last)
    seen: list[list[Tensor]] = []
    for one in (model, twin):
        maps: list[Tensor] = []
        one.backbone.get_submodule(one.stages[0].name).register_forward_hook(
            lambda _m, _i, out, maps=maps: maps.append(out.clone()), prepend=True
        )
        one(images)
        seen.append(maps)
    assert len(model._folding._pairs) == pairs
    folded, expected = seen[0][-1], seen[1][-1]
    torch.testing.assert_close(folded, expected, rtol=1e-5, atol=1e-5 * float(expected.abs().max()))


def test_a_training_step_is_that_of_the_network_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    model = built("resnet18")
    twin, images = unfolded(model, monkeypatch), torch.randn(8, 3, 64, 32).contiguous(memory_format=torch.channels_last)
    keys = list(model.state_dict())
    embedding, gradients, buffers = step(model, images)
    expected = step(twin, images)
    torch.testing.assert_close(embedding, expected[0], rtol=1e-3, atol=1e-3)
    assert list(gradients) == list(expected[1])
    for found, other in ((gradients, expected[1]), (buffers, expected[2])):
        for key, value in other.items():
            torch.testing.assert_close(found[key], value, rtol=1e-2, atol=1e-2 * float(value.abs().max() + 1), msg=key)
    assert list(model.state_dict()) == keys
    assert not [m for m in model.modules() if "forward" in m.__dict__], "nothing stays replaced"


def test_a_weight_that_has_changed_is_folded_again() -> None:
    model, images = built("resnet18"), torch.randn(2, 3, 64, 32)
    first = model(images).embedding.detach()
    made = model._folding._pairs
    model(images)
    assert model._folding._pairs is made, "not made again for nothing"
    with torch.no_grad():
        model.backbone.get_parameter("bn1.bias").add_(3)
    assert (model(images).embedding - first).abs().max() > 1e-3
    assert model._folding._pairs is not made


def test_evaluation_and_a_model_with_nothing_frozen_take_no_folded_layer(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(FrozenFolding, "_of", lambda self, *given: asked.append(given) or ())
    model, images = built("resnet18"), torch.randn(2, 3, 64, 32)
    model.eval()(images)
    model.freeze(0)
    model.train()(images)
    assert not asked
    model.freeze(1)
    model(images)
    assert len(asked) == 1


class Crossed(nn.Module):
    """Registered as convolution and norm, run the other way round."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(OrderedDict(conv=nn.Conv2d(3, 3, 1), norm=nn.BatchNorm2d(3)))
        nn.init.uniform_(self.body.norm.running_mean, 1, 2)  # type: ignore[arg-type, union-attr]

    def forward_features(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, 3, H, W)."""
        crossed: Tensor = self.body.conv(self.body.norm(images))  # type: ignore[operator, union-attr]
        return crossed


def test_what_is_registered_in_another_order_than_it_runs_is_left_alone() -> None:
    network = Crossed().eval()
    images = torch.randn(2, 3, 4, 4)
    assert len(list(_frozen_pairs(network, ["body"]))) == 1
    expected = network.forward_features(images)
    with FrozenFolding().within(network, ["body"], images):
        assert torch.equal(network.forward_features(images), expected)
