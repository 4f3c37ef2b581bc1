"""Names before flags: moved where they are known for certain, shown in the right order where they are not."""

import shlex
from pathlib import Path

import pytest

from snreid.cli.order import is_run_folder, misplaced, names_first, require_names
from snreid.errors import ExperimentError


@pytest.mark.parametrize(
    ("line", "count", "expected"),
    [
        ("-t noon A", 1, "A -t noon"),
        ("A -t noon", 1, "A -t noon"),
        ("-t A noon", 1, "A -t noon"),
        ("A -t noon B", 2, "A B -t noon"),
        ("-t noon A B --workers 0", 2, "A B -t noon --workers 0"),
        ("-t noon A B --workers 0", None, "A B -t noon --workers 0"),
        ("A -t noon B", None, "A B -t noon"),
        # A third run where two are compared is no name of the command.
        ("A B -t noon A", 2, "A B -t noon A"),
        ("--out A -t noon", 1, "--out A -t noon"),
        ("--recipe A B", 1, "B --recipe A"),
        ("--lr -1 A", 1, "A --lr -1"),
        ("", 1, ""),
    ],
)
def test_names_that_are_known_go_in_front(line: str, count: int | None, expected: str) -> None:
    assert names_first(line.split(), lambda word: word in ("A", "B"), count) == expected.split()


def test_a_run_folder_is_known_by_its_experiment(tmp_path: Path) -> None:
    assert not is_run_folder(str(tmp_path))
    (tmp_path / "experiment.json").touch()
    assert is_run_folder(str(tmp_path))


@pytest.mark.parametrize(
    "line", ["a b -t noon", "--workers 0 a b", "--json a --out c b", "-t=noon a b", "-t noon --help"]
)
def test_words_that_are_no_values_are_names(line: str) -> None:
    require_names("compare", line.split(), ("runs/a", "runs/b"), "two runs")


@pytest.mark.parametrize(
    ("line", "right"),
    [
        ("a -t noon", "a runs/b -t noon"),
        ("-t noon a b", "a b -t noon"),
        ("-t noon dusk", "runs/a runs/b -t noon dusk"),
        ("--workers 0 a", "a runs/b --workers 0"),
        ("-t noon --root x a", "a runs/b -t noon --root x"),
        ("--mean 0 0 0 a", "a runs/b --mean 0 0 0"),
        ("-t lost", "runs/a runs/b -t lost"),
        ("-t noon 'my run' b", "'my run' b -t noon"),
        ("-s b -t noon b", "b runs/b -s b -t noon"),
    ],
)
def test_the_right_order_is_shown(line: str, right: str) -> None:
    with pytest.raises(ExperimentError) as caught:
        require_names("compare", shlex.split(line), ("runs/a", "runs/b"), "two runs")
    assert caught.value.found == f"snreid compare {line}"
    assert caught.value.fix == f"write it so: snreid compare {right}"


def test_a_data_set_below_the_data_folder_is_no_name(tmp_path: Path) -> None:
    (tmp_path / "shop" / "query").mkdir(parents=True)
    words = ["-t", "noon", "shop", "runs/x", "--root", str(tmp_path)]
    error = misplaced("evaluate", words, ("runs/a",), "a run")
    assert error.fix.endswith(f"snreid evaluate runs/x -t noon shop --root {tmp_path}")
