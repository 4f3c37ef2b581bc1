"""Where torch cannot compile, a sentence says so and training goes on without."""

from typing import Any

import pytest
import torch

from snreid.training import compiling
from snreid.training.compiling import backend, why_not
from support.tiny import ALONE, console


@pytest.mark.parametrize(
    ("error", "said"), [(RuntimeError("\n no g++ here \nmore"), "no g++ here"), (KeyError(), "KeyError")]
)
def test_what_the_compiler_says_is_said_in_one_line(
    error: Exception, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: Any, **__: Any) -> Any:
        raise error

    monkeypatch.setattr(torch, "compile", fails)
    assert why_not(torch.device("cpu")) == said
    talk = console()
    assert backend(ALONE, talk) is None
    assert f"--compile is left out: torch cannot compile here ({said})" in talk.file.getvalue()  # type: ignore[attr-defined]


def test_where_it_can_the_backend_is_named_and_nothing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiling, "_BACKEND", "aot_eager")  # needs no compiler
    talk = console()
    assert backend(ALONE, talk) == "aot_eager"
    assert talk.file.getvalue() == ""  # type: ignore[attr-defined]
