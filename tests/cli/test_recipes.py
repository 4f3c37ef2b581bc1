"""``snreid recipes``: every row with its sentence; its settings as JSON that can be trained."""

import json

import pytest

from snreid.cli.recipes import main
from snreid.experiments import recipes
from snreid.experiments.experiment import Experiment


def test_it_lists_every_recipe_and_preset(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    lines = capsys.readouterr().out.splitlines()
    known = [*recipes.all_recipes(), *recipes.combined(), *recipes.starting_points()]
    assert [line.split()[0] for line in lines[: len(known)]] == known
    assert all(preset in lines[-1] for preset in ("small", "short", "paper"))


def test_the_settings_it_shows_are_those_of_the_recipe(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--preset", "short"]) == 0
    shown = capsys.readouterr().out
    assert Experiment.from_json(json.loads(shown[shown.index("{") :])) == recipes.snr("short")
