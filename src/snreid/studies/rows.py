"""Rows of a comparison: their names, and which runs may share a table."""

from collections.abc import Sequence
from dataclasses import replace

from snreid.errors import ExperimentError
from snreid.experiments.experiment import Experiment
from snreid.experiments.runs import Run

DESCRIPTIONS = {
    "baseline": "The plain network: batch normalization only.",
    "baseline-a-in": "Every batch normalization of the network is replaced by instance normalization.",
    "baseline-ibn": "Half of the channels of the first normalization of each block are instance-normalized (IBN-a).",
    "baseline-a-sn": "Every batch normalization is a learned mix of instance, layer and batch statistics.",
    "baseline-in": "An instance normalization where SNR has its modules (not after the last stage) removes style; nothing is given back.",
    "snr-no-loss": "Style normalization and restitution: a learned gate gives back what identity needs, taught by the task's losses alone.",
    "snr": "Style normalization and restitution: a learned gate gives back what identity needs, taught by the dual causality loss too.",
    "baseline-ibn-b": "An instance normalization in the stem and at the end of the first two stages (IBN-b).",
    "baseline-bin": "Every batch normalization is a learned mix, channel by channel, of batch and instance normalization.",
    "mixstyle": "While training, an image takes over a part of the feature means and deviations of another one.",
    "efdmix": "While training, an image takes over a part of the feature distribution of another one, value by value.",
    "bau": "Baseline with losses that bring two views of an image together and keep people apart, within each source too.",
}
"""A sentence about each recipe's row, for the report."""

LABELS = {
    "baseline": "Baseline",
    "baseline-a-in": "Baseline-A-IN",
    "baseline-ibn": "Baseline-IBN",
    "baseline-a-sn": "Baseline-A-SN",
    "baseline-in": "Baseline-IN",
    "snr-no-loss": "SNR w/o L_SNR",
    "snr": "SNR",
    "baseline-ibn-b": "Baseline-IBN-b",
    "baseline-bin": "Baseline-BIN",
    "mixstyle": "MixStyle",
    "efdmix": "EFDMix",
    "bau": "BAU",
}
"""Each recipe's row name in tables, as in the paper."""


def label(experiment: Experiment) -> str:
    """Returns the row's name in tables: that of its recipe, or a custom name (``--recipe NAME``) unchanged."""
    return LABELS.get(experiment.recipe, experiment.recipe)


def require_same_sources(name: str, first: Experiment, other_name: str, second: Experiment) -> None:
    """Raises ``ExperimentError`` unless both are trained on the same data sets, in any order. The names are for the message."""
    if len(first.sources) == len(second.sources) and all(source in second.sources for source in first.sources):
        return
    words, others = (" + ".join(source.name for source in e.sources) or "nothing" for e in (first, second))
    raise ExperimentError(
        "All rows of a table are trained on the same sources: what is seen to one is seen to all",
        found=f"{name} on {words}, {other_name} on {others}" + (" of other settings" if words == others else ""),
        fix="make a table of each, train all of them on the same sources, or set two side by side: snreid compare",
    )


def check_rows(runs: Sequence[Run]) -> None:
    """Raises ``ExperimentError`` if runs of a row differ in more than their seed, rows in their sources, or a run is repeated."""
    first: dict[str, Run] = {}
    seen: dict[tuple[str, int], Run] = {}
    for run in runs:
        require_same_sources(str(runs[0].folder), runs[0].experiment, str(run.folder), run.experiment)
        other = first.setdefault(label(run.experiment), run)
        if replace(run.experiment, seed=other.experiment.seed) != other.experiment or _method(run) != _method(other):
            raise ExperimentError(
                "Runs of one row differ in their seed only",
                found=f"{other.folder} and {run.folder} are both {label(run.experiment)}, with other settings",
                fix="report them apart, or train one of them under another name: --recipe NAME",
            )
        key = label(run.experiment), run.experiment.seed
        if key in seen:
            raise ExperimentError(
                "Each run is reported once",
                found=f"{seen[key].folder} and {run.folder} are the same run",
                fix="leave one out",
            )
        seen[key] = run


def adapted_notes(runs: Sequence[Run]) -> tuple[str, ...]:
    """Returns a sentence for the report on each row that was adapted to a target, which is then not unseen for that row."""
    targets = {
        label(run.experiment): str(run.record["adaptation"]["target"]) for run in runs if "adaptation" in run.record
    }
    return tuple(
        f"{name} has been adapted to the training images of {target}, without their labels: these cameras are not new to it."
        for name, target in targets.items()
    )


def _method(run: Run) -> dict[str, object]:
    """The settings of a run's adaptation, without the seed; empty for a trained run."""
    settings = dict(run.record.get("adaptation", {}).get("method", {}))
    return {name: value for name, value in settings.items() if name != "seed"}
