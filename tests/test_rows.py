"""Rows: the paper's names come from the schemes, and a table holds what can be held against each other."""

from dataclasses import replace
from pathlib import Path

import pytest

from snreid.errors import ExperimentError
from snreid.recipes import all_recipes
from snreid.rows import DESCRIPTIONS, check_rows, label, require_same_sources
from snreid.runs import Run
from tiny import drawn, experiment

LABELS = ["Baseline", "Baseline-A-IN", "Baseline-IBN", "Baseline-A-SN", "Baseline-IN", "SNR w/o L_SNR", "SNR"]


def run(name: str, recipe: str = "baseline", **changes: object) -> Run:
    return Run(Path(name), experiment(recipe, **changes), {})


def test_labels_are_the_papers_and_an_own_name_stays() -> None:
    assert [label(row("small")) for row in all_recipes().values()] == LABELS
    assert label(replace(experiment("snr"), recipe="snr-code")) == "snr-code"


def test_every_recipe_is_described() -> None:
    assert list(DESCRIPTIONS) == list(all_recipes())


def test_the_same_sources_in_any_order_are_the_same() -> None:
    one = experiment(sources=(drawn("noon"), drawn("dusk")))
    require_same_sources("a", one, "b", experiment("snr", sources=one.sources[::-1]))
    for other in ((drawn("noon"),), (drawn("noon"), drawn("noon")), (drawn("noon"), drawn("mall")), ()):
        with pytest.raises(ExperimentError, match=r"the same sources.*a on noon \+ dusk, b on .*a table of each"):
            require_same_sources("a", one, "b", experiment("snr", sources=other))


@pytest.mark.parametrize(
    ("runs", "words"),
    [
        ([run("a"), run("b", seed=1), run("c", epochs=3)], "a and c are both Baseline, with other settings"),
        ([run("a"), run("b", "snr"), run("c", "snr")], "b and c are the same run"),
        ([run("a"), run("b", "snr", sources=(drawn("dusk"),))], "a on noon, b on dusk"),
    ],
)
def test_what_makes_no_table_is_refused(runs: list[Run], words: str) -> None:
    check_rows(runs[:-1])
    with pytest.raises(ExperimentError, match=words):
        check_rows(runs)
