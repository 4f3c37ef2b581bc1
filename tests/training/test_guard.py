"""What ends a step or a run early: SIGTERM, Ctrl-C, and numbers that are not finite."""

import os
import signal
from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor, nn

from snreid.errors import DivergenceError, Interrupted, UserInterrupted
from snreid.training.guard import MAX_SKIPPED, FiniteGuard, StopSignal, diverged, stopped

NAMES = ["a.png", "b.png"]


@pytest.fixture(autouse=True)
def _signals_are_left_as_they_were() -> Iterator[None]:
    # A test runner that was started in the background has an ignored SIGINT.
    ours = signal.signal(signal.SIGINT, signal.default_int_handler)
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
        assert signal.getsignal(signal.SIGTERM) is before
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, ours)


def sigterm() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def ctrl_c() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def within(work: Callable[[StopSignal], None]) -> None:
    """``work`` while SIGTERM is a request."""
    with StopSignal() as stop:
        work(stop)


def test_sigterm_is_a_request_and_the_second_one_is_the_systems() -> None:
    seen: list[object] = []

    def work(stop: StopSignal) -> None:
        seen.append(stop.requested)
        sigterm()
        seen.extend((stop.requested, stop.deferring, signal.getsignal(signal.SIGTERM)))

    with pytest.raises(Interrupted):  # at the end, when nobody has answered
        within(work)
    assert seen == [False, True, True, signal.SIG_DFL]  # which ends the process at once


def test_ctrl_c_is_a_request_too_and_says_so_and_the_second_one_raises(capfd: pytest.CaptureFixture[str]) -> None:
    seen: list[object] = []

    def once(stop: StopSignal) -> None:
        ctrl_c()
        seen.append((stop.came, stop.requested))

    def twice(stop: StopSignal) -> None:
        ctrl_c()
        ctrl_c()

    with pytest.raises(UserInterrupted, match="Ctrl-C asks a run to stop after the current step") as caught:
        within(once)
    assert caught.value.exit_code == 130 and seen == [(signal.SIGINT, True)]
    assert "finishing and saving the current step; once more ends it at once" in capfd.readouterr().err
    with pytest.raises(KeyboardInterrupt):
        within(twice)


def test_sigterm_after_ctrl_c_is_one_request() -> None:
    def work(stop: StopSignal) -> None:
        ctrl_c()
        sigterm()

    with pytest.raises(UserInterrupted):
        within(work)


@pytest.mark.parametrize("both", [(ctrl_c, sigterm), (sigterm, ctrl_c)], ids=["ctrl_c_first", "sigterm_first"])
def test_the_other_signal_does_not_disturb_who_saves_because_of_the_first(both: tuple[Callable[[], None], ...]) -> None:
    seen: list[str] = []

    def work(stop: StopSignal) -> None:
        first, second = both
        try:
            stop.interruptible()
            first()
        except Interrupted:
            second()  # while the state is being saved
            seen.append("saved")
            raise

    with pytest.raises(Interrupted):
        within(work)
    assert seen == ["saved"]


def test_where_nothing_is_half_done_ctrl_c_raises_at_once() -> None:
    def work(stop: StopSignal) -> None:
        stop.interruptible()
        ctrl_c()
        raise AssertionError

    with pytest.raises(UserInterrupted):
        within(work)


def test_ctrl_c_is_left_to_who_has_taken_it() -> None:
    seen: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, frame: seen.append(number))
    try:
        with StopSignal() as stop:
            ctrl_c()
            assert not stop.requested
    finally:
        signal.signal(signal.SIGINT, before)
    assert seen == [signal.SIGINT]


def test_without_a_signal_of_its_own_a_process_of_a_job_names_sigterm() -> None:
    assert stopped().exit_code == 143 and "SIGTERM" in str(stopped())


def test_where_nothing_is_half_done_sigterm_raises_at_once() -> None:
    seen: list[object] = []

    def work(stop: StopSignal) -> None:
        stop.interruptible()
        seen.append(stop)
        sigterm()
        seen.append("after")

    with pytest.raises(Interrupted):
        within(work)
    assert len(seen) == 1 and seen[0].requested  # type: ignore[attr-defined]


def test_a_signal_that_came_before_raises_where_it_may() -> None:
    seen: list[str] = []

    def work(stop: StopSignal) -> None:
        sigterm()
        seen.append("before")
        stop.interruptible()
        seen.append("after")

    with pytest.raises(Interrupted):
        within(work)
    assert seen == ["before"]


def test_deferring_again_keeps_it_from_raising_until_the_end() -> None:
    seen: list[bool] = []

    def work(stop: StopSignal) -> None:
        stop.interruptible()
        stop.deferring = True
        sigterm()
        seen.append(stop.requested)

    with pytest.raises(Interrupted):
        within(work)
    assert seen == [True]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_signal_that_python_swallows_is_answered_at_the_end() -> None:
    seen: list[bool] = []

    class Closing:
        def __del__(self) -> None:
            sigterm()

    def work(stop: StopSignal) -> None:
        stop.interruptible()
        Closing()
        seen.append(stop.requested)

    with pytest.raises(Interrupted):
        within(work)
    assert seen == [True]


def test_another_error_is_not_hidden_by_a_signal() -> None:
    def work(stop: StopSignal) -> None:
        sigterm()
        raise ValueError("x")

    with pytest.raises(ValueError, match="x"):
        within(work)


def test_the_handler_from_before_comes_back_after_an_error_too() -> None:
    seen: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: seen.append(number))
    try:
        with pytest.raises(ValueError, match="x"), StopSignal():
            raise ValueError("x")
        sigterm()
    finally:
        signal.signal(signal.SIGTERM, before)
    assert seen == [signal.SIGTERM]


def test_the_interruption_says_how_to_go_on_and_has_the_shells_exit_code() -> None:
    assert stopped().exit_code == 128 + signal.SIGTERM
    assert "start the same command again" in str(stopped())


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
