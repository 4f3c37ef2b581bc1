"""``snreid adapt``: a finished run, adapted to a target's images without their labels."""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro
from rich.console import Console

from snreid.cli.flags import HELP_ALL, RunFolder, flag, parse, parse_known, pick
from snreid.cli.machine import TrainingFlags, TrainingMachineFlags, out_folder
from snreid.cli.names import dataset_named
from snreid.cli.session import open_session, resumable
from snreid.errors import ExperimentError

if TYPE_CHECKING:
    from snreid.adaptation import Adaptation
    from snreid.experiments.experiment import Experiment
    from snreid.experiments.runs import Run
    from snreid.records import DataSet, ReIDData
    from snreid.training.session import Session


@dataclass(frozen=True, kw_only=True)
class Request:
    """Adapt a finished run to the cameras of a target, by images without labels.

    The result is a run of its own, which every other command takes. Each setting
    of a method is a flag too: snreid adapt --help-all lists them.

    Examples:
      snreid adapt people --images photos
      snreid adapt runs/snr-market1501-0 --target cuhk03 --method mar
      snreid adapt runs/snr-noon-0 --target night --evaluate --epochs 2
    """

    run: RunFolder
    target: Annotated[str | None, flag("data set whose training images are used", "NAME", "-t")] = None
    images: Annotated[Path | None, flag("folder of images, in place of --target", "DIR")] = None
    method: Annotated[str, flag("clustering, mar or adaptive-bn", "NAME")] = "clustering"
    evaluate: Annotated[
        bool, flag("score the run before and after on the target's test images; only this reads labels")
    ] = False
    out: Annotated[Path | None, out_folder("runs/RUN-METHOD-TARGET")] = None
    machine: TrainingMachineFlags = TrainingFlags()


def main(arguments: Sequence[str]) -> int:
    """Adapt or resume, and score if requested."""
    if HELP_ALL in arguments:
        return _help_all(arguments)
    request, rest = parse_known(Request, arguments, "snreid adapt")
    from snreid.experiments.runs import open_run

    given = [name for name, value in (("--target", request.target), ("--images", request.images)) if value is not None]
    if len(given) != 1 or (request.images is not None and request.evaluate):
        raise ExperimentError(
            "A run is adapted to one target: --target NAME, or --images FOLDER, whose images have no labels to evaluate by",
            found=" and ".join(given + ["--evaluate"] * request.evaluate) or "neither",
            fix=f"for example: snreid adapt {request.run} --target cuhk03 --evaluate",
        )
    run = open_run(request.run)
    method = chosen(request.method, run.experiment, rest)
    _adapt(request, run, method)
    return 0


def chosen(name: str, experiment: "Experiment", words: list[str]) -> "Adaptation":
    """The method of this name with its defaults for ``experiment`` and the settings in ``words``. An unknown flag ends the
    command with help; an unknown name raises ``ExperimentError``."""
    from snreid.adaptation import methods

    start = pick(methods(), name, "A method of adaptation", "give one of these by --method").for_experiment(experiment)
    return tyro.cli(type(start), default=start, args=words, prog=f"snreid adapt RUN --method {name}", add_help=False)


def _help_all(words: Sequence[str]) -> int:
    from snreid.adaptation import methods
    from snreid.experiments.experiment import Experiment

    known = methods()
    with contextlib.suppress(SystemExit):
        parse(Request, ["--help"], "snreid adapt")
    for name in [word for word in words if word in known] or known:
        print(f"\nSettings of --method {name}:\n")
        start = known[name].for_experiment(Experiment())
        with contextlib.suppress(SystemExit):
            tyro.cli(type(start), default=start, args=["--help"], prog=f"snreid adapt RUN --method {name}")
    return 0


def _adapt(request: Request, run: "Run", method: "Adaptation") -> None:
    from snreid.adaptation import Unlabelled, adapt_run
    from snreid.datasets import require_name
    from snreid.experiments.scoring import read_targets

    data = None
    if request.images is not None:
        unlabelled = Unlabelled.in_folder(request.images)
    else:
        target = _named(request.target or "", request.machine.root)
        _require_unseen_tests(target)
        # Read once. Labels leave ``data`` only in the evaluation; the adaptation receives only the images.
        data = (
            read_targets([target], request.machine.root, trained_on=run.experiment.sources)[0]
            if request.evaluate
            else target.read(request.machine.root)
        )
        unlabelled = Unlabelled.of(data)
    require_name(unlabelled.name)
    out = request.out or Path("runs") / f"{run.folder.resolve().name}-{method.name}-{unlabelled.name}"
    with open_session(request.machine, out) as session, resumable(out):
        if data is not None:
            session.pixels.tell(data, session.console)
        adapted = adapt_run(method, run, unlabelled, out, session)
        if request.evaluate and data is not None:
            _evaluate(run, adapted, data, session)
        session.say(f"The adapted run is in {adapted.folder}")


def _named(name: str, root: Path) -> "DataSet":
    """The data set of that name. Raises as ``dataset_named``; a folder without labels is told to be one of ``--images``."""
    try:
        return dataset_named(name, root)
    except ExperimentError as error:
        if not Path(name).is_dir():
            raise
        fix = f"images without labels are named by --images {name}; with labels, {error.fix}"
        raise ExperimentError(error.rule, found=error.found, fix=fix) from None


def _require_unseen_tests(target: "DataSet") -> None:
    """Refuses ``NAME@all``, whose training images are the test images too."""
    from snreid.datasets import AllImages, layers

    for layer in layers(target):
        if isinstance(layer, AllImages):
            raise ExperimentError(
                "A run is adapted to training images only: those it is tested on stay unseen",
                found=f"{target.name}, with the images of the test split",
                fix=f"name {layer.of.name}",
            )


def _evaluate(run: "Run", adapted: "Run", data: "ReIDData", session: "Session") -> None:
    """Print the scores of both runs on the target, and their difference."""
    from snreid.cli.compare import remarks, text
    from snreid.cli.evaluate import print_table
    from snreid.evaluation import compare
    from snreid.experiments.scoring import require_same_images, score_run

    before, after = (score_run(scored, [data], session)[0] for scored in (run, adapted))
    require_same_images(before, after, where=f"{run.folder}, {adapted.folder}")
    console = Console()
    results = ((before, "before"), (after, "after"))
    rows = [{**result.to_json(), "target": f"{data.name}, {when}"} for result, when in results]
    print_table(rows)
    gain = compare(after.scores, before.scores)
    console.out(f"after - before: mAP {text(gain.mean_ap)}; rank-1 {text(gain.rank1)}", highlight=False)
    for remark in remarks(gain):
        console.out(remark, highlight=False)
