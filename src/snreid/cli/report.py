"""``snreid report``: the HTML report of existing runs."""

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from snreid.cli.flags import flag, parse
from snreid.cli.machine import Flags, MachineFlags, out_folder
from snreid.system.machine import Machine

if TYPE_CHECKING:
    from snreid.experiments.runs import Run
    from snreid.records import DataSet

_LONGEST_NAME = 120
"""Bytes in the name of a report's folder; file systems allow 255."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """Write one HTML page about finished runs, scored on targets.

    Runs of one recipe with several seeds are one row; the recipe of the first run
    is the reference of the others. What is scored already is not scored again.

    Examples:
      snreid report runs/snr-noon-0 --target dusk night
      snreid report runs/baseline-noon-0 runs/snr-noon-0 --target night
      snreid report runs/snr-noon-0 --target dusk night --examples night
    """

    run: Annotated[tyro.conf.Positional[tuple[Path, ...]], flag("folders of finished runs", "RUN...")]
    target: Annotated[tuple[str, ...], flag("data sets to score on", "NAME", "-t")]
    examples: Annotated[tuple[str, ...], flag("targets whose rank lists are shown", "NAME")] = ()
    out: Annotated[Path | None, out_folder("runs/report-RUNS-on-TARGETS")] = None
    machine: MachineFlags = Flags()


def main(arguments: Sequence[str]) -> int:
    """Score the runs and write the page."""
    request = parse(Request, arguments, "snreid report")
    from snreid.cli.names import dataset_named
    from snreid.experiments.runs import open_run

    runs = [open_run(folder) for folder in request.run]
    targets = [dataset_named(name, request.machine.root) for name in request.target]
    out = request.out or Path("runs") / _name([run.name for run in runs], [target.name for target in targets])
    write(runs, targets, request.machine, out, request.examples, request.target)
    return 0


def write(
    runs: "Sequence[Run]",
    targets: "Sequence[DataSet]",
    machine: Machine,
    out: Path,
    examples: tuple[str, ...] = (),
    typed: Sequence[str] = (),
) -> None:
    """Scores the runs, prints the table and writes the page; ``typed``: the targets in the user's words, for messages."""
    from snreid.cli.session import open_session
    from snreid.cli.study import Page, finish
    from snreid.studies.plan import example_names, study_plan
    from snreid.studies.run import score_runs

    # Several seeds of a recipe form one row.
    first = {run.experiment.recipe: replace(run.experiment, seed=0) for run in reversed(runs)}
    experiments = [first[name] for name in dict.fromkeys(run.experiment.recipe for run in runs)]
    plan = study_plan(experiments, targets, sorted({run.experiment.seed for run in runs}))
    page = Page(title=", ".join(run.name for run in runs), examples=example_names(plan, examples, typed))
    began = time.monotonic()
    with open_session(machine, out) as session:
        if (out / "report.html").exists():
            session.say(f"The page in {out} is replaced; --out keeps it")
        result = score_runs(plan, runs, session)
        if session.first:
            finish(result, out, page, seconds=time.monotonic() - began)


def _name(runs: Sequence[str], targets: Sequence[str]) -> str:
    """Name of the folder: other runs or other targets make another page."""
    name = f"report-{'+'.join(dict.fromkeys(runs))}-on-{'+'.join(targets)}"
    if len(name.encode()) <= _LONGEST_NAME:
        return name
    return f"report-of-{len(runs)}-runs-on-{len(targets)}-targets-{hashlib.sha256(name.encode()).hexdigest()[:8]}"
