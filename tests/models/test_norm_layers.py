"""Normalization layers of the baselines against their definitions."""

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from snreid.models.norm_layers import (
    AffineInstance,
    BatchInstance,
    HalfInstance,
    StageInstanceNorm,
    Switchable,
    exactly,
)


def _trained_norm(channels: int, kind: type[nn.BatchNorm2d] = nn.BatchNorm2d, **options: Any) -> nn.BatchNorm2d:
    norm = kind(channels, eps=1e-4, **options)
    with torch.no_grad():
        for tensor in (norm.weight, norm.bias, norm.running_mean):
            assert tensor is not None
            tensor.copy_(torch.randn(channels))
        assert norm.running_var is not None
        norm.running_var.copy_(torch.rand(channels) + 0.5)
    return norm


def _instance(maps: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    result = torch.empty_like(maps)
    for image in range(maps.shape[0]):
        for channel in range(maps.shape[1]):
            one = maps[image, channel]
            centred = one - one.mean()
            result[image, channel] = weight[channel] * centred / (centred.square().mean() + eps).sqrt() + bias[channel]
    return result


def test_affine_instance_keeps_the_pretrained_scale_and_shift() -> None:
    norm, maps = _trained_norm(5), torch.randn(3, 5, 4, 2)
    made = AffineInstance.like(norm)
    assert torch.allclose(made(maps), _instance(maps, norm.weight, norm.bias, 1e-4), atol=1e-5)
    assert torch.equal(made(maps), made.eval()(maps)), "no running statistics"
    assert set(made.state_dict()) == {"weight", "bias"}


def test_half_instance_normalizes_each_half_its_own_way() -> None:
    norm, maps = _trained_norm(5).eval(), torch.randn(3, 5, 4, 2)
    made = HalfInstance.like(norm).eval()
    assert torch.allclose(made(maps)[:, :2], _instance(maps, norm.weight, norm.bias, 1e-4)[:, :2], atol=1e-5)
    assert torch.allclose(made(maps)[:, 2:], norm(maps)[:, 2:], atol=1e-6)
    norm.train(), made.train()
    assert torch.allclose(made(maps)[:, 2:], norm(maps)[:, 2:], atol=1e-5)


def test_switchable_mixes_three_statistics() -> None:
    made, maps = Switchable.like(_trained_norm(4)).double(), torch.randn(3, 4, 5, 2, dtype=torch.float64)
    with torch.no_grad():
        made.mean_weight.copy_(torch.tensor([0.3, -1.0, 0.7]))
        made.var_weight.copy_(torch.tensor([1.0, 0.0, -0.5]))
    before = made.running_mean.clone()
    means = [maps.mean(axes, keepdim=True).expand(3, 4, 1, 1) for axes in ((2, 3), (1, 2, 3), (0, 2, 3))]
    spreads = [maps.var(axes, correction=0, keepdim=True).expand(3, 4, 1, 1) for axes in ((2, 3), (1, 2, 3), (0, 2, 3))]
    w, v = torch.softmax(made.mean_weight, 0), torch.softmax(made.var_weight, 0)
    mean = sum(w[k] * means[k] for k in range(3))
    variance = sum(v[k] * spreads[k] for k in range(3))
    expected = made.weight.view(-1, 1, 1) * (maps - mean) / (variance + made.eps).sqrt() + made.bias.view(-1, 1, 1)
    assert torch.allclose(made(maps), expected, atol=1e-9)
    assert torch.allclose(made.running_mean, 0.9 * before + 0.1 * maps.mean((0, 2, 3)))


def test_switchable_evaluates_with_running_statistics_one_image_at_a_time() -> None:
    made, maps = Switchable.like(_trained_norm(4)).eval(), torch.randn(3, 4, 5, 2)
    singly = torch.cat([made(maps[i : i + 1]) for i in range(3)])
    assert torch.allclose(made(maps), singly, atol=1e-6)
    made(maps)
    assert torch.equal(made.running_mean, Switchable.like(_copy_of(made)).running_mean)


def _copy_of(made: Switchable) -> nn.BatchNorm2d:
    norm = nn.BatchNorm2d(4)
    norm.load_state_dict({k: v for k, v in made.state_dict().items() if k in norm.state_dict()}, strict=False)
    return norm


def test_switchable_with_only_bn_chosen_is_batch_norm() -> None:
    norm, maps = _trained_norm(4).eval(), torch.randn(3, 4, 5, 2)
    made = Switchable.like(norm).eval()
    with torch.no_grad():
        made.mean_weight.copy_(torch.tensor([-100.0, -100.0, 100.0]))
        made.var_weight.copy_(torch.tensor([-100.0, -100.0, 100.0]))
    assert torch.allclose(made(maps), norm(maps), atol=1e-5)


@pytest.mark.parametrize("layer", [AffineInstance, BatchInstance, HalfInstance, Switchable])
def test_an_activation_that_timm_folded_in_survives(layer: Any) -> None:
    class NormAct(nn.BatchNorm2d):
        """As timm's: a batch norm that drops out and activates."""

        def __init__(self, channels: int, **options: Any) -> None:
            super().__init__(channels, **options)
            self.drop, self.act = nn.Identity(), nn.ReLU()

    made = layer.like(_trained_norm(6, NormAct))
    assert (made(torch.randn(2, 6, 3, 3)) >= 0).all()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_statistics_in_float32_keep_the_dtype_of_the_maps(dtype: torch.dtype) -> None:
    for layer in (Switchable(4), BatchInstance(4)):
        assert layer(torch.randn(2, 4, 3, 3, dtype=dtype)).dtype == dtype


def _batch_instance(norm: nn.BatchNorm2d, rho: Tensor) -> BatchInstance:
    made = BatchInstance.like(norm).double()
    with torch.no_grad():
        made.rho.copy_(rho)
    return made


@pytest.mark.parametrize("training", [True, False])
def test_batch_instance_mixes_two_norms_channel_by_channel(training: bool) -> None:
    norm, maps = _trained_norm(3), torch.randn(4, 3, 5, 2, dtype=torch.float64)
    made = _batch_instance(norm, torch.tensor([0.0, 0.3, 1.0])).train(training)
    running = made.batch.running_mean.clone(), made.batch.running_var.clone()  # type: ignore[union-attr]
    expected = torch.empty_like(maps)
    for channel, rho in enumerate((0.0, 0.3, 1.0)):
        every = maps[:, channel]
        mean = every.mean() if training else running[0][channel]
        variance = (every - every.mean()).square().mean() if training else running[1][channel]
        for image in range(4):
            one = maps[image, channel]
            by_batch = (one - mean) / (variance + 1e-4).sqrt()
            by_itself = (one - one.mean()) / ((one - one.mean()).square().mean() + 1e-4).sqrt()
            scaled = norm.weight[channel] * (rho * by_batch + (1 - rho) * by_itself)
            expected[image, channel] = scaled + norm.bias[channel]
    assert torch.allclose(made(maps), expected, atol=1e-7)


def test_batch_instance_starts_as_the_batch_norm_it_is_like() -> None:
    norm, maps = _trained_norm(3), torch.randn(4, 3, 5, 2)
    made = BatchInstance.like(norm)
    assert torch.allclose(made(maps), norm(maps), atol=1e-5)
    assert torch.allclose(made.eval()(maps), norm.eval()(maps), atol=1e-5)


def test_the_mix_of_batch_instance_is_clipped_and_still_learns_at_the_border() -> None:
    norm, maps = _trained_norm(3), torch.randn(4, 3, 5, 2, dtype=torch.float64)
    outside, inside = torch.tensor([-0.4, 0.5, 1.7]), torch.tensor([0.0, 0.5, 1.0])
    made = _batch_instance(norm, outside).eval()
    clipped = _batch_instance(norm, inside).eval()
    assert torch.equal(made(maps), clipped(maps))
    assert torch.allclose(made.rho, outside.double()), "evaluation changes nothing"
    made.train()(maps).square().sum().backward()
    assert torch.equal(made.rho.detach(), inside.double())
    assert made.rho.grad is not None and bool((made.rho.grad != 0).all())


def test_batch_instance_can_pass_twice_in_one_step() -> None:
    norm, maps = _trained_norm(3), torch.randn(2, 4, 3, 5, 2, dtype=torch.float64)
    slopes = []
    for rho in (torch.tensor([-0.4, 0.5, 1.7]), torch.tensor([0.0, 0.5, 1.0])):
        made = _batch_instance(norm, rho).train()
        (made(maps[0]).square().sum() + made(maps[1]).pow(3).sum()).backward()
        slopes.append(made.rho.grad)
    assert slopes[0] is not None and torch.equal(slopes[0], slopes[1])  # type: ignore[arg-type]


def test_the_gradients_of_batch_instance_are_those_of_its_formula() -> None:
    made = _batch_instance(_trained_norm(2), torch.tensor([0.2, 0.7]))
    maps = torch.randn(3, 2, 3, 2, dtype=torch.float64, requires_grad=True)

    def through(maps: Tensor, weight: Tensor, bias: Tensor, rho: Tensor) -> Tensor:
        found = torch.func.functional_call(made, {"weight": weight, "bias": bias, "rho": rho}, (maps,))
        return found  # type: ignore[no-any-return]

    made.eval()  # running statistics do not move between two evaluations of the formula
    values = [p.detach().clone().requires_grad_() for p in (made.weight, made.bias, made.rho)]
    assert torch.autograd.gradcheck(through, (maps, *values))


def test_stage_instance_is_the_same_in_every_layout() -> None:
    maps = torch.randn(2, 3, 4, 5)
    plain = StageInstanceNorm(3)(maps)
    assert torch.allclose(plain, _instance(maps, torch.ones(3), torch.zeros(3), 1e-5), atol=1e-5)
    nhwc = StageInstanceNorm(3, layout="nhwc")(maps.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
    assert torch.allclose(nhwc, plain, atol=1e-6)
    tokens = torch.cat([torch.full((2, 1, 3), 9.0), maps.flatten(2).transpose(1, 2)], 1)
    out = StageInstanceNorm(3, layout="tokens", prefix_tokens=1)(tokens)
    assert torch.equal(out[:, :1], tokens[:, :1])
    assert torch.allclose(out[:, 1:].transpose(1, 2).reshape(plain.shape), plain, atol=1e-6)


@pytest.mark.parametrize(
    "listen",
    [
        "register_forward_hook",
        "register_forward_pre_hook",
        "register_full_backward_hook",
        "register_full_backward_pre_hook",
    ],
)
def test_a_module_that_somebody_listens_to_is_not_replaced(listen: str) -> None:
    class Louder(nn.ReLU):
        pass

    module = nn.ReLU()
    assert exactly(module, nn.ReLU) and not exactly(Louder(), nn.ReLU) and not exactly(None, nn.ReLU)
    handle = getattr(module, listen)(lambda *_: None)
    assert not exactly(module, nn.ReLU)
    handle.remove()
    assert exactly(module, nn.ReLU)


# By the passes of ``instance_affine`` and by torch's norms: the same numbers.

KINDS: tuple[Any, ...] = (AffineInstance, HalfInstance, BatchInstance)
LAYOUTS = (torch.contiguous_format, torch.channels_last)
# Relative to the largest value. A half has 8 or 11 bits; what is summed of halves is summed in float32.
TOLERANCE = {torch.float64: 1e-10, torch.float32: 2e-5, torch.bfloat16: 1e-2, torch.float16: 2e-3}
SHAPES = ((3, 6, 5, 4), (2, 24, 32, 17))  # operators on the batch and kernels image by image


def _made(kind: Any, channels: int) -> Any:
    made = kind.like(_trained_norm(channels))
    if kind is BatchInstance:
        nn.init.uniform_(made.rho, 0.1, 0.9)
    return made


def _by_definition(made: Any, maps: Tensor) -> Tensor:
    """In plain operators; only torch's own gradient of them is trusted."""
    own = maps - maps.mean((2, 3), keepdim=True)
    own = own / (own.square().mean((2, 3), keepdim=True) + 1e-4).sqrt()
    if isinstance(made, AffineInstance):
        return made.weight[:, None, None] * own + made.bias[:, None, None]
    half = maps.shape[1] - made.batch.num_features
    rest = maps[:, half:]
    mean, variance = made.batch.running_mean, made.batch.running_var
    if made.training:
        mean, variance = rest.mean((0, 2, 3)), rest.var((0, 2, 3), correction=0)
    whole = (rest - mean[:, None, None]) / (variance[:, None, None] + 1e-4).sqrt()
    if isinstance(made, BatchInstance):
        mixed = made.rho[:, None, None] * whole + (1 - made.rho[:, None, None]) * own
        return made.weight[:, None, None] * mixed + made.bias[:, None, None]
    weight = torch.cat([made.instance.weight, made.batch.weight])
    bias = torch.cat([made.instance.bias, made.batch.bias])
    return weight[:, None, None] * torch.cat([own[:, :half], whole], 1) + bias[:, None, None]


def _with_gradients(call: Callable[[Tensor], Tensor], maps: Tensor, made: nn.Module, along: Tensor) -> list[Tensor]:
    given = maps.detach().clone().requires_grad_()
    found = call(given)
    inputs = (given, *made.parameters())
    return [found, *torch.autograd.grad(found, inputs, along.to(found.dtype))]


@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_values_and_gradients_are_those_of_the_definition(
    kind: Any, dtype: torch.dtype, layout: torch.memory_format, shape: tuple[int, ...], training: bool
) -> None:
    made = _made(kind, shape[1]).train(training)
    if dtype == torch.float64:
        made.double()
    exact = deepcopy(made).double()
    maps = (torch.randn(shape) * 2 + 1).to(dtype).to(memory_format=layout)
    along = torch.randn(shape).to(dtype).to(memory_format=layout)
    mine = _with_gradients(made, maps, made, along)
    true = _with_gradients(lambda given: _by_definition(exact, given), maps.double(), exact, along)
    assert mine[0].dtype == dtype and mine[0].is_contiguous(memory_format=layout)
    for one, other in zip(mine, true, strict=True):
        assert ((one.double() - other).abs().max() / other.abs().max().clamp(min=1)).item() < TOLERANCE[dtype]
    with torch.no_grad():
        assert torch.allclose(made(maps).double(), mine[0].double(), rtol=0, atol=1e-5)


@pytest.mark.parametrize("momentum", [0.1, None])
@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
@pytest.mark.parametrize("kind", KINDS[1:])
def test_running_statistics_are_those_of_torchs_batch_norm(
    kind: Any, layout: torch.memory_format, momentum: float | None
) -> None:
    made = _made(kind, 6)
    made.batch.momentum = momentum
    norm = deepcopy(made.batch)
    for _ in range(2):
        maps = (torch.randn(3, 6, 4, 5) + 2000).to(
            memory_format=layout
        )  # E[x^2] - E[x]^2 would be wrong in its first digit
        with torch.autocast("cpu", torch.bfloat16):
            made(maps), norm(maps[:, 6 - norm.num_features :])
    for mine, true in zip(made.batch.buffers(), norm.buffers(), strict=True):
        assert mine.dtype == true.dtype
        assert torch.allclose(mine.double(), true.double(), rtol=1e-4)
    made.batch.eval()  # frozen batch norms inside a network that trains
    made(maps)
    assert torch.allclose(made.batch.running_mean, norm.running_mean, rtol=1e-5)


@pytest.mark.parametrize("kind", KINDS[1:])
def test_who_listens_to_the_batch_norm_inside_hears_it(kind: Any) -> None:
    made, maps = _made(kind, 6), torch.randn(3, 6, 4, 5).to(memory_format=torch.channels_last)
    silent, heard = made(maps), []
    made.batch.register_forward_pre_hook(lambda _module, inputs: heard.append(inputs[0]))
    assert torch.allclose(made(maps), silent, atol=1e-5)
    assert torch.equal(heard[0], maps[:, 6 - made.batch.num_features :])


def test_a_gradient_sees_the_statistics_that_were_there() -> None:
    """Evaluation, then a pass in training, then the gradient of the first one."""
    made, maps = _made(BatchInstance, 4), torch.randn(3, 4, 5, 2, requires_grad=True)
    (true,) = torch.autograd.grad(made.eval()(maps).pow(3).sum(), maps)
    total = made.eval()(maps).pow(3).sum()
    made.train()(maps.detach())
    assert torch.equal(torch.autograd.grad(total, maps)[0], true)


@pytest.mark.filterwarnings(
    "ignore:`torch.jit", "ignore::torch.jit.TracerWarning"
)  # torch's words, also on its own instance norm
@pytest.mark.parametrize("kind", KINDS)
def test_an_exported_graph_holds_one_node_for_instance_norm(kind: Any) -> None:
    maps = torch.randn(2, 6, 5, 4).to(memory_format=torch.channels_last)
    made = _made(kind, 6).eval()
    traced = torch.jit.trace(made, maps)
    assert "aten::instance_norm" in str(traced.inlined_graph)
    assert torch.allclose(traced(maps), made(maps), atol=1e-5)


@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_maps_that_cannot_be_normalized_are_refused(kind: Any, layout: torch.memory_format) -> None:
    made = _made(kind, 6)
    for wrong in ((2, 6, 1, 1), (2, 5, 3, 3), (2, 8, 3, 3)):
        with pytest.raises((ValueError, RuntimeError)):  # torch's words
            made(torch.randn(wrong).to(memory_format=layout))


@pytest.mark.parametrize("kind", [*KINDS, Switchable, StageInstanceNorm])
def test_shapes_alone_go_through(kind: Any) -> None:
    with torch.device("meta"):
        made, maps = kind(6), torch.zeros(2, 6, 3, 4)
    for one in (made(maps), made.eval()(maps)):
        assert one.is_meta and one.shape == maps.shape


@pytest.mark.parametrize("images", [1, 3])
def test_a_gradient_in_another_layout_than_the_maps_is_the_same_gradient(images: int) -> None:
    """torch's instance norm of one contiguous image reads a channels-last gradient as if it were contiguous."""
    layer = AffineInstance(6).double()
    maps = torch.randn(images, 6, 3, 5, dtype=torch.float64)
    slope = torch.randn_like(maps)
    slopes = []
    for layout in (torch.contiguous_format, torch.channels_last):
        given = maps.clone().requires_grad_()
        slopes.append(torch.autograd.grad(layer(given), given, slope.contiguous(memory_format=layout))[0])
    assert torch.allclose(*slopes, atol=1e-12)
