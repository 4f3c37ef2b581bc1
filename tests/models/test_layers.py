"""Normalization layers of the baselines against their definitions."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from snreid.models.layers import AffineInstance, BatchInstance, HalfInstance, StageInstanceNorm, Switchable, exactly


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
