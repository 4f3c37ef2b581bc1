"""What ends a run early: SIGTERM and Ctrl-C."""

import os
import signal
from collections.abc import Callable, Iterator

import pytest

from snreid.errors import Interrupted, UserInterrupted
from snreid.training.stop_signal import StopSignal, stopped


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
        seen.append((stop.received, stop.requested))

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
