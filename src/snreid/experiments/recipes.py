"""One function per row of a comparison, returning an ``Experiment``, and the four presets (method.md 4 and 5).

Variants use ``dataclasses.replace``, so a table of ablations reads as a list of differences.
"""

from collections.abc import Callable
from dataclasses import replace

from snreid.datasets import DrawnPedestrians
from snreid.errors import ExperimentError
from snreid.experiments.experiment import Experiment
from snreid.images.second_view import SecondView
from snreid.images.transforms import Augmentation, InputFormat
from snreid.losses import Alignment, CrossEntropy, DomainUniformity, DualCausality, Triplet, Uniformity
from snreid.models.backbone import Backbone
from snreid.models.head import Head
from snreid.models.mixing import EFDMix, MixStyle
from snreid.models.reid import ModelConfig
from snreid.models.schemes import (
    IBN,
    AllBatchInstance,
    AllInstance,
    AllSwitchable,
    IBNb,
    Plain,
    Scheme,
    StageInstance,
    StageSNR,
    Start,
)
from snreid.synthetic.pedestrians import DOMAINS
from snreid.training.optim import Adam, AdamW, WarmupCosine, WarmupHalving, WarmupSteps
from snreid.training.sampling import Sampling

Recipe = Callable[..., Experiment]
"""A row: takes the name of a preset, or has one by default."""
LAST_STAGE = 4
"""The stage right before the global average pool."""


def preset(name: str) -> Experiment:
    """Returns what all rows share: ``paper``, ``short`` (method.md 4), ``mobile`` (pretrained, 2 cores, up to 45 minutes) or ``small``
    (random weights, 2 cores, minutes). Raises ``ExperimentError`` for another name."""
    presets = {"paper": _paper, "short": _short, "mobile": _mobile, "small": _small}
    if name not in presets:
        raise ExperimentError(
            f"A preset is one of {', '.join(presets)}", found=repr(name), fix="use one of these names"
        )
    return presets[name]()


def baseline(preset_name: str = "small") -> Experiment:
    """Baseline: plain backbone, head and losses of method.md 3."""
    return _row("baseline", preset_name, Plain())


def baseline_a_in(preset_name: str = "small") -> Experiment:
    """Baseline-A-IN: every BN of the backbone is IN."""
    return _row("baseline-a-in", preset_name, AllInstance())


def baseline_ibn(preset_name: str = "small") -> Experiment:
    """Baseline-IBN: IBN-a."""
    return _row("baseline-ibn", preset_name, IBN())


def baseline_a_sn(preset_name: str = "small") -> Experiment:
    """Baseline-A-SN: every BN is Switchable Normalization."""
    return _row("baseline-a-sn", preset_name, AllSwitchable())


def baseline_in(preset_name: str = "small") -> Experiment:
    """Baseline-IN: an IN after each stage where SNR has a module, except the last stage; nothing is restituted.

    The paper also has one after the last stage. But the spatial mean of an instance-normalized map is its shift, the same for every
    image (method.md 1.1), so an IN right before the global average pool leaves nothing to compare. Measured: docs/log/recipes.md.
    """
    stages = tuple(stage for stage in snr_stages(preset_name) if stage < LAST_STAGE)
    return _row("baseline-in", preset_name, StageInstance(stages=stages, start=_start(preset_name)))


def _start(preset_name: str) -> Start:
    """Initialization of norms after stages: as published, but matched to the maps in ``mobile``, whose stage outputs differ in scale."""
    return "matched" if preset_name == "mobile" else "published"


def _stage_snr(preset_name: str) -> StageSNR:
    return StageSNR(stages=snr_stages(preset_name), start=_start(preset_name))


def snr_stages(preset_name: str) -> tuple[int, ...]:
    """Returns the stages after which Baseline-IN and SNR normalize: all four (arXiv 2005.11037, section 3); in ``small`` and ``mobile`` the
    first two.

    At 96 x 48 the maps of stages 3 and 4 have 6 x 3 positions, and a module after stage 3 costs accuracy on every data set tried, most of
    all in the training domain. Chosen by measurements on the training domain: docs/log/recipes.md.
    """
    return (1, 2) if preset_name in ("small", "mobile") else (1, 2, 3, LAST_STAGE)


def snr_no_loss(preset_name: str = "small") -> Experiment:
    """SNR w/o L_SNR: the modules without their loss."""
    return _row("snr-no-loss", preset_name, _stage_snr(preset_name))


def snr(preset_name: str = "small") -> Experiment:
    """SNR: the modules and the dual causality loss."""
    plain = _row("snr", preset_name, _stage_snr(preset_name))
    return replace(plain, losses=(*plain.losses, DualCausality()))


def baseline_ibn_b(preset_name: str = "small") -> Experiment:
    """Baseline-IBN-b: IN in the stem and at the end of stages 1 and 2."""
    return _row("baseline-ibn-b", preset_name, IBNb())


def baseline_bin(preset_name: str = "small") -> Experiment:
    """Baseline-BIN: every BN becomes a learned mix of BN and IN."""
    return _row("baseline-bin", preset_name, AllBatchInstance())


def mixstyle(preset_name: str = "small") -> Experiment:
    """MixStyle: mixes the means and deviations of two images after stages 1 and 2."""
    return _row("mixstyle", preset_name, MixStyle())


def efdmix(preset_name: str = "small") -> Experiment:
    """EFDMix: mixes the whole feature distributions of two images after stages 1 and 2."""
    return _row("efdmix", preset_name, EFDMix())


def bau(preset_name: str = "small") -> Experiment:
    """BAU: Baseline with alignment of two views, uniformity, and uniformity within each source.

    ``paper`` uses BAU's published settings: optimizer, batch and length, triplets before the neck with margin 0.3, an instance norm
    after stages 1 to 3. The other presets use the settings of every row (method.md 5.2).
    """
    start = _row("bau", preset_name, Plain())
    uniform = (Alignment(), Uniformity(), DomainUniformity())
    if preset_name != "paper":
        return replace(start, losses=(*start.losses, *uniform), second_view=SecondView())
    return replace(
        start,
        model=replace(start.model, scheme=StageInstance(stages=(1, 2, 3))),
        losses=(CrossEntropy(), Triplet(margin=0.3, on="pooled"), *uniform),
        augmentation=Augmentation(crop=1.0, brightness=0.0, contrast=0.0),
        second_view=SecondView(),
        sampling=Sampling(persons=64, images=4),
        optimizer=Adam(lr=3.5e-4, weight_decay=5e-4),
        schedule=WarmupSteps(warmup_epochs=10, milestones=(30, 50)),
        epochs=60,
        batches_per_epoch=500,
    )


def snr_plus(preset_name: str = "mobile") -> Experiment:
    """SNR w/o L_SNR from the packaged model ``people`` instead of ImageNet weights, three tenths of which stay.

    Without that share the training gains on the source and forgets what the model knew of other cameras (docs/log/recipes.md). The recipe
    needs neither downloads nor the extra ``imagenet``.

    Raises:
        ExperimentError: For another preset than ``mobile``, whose network is that of the model.
    """
    if preset_name != "mobile":
        raise ExperimentError(
            "Recipe snr-plus starts from the model people, which has the network of preset mobile",
            found=f"preset {preset_name}",
            fix="give --preset mobile, or start another recipe from a run of yours: --start RUN",
        )
    return replace(_row("snr-plus", preset_name, _stage_snr(preset_name)), start="people", start_share=0.3)


def drawn_pretraining(preset_name: str = "small") -> Experiment:
    """Pretraining on drawn pedestrians: Baseline on many people of all built-in domains, as a start for any other row.

    It needs no data and no weights. Start another run from it with ``--model.backbone.weights RUN``; docs/log/recipes.md has the effect on
    real data with preset ``small``. The number of people and epochs is untested for the larger presets.
    """
    small = preset_name == "small"
    start = _row("drawn-pretraining", preset_name, Plain())
    persons = 150 if small else 600
    return replace(
        start,
        model=replace(start.model, backbone=replace(start.model.backbone, weights="random")),
        sources=tuple(DrawnPedestrians(domain=d.name, train_persons=persons, test_persons=0) for d in DOMAINS),
        epochs=6 if small else 60,
        batches_per_epoch=150 if small else None,
    )


def paper_rows() -> dict[str, Recipe]:
    """The seven rows of the SNR paper by command-line name, in the paper's order."""
    return _named(baseline, baseline_a_in, baseline_ibn, baseline_a_sn, baseline_in, snr_no_loss, snr)


def other_methods() -> dict[str, Recipe]:
    """Methods that the SNR paper does not compare with, on the same trunk, by name (method.md 5.1)."""
    return _named(baseline_ibn_b, baseline_bin, mixstyle, efdmix, bau)


def all_recipes() -> dict[str, Recipe]:
    """All table rows by name: the paper's, then the other methods."""
    return {**paper_rows(), **other_methods()}


def combined() -> dict[str, Recipe]:
    """Recipes that combine what helps, by name; they start from another model, so they are no table rows."""
    return _named(snr_plus)


def starting_points() -> dict[str, Recipe]:
    """Recipes that are trained for their weights, on their own sources, and are not table rows."""
    return _named(drawn_pretraining)


def _named(*rows: Recipe) -> dict[str, Recipe]:
    return {row.__name__.replace("_", "-"): row for row in rows}


def _row(name: str, preset_name: str, scheme: Scheme) -> Experiment:
    start = preset(preset_name)
    return replace(start, recipe=name, model=replace(start.model, scheme=scheme))


def _paper() -> Experiment:
    return Experiment(
        preset="paper",
        model=ModelConfig(backbone=Backbone(name="resnet50", weights="imagenet")),
        losses=(CrossEntropy(), Triplet()),
        input=InputFormat(height=256, width=128),
        sampling=Sampling(persons=16, images=4),
        optimizer=Adam(lr=8e-4, weight_decay=5e-4, amsgrad=True),
        schedule=WarmupHalving(warmup_epochs=20, every=40),
        epochs=320,
    )


def _short() -> Experiment:
    return replace(
        _paper(),
        preset="short",
        optimizer=Adam(lr=3.5e-4, weight_decay=5e-4),
        schedule=WarmupSteps(warmup_epochs=10, milestones=(40, 70)),
        epochs=120,
    )


def _small() -> Experiment:
    return Experiment(
        preset="small",
        model=ModelConfig(backbone=Backbone(name="resnet18", weights="random", channels=(32, 64, 128, 256))),
        losses=(CrossEntropy(), Triplet()),
        input=InputFormat(height=96, width=48),
        sampling=Sampling(persons=16, images=4),
        optimizer=Adam(lr=2e-3, weight_decay=5e-4),
        schedule=WarmupCosine(warmup_epochs=1, floor=0.01),
        epochs=6,
    )


def _mobile() -> Experiment:
    """ImageNet weights installed with pip, and a recipe on unit vectors (docs/training.md; first trials: docs/log/recipes.md)."""
    return Experiment(
        preset="mobile",
        model=ModelConfig(
            # At stride 32 the final maps of 128 x 64 images have 4 x 2 positions.
            backbone=Backbone(name="tf_efficientnet_lite0", weights="imagenet", last_stride=1),
            head=Head(classifier="cosine"),
        ),
        # Pooled vectors of a pretrained trunk have norms of 30 and more: the triplet loss would dominate at first.
        losses=(CrossEntropy(scale=20.0), Triplet(margin=0.3, on="pooled", normalize=True)),
        input=InputFormat(height=128, width=64, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)),
        # Without erasing and with less decay the model memorizes the source identities within ten epochs.
        augmentation=Augmentation(erasing=0.5),
        sampling=Sampling(persons=16, images=4),
        optimizer=AdamW(lr=2e-3, weight_decay=0.05, head_lr=5.0),
        schedule=WarmupCosine(warmup_epochs=1, start=0.04, floor=0.001),
        freeze_stages=1,
        epochs=22,
    )
