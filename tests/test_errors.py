"""Messages in three parts, exit codes, and errors that survive the way from a worker process."""

import pickle

import pytest

from snreid.errors import CheckpointError, DataError, DivergenceError, ExperimentError, Interrupted, SnreidError


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
