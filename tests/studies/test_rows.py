"""Rows: each recipe has the name its scheme has in the paper, and a table holds what can be held against each other."""

from dataclasses import replace
from pathlib import Path

import pytest

from snreid.errors import ExperimentError
from snreid.experiments.recipes import all_recipes
from snreid.experiments.runs import Run
from snreid.studies.rows import DESCRIPTIONS, LABELS, adapted_notes, check_rows, label, require_same_sources
from support.tiny import drawn, experiment

PAPER = ["Baseline", "Baseline-A-IN", "Baseline-IBN", "Baseline-A-SN", "Baseline-IN", "SNR w/o L_SNR", "SNR"]
OTHERS = ["Baseline-IBN-b", "Baseline-BIN", "MixStyle", "EFDMix", "BAU"]


def run(name: str, recipe: str = "baseline", **changes: object) -> Run:
    return Run(Path(name), experiment(recipe, **changes), {})


def test_labels_are_the_papers_and_an_own_name_stays() -> None:
    assert [label(row("small")) for row in all_recipes().values()] == PAPER + OTHERS
    assert label(replace(experiment("snr"), recipe="snr-code")) == "snr-code"


def test_a_scheme_and_its_row_have_one_name() -> None:
    different = {name for name, row in all_recipes().items() if row("small").model.scheme.label != LABELS[name]}
    assert different == {"snr-no-loss", "bau"}, "these differ from SNR and Baseline in their losses"


def test_every_recipe_is_named_and_described() -> None:
    assert list(DESCRIPTIONS) == list(LABELS) == list(all_recipes())
    assert len(set(LABELS.values())) == len(LABELS)


def test_a_sentence_about_a_row_leans_on_no_other_sentence() -> None:
    assert not [
        words for words in DESCRIPTIONS.values() if words.lower().startswith(("the same", "this ", "it ", "as "))
    ]


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


def adapted(name: str, batch: int, seed: int = 0) -> Run:
    entry = {"target": "dusk", "method": {"kind": "AdaptiveBN", "seed": seed, "batch": batch, "passes": 1}}
    own = experiment("baseline", seed=seed)
    return Run(Path(name), replace(own, recipe="baseline-adaptive-bn-dusk"), {"adaptation": entry})


def test_adapted_runs_of_one_row_are_adapted_alike_and_the_report_says_to_what() -> None:
    check_rows([run("b"), adapted("a0", 8), adapted("a1", 8, seed=1)])
    with pytest.raises(ExperimentError, match="differ in their seed only"):
        check_rows([adapted("a0", 8), adapted("a1", 4, seed=1)])
    (note,) = adapted_notes([run("b"), adapted("a0", 8), adapted("a1", 8, seed=1)])
    assert note.startswith("baseline-adaptive-bn-dusk has been adapted to the training images of dusk")
