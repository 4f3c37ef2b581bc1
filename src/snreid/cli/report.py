"""``snreid report``: the HTML report of runs that are there already."""

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import tyro

from snreid.cli.machine import MachineFlags, out_folder
from snreid.cli.order import is_run_folder, names_first, require_names
from snreid.system.machine import Machine

_LONGEST_NAME = 120
"""Bytes in the name of a report's folder; file systems allow 255."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """Score finished runs on targets (what is scored already is not scored again) and write one self-contained HTML page.

    Runs of the same recipe with different seeds become one row; the first recipe is the baseline of the others.
    """

    run: Annotated[tyro.conf.Positional[tuple[Path, ...]], tyro.conf.arg(help="folders of finished runs")]
    target: Annotated[tuple[str, ...], tyro.conf.arg(aliases=["-t"], help="data sets to score on")]
    examples: Annotated[tuple[str, ...], tyro.conf.arg(help="targets whose rank lists are shown")] = ()
    out: Annotated[Path | None, out_folder("runs/report-RUNS-on-TARGETS")] = None
    machine: MachineFlags = Machine()


def main(arguments: Sequence[str]) -> int:
    """Scores and writes the page."""
    words = names_first(arguments, is_run_folder)
    require_names("report", words, ("runs/snr-noon-0",), "name at least one run folder")
    request = tyro.cli(Request, args=words, prog="snreid report")
    from snreid.cli.names import dataset_named
    from snreid.cli.session import open_session
    from snreid.cli.study import Page, finish
    from snreid.experiments.runs import open_run
    from snreid.studies.plan import check_examples, study_plan
    from snreid.studies.run import score_runs

    runs = [open_run(folder) for folder in request.run]
    # Several seeds of a recipe are one row.
    first = {run.experiment.recipe: replace(run.experiment, seed=0) for run in reversed(runs)}
    experiments = [first[name] for name in dict.fromkeys(run.experiment.recipe for run in runs)]
    targets = [dataset_named(name, request.machine.root) for name in request.target]
    plan = study_plan(experiments, targets, sorted({run.experiment.seed for run in runs}))
    check_examples(plan, request.examples)
    out = request.out or Path("runs") / _name([run.name for run in runs], [target.name for target in targets])
    began = time.monotonic()
    with open_session(request.machine, out) as session:
        if (out / "report.html").exists():
            session.say(f"The page in {out} is replaced; --out keeps it")
        result = score_runs(plan, runs, session)
        if session.first:
            page = Page(title=", ".join(run.name for run in runs), examples=request.examples)
            finish(result, out, page, seconds=time.monotonic() - began)
    return 0


def _name(runs: Sequence[str], targets: Sequence[str]) -> str:
    """Of the folder: other runs or other targets are another page."""
    name = f"report-{'+'.join(dict.fromkeys(runs))}-on-{'+'.join(targets)}"
    if len(name.encode()) <= _LONGEST_NAME:
        return name
    return f"report-of-{len(runs)}-runs-on-{len(targets)}-targets-{hashlib.sha256(name.encode()).hexdigest()[:8]}"
