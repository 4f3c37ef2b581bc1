"""``snreid study``: several recipes, several seeds, one budget, one table."""

import shlex
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from rich.console import Console

from snreid.cli.flags import HELP_ALL, Preset, Seeds, flag, parse_known, pick
from snreid.cli.machine import TrainingFlags, TrainingMachineFlags, out_folder
from snreid.cli.names import dataset_named
from snreid.cli.session import open_session, require_file, resumable
from snreid.cli.train import help_all, overridden
from snreid.errors import ExperimentError
from snreid.system.atomic_files import write_json, write_text
from snreid.system.locks import folder_lock
from snreid.system.machine import Machine
from snreid.system.provenance import provenance

if TYPE_CHECKING:
    from snreid.experiments.experiment import Experiment
    from snreid.records import DataSet
    from snreid.studies.plan import Plan
    from snreid.studies.run import CaseResult


@dataclass(frozen=True, kw_only=True)
class Request:
    """Train recipes on the same data with several seeds, score them, and write one
    table and a report. What is done already is not done again.

    Settings of the experiment are flags too, see --help-all. A row with settings
    of its own is written "NAME: RECIPE FLAGS".

    Examples:
      snreid study --source noon --target dusk night
      snreid study -s market1501 -t cuhk03 --recipe baseline snr --seeds 0 1 2
      snreid study -t night --recipe snr "snr-12: snr --model.scheme.stages 1 2"
    """

    recipe: Annotated[tuple[str, ...], flag("recipes, or rows of your own", "NAME")] = (
        "baseline",
        "baseline-in",
        "snr-no-loss",
        "snr",
    )
    source: Annotated[tuple[str, ...], flag("data sets to train on", "NAME", "-s")] = ("noon",)
    target: Annotated[tuple[str, ...], flag("data sets to score on", "NAME", "-t")] = ()
    seeds: Seeds = (0,)
    preset: Preset = "small"
    examples: Annotated[tuple[str, ...], flag("targets whose rank lists the report shows", "NAME")] = ()
    record: Annotated[Path | None, flag("also write all numbers to this file", "FILE.json")] = None
    out: Annotated[Path | None, out_folder("runs/study-SOURCES")] = None
    machine: TrainingMachineFlags = TrainingFlags()


def main(arguments: Sequence[str]) -> int:
    """Run the study, print its table, write report.html and, if requested, the record."""
    request, rest = parse_known(Request, arguments, "snreid study")
    if HELP_ALL in rest:
        return help_all(Request, "snreid study", row_experiment(request.recipe[0], request.preset, (), []))
    from snreid.studies.plan import example_names, study_plan

    sources = tuple(dataset_named(name, request.machine.root) for name in request.source)
    targets = tuple(dataset_named(name, request.machine.root) for name in request.target)
    title = f"{' + '.join(s.name for s in sources)} to {', '.join(t.name for t in targets)}"
    experiments = [row_experiment(row, request.preset, sources, rest) for row in request.recipe]
    plan = study_plan(experiments, targets, request.seeds)
    out = request.out or Path("runs") / ("study-" + "+".join(s.name for s in sources))
    examples = example_names(plan, request.examples, request.target)  # before hours of training
    page = Page(title=title, examples=examples, record=request.record)
    run(plan, request.machine, out, page)
    return 0


@dataclass(frozen=True, kw_only=True)
class Page:
    """The output of a study besides its numbers."""

    title: str
    descriptions: Mapping[str, str] = field(default_factory=dict)
    """A sentence on each target by name."""
    notes: tuple[str, ...] = ()
    examples: tuple[str, ...] = ()
    """Targets with rank lists in the report."""
    record: Path | None = None
    """File for all numbers as JSON."""


def run(plan: "Plan", machine: Machine, out: Path, page: Page) -> None:
    """Trains and scores what is missing, then prints the table and writes report and record."""
    from snreid.studies.run import run_study

    require_file(out / "report.html", ".html")  # before hours of training
    if page.record is not None:
        require_file(page.record, ".json", flag="--record")
    began = time.monotonic()
    with open_session(machine, out) as session, resumable(out), session.holding(folder_lock(out, "filling a table")):
        result = run_study(plan, out, session)
        if session.first:
            finish(result, out, page, seconds=time.monotonic() - began)


def finish(result: "CaseResult", out: Path, page: Page, *, seconds: float) -> None:
    """Prints the table, writes the report page and, if requested, the record."""
    from snreid.figures.report_page import render_report
    from snreid.figures.text_tables import text_table
    from snreid.studies.records import record, report

    console = Console()
    console.out(text_table(result.table), highlight=False)
    contents = report(
        result,
        page.title,
        descriptions=page.descriptions,
        notes=page.notes,
        examples=page.examples,
        commands=[provenance()["command"]],
    )
    write_text(out / "report.html", render_report(contents))
    console.out(f"Report: {out / 'report.html'}   ({seconds:.0f} s)", highlight=False)
    if page.record is not None:
        write_json(page.record, record(result, page.title, seconds))


def row_experiment(row: str, preset: str, sources: "tuple[DataSet, ...]", words: list[str]) -> "Experiment":
    """The experiment of a row as typed: ``RECIPE``, or ``NAME: RECIPE FLAGS``; ``words`` are flags for every row.

    Raises ``ExperimentError`` for an unknown recipe or a seed; an unknown flag ends the command with help.
    """
    from snreid.experiments import recipes

    row_name, colon, rest = row.partition(":")
    try:
        name, *flags = shlex.split(rest if colon else row) or [""]
    except ValueError as error:
        raise ExperimentError('A row is RECIPE or "NAME: RECIPE FLAGS"', found=f"{row!r} ({error})") from error
    recipe = pick({**recipes.all_recipes(), **recipes.combined()}, name, "A recipe", "see snreid recipes")
    if any(word.split("=")[0] == "--seed" for word in (*words, *flags)):
        raise ExperimentError("A study takes the seeds of all its rows", found="--seed", fix="write --seeds 0 1 2")
    named = ["--recipe", row_name.strip()] if colon else []
    try:
        return overridden(replace(recipe(preset), sources=sources), [*words, *flags, *named], "study")
    except SystemExit:
        print(
            f'(That was the row {row!r}. A flag that only some recipes know belongs into a row of its own: "{name}: {name} --FLAG VALUE".)',
            file=sys.stderr,
        )
        raise
