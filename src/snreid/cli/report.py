"""``snreid report``: the HTML report of runs that are there already."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import tyro

from snreid.cli.machine import MachineFlags


@dataclass(frozen=True, kw_only=True)
class Request:
    """Score finished runs on targets (what is scored already is not scored again) and write one self-contained HTML page.

    Runs of the same recipe with different seeds become one row; the first recipe is what the others are held against.
    """

    run: Annotated[tyro.conf.Positional[tuple[Path, ...]], tyro.conf.arg(help="folders of finished runs")]
    target: Annotated[tuple[str, ...], tyro.conf.arg(aliases=["-t"], help="data sets to score on")]
    examples: Annotated[tuple[str, ...], tyro.conf.arg(help="targets whose rank lists are shown")] = ()
    machine: Annotated[MachineFlags, tyro.conf.arg(name="")] = MachineFlags()


def main(arguments: Sequence[str]) -> int:
    """Scores and writes the page."""
    request = tyro.cli(Request, args=list(arguments), prog="snreid report")
    from snreid.cli.names import dataset_named
    from snreid.cli.session import machine, session
    from snreid.cli.study import finish
    from snreid.runs import open_run
    from snreid.study import Study, score_runs

    runs = [open_run(folder) for folder in request.run]
    # Several seeds of a recipe are one row.
    first = {run.experiment.recipe: replace(run.experiment, seed=0) for run in reversed(runs)}
    study = Study(
        title=", ".join(run.name for run in runs),
        experiments=tuple(first[name] for name in dict.fromkeys(run.experiment.recipe for run in runs)),
        targets=tuple(dataset_named(name) for name in request.target),
        seeds=tuple(sorted({run.experiment.seed for run in runs})),
        descriptions={},
    )
    study.check_examples(request.examples)
    out = request.machine.out or Path("runs") / "report"
    began = time.monotonic()
    with session(request.machine) as opened:
        own = machine(request.machine, out)
        result = score_runs(study, runs, own, group=opened.group, console=opened.console)
        if opened.group.first:
            finish(result, out, examples=request.examples, record=None, seconds=time.monotonic() - began)
    return 0
