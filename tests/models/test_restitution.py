"""SNR in closed form against the five steps, by every way of computing it: values, gradients, kinds of numbers, layouts."""

import pytest
import torch
from torch import Tensor

from reference.snr_five_steps import snr_five_steps
from snreid.models import instance_affine as module
from snreid.models import kernels
from snreid.models.restitution import restitute

EPS = 1e-5
WAYS = {"flat": kernels._FLAT, "images": kernels._IMAGES, "batch": kernels._BATCH, "operators": None}
# Worst relative difference seen was 3e-7 in float32; bfloat16 maps have 8 bits, so half a unit in the last place is 2e-3.
TOLERANCE = {torch.float64: 1e-9, torch.float32: 2e-6, torch.bfloat16: 8e-3, torch.float16: 2e-3}


def _weights(channels: int, hidden: int, dtype: torch.dtype) -> list[Tensor]:
    shapes = ((channels,), (channels,), (hidden, channels), (hidden,), (channels, hidden), (channels,))
    return [(torch.randn(s, dtype=torch.float64) * 0.5).to(dtype).requires_grad_() for s in shapes]


def _all(maps: Tensor, weights: list[Tensor], way: str) -> tuple[Tensor, ...]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "kernels_for", lambda _maps: WAYS[way])
        out = restitute(maps, weights[0], weights[1], tuple(weights[2:]), EPS)
    return out.maps, out.mean, out.variance, out.gate


def _reference(maps: Tensor, weights: list[Tensor]) -> tuple[Tensor, ...]:
    steps = snr_five_steps(maps, *weights, eps=EPS)
    mean = maps.mean((2, 3))
    return steps.restored, mean, (maps - mean[..., None, None]).square().mean((2, 3)), steps.gate


def _gradients(outputs: tuple[Tensor, ...], inputs: list[Tensor]) -> tuple[Tensor, ...]:
    """Of one random linear function of all outputs, the same for every way of computing them."""
    generator = torch.Generator().manual_seed(3)
    total = torch.zeros((), dtype=torch.float64)
    for output in outputs:
        total = total + (output.double() * torch.randn(output.shape, generator=generator, dtype=torch.float64)).sum()
    return torch.autograd.grad(total, inputs)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
def test_values_and_gradients_are_those_of_the_five_steps(dtype: torch.dtype, way: str) -> None:
    kind = torch.float64 if dtype == torch.float64 else torch.float32
    weights = _weights(12, 3, kind)
    layout = torch.contiguous_format if way == "flat" else torch.channels_last
    given = (torch.randn(4, 12, 16, 10, dtype=torch.float64) * 2 + 1).to(dtype)
    maps = given.to(memory_format=layout).requires_grad_()
    outputs = _all(maps, weights, way)
    exact_maps = maps.detach().double().requires_grad_()
    exact_weights = [w.detach().double().requires_grad_() for w in weights]
    exact = _reference(exact_maps, exact_weights)
    assert outputs[0].dtype == dtype and outputs[0].is_contiguous(memory_format=layout)
    assert all(vector.dtype == kind for vector in outputs[1:])
    ours = (*outputs, *_gradients(outputs, [maps, *weights]))
    theirs = (*exact, *_gradients(exact, [exact_maps, *exact_weights]))
    for mine, true in zip(ours, theirs, strict=True):
        scale = true.abs().max().clamp(min=1)
        assert ((mine.double() - true).abs().max() / scale).item() < TOLERANCE[dtype]


@pytest.mark.parametrize("value", [0.0, 1.0, 1e4, -3e5])
def test_a_constant_map_gives_beta_and_finite_gradients(value: float) -> None:
    weights = _weights(8, 2, torch.float32)
    maps = torch.full((2, 8, 4, 3), value, requires_grad=True)
    outputs = _all(maps, weights, "flat")
    assert all(output.isfinite().all() for output in outputs)
    assert all(slope.isfinite().all() for slope in _gradients(outputs, [maps, *weights]))
    assert torch.equal(outputs[2], torch.zeros(2, 8))


def test_a_module_of_a_channels_last_network_keeps_its_layout_and_makes_the_same_numbers() -> None:
    weights = _weights(64, 4, torch.float32)
    maps = torch.randn(2, 64, 24, 12)
    results = []
    for given in (maps, maps.to(memory_format=torch.channels_last)):
        given = given.clone().requires_grad_()
        out = restitute(given, weights[0], weights[1], tuple(weights[2:]), EPS)
        assert out.maps.stride() == given.stride()
        results.append((out.maps, *torch.autograd.grad(out.maps.pow(3).sum() + out.gate.sum(), [given, *weights])))
    for one, other in zip(*results, strict=True):
        assert torch.allclose(one, other, rtol=1e-4, atol=1e-4 * float(one.detach().abs().max()))
