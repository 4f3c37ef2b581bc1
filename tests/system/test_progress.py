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
    # After 10 s 20 of 100 are done: 80 more take 40 s. After 20 s 80: 20 more take 5 s.
    assert out.getvalue().splitlines() == ["reading noon: 20/100, 40 s left", "reading noon: 80/100, 5 s left"]


def test_on_a_terminal_there_is_a_bar_that_goes_away() -> None:
    out = StringIO()
    with counting(Console(file=out, force_terminal=True, width=100), "reading noon") as tell:
        assert tell is not None
        tell(3, 10)
    assert "reading noon" in out.getvalue() and "3/10" in out.getvalue()
