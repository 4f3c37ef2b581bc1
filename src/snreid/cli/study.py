"""``snreid study``: several recipes, several seeds, one budget, one table."""

import shlex
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro
from rich.console import Console

from snreid.cli.machine import MachineFlags, out_folder

if TYPE_CHECKING:
    from snreid.experiments.experiment import Experiment
    from snreid.records import DataSet
    from snreid.studies.study import Study, StudyResult


@dataclass(frozen=True, kw_only=True)
class _Flags(MachineFlags):
    out: Annotated[Path | None, out_folder("runs/study-SOURCES")] = None


@dataclass(frozen=True, kw_only=True)
class Request:
    """Train and score several recipes on the same sources with the same budget; what is done already is not done again.

    Settings of the experiment are flags, as for snreid train, and hold for every recipe: --optimizer.lr 1e-3. A row with settings of
    its own is written as one word with a name: --recipe snr "snr-12: snr --model.scheme.stages 1 2".
    """

    recipe: Annotated[
        tuple[str, ...], tyro.conf.arg(help='see snreid recipes; or "NAME: RECIPE FLAGS" for a row of its own')
    ] = (
        "baseline",
        "baseline-in",
        "snr-no-loss",
        "snr",
    )
    source: Annotated[tuple[str, ...], tyro.conf.arg(aliases=["-s"], help="data sets to train on")] = ("noon",)
    target: Annotated[tuple[str, ...], tyro.conf.arg(aliases=["-t"], help="data sets to score on")] = ()
    seeds: Annotated[tuple[int, ...], tyro.conf.arg(help="one run of every recipe for each")] = (0,)
    preset: Annotated[str, tyro.conf.arg(help="small, mobile, short or paper")] = "small"
    examples: Annotated[tuple[str, ...], tyro.conf.arg(help="targets whose rank lists the report shows")] = ()
    record: Annotated[Path | None, tyro.conf.arg(help="also write all numbers to this JSON file")] = None
    machine: Annotated[_Flags, tyro.conf.arg(name="")] = _Flags()


def main(arguments: Sequence[str]) -> int:
    """Runs the study, prints its table, writes report.html and, if asked, the record."""
    request, rest = tyro.cli(Request, args=list(arguments), return_unknown_args=True, prog="snreid study")
    from snreid.cli.names import dataset_named
    from snreid.studies.study import Study

    sources = tuple(dataset_named(name, request.machine.root) for name in request.source)
    targets = tuple(dataset_named(name, request.machine.root) for name in request.target)
    study = Study(
        title=f"{' + '.join(s.name for s in sources)} to {', '.join(t.name for t in targets)}",
        experiments=tuple(row_experiment(name, request.preset, sources, rest) for name in request.recipe),
        targets=targets,
        seeds=request.seeds,
        descriptions={},
    )
    out = request.machine.out or Path("runs") / ("study-" + "+".join(s.name for s in sources))
    run(study, request.machine, out, examples=request.examples, record=request.record)
    return 0


def run(study: "Study", flags: MachineFlags, out: Path, *, examples: Sequence[str], record: Path | None) -> None:
    """Trains and scores what is missing, then prints the table and writes report and record."""
    from snreid.cli.session import machine, resumable, session
    from snreid.studies.study import run_study
    from snreid.system.atomic_files import require_replaceable

    study.check_examples(examples)  # before hours of training
    for file in (out / "report.html", *([record] if record else [])):
        require_replaceable(file)
    began = time.monotonic()
    with session(flags) as opened, resumable(out):
        result = run_study(study, machine(flags, out), group=opened.group, console=opened.console)
        if opened.group.first:
            finish(result, out, examples=examples, record=record, seconds=time.monotonic() - began)


def finish(result: "StudyResult", out: Path, *, examples: Sequence[str], record: Path | None, seconds: float) -> None:
    """Prints the table, writes the report page and, if asked, the record."""
    from snreid.figures import text_table, write_report
    from snreid.studies.study import report, write_record
    from snreid.system.provenance import provenance

    page = report(result, examples=examples, commands=[provenance()["command"]])
    console = Console()
    console.out(text_table(page.table()), highlight=False)
    console.out(f"Report: {write_report(out / 'report.html', page)}   ({seconds:.0f} s)", highlight=False)
    if record is not None:
        write_record(record, result, seconds)


def row_experiment(row: str, preset: str, sources: "tuple[DataSet, ...]", words: list[str]) -> "Experiment":
    """The experiment of a row as it is typed: ``RECIPE``, or ``NAME: RECIPE FLAGS``; ``words`` are flags that hold for every row.

    Raises ``ExperimentError`` for an unknown recipe or a seed; an unknown flag ends the command with help.
    """
    from snreid.cli.train import overridden
    from snreid.errors import ExperimentError
    from snreid.experiments import recipes

    own_name, colon, rest = row.partition(":")
    try:
        name, *own = shlex.split(rest if colon else row) or [""]
    except ValueError as error:
        raise ExperimentError('A row is RECIPE or "NAME: RECIPE FLAGS"', found=f"{row!r} ({error})") from error
    known = recipes.all_recipes()
    if name not in known:
        raise ExperimentError(f"A recipe is one of {', '.join(known)}", found=repr(name), fix="see snreid recipes")
    if any(word.split("=")[0] == "--seed" for word in (*words, *own)):
        raise ExperimentError("A study takes the seeds of all its rows", found="--seed", fix="write --seeds 0 1 2")
    named = ["--recipe", own_name.strip()] if colon else []
    try:
        return overridden(replace(known[name](preset), sources=sources), [*words, *own, *named])
    except SystemExit:
        print(
            f'(That was the row {row!r}. A flag that only some recipes know belongs into a row of its own: "{name}: {name} --FLAG VALUE".)',
            file=sys.stderr,
        )
        raise
