"""What ends a step or a run early: numbers that are not finite."""

import pytest
import torch
from torch import Tensor, nn

from snreid.errors import DivergenceError
from snreid.training.finite_guard import MAX_SKIPPED, FiniteGuard, diverged

NAMES = ["a.png", "b.png"]


def network() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(3, 2, 1), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(8, 1))


def step(guard: FiniteGuard, images: Tensor) -> bool:
    """What the loop does: whether forward and backward of ``images`` may be applied."""
    guard.model.zero_grad()
    guard.before()
    loss: Tensor = guard.model(images).square().mean()
    loss.backward()  # type: ignore[no-untyped-call]
    return good(guard, loss)


def good(guard: FiniteGuard, loss: Tensor) -> bool:
    """What the verdict says, in words."""
    bad = guard.verdict(loss)
    assert bad.shape == () and bad.dtype == torch.float32 and float(bad) in (0.0, 1.0)
    return float(bad) == 0


def refuse(guard: FiniteGuard) -> None:
    """What the loop does with a bad step."""
    guard.undo(torch.ones(()))
    guard.refuse(NAMES)


def poisoned() -> Tensor:
    images = torch.rand(4, 3, 2, 2)
    images[1, 2, 0, 1] = torch.nan
    return images


def test_a_nan_pixel_is_seen_and_leaves_no_trace_in_the_statistics() -> None:
    guard = FiniteGuard(network())
    assert step(guard, torch.rand(4, 3, 2, 2))
    guard.accept()
    before = {name: value.clone() for name, value in guard.model.state_dict().items()}
    assert not step(guard, poisoned())
    assert any(bool(buffer.isnan().any()) for buffer in guard.model.buffers())
    refuse(guard)
    after = guard.model.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())
    assert guard.in_a_row == 1


def test_buffers_of_every_type_come_back_and_those_of_a_good_step_stay() -> None:
    guard = FiniteGuard(network())
    guard.model.register_buffer("seen", torch.tensor([True, False]))
    guard.model.register_buffer("far", torch.zeros(2, 3, dtype=torch.float64))
    before = {name: value.clone() for name, value in guard.model.named_buffers()}
    changes = ((torch.zeros(()), False), (torch.ones(()), True))
    for bad, restored in changes:
        guard.before()
        moved = {name: value.clone().add(1).to(value.dtype) for name, value in before.items()}
        moved["seen"] = ~before["seen"]
        guard.model.load_state_dict(moved, strict=False)
        guard.model.register_buffer("far", moved["far"].clone())  # a model may put another tensor in its place
        guard.undo(bad)
        expected = before if restored else moved
        assert all(torch.equal(value, expected[name]) for name, value in guard.model.named_buffers())
        guard.model.load_state_dict(before, strict=False)


@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf])
def test_one_gradient_that_is_not_finite_is_enough(bad: float) -> None:
    guard = FiniteGuard(network())
    assert step(guard, torch.rand(4, 3, 2, 2))
    last = list(guard.model.parameters())[-1]
    assert last.grad is not None
    last.grad[0] = bad
    assert not good(guard, torch.tensor(1.0))


@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf])
def test_a_loss_that_is_not_finite_is_enough(bad: float) -> None:
    guard = FiniteGuard(network())
    assert step(guard, torch.rand(4, 3, 2, 2))
    assert not good(guard, torch.tensor(bad))
    assert good(guard, torch.tensor(1e30))


def test_a_few_bad_steps_in_a_row_are_skipped_and_one_more_ends_the_run() -> None:
    guard = FiniteGuard(network())
    for number in range(MAX_SKIPPED):
        assert not step(guard, poisoned())
        refuse(guard)
        assert guard.in_a_row == number + 1
    assert not step(guard, poisoned())
    with pytest.raises(DivergenceError, match=rf"{MAX_SKIPPED + 1} steps in a row.*a\.png, b\.png") as caught:
        refuse(guard)
    assert caught.value.exit_code == 3
    assert not any(bool(buffer.isnan().any()) for buffer in guard.model.buffers())


def test_a_good_step_between_starts_the_count_anew() -> None:
    guard = FiniteGuard(network())
    for _ in range(3):
        for _ in range(MAX_SKIPPED):
            step(guard, poisoned())
            refuse(guard)
        assert step(guard, torch.rand(4, 3, 2, 2))
        guard.accept()
    assert guard.in_a_row == 0


def test_a_weight_that_is_not_finite_ends_the_run_at_once_and_is_named() -> None:
    guard = FiniteGuard(network())
    with torch.no_grad():
        guard.model.get_parameter("3.weight")[0, 5] = torch.nan
    assert not step(guard, torch.rand(4, 3, 2, 2))
    with pytest.raises(DivergenceError, match=r"3\.weight.*a\.png"):
        refuse(guard)


def test_the_message_of_divergence_has_cause_images_and_two_ways_out() -> None:
    said = str(diverged("head.weight", NAMES))
    assert all(part in said for part in ("head.weight", "a.png, b.png", "same command", "--optimizer.lr"))
