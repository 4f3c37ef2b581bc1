"""The quick weight gradient is that of ``nn.Conv2d``, up to rounding, and takes its place without a trace."""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from snreid.experiments.recipes import baseline
from snreid.models.narrow import NarrowConv2d, _Convolution, quick_on_narrow_maps, weight_gradient


def plain(inner: int, outer: int, stride: int = 1) -> nn.Conv2d:
    torch.manual_seed(0)
    return nn.Conv2d(inner, outer, 3, stride=stride, padding=1, bias=False)


def of_step(
    conv: nn.Conv2d, maps: Tensor, slope: Tensor | None, *, bf16: bool = False
) -> tuple[Tensor, Tensor, Tensor]:
    """Output, gradient of the input, gradient of the weight."""
    conv.zero_grad()
    maps = maps.detach().clone().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        found = conv(maps)
    found.backward(torch.ones_like(found) if slope is None else slope.to(found.dtype))
    assert maps.grad is not None and conv.weight.grad is not None
    return found.detach(), maps.grad, conv.weight.grad


def quick(
    conv: NarrowConv2d, maps: Tensor, monkeypatch: pytest.MonkeyPatch, **how: Any
) -> tuple[int, tuple[Tensor, ...]]:
    """How often the quick way was gone, and what came out."""
    calls: list[int] = []
    apply = _Convolution.apply

    def counted(*given: Any) -> Tensor:
        calls.append(1)
        found: Tensor = apply(*given)
        return found

    monkeypatch.setattr(_Convolution, "apply", counted)
    found = of_step(conv, maps, how.pop("slope", None), **how)
    monkeypatch.undo()
    return len(calls), found


@pytest.mark.parametrize(("height", "width", "stride"), [(6, 3, 1), (12, 6, 2), (5, 3, 2), (1, 1, 1), (3, 6, 1)])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_the_product_is_the_weight_gradient_of_a_convolution(
    height: int, width: int, stride: int, layout: torch.memory_format
) -> None:
    conv = plain(4, 5, stride).double()
    maps = torch.randn(3, 4, height, width, dtype=torch.float64).contiguous(memory_format=layout)
    found = conv(maps)
    slope = torch.randn_like(found)
    found.backward(slope)
    assert conv.weight.grad is not None
    torch.testing.assert_close(weight_gradient(maps, slope, (stride, stride)), conv.weight.grad)


@pytest.mark.parametrize("stride", [1, 2])
def test_a_step_is_that_of_the_plain_layer_up_to_rounding(stride: int, monkeypatch: pytest.MonkeyPatch) -> None:
    reference = plain(8, 128, stride).to(memory_format=torch.channels_last)
    layer = NarrowConv2d.like(copy.deepcopy(reference))
    maps = torch.randn(4, 8, 6, 6).contiguous(memory_format=torch.channels_last)
    slope = torch.randn(4, 128, 6 // stride, 6 // stride).contiguous(memory_format=torch.channels_last)
    expected = of_step(reference, maps, slope, bf16=True)
    calls, found = quick(layer, maps, monkeypatch, slope=slope, bf16=True)
    assert calls == 1 and found[0].dtype == torch.bfloat16
    assert torch.equal(found[0], expected[0]) and torch.equal(found[1], expected[1])
    assert found[2].stride() == expected[2].stride() and found[2].dtype == torch.float32
    torch.testing.assert_close(found[2], expected[2], rtol=0, atol=1e-2 * float(expected[2].abs().max()))


def test_elsewhere_it_is_the_plain_layer(monkeypatch: pytest.MonkeyPatch) -> None:
    layer = NarrowConv2d.like(plain(8, 128))
    assert quick(layer, torch.randn(2, 8, 6, 6), monkeypatch)[0] == 0  # float32
    assert quick(layer, torch.randn(2, 8, 6, 7), monkeypatch, bf16=True)[0] == 0  # wide
    assert quick(layer, torch.randn(2, 8, 6, 6), monkeypatch, bf16=True)[0] == 1
    monkeypatch.setattr(_Convolution, "apply", None)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        layer(torch.randn(2, 8, 6, 6))
    layer.requires_grad_(False)
    with torch.autocast("cpu", torch.bfloat16):
        layer(torch.randn(2, 8, 6, 6))


def test_a_network_keeps_parameters_names_and_random_numbers() -> None:
    network = nn.Sequential(plain(8, 128), nn.Conv2d(8, 128, 3, padding=1), nn.Conv2d(8, 128, 1), plain(8, 64))
    before, state = dict(network.named_parameters()), torch.get_rng_state()
    quick_on_narrow_maps(network)
    assert [type(m).__name__ for m in network] == ["NarrowConv2d", "Conv2d", "Conv2d", "Conv2d"]
    assert all(value is before[name] for name, value in network.named_parameters())
    assert network.state_dict().keys() == before.keys() and torch.equal(torch.get_rng_state(), state)


def test_the_networks_of_the_preset_small_have_them() -> None:
    model = baseline("small").model.build(5)
    assert sum(isinstance(module, NarrowConv2d) for module in model.modules()) == 8  # 3 x 3 of layer3 and layer4
    copied = copy.deepcopy(model)
    assert sum(isinstance(module, NarrowConv2d) for module in copied.modules()) == 8


def test_the_gradient_has_a_gradient() -> None:
    maps = torch.randn(2, 3, 4, 3, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(4, 3, 3, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(lambda m, w: _Convolution.apply(m, w, (1, 1)), (maps, weight))
