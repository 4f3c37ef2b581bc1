"""Maps normalized by their own statistics: gradients against autograd through plain operators, and what is kept for them."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from snreid.models import instance_affine as module
from snreid.models import kernels
from snreid.models.instance_affine import instance_affine

WAYS = (kernels._FLAT, kernels._IMAGES, kernels._BATCH)


def _rule(mean: Tensor, variance: Tensor, weight: Tensor, other: Tensor) -> tuple[Tensor, ...]:
    """No norm at all: every input matters for every output."""
    share = torch.sigmoid(mean * other)
    return weight * torch.rsqrt(variance + 0.1) + share, mean.square() - weight * variance, share, share * weight


def _inputs(layout: torch.memory_format, dtype: torch.dtype = torch.float64) -> list[Tensor]:
    maps = (torch.randn(3, 4, 5, 2, dtype=torch.float64) + 1).to(dtype).to(memory_format=layout)
    vectors = [torch.randn(4, dtype=torch.float64).to(torch.float64 if dtype == torch.float64 else torch.float32)] * 2
    return [part.clone().requires_grad_() for part in (maps, *vectors)]


@pytest.mark.parametrize("way", WAYS, ids=["flat", "images", "batch"])
def test_the_handwritten_gradient_is_right(way: kernels.Kernels, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "kernels_for", lambda _maps: way)
    maps, weight, other = _inputs(way.layout or torch.channels_last)
    assert torch.autograd.gradcheck(lambda f, *w: instance_affine(f, _rule, *w), (maps, weight, other))


@pytest.mark.parametrize("way", WAYS, ids=["flat", "images", "batch"])
def test_the_gradient_has_a_gradient(way: kernels.Kernels, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "kernels_for", lambda _maps: way)
    maps, weight, other = _inputs(way.layout or torch.channels_last)
    assert torch.autograd.gradgradcheck(lambda f, *w: instance_affine(f, _rule, *w), (maps, weight, other))


def test_a_gradient_penalty_sees_all_of_the_curvature() -> None:
    """What comes back into the norm depends on nothing here, so that only the norm itself can know that its gradient has one."""
    maps, weight, other = _inputs(torch.contiguous_format)
    along = torch.randn_like(maps)

    def penalty() -> Tensor:
        made = instance_affine(maps, _rule, weight, other)[0]
        return torch.autograd.grad((made * along).sum(), maps, create_graph=True)[0].square().sum()

    (slope,) = torch.autograd.grad(penalty(), weight)
    with torch.no_grad():
        weight[1] += 1e-5
        above = float(_value(penalty))
        weight[1] -= 2e-5
        below = float(_value(penalty))
    assert float(slope[1]) == pytest.approx((above - below) / 2e-5, rel=1e-5)


def _value(penalty: Callable[[], Tensor]) -> Tensor:
    with torch.enable_grad():
        return penalty().detach()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("way", WAYS, ids=["flat", "images", "batch"])
def test_it_is_what_the_compiler_sees(
    way: kernels.Kernels, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    inputs = _inputs(way.layout or torch.channels_last, dtype)
    seeds: list[Tensor] = []
    results = []
    for chosen in (way, None):
        monkeypatch.setattr(module, "kernels_for", lambda _maps, chosen=chosen: chosen)
        made = instance_affine(inputs[0], _rule, *inputs[1:])
        seeds = seeds or [torch.randn_like(one) for one in made]
        results.append((*made, *torch.autograd.grad(made, inputs, seeds)))
    for mine, true in zip(*results, strict=True):
        assert mine.dtype == true.dtype
        assert (mine.double() - true.double()).abs().max() / true.abs().max() < (
            1e-5 if dtype == torch.float32 else 1e-2
        )
    assert results[0][0].is_contiguous(memory_format=way.layout or torch.channels_last)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=str)
def test_it_keeps_the_input_and_vectors_only(layout: torch.memory_format) -> None:
    """What backward needs is the memory of training: no second map may be saved."""
    maps, weight, other = _inputs(layout)
    saved: list[int] = []

    def pack(tensor: Tensor) -> Tensor:
        if tensor.numel() >= maps.numel():
            saved.append(tensor.data_ptr())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        instance_affine(maps, _rule, weight, other)
    assert saved == [maps.data_ptr()]


@pytest.mark.parametrize("way", WAYS, ids=["flat", "images", "batch"])
def test_an_activation_may_work_in_place_on_what_comes_out(
    way: kernels.Kernels, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "kernels_for", lambda _maps: way)
    inputs = _inputs(way.layout or torch.channels_last)
    grads = [
        torch.autograd.grad(
            torch.nn.functional.relu(instance_affine(inputs[0], _rule, *inputs[1:])[0], inplace).sum(), inputs
        )
        for inplace in (True, False)
    ]
    for one, other in zip(*grads, strict=True):
        assert torch.equal(one, other)


def test_gradients_that_nobody_asked_for_are_not_needed() -> None:
    maps, weight, other = _inputs(torch.channels_last)
    instance_affine(maps.detach(), _rule, weight, other)[0].sum().backward()
    assert maps.grad is None and weight.grad is not None and other.grad is not None


@pytest.mark.filterwarnings("ignore:var_mean")  # torch's word on an empty batch
def test_an_empty_batch_gives_an_empty_batch() -> None:
    maps, weight, other = _inputs(torch.contiguous_format)
    assert instance_affine(maps[:0], _rule, weight, other)[0].shape == (0, 4, 5, 2)
