"""The fused function against the five steps and against the torch operators: values, gradients, kinds of numbers."""

import pytest
import torch
from torch import Tensor

from reference.snr_five_steps import snr_five_steps
from snreid.models import restitution
from snreid.models.restitution import restitute

EPS = 1e-5
# Worst relative difference seen was 3e-7 in float32; bfloat16 maps have 8 bits, so half a unit in the last place is 2e-3.
TOLERANCE = {torch.float64: 1e-9, torch.float32: 2e-6, torch.bfloat16: 8e-3, torch.float16: 2e-3}


def _weights(channels: int, hidden: int, dtype: torch.dtype) -> list[Tensor]:
    shapes = ((channels,), (channels,), (hidden, channels), (hidden,), (channels, hidden), (channels,))
    return [(torch.randn(s, dtype=torch.float64) * 0.5).to(dtype).requires_grad_() for s in shapes]


def _all(maps: Tensor, weights: list[Tensor], fused: bool) -> tuple[Tensor, ...]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(restitution, "_fits_kernels", lambda _maps: fused)
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


@pytest.mark.parametrize("fused", [True, False], ids=["fused", "operators"])
@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
def test_values_and_gradients_are_those_of_the_five_steps(dtype: torch.dtype, fused: bool) -> None:
    kind = torch.float64 if dtype == torch.float64 else torch.float32
    weights = _weights(12, 3, kind)
    maps = (torch.randn(4, 12, 6, 5, dtype=torch.float64) * 2 + 1).to(dtype).requires_grad_()
    outputs = _all(maps, weights, fused)
    exact_maps = maps.detach().double().requires_grad_()
    exact_weights = [w.detach().double().requires_grad_() for w in weights]
    exact = _reference(exact_maps, exact_weights)
    assert outputs[0].dtype == dtype
    assert all(vector.dtype == kind for vector in outputs[1:])
    ours = (*outputs, *_gradients(outputs, [maps, *weights]))
    theirs = (*exact, *_gradients(exact, [exact_maps, *exact_weights]))
    for mine, true in zip(ours, theirs, strict=True):
        scale = true.abs().max().clamp(min=1)
        assert ((mine.double() - true).abs().max() / scale).item() < TOLERANCE[dtype]


def test_the_handwritten_gradient_is_right() -> None:
    weights = _weights(4, 2, torch.float64)
    maps = torch.randn(2, 4, 3, 2, dtype=torch.float64, requires_grad=True)
    assert restitution._fits_kernels(maps)
    assert torch.autograd.gradcheck(
        lambda f, *w: restitution._Restitution.apply(f, EPS, *w), (maps, *weights), raise_exception=True
    )


@pytest.mark.parametrize("value", [0.0, 1.0, 1e4, -3e5])
def test_a_constant_map_gives_beta_and_finite_gradients(value: float) -> None:
    weights = _weights(8, 2, torch.float32)
    maps = torch.full((2, 8, 4, 3), value, requires_grad=True)
    outputs = _all(maps, weights, fused=True)
    assert all(output.isfinite().all() for output in outputs)
    assert all(slope.isfinite().all() for slope in _gradients(outputs, [maps, *weights]))
    assert torch.equal(outputs[2], torch.zeros(2, 8))


def test_a_large_offset_costs_no_variance() -> None:
    """E[x^2] - E[x]^2 would be wrong in the first digit here."""
    maps = 1000 + torch.randn(2, 3, 16, 8)
    true = maps.double().var((2, 3), correction=0)
    assert torch.allclose(_all(maps, _weights(3, 1, torch.float32), fused=True)[2].double(), true, rtol=1e-5)


def test_gradients_that_nobody_asked_for_are_not_needed() -> None:
    weights = _weights(4, 2, torch.float32)
    maps = torch.randn(2, 4, 3, 2)
    _all(maps, weights, fused=True)[0].sum().backward()
    assert maps.grad is None
    assert all(w.grad is not None for w in weights)


def test_it_keeps_the_input_and_vectors_only() -> None:
    """What backward needs is the memory of training: no second map may be saved."""
    saved: list[int] = []
    weights = _weights(8, 2, torch.float32)
    maps = torch.randn(3, 8, 10, 6, requires_grad=True)

    def pack(tensor: Tensor) -> Tensor:
        if tensor.numel() >= maps.numel():
            saved.append(tensor.data_ptr())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        _all(maps, weights, fused=True)
    assert saved == [maps.data_ptr()]


@pytest.mark.filterwarnings("ignore:var_mean")  # torch's word on an empty batch
@pytest.mark.parametrize("images", [0, 2])
def test_other_tensors_take_the_operators(images: int) -> None:
    maps = torch.randn(images, 4, 3, 5).to(memory_format=torch.channels_last)
    weights = _weights(4, 2, torch.float32)
    assert not restitution._fits_kernels(maps)
    assert not restitution._fits_kernels(torch.empty(2, 4, 3, 5, device="meta"))
    assert restitute(maps, weights[0], weights[1], tuple(weights[2:]), EPS).maps.shape == maps.shape
