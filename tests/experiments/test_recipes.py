"""The rows differ in nothing but their scheme and loss; presets bear the numbers of method.md section 4."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from snreid.errors import ExperimentError
from snreid.experiments import recipes
from snreid.experiments.runs import open_run
from snreid.images.second_view import SecondView
from snreid.images.transforms import Augmentation
from snreid.losses import Alignment, CrossEntropy, DomainUniformity, DualCausality, Triplet, Uniformity
from snreid.models.mixing import EFDMix, MixStyle
from snreid.models.schemes import (
    IBN,
    AllBatchInstance,
    AllInstance,
    AllSwitchable,
    IBNb,
    Plain,
    StageInstance,
    StageSNR,
)
from snreid.synthetic.pedestrians import DOMAINS
from snreid.training.optim import Adam, WarmupHalving, WarmupSteps

SCHEMES = {
    "baseline": Plain(),
    "baseline-a-in": AllInstance(),
    "baseline-ibn": IBN(),
    "baseline-a-sn": AllSwitchable(),
    "baseline-in": StageInstance(stages=(1, 2, 3)),  # the recipe says why not after the last
    "snr-no-loss": StageSNR(),
    "snr": StageSNR(),
}
OTHERS = {
    "baseline-ibn-b": IBNb(),
    "baseline-bin": AllBatchInstance(),
    "mixstyle": MixStyle(stages=(1, 2), probability=0.5, alpha=0.1),
    "efdmix": EFDMix(stages=(1, 2), probability=0.5, alpha=0.1),
}

# The recipe says why: maps of 6 x 3 positions.
SMALL = {
    "baseline-in": StageInstance(stages=(1, 2)),
    "snr-no-loss": StageSNR(stages=(1, 2)),
    "snr": StageSNR(stages=(1, 2)),
}


def test_there_is_a_recipe_for_each_row_in_the_papers_order() -> None:
    assert list(recipes.paper_rows()) == list(SCHEMES)
    assert list(recipes.other_methods()) == [*OTHERS, "bau"]
    assert list(recipes.all_recipes()) == [*SCHEMES, *OTHERS, "bau"]


# Its stages end in linear maps, so norms behind them start matched.
MOBILE = {
    "baseline-in": StageInstance(stages=(1, 2), start="matched"),
    "snr-no-loss": StageSNR(stages=(1, 2), start="matched"),
    "snr": StageSNR(stages=(1, 2), start="matched"),
}


@pytest.mark.parametrize("preset", ["small", "mobile", "short", "paper"])
@pytest.mark.parametrize("name", [*SCHEMES, *OTHERS])
def test_a_row_is_the_baseline_with_another_scheme(name: str, preset: str) -> None:
    row, plain = recipes.all_recipes()[name](preset), recipes.baseline(preset)
    assert (row.recipe, row.preset) == (name, preset)
    scheme = {**SCHEMES, **OTHERS}[name]
    assert row.model.scheme == {"small": SMALL, "mobile": MOBILE}.get(preset, {}).get(name, scheme)
    assert row.losses == ((*plain.losses, DualCausality()) if name == "snr" else plain.losses)
    same = replace(row, recipe="baseline", losses=plain.losses, model=replace(row.model, scheme=Plain()))
    assert same == plain


@pytest.mark.parametrize("preset", ["small", "short"])
def test_bau_is_the_baseline_with_a_second_view_and_three_losses(preset: str) -> None:
    row, plain = recipes.bau(preset), recipes.baseline(preset)
    assert row.losses == (
        *plain.losses,
        Alignment(weight=1.5, neighbours=10),
        Uniformity(),
        DomainUniformity(momentum=0.1),
    )
    assert row.second_view == SecondView(randaugment=0.5, operations=2, jitter=0.5, erase=0.5)
    assert replace(row, recipe="baseline", losses=plain.losses, second_view=None) == plain


def test_bau_has_its_published_settings_in_the_paper_preset() -> None:
    row = recipes.bau("paper")
    assert row.losses[:2] == (CrossEntropy(), Triplet(margin=0.3, on="pooled"))
    assert (row.sampling.batch, row.sampling.images) == (256, 4)
    assert (row.epochs, row.batches_per_epoch) == (60, 500)
    assert row.optimizer == Adam(lr=3.5e-4, weight_decay=5e-4)
    assert row.schedule == WarmupSteps(warmup_epochs=10, milestones=(30, 50), drop=0.1)
    assert row.model.scheme == StageInstance(stages=(1, 2, 3))


def test_every_row_explains_itself_in_a_line() -> None:
    lines = [(row.__doc__ or "").splitlines()[0] for row in recipes.all_recipes().values()]
    assert all(lines) and len(set(lines)) == len(recipes.all_recipes())


@pytest.mark.parametrize("preset", ["short", "paper"])
def test_the_published_settings_are_kept(preset: str) -> None:
    made = recipes.preset(preset)
    assert (made.input.height, made.input.width) == (256, 128)
    assert (made.sampling.persons, made.sampling.images) == (16, 4)
    assert made.augmentation == Augmentation(enlarge=1.125, crop=0.5, flip=0.5, brightness=0.2, contrast=0.15)
    assert made.losses == (CrossEntropy(), Triplet())
    assert (made.model.backbone.name, made.model.backbone.weights) == ("resnet50", "imagenet")
    assert not made.validation.fraction, "the last checkpoint counts"


def test_each_preset_has_its_own_optimizer_and_length() -> None:
    paper, short = recipes.preset("paper"), recipes.preset("short")
    assert paper.optimizer == Adam(lr=8e-4, weight_decay=5e-4, amsgrad=True)
    assert (paper.epochs, paper.schedule) == (320, WarmupHalving(warmup_epochs=20, every=40))
    assert short.optimizer == Adam(lr=3.5e-4, weight_decay=5e-4)
    assert (short.epochs, short.schedule) == (120, WarmupSteps(warmup_epochs=10, milestones=(40, 70)))


def test_the_small_preset_needs_no_pretrained_weights() -> None:
    assert recipes.preset("small").model.backbone.weights == "random"


def test_the_mobile_preset_builds_every_row_that_fits_its_blocks() -> None:
    for name, recipe in recipes.all_recipes().items():
        config = recipe("mobile").model
        random = replace(config, backbone=replace(config.backbone, weights="random"))
        if name == "baseline-ibn-b":
            with pytest.raises(ExperimentError, match="IBN-b is defined for a ResNet"):
                random.build(4)
            continue
        model = random.build(4)
        model.freeze(recipe("mobile").freeze_stages)
        outputs = model(torch.randn(2, 3, 128, 64))
        assert outputs.logits.shape == (2, 4) and outputs.logits.abs().max() <= 1, name


def test_an_unknown_preset_is_refused_with_the_names() -> None:
    with pytest.raises(ExperimentError, match=r"paper, short, mobile, small.*'tiny'"):
        recipes.preset("tiny")


@pytest.mark.parametrize("preset", ["small", "short", "paper"])
def test_drawn_pretraining_is_the_baseline_from_random_weights_on_all_domains(preset: str) -> None:
    start, plain = recipes.drawn_pretraining(preset), recipes.baseline(preset)
    assert list(recipes.starting_points()) == ["drawn-pretraining"] and not set(recipes.starting_points()) & set(
        recipes.all_recipes()
    )
    assert [source.name for source in start.sources] == [domain.name for domain in DOMAINS]
    assert start.model.backbone == replace(plain.model.backbone, weights="random")
    assert start.model.scheme == Plain() and start.losses == plain.losses and start.input == plain.input


def test_snr_plus_is_snr_without_its_loss_from_the_packaged_model() -> None:
    plus, plain = recipes.snr_plus(), recipes.snr_no_loss("mobile")
    assert plus == replace(plain, recipe="snr-plus", start="people", start_share=0.3)
    assert plus.model == open_run(Path("people")).experiment.model
    with pytest.raises(ExperimentError, match=r"network of preset mobile.*preset small"):
        recipes.snr_plus("small")
