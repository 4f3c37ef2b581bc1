"""Machine flags: a list that does not grow unnoticed, the same for every command that computes."""

import importlib
import os
import subprocess
import sys
from dataclasses import fields

import pytest

from snreid.cli import main
from snreid.cli.machine import Flags, TrainingFlags
from snreid.system.machine import Machine

FLAGS = ["root", "device", "workers", "precision", "skip_bad", "memory_gb", "cache", "save_seconds"]


def test_the_list_is_frozen() -> None:
    assert [f.name for f in fields(Machine)] == FLAGS


def test_flags_are_the_settings_with_their_defaults() -> None:
    for flags in (Flags, TrainingFlags):
        assert [f.name for f in fields(flags)] == FLAGS
        assert all(getattr(flags(), name) == getattr(Machine(), name) for name in FLAGS)


@pytest.mark.parametrize(
    ("command", "trains"), [("train", True), ("demo", True), ("evaluate", False), ("report", False)]
)
def test_only_commands_that_train_list_the_time_between_checkpoints(
    command: str, trains: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([command, "--help"]) == 0
    assert ("--save-seconds" in capsys.readouterr().out) is trains


@pytest.mark.parametrize("command", ["train", "evaluate", "compare", "study", "report", "demo"])
def test_every_command_that_computes_takes_them(command: str) -> None:
    request = importlib.import_module(f"snreid.cli.{command}").Request
    machine = next(f for f in fields(request) if f.name == "machine")
    assert isinstance(machine.default, Machine)


@pytest.mark.parametrize(
    ("value", "expected"), [(None, "data None"), ("", "data None"), ("/some/where", "/some/where /some/where")]
)
def test_the_folders_of_data_and_of_decoded_pixels_may_come_from_variables(value: str | None, expected: str) -> None:
    variables = ("SNREID_DATA", "SNREID_CACHE")
    environment = {name: text for name, text in os.environ.items() if name not in variables}
    environment |= {} if value is None else dict.fromkeys(variables, value)
    code = "from snreid.system.machine import Machine as M; print(M().root, M().cache)"
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == expected, done.stderr
