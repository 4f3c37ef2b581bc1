"""Messages in three parts, exit codes, and errors that survive the way from a worker process."""

import json
import os
import pickle

import pytest

from snreid.errors import (
    CheckpointError,
    DataError,
    DivergenceError,
    ExperimentError,
    Interrupted,
    SnreidError,
    visible,
)


def test_a_message_says_the_rule_what_came_and_the_repair() -> None:
    error = DataError("Every image must be readable", found="a.jpg is empty", fix="restore it")
    assert str(error) == "Every image must be readable. Found: a.jpg is empty. Fix: restore it."
    assert (error.rule, error.found, error.fix) == ("Every image must be readable", "a.jpg is empty", "restore it")


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({}, "A rule."),
        ({"found": "x."}, "A rule. Found: x."),
        ({"fix": "did you mean 'y'?"}, "A rule. Fix: did you mean 'y'?"),
    ],
)
def test_parts_may_be_left_out_and_end_in_one_mark(parts: dict[str, str], message: str) -> None:
    assert str(SnreidError("A rule.", **parts)) == message


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (SnreidError, 1),
        (DataError, 2),
        (ExperimentError, 2),
        (CheckpointError, 2),
        (DivergenceError, 3),
        (Interrupted, 143),
    ],
)
def test_exit_codes_are_those_the_command_promises(kind: type[SnreidError], code: int) -> None:
    assert kind("rule").exit_code == code
    assert isinstance(kind("rule"), SnreidError)


def test_an_error_crosses_a_process_border_whole() -> None:
    error = pickle.loads(pickle.dumps(DataError("rule", found="came", fix="repair")))
    assert type(error) is DataError
    assert (error.rule, error.found, error.fix) == ("rule", "came", "repair")


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("plain größer 人 a\tb\nc", "plain größer 人 a\tb\nc"),
        ("a\x1b[31mb", r"a\u001b[31mb"),
        ("\x1b]0;title\x07\r", r"\u001b]0;title\u0007\u000d"),
        ("\x9b31m\x7f", r"\u009b31m\u007f"),
        (os.fsdecode(b"caf\xe9.jpg"), r"caf\udce9.jpg"),
        ("gpj.\u202eexe", r"gpj.\u202eexe"),
    ],
)
def test_names_of_files_are_shown_and_never_obeyed(raw: str, shown: str) -> None:
    assert visible(raw) == shown
    error = DataError("A rule", found=raw, fix="repair")
    assert str(error) == f"A rule. Found: {shown}. Fix: repair." and error.found == raw
    assert str(pickle.loads(pickle.dumps(error))) == str(error)
    assert json.loads(visible(json.dumps([raw], ensure_ascii=False))) == [raw]


def test_a_terminal_gets_each_part_on_a_line_and_long_parts_in_several() -> None:
    assert DataError("Rule", found="x", fix="y").in_lines() == "Rule.\n  Found: x.\n  Fix: y."
    long = " ".join(["word"] * 100)
    lines = DataError(long, fix="do --this-or-that").in_lines().splitlines()
    assert max(map(len, lines)) <= 80 and lines[-1] == "  Fix: do --this-or-that."
    path = "/very/long" * 40
    assert path in DataError("Rule", found=path).in_lines()
