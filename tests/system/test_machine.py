"""Machine settings are a frozen list apart from the science."""

from dataclasses import fields
from typing import Any

import pytest

from snreid.errors import ExperimentError
from snreid.experiments.experiment import Experiment
from snreid.system.machine import Machine


def test_no_setting_belongs_to_the_machine_and_to_the_science() -> None:
    assert not {f.name for f in fields(Machine)} & {f.name for f in fields(Experiment)}


@pytest.mark.parametrize(("precision", "expected"), [("float32", False), ("bf16", True)])
def test_bf16_follows_the_precision(precision: str, expected: bool) -> None:
    assert Machine(precision=precision).bf16 is expected  # type: ignore[arg-type]


def test_bfloat16_is_never_chosen_unasked() -> None:
    assert not Machine().bf16


@pytest.mark.parametrize("wrong", [{"workers": -1}, {"memory_gb": -0.5}, {"save_seconds": -1.0}])
def test_negative_settings_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ExperimentError, match=str(next(iter(wrong.values())))):
        Machine(**wrong)
