"""Rows of a comparison: what they are called, and which runs may stand in one table."""

from collections.abc import Sequence
from dataclasses import replace

from snreid import recipes
from snreid.errors import ExperimentError
from snreid.experiment import Experiment
from snreid.losses import DualCausality
from snreid.models.norms import StageSNR
from snreid.runs import Run

DESCRIPTIONS = {
    "baseline": "The plain network: batch normalization only.",
    "baseline-a-in": "Every batch normalization of the network is replaced by instance normalization.",
    "baseline-ibn": "Half of the channels of the first normalization of each block are instance-normalized (IBN-a).",
    "baseline-a-sn": "Every batch normalization is a learned mix of instance, layer and batch statistics.",
    "baseline-in": "An instance normalization where SNR has its modules (not after the last stage) removes style; nothing is given back.",
    "snr-no-loss": "Style normalization and restitution: what identity needs is given back through a learned gate.",
    "snr": "The same with the dual causality loss, which teaches the gate what to give back.",
}
"""A sentence on each recipe's row, for the report."""


def label(experiment: Experiment) -> str:
    """The row's name in tables: the one that its recipe's scheme has in the paper; an own name (``--recipe NAME``) stays."""
    recipe = recipes.all_recipes().get(experiment.recipe)
    if recipe is None:
        return experiment.recipe
    row = recipe("small")
    lossless = not any(isinstance(loss, DualCausality) for loss in row.losses)
    return row.model.scheme.label + (" w/o L_SNR" if lossless and isinstance(row.model.scheme, StageSNR) else "")


def require_same_sources(name: str, one: Experiment, other_name: str, other: Experiment) -> None:
    """Raise ``ExperimentError`` unless both are trained on the same data sets, in any order. The names are for the message."""
    if len(one.sources) == len(other.sources) and all(source in other.sources for source in one.sources):
        return
    words, others = (" + ".join(source.name for source in e.sources) or "nothing" for e in (one, other))
    raise ExperimentError(
        "All rows of a table are trained on the same sources: what is seen to one is seen to all",
        came=f"{name} on {words}, {other_name} on {others}" + (" of other settings" if words == others else ""),
        repair="make a table of each, or train all of them on the same sources",
    )


def check_rows(runs: Sequence[Run]) -> None:
    """Raise ``ExperimentError`` when runs of one row differ in more than their seed, rows in their sources, or a run comes twice."""
    first: dict[str, Run] = {}
    seen: dict[tuple[str, int], Run] = {}
    for run in runs:
        require_same_sources(str(runs[0].folder), runs[0].experiment, str(run.folder), run.experiment)
        other = first.setdefault(label(run.experiment), run)
        if replace(run.experiment, seed=other.experiment.seed) != other.experiment:
            raise ExperimentError(
                "Runs of one row differ in their seed only",
                came=f"{other.folder} and {run.folder} are both {label(run.experiment)}, with other settings",
                repair="report them apart, or train one of them under another name: --recipe NAME",
            )
        key = label(run.experiment), run.experiment.seed
        if key in seen:
            raise ExperimentError(
                "Each run is reported once",
                came=f"{seen[key].folder} and {run.folder} are the same run",
                repair="leave one out",
            )
        seen[key] = run
