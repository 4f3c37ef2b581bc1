"""Backbones: last strides, settings, errors, tags. Random weights only."""

from typing import Any

import pytest
import torch
from torch import nn

from snreid.errors import ExperimentError
from snreid.models.backbone import Backbone, synchronized, timm_tags


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
