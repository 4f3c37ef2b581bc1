"""The counting bar: silent when nobody asked, a line now and then without a terminal, live on one."""

from io import StringIO

import pytest
from rich.console import Console

from snreid.system import progress
from snreid.system.progress import counting


def test_without_a_console_nothing_is_counted() -> None:
    with counting(None, "reading") as tell:
        assert tell is None


def test_without_a_terminal_a_line_comes_only_after_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(progress.time, "monotonic", lambda: now)
    out = StringIO()
    with counting(Console(file=out, width=100), "reading noon") as tell:
        assert tell is not None
        tell(10, 100)
        assert out.getvalue() == ""
        now = 10.0
        tell(20, 100)
        now = 15.0
        tell(50, 100)
        now = 20.0
        tell(80, 100)
    # In the first 10 s 10 were done: 80 more take 80 s. In 20 s 70: 20 more take 6 s.
    assert out.getvalue().splitlines() == ["reading noon: 20/100, 80 s left", "reading noon: 80/100, 6 s left"]


def test_the_time_before_the_first_ones_is_no_pace(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(progress.time, "monotonic", lambda: now)
    out = StringIO()
    with counting(Console(file=out, width=100), "drawing") as tell:
        assert tell is not None
        now = 100.0
        tell(1, 252)
        now = 110.0
        tell(51, 252)
    assert out.getvalue().splitlines() == ["drawing: 1/252", "drawing: 51/252, 40 s left"]


def test_on_a_terminal_there_is_a_bar_that_goes_away() -> None:
    out = StringIO()
    with counting(Console(file=out, force_terminal=True, width=100), "reading noon") as tell:
        assert tell is not None
        tell(3, 10)
    assert "reading noon" in out.getvalue() and "3/10" in out.getvalue()
