"""Experiment files: JSON and YAML give the same experiment; what is wrong is told with file, line and fix."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from snreid.cli.experiment_file import read_experiment
from snreid.errors import ExperimentError
from support.tiny import experiment


def write(path: Path, text: str) -> Path:
    """A file with this text."""
    path.write_text(text)
    return path


def test_json_and_yaml_give_the_same_experiment(tmp_path: Path) -> None:
    start = experiment("snr")
    stored = start.to_json()
    for text in (json.dumps(stored), json.dumps({"experiment": stored}, indent="\t")):
        assert read_experiment(write(tmp_path / "mine.json", text)) == start
    for suffix in ("yaml", "yml"):
        assert read_experiment(write(tmp_path / f"mine.{suffix}", yaml.safe_dump(stored))) == start


def test_yaml_has_defaults_comments_and_numbers_with_exponents(tmp_path: Path) -> None:
    start = experiment("snr")
    stored = start.to_json()
    optimizer = stored.pop("optimizer")
    text = yaml.safe_dump(stored) + f"optimizer:  # mine\n  kind: {optimizer['kind']}\n  lr: 1e-3\n"
    found = read_experiment(write(tmp_path / "mine.yaml", text))
    assert found == replace(start, optimizer=type(start.optimizer)(lr=1e-3))


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("mine.json", '{\n"epochs": ,\n}', r"mine\.json, line 2: Expecting value"),
        ("mine.json", "\xff", r"mine\.json"),
        ("mine.yaml", "epochs: 3\n  seed: 1\n", r"mine\.yaml, line 2: mapping values are not allowed"),
        ("mine.yaml", "epochs: 3\nseed: !!python/name:os.system\n", r"mine\.yaml, line 2: could not determine"),
        ("mine.yaml", "epochs: 3\n1: 2\nsead: 1\n", r"Found: 1 in .*mine\.yaml"),
        ("mine.yaml", "- 1\n", r"mine\.yaml, line 1"),
        ("mine.yaml", "", r"Found: None in .*mine\.yaml"),
    ],
)
def test_a_file_that_cannot_be_read_says_its_line(name: str, text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(text.encode("latin-1"))
    with pytest.raises(ExperimentError, match=said) as caught:
        read_experiment(tmp_path / name)
    assert caught.value.fix


@pytest.mark.parametrize("suffix", ["json", "yaml"])
def test_a_wrong_setting_says_its_line(suffix: str, tmp_path: Path) -> None:
    lines = json.dumps({"experiment": experiment("snr").to_json()}, indent=1).splitlines()
    for start, wrong, said in (
        ('  "epochs": ', '"three"', "'three' in "),
        ('   "lr": ', "[]", r"\[\] in "),
        ('    "label_smoothing": ', "null", "None in "),
        ('   "lr": ', '0.1, "lrr": 1', "'lrr' in .*did you mean 'lr'"),
    ):
        at = next(number for number, line in enumerate(lines) if line.startswith(start))
        changed = [*lines[:at], f"{start}{wrong},", *lines[at + 1 :]]
        path = write(tmp_path / f"mine.{suffix}", "\n".join(changed))
        with pytest.raises(ExperimentError, match=said) as caught:
            read_experiment(path)
        assert caught.value.found.endswith(f"mine.{suffix}, line {at + 1}"), caught.value


def test_the_file_of_an_adaptation_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ExperimentError, match="made from the run that it started from"):
        read_experiment(write(tmp_path / "mine.json", '{"adaptation": {}, "experiment": {}}'))
    with pytest.raises(ExperimentError, match="nowhere"):
        read_experiment(tmp_path / "nowhere.yaml")


def test_a_key_that_is_given_twice_is_refused_with_its_line(tmp_path: Path) -> None:
    with pytest.raises(ExperimentError, match=r"mine\.yaml, line 3: 'epochs' is given twice"):
        read_experiment(write(tmp_path / "mine.yaml", "recipe: snr\nepochs: 3\nepochs: 4\n"))


def test_a_byte_order_mark_is_no_part_of_a_file(tmp_path: Path) -> None:
    start = experiment("snr")
    assert read_experiment(write(tmp_path / "mine.json", "\ufeff" + json.dumps(start.to_json()))) == start
