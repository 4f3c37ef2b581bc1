"""Trunks: stages, strides, layouts, unused parameters. Random weights only."""

from typing import Any

import pytest
import torch

from snreid.models.backbone import Backbone
from snreid.models.trunk import Stage


def _shapes(stages: tuple[Stage, ...]) -> list[tuple[str, int, int, str]]:
    return [(s.name, s.channels, s.stride, s.layout) for s in stages]


@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [
        (
            "resnet50",
            {},
            [("layer1", 256, 4), ("layer2", 512, 8), ("layer3", 1024, 16), ("layer4", 2048, 16)],
        ),
        (
            "resnet18",
            {"last_stride": 2},
            [("layer1", 64, 4), ("layer2", 128, 8), ("layer3", 256, 16), ("layer4", 512, 32)],
        ),
        (
            "resnet10t",
            {"channels": (24, 48, 96, 192)},
            [("layer1", 24, 4), ("layer2", 48, 8), ("layer3", 96, 16), ("layer4", 192, 16)],
        ),
        (
            "mobilenetv3_small_100",
            {},
            [("blocks.0", 16, 4), ("blocks.1", 24, 8), ("blocks.3", 48, 16), ("blocks.5", 576, 32)],
        ),
        (
            "mobilenetv3_small_100",
            {"last_stride": 1},
            [("blocks.0", 16, 4), ("blocks.1", 24, 8), ("blocks.3", 48, 16), ("blocks.5", 576, 16)],
        ),
        (
            "convnext_atto",
            {},
            [("stages.0", 40, 4), ("stages.1", 80, 8), ("stages.2", 160, 16), ("stages.3", 320, 32)],
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_convolutional_stages(name: str, options: dict[str, Any], expected: list[tuple[str, int, int]]) -> None:
    trunk = Backbone(name=name, **options).build()
    assert _shapes(trunk.stages) == [(*one, "nchw") for one in expected]
    assert [stage.number for stage in trunk.stages] == [1, 2, 3, 4]
    assert (trunk.channels, trunk.layout, trunk.prefix_tokens) == (expected[-1][1], "nchw", 0)
    maps = trunk.network.eval().forward_features(torch.zeros(1, 3, 128, 64))  # type: ignore[operator]
    assert maps.shape == (1, trunk.channels, 128 // expected[-1][2], 64 // expected[-1][2])


def test_a_vit_has_four_evenly_spaced_blocks_of_tokens() -> None:
    trunk = Backbone(name="vit_tiny_patch16_224", image_size=(128, 64)).build()
    assert _shapes(trunk.stages) == [(f"blocks.{block}", 192, 16, "tokens") for block in (2, 5, 8, 11)]
    assert {stage.prefix_tokens for stage in trunk.stages} == {1}
    assert (trunk.layout, trunk.prefix_tokens) == ("tokens", 1)
    six = Backbone(name="test_vit", image_size=(64, 32)).build()
    assert [stage.name for stage in six.stages] == ["blocks.1", "blocks.2", "blocks.4", "blocks.5"]


def test_a_swin_is_channels_last() -> None:
    trunk = Backbone(name="swin_tiny_patch4_window7_224", image_size=(64, 32)).build()
    assert {stage.layout for stage in trunk.stages} == {"nhwc"} and trunk.layout == "nhwc"
    assert [stage.stride for stage in trunk.stages] == [4, 8, 16, 32]


def test_unused_heads_are_frozen_and_everything_else_learns() -> None:
    network = Backbone(name="mobilenetv3_small_100").build().network
    assert [n for n, p in network.named_parameters() if not p.requires_grad] == ["conv_head.weight", "conv_head.bias"]
    assert all(p.requires_grad for p in Backbone(name="resnet18").build().network.parameters())


def test_building_leaves_training_mode_no_gradients_and_untouched_statistics() -> None:
    network = Backbone(name="resnet10t").build().network
    assert network.training and all(module.training for module in network.modules())
    assert all(p.grad is None for p in network.parameters())
    assert all(not b.any() for n, b in network.named_buffers() if n.endswith(("running_mean", "num_batches_tracked")))
    assert not any(module._forward_hooks for module in network.modules())
