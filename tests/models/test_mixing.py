"""MixStyle and EFDMix against slow twins, in every layout, with the gradients the papers ask for."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from snreid.errors import ExperimentError
from snreid.models import Backbone, EFDMix, MixStyle, ModelConfig
from snreid.models.mixing import StageMixing, mix_distributions, mix_moments

SCHEMES = [MixStyle, EFDMix]


def _moments(maps: Tensor, partner: Tensor, share: Tensor) -> Tensor:
    """MixStyle one image and channel after the other, with numpy."""
    values, mixed = maps.detach().numpy(), np.empty(tuple(maps.shape))
    for image in range(maps.shape[0]):
        own_part = float(share[image])
        for channel in range(maps.shape[1]):
            own, other = values[image, channel], values[int(partner[image]), channel]
            deviations = [np.sqrt(np.var(part, ddof=1) + 1e-6) for part in (own, other)]
            deviation = own_part * deviations[0] + (1 - own_part) * deviations[1]
            mean = own_part * own.mean() + (1 - own_part) * other.mean()
            mixed[image, channel] = (own - own.mean()) / deviations[0] * deviation + mean
    return torch.from_numpy(mixed)


def _distributions(maps: Tensor, partner: Tensor, share: Tensor) -> Tensor:
    """EFDMix one value after the other: whoever is k-th in its own map meets the k-th of the other."""
    values, mixed = maps.detach().numpy(), np.empty(tuple(maps.shape))
    for image in range(maps.shape[0]):
        own_part = float(share[image])
        for channel in range(maps.shape[1]):
            own, other = values[image, channel], sorted(values[int(partner[image]), channel])
            for position, value in enumerate(own):
                before = sum(v < value or (v == value and at < position) for at, v in enumerate(own))
                mixed[image, channel, position] = own_part * value + (1 - own_part) * other[before]
    return torch.from_numpy(mixed)


def _example(count: int = 4) -> tuple[Tensor, Tensor, Tensor]:
    maps = torch.randn(count, 3, 10, dtype=torch.float64).relu()  # many equal values, as after an activation
    return maps, torch.tensor([2, 0, 1, 3])[:count], torch.tensor([0.0, 0.25, 0.9, 1.0], dtype=torch.float64)[:count]


@pytest.mark.parametrize(("fast", "slow"), [(mix_moments, _moments), (mix_distributions, _distributions)])
def test_mixing_is_what_its_twin_says(fast: Any, slow: Any) -> None:
    maps, partner, share = _example()
    assert torch.allclose(fast(maps, partner, share), slow(maps, partner, share), atol=1e-12)


def test_without_the_own_share_the_partners_style_is_there() -> None:
    maps, partner = torch.randn(3, 2, 12, dtype=torch.float64), torch.tensor([1, 2, 0])
    share = torch.zeros(3, dtype=torch.float64)
    moments, values = mix_moments(maps, partner, share), mix_distributions(maps, partner, share)
    assert torch.allclose(moments.mean(2), maps[partner].mean(2))
    assert torch.allclose(moments.std(2), maps[partner].std(2), rtol=1e-4)
    assert torch.allclose(values.sort(2).values, maps[partner].sort(2).values)
    for found in (moments, values):
        assert torch.equal(found.argsort(2), maps.argsort(2)), "the order of values, which is the content, stays"
    for mix in (mix_moments, mix_distributions):
        assert torch.allclose(mix(maps, partner, share + 1), maps), "a share of 1 changes nothing"


def test_gradients_are_those_of_the_papers() -> None:
    maps, partner, share = _example()
    maps = maps + 1e-3 * torch.randn_like(maps)  # no ties
    weights = torch.randn_like(maps)
    maps.requires_grad_()
    (found,) = torch.autograd.grad((mix_moments(maps, partner, share) * weights).sum(), maps)
    deviations = (maps.detach().var(2, keepdim=True) + 1e-6).sqrt()
    own = share[:, None, None]
    slope = (own * deviations + (1 - own) * deviations[partner]) / deviations
    assert torch.allclose(found, weights * slope), "statistics are constants"
    (found,) = torch.autograd.grad((mix_distributions(maps, partner, share) * weights).sum(), maps)
    expected = weights.clone()  # the own gradient passes whole
    ranks = maps.detach().argsort(2).argsort(2)
    order = maps.detach().argsort(2)
    for image, other in enumerate(partner.tolist()):
        for channel in range(3):
            for position in range(10):
                given = order[other, channel, ranks[image, channel, position]]
                expected[other, channel, given] += (1 - share[image]) * weights[image, channel, position]
    assert torch.allclose(found, expected), "and the partner's values have theirs"


def _module(kind: type[MixStyle] | type[EFDMix], **layout: Any) -> StageMixing:
    return StageMixing(kind()._style, 1.0, 0.5, **layout)


@pytest.mark.parametrize("kind", SCHEMES)
def test_every_layout_mixes_alike_and_prefix_tokens_pass(kind: Any) -> None:
    maps = torch.randn(4, 3, 5, 2)

    def mixed(layout: str, given: Tensor) -> Tensor:
        torch.manual_seed(1)
        found: Tensor = _module(kind, layout=layout, prefix_tokens=int(layout == "tokens"))(given)
        return found

    plain = mixed("nchw", maps)
    assert not torch.allclose(plain, maps)
    last = mixed("nchw", maps.contiguous(memory_format=torch.channels_last))
    assert torch.allclose(last, plain, atol=1e-6)
    assert torch.allclose(mixed("nhwc", maps.permute(0, 2, 3, 1)), plain.permute(0, 2, 3, 1), atol=1e-6)
    tokens = torch.cat([torch.full((4, 1, 3), 9.0), maps.flatten(2).transpose(1, 2)], 1)
    found = mixed("tokens", tokens)
    assert torch.equal(found[:, :1], tokens[:, :1])
    assert torch.allclose(found[:, 1:], plain.flatten(2).transpose(1, 2), atol=1e-6)


@pytest.mark.parametrize("kind", SCHEMES)
def test_evaluation_is_untouched_and_draws_nothing(kind: Any) -> None:
    module, maps = _module(kind).eval(), torch.randn(4, 3, 5, 2)
    before = torch.get_rng_state()
    assert module(maps) is maps
    assert torch.equal(torch.get_rng_state(), before)
    assert not module.state_dict()


@pytest.mark.parametrize("kind", SCHEMES)
def test_a_seed_repeats_the_mixing_and_the_probability_holds(kind: Any) -> None:
    maps = torch.randn(4, 3, 5, 2)
    scheme = kind(stages=(1,), probability=0.3)
    module = scheme.apply(Backbone(name="resnet10t").build())[1]
    changed = []
    for seed in range(200):
        torch.manual_seed(seed)
        one = module(maps)
        torch.manual_seed(seed)
        assert torch.equal(module(maps), one)
        changed.append(one is not maps)
    assert 0.2 < np.mean(changed) < 0.4


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
@pytest.mark.parametrize("kind", SCHEMES)
def test_the_dtype_stays(kind: Any, dtype: torch.dtype) -> None:
    assert _module(kind)(torch.randn(4, 3, 5, 2, dtype=dtype)).dtype == dtype


@pytest.mark.parametrize("kind", SCHEMES)
def test_a_constant_map_stays_finite_with_its_gradient(kind: Any) -> None:
    maps = torch.zeros(2, 3, 4, 4, requires_grad=True)
    found = _module(kind)(maps)
    found.sum().backward()
    assert found.isfinite().all() and maps.grad is not None and maps.grad.isfinite().all()


@pytest.mark.parametrize("kind", SCHEMES)
def test_a_model_has_the_modules_after_its_stages_and_not_one_weight_more(kind: Any) -> None:
    plain, mixed = (
        ModelConfig(backbone=Backbone(name="resnet10t"), **({"scheme": s} if s else {})).build(3)
        for s in (None, kind())
    )
    assert list(mixed.state_dict()) == list(plain.state_dict())
    assert list(mixed.after) == ["1", "2"]
    mixed.load_state_dict(plain.state_dict())
    images = torch.randn(2, 3, 64, 32)
    assert torch.equal(mixed.eval().embed(images), plain.eval().embed(images))


@pytest.mark.parametrize("kind", SCHEMES)
@pytest.mark.parametrize(
    "wrong",
    [{"probability": 1.1}, {"probability": -0.1}, {"alpha": 0.0}, {"alpha": float("inf")}, {"alpha": float("nan")}],
)
def test_settings_that_cannot_be_are_refused(kind: Any, wrong: dict[str, float]) -> None:
    with pytest.raises(ExperimentError, match="probability between 0 and 1"):
        kind(**wrong)


@pytest.mark.parametrize("kind", SCHEMES)
def test_stages_that_cannot_be_are_refused(kind: Any) -> None:
    with pytest.raises(ExperimentError, match="rising numbers"):
        kind(stages=(2, 1))
    with pytest.raises(ExperimentError, match="stage 5, where resnet10t has 4"):
        kind(stages=(5,)).apply(Backbone(name="resnet10t").build())
