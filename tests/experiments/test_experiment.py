"""Experiments as values: JSON and back, and contradictions that are refused before anything runs."""

import json
import subprocess
import sys
from dataclasses import replace

import pytest

from snreid.datasets import CUHK03, DrawnPedestrians, Market1501
from snreid.errors import ExperimentError
from snreid.experiments import recipes
from snreid.experiments.experiment import Experiment
from snreid.losses import Alignment, CrossEntropy, DualCausality, EntropyCausality, Triplet, Uniformity
from snreid.models.head import Head
from snreid.training.optim import WarmupCosine
from snreid.training.training_set import Validation

SOURCES = (Market1501(), CUHK03(boxes="labelled"), DrawnPedestrians(domain="dusk", train_persons=12))


@pytest.mark.parametrize("preset", ["small", "short", "paper"])
@pytest.mark.parametrize("name", list(recipes.all_recipes()))
def test_every_recipe_and_preset_comes_back_equal_from_text(name: str, preset: str) -> None:
    made = replace(
        recipes.all_recipes()[name](preset), sources=SOURCES, validation=Validation(fraction=0.1), seed=2**32 - 1
    )
    again = Experiment.from_json(json.loads(json.dumps(made.to_json())))
    assert again == made and hash(again) == hash(made)


def test_a_file_is_read_in_a_process_that_has_loaded_nothing_else() -> None:
    """The data sets that a file may name must not depend on what happens to be imported already."""
    text = json.dumps(replace(recipes.snr("small"), sources=SOURCES).to_json())
    code = "import sys, json; from snreid.experiments.experiment import Experiment as E;"
    code += "print(len(E.from_json(json.load(sys.stdin)).sources))"
    done = subprocess.run([sys.executable, "-c", code], input=text, capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == "3", done.stderr


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"epoch": 3}, "did you mean 'epochs'?"),
        ({"epochs": "3"}, "experiment.epochs must be an integer"),
        ({"losses": [{"kind": "Triplett"}]}, "did you mean 'Triplet'?"),
        ({"sources": [{"kind": "Market1502"}]}, "did you mean 'Market1501'?"),
        ({"schedule": {"kind": "Adam"}}, "experiment.schedule must be one of"),
        ({"metric": "manhattan"}, "'cosine', 'euclidean'"),
    ],
)
def test_a_slip_in_a_file_is_named_with_its_place(change: dict[str, object], words: str) -> None:
    with pytest.raises(ExperimentError) as caught:
        Experiment.from_json({**recipes.baseline("small").to_json(), **change})
    assert words in str(caught.value)


@pytest.mark.parametrize("wrong", [{"epochs": 0}, {"batches_per_epoch": 0}, {"seed": -1}, {"seed": 2**32}])
def test_impossible_numbers_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ExperimentError, match=str(next(iter(wrong.values())))):
        replace(Experiment(), **wrong)


@pytest.mark.parametrize(
    "wrong",
    [
        {"freeze_stages": 5},
        {"freeze_stages": -1},
        {"freeze_epochs": 120},
        {"freeze_epochs": -1},
        {"ema": 1.0},
        {"ema": -0.1},
        {"start_share": 1.0, "start": "run"},
        {"start_share": 0.3},
    ],
)
def test_more_than_there_is_cannot_be_frozen_nor_all_be_averaged(wrong: dict[str, float]) -> None:
    name, value = next(iter(wrong.items()))
    with pytest.raises(ExperimentError, match=f"{name} {value}"):
        Experiment(**wrong)  # type: ignore[arg-type]


def test_an_experiment_written_before_there_were_frozen_parts_reads_as_one_without() -> None:
    stored = recipes.baseline("small").to_json()
    for name, off in {"freeze_stages": 0, "freeze_epochs": 0, "ema": 0.0, "start": "", "start_share": 0.0}.items():
        assert stored.pop(name) == off
    assert stored["optimizer"].pop("head_lr") == 1.0
    assert Experiment.from_json(stored) == recipes.baseline("small")


def test_a_warm_up_longer_than_training_is_refused() -> None:
    with pytest.raises(
        ExperimentError, match=r"10 warm-up epochs of 10.*--epochs 11\).*--epochs 10 --schedule\.warmup-epochs 0"
    ):
        Experiment(epochs=10, schedule=WarmupCosine(warmup_epochs=10))
    assert Experiment(epochs=1, schedule=WarmupCosine(warmup_epochs=0)).epochs == 1


@pytest.mark.parametrize("loss", [DualCausality(), EntropyCausality()])
def test_a_causality_loss_needs_snr_modules(loss: DualCausality | EntropyCausality) -> None:
    with pytest.raises(ExperimentError, match=f"{type(loss).__name__} with Plain"):
        Experiment(losses=(CrossEntropy(), loss))
    assert Experiment(losses=(CrossEntropy(), replace(loss, weight=0.0))).losses


def test_the_cross_entropy_fits_the_classifier() -> None:
    cosine = replace(Experiment().model, head=Head(classifier="cosine"))
    with pytest.raises(ExperimentError, match=r"margin 0\.35 with a linear classifier.*--losses\.1\.scale 20"):
        Experiment(losses=(Triplet(), CrossEntropy(scale=30.0, margin=0.35)))
    with pytest.raises(ExperimentError, match=r"cosine classifier with scale 1.*--losses\.0\.scale 20"):
        Experiment(model=cosine)
    assert Experiment(losses=(Triplet(), CrossEntropy(margin=0.35, weight=0.0)))
    made = Experiment(model=cosine, losses=(CrossEntropy(scale=30.0, margin=0.35),))
    assert Experiment.from_json(json.loads(json.dumps(made.to_json()))) == made


def test_an_experiment_written_before_there_were_cosine_classifiers_reads_as_a_linear_one() -> None:
    stored = recipes.baseline("small").to_json()
    assert stored["model"]["head"].pop("classifier") == "linear"
    assert (stored["losses"][0].pop("scale"), stored["losses"][0].pop("margin")) == (1.0, 0.0)
    assert stored["losses"][1].pop("normalize") is False
    assert Experiment.from_json(stored) == recipes.baseline("small")


def test_a_loss_that_compares_views_needs_a_second_one() -> None:
    bau = recipes.bau("small")
    with pytest.raises(ExperimentError, match="Alignment without one"):
        replace(bau, second_view=None)
    replace(bau, second_view=None, losses=(*recipes.baseline("small").losses, Uniformity(), Alignment(weight=0.0)))


def test_an_experiment_written_before_there_were_second_views_reads_as_one_without() -> None:
    stored = recipes.baseline("small").to_json()
    assert stored.pop("second_view") is None
    assert Experiment.from_json(stored) == recipes.baseline("small")
