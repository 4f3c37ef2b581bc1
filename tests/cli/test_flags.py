"""Flags of a command: read from a dataclass, shown by ``--help``; the last of a repeated flag counts."""

from dataclasses import dataclass
from typing import Annotated

import pytest
import tyro

from snreid.cli.flags import example, flag, parse, parse_known
from snreid.errors import ExperimentError


@dataclass(frozen=True, kw_only=True)
class Request:
    """Do something with a run.

    Examples:
      snreid do runs/a --names b c
    """

    run: Annotated[tyro.conf.Positional[str], flag("folder of a run", "RUN")]
    names: Annotated[tuple[str, ...], flag("names", "NAME", "-n")] = ()
    count: Annotated[int | None, flag("how many", "N", default="all of them")] = None
    size: Annotated[float, flag("how large", "GB")] = 1.5
    quick: Annotated[bool, flag("in a hurry")] = False
    images: Annotated[bool, flag("without images")] = True


def test_the_last_of_a_repeated_flag_counts() -> None:
    words = ["runs/a", "-n", "x", "y", "--names", "z", "--count=1", "--count", "2", "--quick", "--no-quick"]
    assert parse(Request, words, "snreid do") == Request(run="runs/a", names=("z",), count=2)


def test_what_is_unknown_is_returned_in_its_order() -> None:
    words = ["runs/a", "--lr", "1e-3", "-n", "x", "--stages", "1", "2"]
    request, rest = parse_known(Request, words, "snreid do")
    assert request == Request(run="runs/a", names=("x",)) and rest == ["--lr", "1e-3", "--stages", "1", "2"]


@pytest.mark.parametrize("words", [[], ["-n", "x", "runs/a"], ["--quick", "runs/a"]])
def test_a_positional_argument_is_never_taken_for_the_value_of_a_flag(words: list[str]) -> None:
    with pytest.raises(ExperimentError, match="snreid do takes RUN first, then flags") as caught:
        parse(Request, words, "snreid do")
    assert caught.value.fix == "write it like snreid do runs/a --names b c"
    assert example(Request) == "snreid do runs/a --names b c"


def test_help_shows_names_of_values_and_real_defaults(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit) as ended:
        parse(Request, ["--help"], "snreid do")
    assert ended.value.code == 0
    lines = [line.strip(" │") for line in capsys.readouterr().out.splitlines()]
    shown = {line.split("  ")[0]: line.split("  ")[-1].strip() for line in lines}
    assert shown["-n NAME, --names NAME"] == "names"
    assert shown["--count N"] == "how many (default: all of them)"
    assert shown["--size GB"] == "how large (default: 1.5)"
    assert shown["--quick"] == "in a hurry" and shown["--no-images"] == "without images"
    assert "snreid do runs/a --names b c" in lines


def test_a_wrong_value_is_refused_with_the_help_of_its_flag(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        parse(Request, ["runs/a", "--count", "many"], "snreid do")
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert "many" in said and "how many" in said


def test_without_docstrings_there_is_no_example_and_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Request, "__doc__", None)  # python -OO
    assert example(Request) == "snreid --help shows it"
