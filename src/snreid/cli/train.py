"""``snreid train``: one recipe, or an experiment.json, on one or several sources."""

import contextlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from snreid.cli.machine import MachineFlags, out_folder
from snreid.cli.order import misplaced, names_first
from snreid.system.machine import Machine

if TYPE_CHECKING:
    from snreid.experiments.experiment import Experiment

_AS_RECIPE = (tyro.conf.AvoidSubcommands,)
"""A second view is there or not, as the recipe has it; where it is, its settings are flags like any other."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """Train a recipe (see snreid recipes), or the experiment of a JSON file, and score it on targets.

    Every setting of the experiment is a flag too, for example --optimizer.lr 1e-3 or --losses.2.form code; they are listed below.
    """

    recipe: Annotated[tyro.conf.Positional[str], tyro.conf.arg(help="snr, baseline, ... or FILE.json")]
    source: Annotated[
        tuple[str, ...], tyro.conf.arg(aliases=["-s"], help="data sets to train on, e.g. market1501 cuhk03")
    ] = ()
    target: Annotated[
        tuple[str, ...],
        tyro.conf.arg(aliases=["-t"], help="data sets to score afterwards; never used to choose anything"),
    ] = ()
    preset: Annotated[str | None, tyro.conf.arg(help="small, mobile, short or paper; small when left out")] = None
    out: Annotated[Path | None, out_folder("runs/RECIPE-SOURCES-SEED")] = None
    compile: Annotated[
        bool, tyro.conf.arg(help="compile the training step; a minute at the start, and a C++ compiler is needed")
    ] = False
    machine: MachineFlags = Machine()


def main(arguments: Sequence[str]) -> int:
    """Trains, resumes what is there, and scores the targets."""
    words = _recipe_first(arguments)
    if "-h" in words or "--help" in words:
        return _help(words)
    request, rest = tyro.cli(Request, args=words, return_unknown_args=True, prog="snreid train", add_help=False)
    experiment = overridden(_start(request), rest)
    if not experiment.sources:
        from snreid.errors import ExperimentError

        raise ExperimentError("Training needs a source", found="none", fix="name one: --source market1501")
    return _train(request, experiment)


def _recipe_first(words: Sequence[str]) -> list[str]:
    """The words with the recipe in front, where tyro can tell it from the values of flags that it does not know yet."""
    from snreid.experiments import recipes

    known = {**recipes.all_recipes(), **recipes.starting_points()}
    ordered = names_first(words, lambda word: word in known or word.endswith(".json"), 1)
    if (not ordered or ordered[0].startswith("-")) and not {"-h", "--help"} & set(ordered):
        raise misplaced("train", words, ("snr",), "the recipe or FILE.json")
    return ordered


def _start(request: Request) -> "Experiment":
    from snreid.cli.names import dataset_named
    from snreid.errors import ExperimentError
    from snreid.experiments import recipes
    from snreid.experiments.experiment import Experiment

    if request.recipe.endswith(".json"):
        if request.preset is not None:
            raise ExperimentError(
                "A preset is where a recipe starts; an experiment file has all its settings",
                found=f"--preset {request.preset} with {request.recipe}",
                fix="leave --preset out, and change single settings by their flags",
            )
        try:
            stored = json.loads(Path(request.recipe).read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            raise ExperimentError(
                "An experiment file must be JSON", found=f"{request.recipe}: {error}", fix="check the path"
            ) from error
        if isinstance(stored, dict) and "adaptation" in stored:
            raise ExperimentError(
                "An adapted run is made from the run it started from",
                found=f"{request.recipe} of an adaptation",
                fix="use snreid adapt; or train by the experiment.json of the run that was adapted",
            )
        experiment = Experiment.from_json(stored.get("experiment", stored) if isinstance(stored, dict) else stored)
    else:
        known = {**recipes.all_recipes(), **recipes.starting_points()}
        if request.recipe not in known:
            raise ExperimentError(
                f"A recipe is one of {', '.join(known)}", found=repr(request.recipe), fix="see snreid recipes"
            )
        experiment = known[request.recipe](request.preset or "small")
    if request.source:
        experiment = replace(
            experiment, sources=tuple(dataset_named(name, request.machine.root) for name in request.source)
        )
    return experiment


def overridden(experiment: "Experiment", words: list[str]) -> "Experiment":
    """The experiment with the settings that ``words`` give as flags; its sources stay. An unknown flag ends the command with help."""
    from snreid.experiments.experiment import Experiment

    hidden = replace(experiment, sources=())
    changed = tyro.cli(Experiment, default=hidden, args=words, prog="snreid train", add_help=False, config=_AS_RECIPE)
    return replace(changed, sources=experiment.sources)


def _help(words: list[str]) -> int:
    plain = [word for word in words if word not in ("-h", "--help")]
    with contextlib.suppress(SystemExit):
        tyro.cli(Request, args=["--help"], prog="snreid train")
    request, _ = tyro.cli(Request, args=plain or ["snr"], return_unknown_args=True, add_help=False)
    from snreid.experiments.experiment import Experiment

    experiment = _start(replace(request, source=request.source or ("noon",)))
    print(f"\nSettings of the experiment ({request.recipe}, preset {experiment.preset}):\n")
    with contextlib.suppress(SystemExit):
        hidden = replace(experiment, sources=())
        tyro.cli(Experiment, default=hidden, args=["--help"], prog="snreid train RECIPE", config=_AS_RECIPE)
    return 0


def _train(request: Request, experiment: "Experiment") -> int:
    from snreid.cli.names import dataset_named
    from snreid.cli.session import open_session, resumable
    from snreid.experiments.job import train
    from snreid.experiments.scoring import read_targets, score_run

    # A recipe with sources of its own has the name of the recipe: seven domains would make a long one.
    names = [source.name for source in experiment.sources] if request.source or request.recipe.endswith(".json") else []
    folder = "-".join(part for part in (experiment.recipe, "+".join(names), str(experiment.seed)) if part)
    out, root = request.out or Path("runs") / folder, request.machine.root
    targets = [dataset_named(name, root) for name in request.target]
    with open_session(request.machine, out) as session, resumable(out):
        # Targets are read before training and their images opened, so that a wrong path or a bad file does not cost a day.
        data = read_targets(targets, root, trained_on=experiment.sources)
        run = train(experiment, out, session, targets=data, compile_step=request.compile)
        score_run(run, data, session)
        session.say(f"The run is in {run.folder}")
    return 0
