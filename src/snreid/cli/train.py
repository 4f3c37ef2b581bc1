"""``snreid train``: one recipe, or an experiment.json, on one or several sources."""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from snreid.cli.flags import HELP_ALL, flag, parse, parse_known, pick
from snreid.cli.machine import TrainingFlags, TrainingMachineFlags, out_folder
from snreid.cli.names import dataset_named
from snreid.cli.session import open_session, resumable
from snreid.errors import ExperimentError
from snreid.experiments.serialization import unchecked

if TYPE_CHECKING:
    from snreid.experiments.experiment import Experiment

SUFFIXES = (".json", ".yaml", ".yml")
"""Of experiment files."""
_AS_RECIPE = (tyro.conf.AvoidSubcommands,)
"""Whether there is a second view is part of the recipe; if so, its settings are flags too."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """Train a recipe, or the experiment of a file, and score it on targets.

    Every setting of the experiment is a flag too: snreid train RECIPE --help-all
    lists them. A stopped command continues when it is started again.

    Examples:
      snreid train snr --source market1501 --target cuhk03
      snreid train snr -s noon dusk -t night --epochs 4 --optimizer.lr 1e-3
      snreid train mine.yaml --seed 1 --out runs/mine-1
    """

    recipe: Annotated[tyro.conf.Positional[str], flag("see snreid recipes; or a .json, .yaml", "RECIPE")]
    source: Annotated[tuple[str, ...], flag("data sets to train on", "NAME", "-s")] = ()
    target: Annotated[tuple[str, ...], flag("data sets to score afterwards; they choose nothing", "NAME", "-t")] = ()
    preset: Annotated[str | None, flag("small, mobile, short or paper", "NAME", default="small")] = None
    out: Annotated[Path | None, out_folder("runs/RECIPE-SOURCES-SEED")] = None
    compile: Annotated[bool, flag("compile the training step: takes a minute and a C++ compiler")] = False
    machine: TrainingMachineFlags = TrainingFlags()


def main(arguments: Sequence[str]) -> int:
    """Train or resume, then score the targets."""
    words = ["snr", *arguments] if arguments[:1] == [HELP_ALL] else arguments
    request, rest = parse_known(Request, words, "snreid train")
    if HELP_ALL in rest:
        return help_all(Request, "snreid train", _start(request))
    experiment = _experiment(request, rest)
    if not experiment.sources:
        raise ExperimentError("Training needs a source", found="none", fix="name one: --source market1501")
    return _train(request, experiment)


def _experiment(request: Request, rest: list[str]) -> "Experiment":
    """The experiment of the request. Flags may resolve contradictions in a file."""
    try:
        start = _start(request)
    except ExperimentError as refused:
        if not rest or Path(request.recipe).suffix not in SUFFIXES:
            raise
        draft = _start(request, draft=True)
        try:
            return overridden(draft, rest)
        except ExperimentError as error:
            raise refused if error.rule == refused.rule else error from None
    return overridden(start, rest)


def _start(request: Request, *, draft: bool = False) -> "Experiment":
    from snreid.experiments import recipes

    path = Path(request.recipe)
    if path.suffix in SUFFIXES:
        from snreid.cli.experiment_file import read_experiment

        if request.preset is not None:
            raise ExperimentError(
                "A preset is where a recipe starts; an experiment file has all its settings",
                found=f"--preset {request.preset} with {request.recipe}",
                fix="leave --preset out, and change single settings by their flags",
            )
        experiment = read_experiment(path, draft=draft)
    else:
        _require_word(path)
        known = {**recipes.all_recipes(), **recipes.combined(), **recipes.starting_points()}
        recipe = pick(known, request.recipe, "A recipe", "see snreid recipes")
        experiment = recipe(request.preset) if request.preset else recipe()
    if request.source:
        sources = tuple(dataset_named(name, request.machine.root) for name in request.source)
        experiment = unchecked(type(experiment), {**vars(experiment), "sources": sources})
    return experiment


def _require_word(path: Path) -> None:
    """Raises ``ExperimentError`` for a file or a folder in place of a recipe."""
    if path.is_file():
        fix = f"end its name in one of {', '.join(SUFFIXES)}"
    elif (path / "experiment.json").is_file():
        fix = f"snreid train {path / 'experiment.json'} trains what this run was trained by"
    else:
        return
    raise ExperimentError(f"An experiment is a file that ends in {', '.join(SUFFIXES)}", found=str(path), fix=fix)


def overridden(experiment: "Experiment", words: list[str], command: str = "train") -> "Experiment":
    """The experiment with the settings that ``words`` of ``snreid COMMAND`` give as flags. Its sources stay.

    Raises:
        SystemExit: With code 2 for an unknown flag or a wrong value, after tyro has printed it.
    """
    from snreid.experiments.experiment import Experiment

    hidden = unchecked(Experiment, {**vars(experiment), "sources": ()})
    changed = tyro.cli(Experiment, default=hidden, args=words, prog=f"snreid {command}", config=_AS_RECIPE)
    return replace(changed, sources=experiment.sources)


def help_all(kind: type, command: str, experiment: "Experiment") -> int:
    """Prints the help of a command and the settings of an experiment, which it takes as flags too."""
    with contextlib.suppress(SystemExit):
        parse(kind, ["--help"], command)
    print(f"\nSettings of the experiment ({experiment.recipe}, preset {experiment.preset}):\n")
    with contextlib.suppress(SystemExit):
        overridden(experiment, ["--help"])
    return 0


def _train(request: Request, experiment: "Experiment") -> int:
    from snreid.experiments.job import train
    from snreid.experiments.scoring import read_targets, score_run

    # A recipe with sources of its own is named after the recipe: seven domains would make a long name.
    experiment_file = Path(request.recipe).suffix in SUFFIXES
    names = [source.name for source in experiment.sources] if request.source or experiment_file else []
    folder = "-".join(part for part in (experiment.recipe, "+".join(names), str(experiment.seed)) if part)
    out, root = request.out or Path("runs") / folder, request.machine.root
    targets = [dataset_named(name, root) for name in request.target]
    with open_session(request.machine, out) as session, resumable(out):
        # Targets are read and their images opened before training, so that a wrong path or a bad file does not cost a day.
        data = read_targets(targets, root, trained_on=experiment.sources)
        run = train(experiment, out, session, targets=data, compile_step=request.compile)
        score_run(run, data, session)
        session.say(f"The run is in {run.folder}")
    return 0
