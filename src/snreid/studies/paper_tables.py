"""The paper's tables, and ours, as data: rows are recipes, columns are benchmarks of protocols.

A published number is listed only with a verified source; an unverified cell stays empty, but its row and column remain.
Sources: SNR = tables 1 and 2 of arXiv 2005.11037 as later papers quote them, RN = the ReNorm paper, OU = the OpenUnReID leaderboard,
LB = a public leaderboard, TLL = the benchmark pages of the Transfer-Learning-Library.
To add a row, add a ``Row``; to add a table, add a function and list it in ``tables``.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from snreid.errors import ExperimentError
from snreid.experiments import recipes
from snreid.experiments.experiment import Experiment
from snreid.losses import DualCausality
from snreid.models.schemes import StageSNR
from snreid.studies.plan import Row
from snreid.studies.protocols import (
    Protocol,
    drawn,
    market_cuhk03,
    paper_sources,
    protocol_1,
    protocol_2,
    protocol_3,
)
from snreid.studies.rows import LABELS


@dataclass(frozen=True, slots=True)
class Published:
    """Published numbers of a cell, in percent."""

    mean_ap: float | None
    rank1: float | None
    source: str
    """Key from the list at the top of this file."""


Cells = Mapping[tuple[str, str, str], Published]
"""(row name, case name, benchmark name) -> published numbers."""


@dataclass(frozen=True, kw_only=True)
class PaperTable:
    """Rows x cases. Every row is trained in every case and scored on every benchmark of it."""

    name: str
    """Name on the command line: ``snreid reproduce NAME``."""
    title: str
    rows: tuple[Row, ...]
    settings: Mapping[str, Protocol]
    """Value of ``--on`` -> protocol to run the table on."""
    published: Cells = field(default_factory=dict)
    order: tuple[str, ...] = ()
    """The paper's order of rows on unseen benchmarks, worst first; empty if it gives none. Compared with ours below the table."""

    def __post_init__(self) -> None:
        names = [row.name for row in self.rows]
        unknown = [name for name in self.order if name not in names]
        known = {
            (row, case.name, column.name)
            for row in names
            for p in self.settings.values()
            for case in p.cases
            for column in case.benchmarks
        }
        lost = [key for key in self.published if key not in known]
        if len(set(names)) != len(names) or unknown or lost:
            raise ExperimentError(
                "A table has each row once, and its published numbers and its order speak of its own rows and columns",
                found=f"table {self.name}: rows {', '.join(names)}; unknown {unknown or lost}",
                fix="correct the table",
            )


def _recipe(name: str) -> Row:
    return Row(name=name, label=LABELS[name], make=recipes.all_recipes()[name])


def _snr(name: str, label: str, change: Callable[[Experiment], Experiment]) -> Row:
    """SNR with one change."""
    return Row(name=name, label=label, make=lambda preset: change(recipes.snr(preset)))


def _loss(name: str, label: str, **changes: Any) -> Row:
    def change(start: Experiment) -> Experiment:
        """Changes the settings of the causality loss."""
        losses = tuple(replace(loss, **changes) if isinstance(loss, DualCausality) else loss for loss in start.losses)
        return replace(start, losses=losses)

    return _snr(name, label, change)


def _scheme(name: str, label: str, **changes: Any) -> Row:
    def change(start: Experiment) -> Experiment:
        """Changes the settings of the modules."""
        assert isinstance(start.model.scheme, StageSNR)
        return replace(start, model=replace(start.model, scheme=replace(start.model.scheme, **changes)))

    return _snr(name, label, change)


BASELINE = _recipe("baseline")
NO_LOSS = _recipe("snr-no-loss")
SNR = _recipe("snr")
ALL_STAGES = (1, 2, 3, 4)


def _settings() -> dict[str, Protocol]:
    """The protocols for the paper's tables: drawn pedestrians, a pair of available data sets, the paper's own data."""
    return {"drawn": drawn(), "real": market_cuhk03(), "paper": paper_sources()}


_M_TO_D, _D_TO_M = ("market1501-to-dukemtmc", "dukemtmc"), ("dukemtmc-to-market1501", "market1501")
_M_TO_M, _D_TO_D = ("market1501-to-dukemtmc", "market1501"), ("dukemtmc-to-market1501", "dukemtmc")
_BASELINE: Cells = {
    ("baseline", *_M_TO_D): Published(19.8, 35.3, "SNR"),
    ("baseline", *_D_TO_M): Published(21.8, 48.3, "SNR"),
}
_SNR: Cells = {
    ("snr", *_M_TO_D): Published(33.6, 55.1, "SNR"),
    ("snr", *_D_TO_M): Published(33.9, 66.7, "SNR"),
}


def main_comparison() -> PaperTable:
    """Table 1: the seven schemes."""
    rows = (
        BASELINE,
        _recipe("baseline-a-in"),
        _recipe("baseline-ibn"),
        _recipe("baseline-a-sn"),
        _recipe("baseline-in"),
        NO_LOSS,
        SNR,
    )
    published = {
        **_BASELINE,
        ("baseline", *_M_TO_M): Published(82.8, None, "SNR"),
        ("baseline", *_D_TO_D): Published(71.2, None, "SNR"),
        ("baseline-a-in", *_M_TO_D): Published(24.1, 42.7, "SNR"),
        ("baseline-a-in", *_D_TO_M): Published(26.5, 56.0, "SNR"),
        ("snr-no-loss", *_M_TO_D): Published(26.1, None, "SNR"),
        **_SNR,
        ("snr", *_M_TO_M): Published(84.7, None, "SNR"),
        ("snr", *_D_TO_D): Published(72.9, None, "SNR"),
    }
    order = ("baseline", "baseline-a-in", "snr-no-loss", "snr")
    title = "Main comparison (the paper's Table 1)"
    return PaperTable(name="main", title=title, rows=rows, settings=_settings(), published=published, order=order)


def loss_ablation() -> PaperTable:
    """Ablation of the parts of the dual causality loss."""
    rows = (
        BASELINE,
        NO_LOSS,
        _loss("snr-only-clarification", "SNR (only L+)", terms="clarification"),
        _loss("snr-only-destruction", "SNR (only L-)", terms="destruction"),
        _loss("snr-no-comparison", "SNR w/o comparing", compare=False),
        SNR,
    )
    published = {
        **_BASELINE,
        ("snr-no-loss", *_M_TO_D): Published(26.1, None, "SNR"),
        **_SNR,
    }
    title = "Ablation of the dual causality loss"
    return PaperTable(name="loss", title=title, rows=rows, settings=_settings(), published=published)


def stage_ablation() -> PaperTable:
    """Ablation of the stages that a module follows."""
    single = tuple(_scheme(f"snr-stage-{n}", f"SNR after stage {n} alone", stages=(n,)) for n in ALL_STAGES)
    rows = (BASELINE, *single, _scheme("snr-all-stages", "SNR after all stages", stages=ALL_STAGES), SNR)
    title = "Ablation of the places of the modules (SNR: as the preset has it)"
    published = {
        ("snr-all-stages", *_M_TO_D): Published(33.6, 55.1, "SNR"),
        ("snr-all-stages", *_D_TO_M): Published(33.9, 66.7, "SNR"),
        **_BASELINE,
    }
    return PaperTable(name="stages", title=title, rows=rows, settings=_settings(), published=published)


def residual_ablation() -> PaperTable:
    """Ways to split the residual, which is what normalization removed."""
    rows = (
        BASELINE,
        _scheme("snr-gate-conv", "SNR (conv branches)", gate="conv"),
        _scheme("snr-gate-two", "SNR (g(.)^2)", gate="two_gates"),
        _scheme("snr-gate-spatial", "SNR (spatial gate)", gate="spatial"),
        _scheme("snr-gate-channel-spatial", "SNR (channel and spatial)", gate="channel_spatial"),
        SNR,
    )
    published = {**_SNR, **_BASELINE}
    title = "Ways to split the residual (SNR: the channel gate)"
    return PaperTable(name="residual", title=title, rows=rows, settings=_settings(), published=published)


def pooling() -> PaperTable:
    """Not in the paper (method.md 1.2): poolings under which f~ differs between images, so that the loss can compare it."""
    rows = (
        NO_LOSS,
        SNR,
        _scheme("snr-pool-relu", "SNR (pool relu)", pool="relu"),
        _scheme("snr-pool-gem", "SNR (pool gem)", pool="gem"),
    )
    settings = {name: protocol for name, protocol in _settings().items() if name != "paper"}
    title = "Does a non-linear pooling in the loss help? (ours)"
    return PaperTable(name="pooling", title=title, rows=rows, settings=settings)


def other_methods() -> PaperTable:
    """Methods of other papers on the same trunk, with the same losses and budget."""
    rows = (
        BASELINE,
        _recipe("baseline-ibn"),
        _recipe("baseline-a-sn"),
        *map(_recipe, recipes.other_methods()),
        SNR,
    )
    published = {
        ("baseline", *_M_TO_D): Published(25.6, None, "TLL"),
        ("baseline", *_D_TO_M): Published(29.6, None, "TLL"),
        ("baseline-ibn", *_M_TO_D): Published(31.5, None, "TLL"),
        ("baseline-ibn", *_D_TO_M): Published(33.3, None, "TLL"),
        ("mixstyle", *_M_TO_D): Published(27.2, None, "TLL"),
        ("mixstyle", *_D_TO_M): Published(31.6, None, "TLL"),
        **_SNR,
    }
    title = "Other methods on the same trunk"
    return PaperTable(name="methods", title=title, rows=rows, settings=_settings(), published=published)


def _adapted(start: Row, method: str, label: str) -> Row:
    return Row(name=f"{start.name}-{method}", label=label, make=start.make, adaptation=method, start=start.name)


def adaptation() -> PaperTable:
    """Unsupervised adaptation to the target (method.md 7): before and after each method, with and without SNR."""
    named = (("adaptive-bn", "Adaptive BN"), ("mar", "MAR"), ("clustering", "clustering"))
    rows = (
        BASELINE,
        SNR,
        *(_adapted(start, method, f"{start.label} + {word}") for method, word in named for start in (BASELINE, SNR)),
    )
    published = {
        **_SNR,
        ("snr-mar", *_M_TO_D): Published(58.1, 76.3, "OU"),
        ("snr-mar", *_D_TO_M): Published(61.7, 82.8, "OU"),
    }
    settings = {**_settings(), "drawn": drawn(("station", "night"))}
    title = "Unsupervised adaptation, before and after"
    return PaperTable(name="adaptation", title=title, rows=rows, settings=settings, published=published)


def generalization() -> PaperTable:
    """The multi-source protocols P1 to P3, with published numbers of methods that can be trained here."""
    rows = (BASELINE, SNR, _recipe("bau"))
    market, msmt, cuhk03 = (
        ("p2-market1501", "market1501"),
        ("p2-msmt17", "msmt17"),
        ("p2-cuhk03-detected", "cuhk03-detected"),
    )
    published = {
        ("snr", *cuhk03): Published(8.9, 8.9, "RN"),
        ("snr", *msmt): Published(6.8, 19.9, "RN"),
        ("snr", *market): Published(34.6, 62.7, "RN"),
        ("bau", *cuhk03): Published(42.8, 43.9, "RN"),
        ("bau", *msmt): Published(24.3, 50.9, "RN"),
        ("bau", *market): Published(77.1, 90.4, "RN"),
        ("snr", "p3-cuhk03-detected", "cuhk03-detected"): Published(17.5, None, "LB"),
        ("snr", "p3-msmt17", "msmt17"): Published(7.7, None, "LB"),
        ("snr", "p3-market1501", "market1501"): Published(52.4, None, "LB"),
    }
    settings = {"p1": protocol_1(), "p2": protocol_2(), "p3": protocol_3()}
    title = "Protocols P1, P2 and P3"
    return PaperTable(name="generalization", title=title, rows=rows, settings=settings, published=published)


def tables() -> tuple[PaperTable, ...]:
    """Returns all tables in listing order."""
    return (
        main_comparison(),
        loss_ablation(),
        stage_ablation(),
        residual_ablation(),
        adaptation(),
        pooling(),
        other_methods(),
        generalization(),
    )
