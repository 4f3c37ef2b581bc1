"""Optimizers and schedules: values at the marks of the recipes, groups, and a state that comes back bit for bit."""

import json
import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from snreid.errors import CheckpointError, ExperimentError
from snreid.training.optim import (
    SGD,
    Adam,
    AdamW,
    Optim,
    OptimizerState,
    Schedule,
    WarmupCosine,
    WarmupHalving,
    WarmupSteps,
    apply_step,
    flatten_optimizer,
    restore_optimizer,
)


def network(*, bias: bool = True) -> nn.Sequential:
    torch.manual_seed(1)
    return nn.Sequential(nn.Conv2d(3, 4, 3, bias=bias), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4 * 36, 5))


def train(net: nn.Module, optimizer: torch.optim.Optimizer, steps: range) -> None:
    for step in steps:
        images = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(step))
        optimizer.zero_grad()
        net(images).square().sum().backward()
        optimizer.step()


@pytest.mark.parametrize(
    ("epoch", "factor"),
    [(0, 0.01), (5, 0.505), (10, 1.0), (39.99, 1.0), (40, 0.1), (69.9, 0.1), (70, 0.01), (119.9, 0.01)],
)
def test_the_short_recipe_drops_at_40_and_70(epoch: float, factor: float) -> None:
    assert WarmupSteps().factor(epoch, 120.0) == pytest.approx(factor, rel=1e-9)


@pytest.mark.parametrize(
    ("epoch", "factor"), [(0, 0.01), (10, 0.505), (20, 1.0), (59.9, 1.0), (60, 0.5), (100, 0.25), (319.9, 0.5**7)]
)
def test_the_paper_recipe_halves_every_40_after_20(epoch: float, factor: float) -> None:
    assert WarmupHalving().factor(epoch, 120.0) == pytest.approx(factor, rel=1e-9)


@pytest.mark.parametrize(("epoch", "factor"), [(10, 1.0), (65, 0.5 * (1 + 0.001)), (120, 0.001), (200, 0.001)])
def test_the_cosine_ends_at_its_floor(epoch: float, factor: float) -> None:
    assert WarmupCosine().factor(epoch, 120.0) == pytest.approx(factor, rel=1e-9)


@settings(max_examples=60, deadline=None)
@given(
    schedule=st.sampled_from([WarmupSteps(), WarmupHalving(), WarmupCosine(), WarmupCosine(warmup_epochs=0)]),
    epoch=st.floats(0, 400),
    later=st.floats(0, 50),
)
def test_factors_rise_in_the_warm_up_and_never_after(schedule: Schedule, epoch: float, later: float) -> None:
    now, then = schedule.factor(epoch, 120.0), schedule.factor(epoch + later, 120.0)
    assert 0 < now <= 1
    if epoch + later < schedule.warmup_epochs:
        assert then >= now
    elif epoch >= schedule.warmup_epochs:
        assert then <= now


def test_set_rate_reaches_every_group() -> None:
    value = Adam(lr=2e-3, decay_norms=False)
    optimizer = value.build(network())
    assert value.set_rate(optimizer, 0.25) == 5e-4
    assert [group["lr"] for group in optimizer.param_groups] == [5e-4, 5e-4]


def test_norms_and_biases_can_be_spared_the_decay() -> None:
    (everything,) = Adam().build(network()).param_groups
    assert everything["weight_decay"] == 5e-4
    matrices, vectors = Adam(decay_norms=False).build(network()).param_groups
    assert (matrices["param_names"], matrices["weight_decay"]) == (["0.weight", "3.weight"], 5e-4)
    assert (vectors["param_names"], vectors["weight_decay"]) == (["0.bias", "1.weight", "1.bias", "3.bias"], 0.0)


def test_frozen_parameters_are_left_out() -> None:
    net = network()
    net[1].bias.requires_grad_(False)
    assert "1.bias" not in SGD().build(net).param_groups[0]["param_names"]
    with pytest.raises(ExperimentError, match="trainable"):
        SGD().build(net.requires_grad_(False))


def test_adam_takes_the_step_of_its_formula() -> None:
    net = nn.Linear(1, 1, bias=False).double()
    nn.init.constant_(net.weight, 2.0)
    optimizer = Adam(lr=0.1, weight_decay=0.5).build(net)
    (3 * net.weight).sum().backward()
    optimizer.step()
    gradient = 3 + 0.5 * 2.0  # L2 inside the gradient, not AdamW
    mean, square = 0.1 * gradient / (1 - 0.9), 0.001 * gradient**2 / (1 - 0.999)
    assert net.weight.item() == pytest.approx(2.0 - 0.1 * mean / (math.sqrt(square) + 1e-8), abs=1e-9)


class Named(nn.Module):
    """A model in a wrapper, with the names a model has."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(2)
        self.network = nn.ModuleDict(
            {
                "backbone": nn.ModuleDict({"head": nn.Linear(4, 4)}),
                "after": nn.ModuleDict({"1": nn.LayerNorm(4)}),
                "head": nn.Linear(4, 3, bias=False),
            }
        )

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        parts = self.network
        made: torch.Tensor = parts["head"](parts["after"]["1"](parts["backbone"]["head"](rows)))  # type: ignore[index]
        return made


REST = ["network.after.1.weight", "network.after.1.bias", "network.head.weight"]


@pytest.mark.parametrize("kind", [Adam, AdamW, SGD])
def test_the_head_has_its_own_rate_by_a_part_of_its_name(kind: Callable[..., Optim]) -> None:
    value = kind(lr=0.01, head_lr=10.0, weight_decay=0.1)
    optimizer = value.build(Named())
    backbone, rest = optimizer.param_groups
    assert backbone["param_names"] == ["network.backbone.head.weight", "network.backbone.head.bias"]
    assert rest["param_names"] == REST and [backbone["lr"], rest["lr"]] == [0.01, 0.1]
    assert value.set_rate(optimizer, 0.5) == 0.005
    assert [backbone["lr"], rest["lr"]] == [0.005, 0.05]
    assert {group["weight_decay"] for group in optimizer.param_groups} == {0.1}
    four = kind(lr=0.01, head_lr=10.0, decay_norms=False).build(Named()).param_groups
    assert [len(group["param_names"]) for group in four] == [1, 1, 1, 2]
    assert [group.get("rate_factor", 1.0) for group in four] == [1.0, 10.0, 1.0, 10.0]


def test_without_a_factor_the_groups_say_nothing_of_one() -> None:
    (group,) = Adam().build(Named()).param_groups
    assert "rate_factor" not in group
    (group,) = Adam(head_lr=3.0).build(network()).param_groups
    assert group["rate_factor"] == 3.0, "of a network without a backbone everything is the head"


def test_adamw_with_a_rate_for_the_head_takes_the_steps_of_torch() -> None:
    value = AdamW(lr=0.01, head_lr=5.0, weight_decay=0.3)
    ours, theirs = Named(), Named()
    optimizer = value.build(ours)
    named = dict(theirs.named_parameters())
    split = [[p for n, p in named.items() if n not in REST], [named[n] for n in REST]]
    groups = [{"params": split[0], "lr": 0.01}, {"params": split[1], "lr": 0.05}]
    plain = torch.optim.AdamW(groups, weight_decay=0.3, foreach=False)
    for number in range(4):
        rows = torch.randn(6, 4, generator=torch.Generator().manual_seed(number))
        factor = 1 / (1 + number)
        value.set_rate(optimizer, factor)
        plain.param_groups[0]["lr"], plain.param_groups[1]["lr"] = 0.01 * factor, 0.05 * factor
        for net, one in ((ours, optimizer), (theirs, plain)):
            one.zero_grad()
            net(rows).square().sum().backward()
            one.step()
    for name, parameter in ours.named_parameters():
        torch.testing.assert_close(parameter, named[name], msg=name)
    alike = Adam(lr=0.01, head_lr=5.0, weight_decay=0.3).build(Named())
    assert not alike.param_groups[0]["decoupled_weight_decay"] and optimizer.param_groups[0]["decoupled_weight_decay"]


OPTIMS = [
    Adam(),
    AdamW(head_lr=0.5),
    Adam(amsgrad=True, decay_norms=False),
    SGD(),
    SGD(momentum=0.0),
    SGD(nesterov=True),
]


@pytest.mark.parametrize("value", OPTIMS, ids=repr)
def test_a_flattened_state_continues_bit_for_bit(value: Optim) -> None:
    whole, first = network(), network()
    optimizer = value.build(whole)
    train(whole, optimizer, range(6))

    half = value.build(first)
    train(first, half, range(3))
    state = flatten_optimizer(half)
    stored = OptimizerState(
        tensors={name: tensor.clone() for name, tensor in state.tensors.items()},
        values=json.loads(json.dumps(state.values, allow_nan=False)),
    )
    second = network()
    second.load_state_dict(first.state_dict())
    rest = value.build(second)
    restore_optimizer(rest, stored)
    assert rest.state_dict()["param_groups"] == half.state_dict()["param_groups"]
    for name, tensor in flatten_optimizer(rest).tensors.items():
        assert tensor.dtype == state.tensors[name].dtype
        assert torch.equal(tensor, state.tensors[name])
    train(second, rest, range(3, 6))
    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, second.state_dict()[name]), name


@pytest.mark.parametrize("value", OPTIMS, ids=repr)
def test_the_fused_kernel_takes_the_steps_of_the_plain_one(value: Optim) -> None:
    # No bias before the norm: its gradient is zero but for rounding, and Adam would follow the sign of that.
    ours, plain = network(bias=False).to(memory_format=torch.channels_last), network(bias=False)
    optimizer, reference = value.build(ours), value.build(plain)
    for group in reference.param_groups:
        group["fused"], group["foreach"] = None, False
    reference.state.clear()
    for step in range(5):
        train(plain, reference, range(step, step + 1))
        train(ours, optimizer, range(step, step + 1))
    for one, other in zip(ours.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("value", OPTIMS, ids=repr)
def test_a_refused_step_changes_nothing_and_a_scaled_one_is_the_same_step(value: Optim) -> None:
    whole, other = network(), network()
    train(whole, value.build(whole), range(3))
    optimizer = value.build(other)

    def step(number: int, bad: float, scale: float) -> None:
        images = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(number))
        optimizer.zero_grad()
        (other(images).square().sum() * (torch.nan if bad else scale)).backward()
        apply_step(optimizer, torch.tensor(bad), torch.tensor(scale))

    step(7, 1.0, 1.0)  # the very first one too
    assert all(
        torch.equal(value, network().state_dict()[k])
        for k, value in other.state_dict().items()
        if "num" not in k and "running" not in k
    )
    other.load_state_dict(network().state_dict())
    for number in range(3):
        step(number, 0.0, 1024.0)
        before = {k: v.clone() for k, v in flatten_optimizer(optimizer).tensors.items()}
        state = {k: v.clone() for k, v in other.state_dict().items()}
        step(9, 1.0, 1024.0)
        after = flatten_optimizer(optimizer).tensors
        assert after.keys() == before.keys() and all(torch.equal(after[k], v) for k, v in before.items())
        assert all(torch.equal(p, state[name]) for name, p in other.named_parameters())
        other.load_state_dict(state)
    for (name, one), theirs in zip(whole.named_parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(one, theirs, rtol=1e-6, atol=1e-7, msg=name)


def test_a_state_that_the_plain_loop_saved_is_taken_up() -> None:
    net = network()
    optimizer = Adam().build(net)
    train(net, optimizer, range(2))
    state = flatten_optimizer(optimizer)
    for group in state.values["groups"]:
        group["fused"], group["foreach"] = None, False
    again = Adam().build(network())
    restore_optimizer(again, state)
    assert [(g["fused"], g["foreach"]) for g in again.param_groups] == [(True, None)]


def test_a_fresh_state_can_be_flattened_too() -> None:
    state = flatten_optimizer(Adam().build(network()))
    assert state.tensors == {}
    restore_optimizer(Adam().build(network()), state)


def test_a_state_of_another_network_is_refused() -> None:
    state = flatten_optimizer(Adam().build(network()))
    with pytest.raises(CheckpointError, match=r"fits only the network.*0\.weight"):
        restore_optimizer(Adam().build(nn.ModuleDict({"other": nn.Linear(2, 2)})), state)
    with pytest.raises(CheckpointError, match="the groups"):
        restore_optimizer(Adam(decay_norms=False).build(network()), state)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Adam(lr=0.0),
        lambda: Adam(weight_decay=-1.0),
        lambda: Adam(betas=(0.9, 1.0)),
        lambda: Adam(eps=0.0),
        lambda: Adam(eps=math.inf),
        lambda: AdamW(head_lr=0.0),
        lambda: SGD(head_lr=math.inf),
        lambda: SGD(momentum=1.0),
        lambda: SGD(momentum=0.0, nesterov=True),
        lambda: WarmupSteps(milestones=(70.0, 40.0)),
        lambda: WarmupSteps(milestones=(5.0,)),
        lambda: WarmupSteps(drop=0.0),
        lambda: WarmupSteps(start=0.0),
        lambda: WarmupHalving(every=0.0),
        lambda: WarmupHalving(warmup_epochs=-1.0),
        lambda: WarmupCosine(floor=2.0),
    ],
)
def test_settings_without_a_meaning_are_refused(make: Callable[[], object]) -> None:
    with pytest.raises(ExperimentError, match=r"Found: .*Fix: "):
        make()
