"""Backbones: stages, strides, layouts, unused parameters, errors. Random weights only."""

from typing import Any

import pytest
import torch
from torch import nn

from snreid.errors import ExperimentError
from snreid.models.backbone import Backbone, synchronized, timm_tags
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


@pytest.mark.parametrize("name", ["resnet18", "resnet18d", "resnet26", "resnet10t"])
def test_last_stride_1_keeps_resolution_without_dilation_and_without_new_keys(name: str) -> None:
    one = Backbone(name=name).build().network
    two = Backbone(name=name, last_stride=2).build().network
    assert list(one.state_dict()) == list(two.state_dict())
    two.load_state_dict(one.state_dict())
    images = torch.randn(1, 3, 64, 32)
    wide, narrow = (network.eval().forward_features(images) for network in (one, two))  # type: ignore[operator]
    assert wide.shape[2:] == (4, 2) and narrow.shape[2:] == (2, 1)
    assert all(m.dilation == (1, 1) for m in one.modules() if isinstance(m, nn.Conv2d))
    earlier = [network.layer3 for network in (one, two)]
    assert [m.stride for m in earlier[0].modules() if isinstance(m, nn.Conv2d)] == [  # type: ignore[union-attr]
        m.stride
        for m in earlier[1].modules()
        if isinstance(m, nn.Conv2d)  # type: ignore[union-attr]
    ]


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


def test_the_seed_decides_the_weights() -> None:
    built = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        built.append(Backbone(name="resnet10t").build().network.state_dict()["layer1.0.conv1.weight"])
    assert torch.equal(built[0], built[1]) and not torch.equal(built[0], built[2])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"name": "resnet50.a1_in1k"}, r"name='resnet50', weights='a1_in1k'"),
        ({"last_stride": 3}, "must be 1 or 2"),
        ({"image_size": (0, 64)}, "height and a width"),
        ({"channels": (1, 2, 3)}, "channels must be 4"),
        ({"layers": (1, 0, 1, 1)}, "layers must be 4"),
        ({"weights": " "}, "must say where"),
    ],
)
def test_wrong_settings_are_refused_at_once(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ExperimentError, match=words):
        Backbone(**options)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"name": "resnet5000"}, "architecture timm knows.*'resnet5000'"),
        ({"name": "resnet18", "image_size": (64, 32)}, "image_size is for ViT"),
        ({"name": "convnext_atto", "last_stride": 1}, "leave last_stride out"),
        ({"name": "test_vit", "image_size": (64, 32), "last_stride": 1}, "leave last_stride out"),
        ({"name": "resnet18", "weights": "no_such_tag"}, "known tags: a1_in1k"),
    ],
    ids=lambda value: str(value),
)
def test_what_a_network_cannot_do_is_told(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ExperimentError, match=words):
        Backbone(**options).build()


def test_the_default_tag_comes_first() -> None:
    assert timm_tags("resnet50")[0] == "a1_in1k"
    assert timm_tags("test_vit")


@pytest.mark.parametrize("name", ["resnet18", "mobilenetv3_small_100"])
def test_synchronized_batch_norms_keep_the_activations_that_timm_folds_into_them(name: str) -> None:
    network = Backbone(name=name).build().network.eval()
    images, before = torch.rand(2, 3, 64, 32), dict(network.named_parameters())
    expected = network.forward_features(images)  # type: ignore[operator]
    converted = synchronized(network)
    assert any(isinstance(module, nn.SyncBatchNorm) for module in converted.modules())
    assert torch.equal(converted.forward_features(images), expected)  # type: ignore[operator]
    after = dict(converted.named_parameters())
    assert list(after) == list(before) and all(after[key] is value for key, value in before.items())
