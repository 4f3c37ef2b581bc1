"""Convolutions of mobile networks: the values of torch's and timm's own, and a weight gradient that equals a slow loop."""

import copy

import pytest
import timm
import torch
from timm.layers import Conv2dSame
from torch import Tensor, nn

from snreid.inference.folding import FusedConv, folded, fused
from snreid.models.backbone import Backbone
from snreid.models.mobile_conv import MobileConv2d, depthwise_gradient, quick_mobile
from snreid.models.reid import ModelConfig


def of_step(conv: nn.Module, maps: Tensor, *, bf16: bool = False) -> tuple[Tensor, Tensor, Tensor]:
    """Output, gradient of the input, gradient of the weight, for a slope that differs everywhere."""
    conv.zero_grad()
    maps = maps.detach().clone().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        found = conv(maps)
    generator = torch.Generator().manual_seed(1)
    found.backward(torch.randn(found.shape, generator=generator).to(found.dtype))
    weight = next(conv.parameters())
    assert maps.grad is not None and weight.grad is not None
    return found.detach(), maps.grad, weight.grad


@pytest.mark.parametrize(("height", "width"), [(4, 2), (8, 4), (1, 1), (2, 1), (3, 8)])
def test_the_sums_are_the_weight_gradient_tap_by_tap(height: int, width: int) -> None:
    """The twin: one multiplication at a time."""
    maps, d_maps = torch.randn(2, 2, 3, height, width, dtype=torch.float64).unbind(0)
    expected = torch.zeros(3, 1, 5, 5, dtype=torch.float64)
    for y in range(height):
        for x in range(width):
            for down in range(5):
                for right in range(5):
                    row, column = y + down - 2, x + right - 2
                    if 0 <= row < height and 0 <= column < width:
                        expected[:, 0, down, right] += (maps[:, :, row, column] * d_maps[:, :, y, x]).sum(0)
    torch.testing.assert_close(depthwise_gradient(maps, d_maps), expected)


def test_large_batches_are_summed_part_by_part(monkeypatch: pytest.MonkeyPatch) -> None:
    maps, d_maps = torch.randn(2, 7, 3, 8, 4, dtype=torch.float64).unbind(0)
    whole = depthwise_gradient(maps, d_maps)
    monkeypatch.setattr("snreid.models.mobile_conv._AT_ONCE", 2 * 3 * 8 * 4)
    torch.testing.assert_close(depthwise_gradient(maps, d_maps), whole)


def test_one_image_without_a_batch_is_taken_as_by_the_plain_layer() -> None:
    plain = nn.Conv2d(6, 6, 5, padding=2, groups=6, bias=False)
    maps = torch.randn(6, 8, 4)
    found, expected = of_step(MobileConv2d.like(copy.deepcopy(plain), same=False), maps), of_step(plain, maps)
    for mine, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(mine, theirs)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_a_step_is_that_of_the_plain_layer_up_to_rounding(layout: torch.memory_format) -> None:
    plain = nn.Conv2d(6, 6, 5, padding=2, groups=6, bias=False)
    maps = torch.randn(4, 6, 8, 4).contiguous(memory_format=layout)
    expected = of_step(plain, maps)
    quick = MobileConv2d.like(copy.deepcopy(plain), same=False)
    assert quick._has_sums(maps)
    for mine, theirs in zip(of_step(quick, maps), expected, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=1e-5)


def test_second_derivatives_are_those_of_torch() -> None:
    conv = MobileConv2d(2, 2, 5, padding=2, groups=2, bias=False)
    maps = torch.randn(1, 2, 3, 2)
    assert conv._has_sums(maps)

    def slope(layer: nn.Module) -> Tensor:
        """Gradient of a penalty on the gradient."""
        given = maps.clone().requires_grad_()
        (first,) = torch.autograd.grad(layer(given).square().sum(), given, create_graph=True)
        (second,) = torch.autograd.grad(first.square().sum(), next(layer.parameters()))
        return second

    plain = nn.Conv2d(2, 2, 5, padding=2, groups=2, bias=False)
    plain.weight = conv.weight
    torch.testing.assert_close(slope(conv), slope(plain))


def test_under_autocast_a_depthwise_convolution_trains_in_float32_and_embeds_in_bfloat16() -> None:
    conv = MobileConv2d(4, 4, 3, padding=1, groups=4, bias=False)
    maps = torch.randn(2, 4, 6, 3)
    wide = of_step(conv, maps)
    for mine, theirs in zip(of_step(conv, maps, bf16=True), wide, strict=True):
        assert mine.dtype == torch.float32 and torch.equal(mine, theirs)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        assert conv(maps).dtype == torch.bfloat16


@pytest.mark.parametrize(
    ("size", "kernel", "stride"),
    [((9, 6), 3, 2), ((8, 5), 5, 2), ((7, 7), 3, 1), ((8, 4), 5, 1), ((5, 4), 4, 1), ((5, 4), 5, 3)],
)
@pytest.mark.parametrize("groups", [1, 4])
def test_tensorflows_padding_is_that_of_timm(size: tuple[int, int], kernel: int, stride: int, groups: int) -> None:
    theirs = Conv2dSame(4, 4, kernel, stride=stride, groups=groups, bias=False)
    mine = MobileConv2d.like(theirs, same=True)
    maps = torch.randn(2, 4, *size)
    for found, expected in zip(of_step(mine, maps), of_step(theirs, maps), strict=True):
        torch.testing.assert_close(found, expected)


def test_a_network_keeps_its_names_and_values() -> None:
    torch.manual_seed(0)
    plain = timm.create_model("tf_efficientnet_lite0", num_classes=0).eval()
    quick = quick_mobile(copy.deepcopy(plain))
    assert list(quick.state_dict()) == list(plain.state_dict())
    images = torch.randn(2, 3, 64, 32)
    with torch.no_grad():
        torch.testing.assert_close(quick(images), plain(images))
    kinds = {type(m).__name__ for m in quick.modules() if isinstance(m, nn.Conv2d)}
    assert kinds == {"Conv2d", "MobileConv2d"}


def test_batch_norms_of_a_network_with_tensorflows_padding_fold_and_fuse() -> None:
    torch.manual_seed(0)
    model = ModelConfig(backbone=Backbone(name="tf_efficientnet_lite0")).build(4).eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_var, 0.5, 2)  # type: ignore[arg-type]
    plain = folded(model, (64, 32))
    assert plain.features is not None
    assert not [m for m in plain.features.modules() if isinstance(m, nn.BatchNorm2d)]
    quick = fused(plain, (64, 32))
    assert quick.features is not None
    activations = [m.activation for m in quick.features.modules() if isinstance(m, FusedConv)]
    assert activations.count("relu6") > 20 and "none" in activations
    images = torch.randn(3, 3, 64, 32).contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        expected = model.embed(images)
        torch.testing.assert_close(plain(images), expected, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(quick(images), expected, rtol=1e-4, atol=1e-4)
