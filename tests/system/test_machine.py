"""Machine settings are a frozen list apart from the science."""

from dataclasses import fields

import pytest

from snreid.experiments.experiment import Experiment
from snreid.system.machine import Machine


def test_the_list_does_not_grow_unnoticed() -> None:
    known = [
        "root",
        "out",
        "device",
        "workers",
        "precision",
        "compile",
        "skip_bad",
        "memory_gb",
        "cache",
        "save_seconds",
    ]
    assert [f.name for f in fields(Machine)] == known


def test_no_setting_belongs_to_the_machine_and_to_the_science() -> None:
    assert not {f.name for f in fields(Machine)} & {f.name for f in fields(Experiment)}


@pytest.mark.parametrize(("precision", "expected"), [("float32", False), ("bf16", True)])
def test_bf16_follows_the_precision(precision: str, expected: bool) -> None:
    assert Machine(precision=precision).bf16 is expected  # type: ignore[arg-type]


def test_bfloat16_is_never_chosen_unasked() -> None:
    assert not Machine().bf16
