"""``snreid report``: the HTML report of existing runs."""

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from snreid.cli.backends import OnnxFlags, OnnxInput, chosen_backend, own_backend, ready
from snreid.cli.flags import flag, parse
from snreid.cli.machine import Flags, MachineFlags, out_folder
from snreid.cli.names import EMBEDDINGS, dataset_named, features_named
from snreid.cli.session import open_session, require_file
from snreid.errors import ExperimentError
from snreid.system.machine import Machine

if TYPE_CHECKING:
    from snreid.experiments.runs import Run
    from snreid.records import DataSet
    from snreid.studies.others import FeaturesFile, OtherModel
    from snreid.studies.plan import Plan
    from snreid.training.session import Session

_LONGEST_NAME = 120
"""Bytes in the name of a report's folder; file systems allow 255."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """Write one HTML page about finished runs and models of others.

    Runs of one recipe with several seeds are one row; the first row is the
    reference of the others. What is scored already is not scored again. ONNX
    files and files of embeddings (of one target, which may be left out) are rows
    too; their training is not known, so the page leaves it out.

    Examples:
      snreid report runs/snr-noon-0 --target dusk night
      snreid report runs/baseline-noon-0 runs/snr-noon-0 --target night
      snreid report runs/snr-market1501-0 theirs.onnx --target cuhk03
      snreid report mine.npz theirs.npz
    """

    run: Annotated[tyro.conf.Positional[tuple[Path, ...]], flag("folders of finished runs, people, or files", "RUN...")]
    target: Annotated[tuple[str, ...], flag("data sets to score on", "NAME", "-t")] = ()
    examples: Annotated[tuple[str, ...], flag("targets whose rank lists are shown", "NAME", default="none")] = ()
    record: Annotated[Path | None, flag("also write the numbers of runs to this file", "FILE.json")] = None
    out: Annotated[Path | None, out_folder("runs/report-RUNS-on-TARGETS")] = None
    file: OnnxInput = OnnxFlags()
    machine: MachineFlags = Flags()


def main(arguments: Sequence[str]) -> int:
    """Score the models and write the page."""
    request = parse(Request, arguments, "snreid report")
    models = _opened(request)
    targets = [dataset_named(name, request.machine.root) for name in request.target] or [_rows_of(models)]
    out = request.out or Path("runs") / _name([model.name for model in models], [target.name for target in targets])
    write(models, targets, request.machine, out, request.examples, request.target, request.file, request.record)
    return 0


def write(
    models: "Sequence[Run | FeaturesFile | Path]",
    targets: "Sequence[DataSet]",
    machine: Machine,
    out: Path,
    examples: tuple[str, ...] = (),
    typed: Sequence[str] = (),
    file: OnnxFlags | None = None,
    record: Path | None = None,
) -> None:
    """Scores the models (a path is a network in a file), prints the table and writes the page to the folder ``out``.

    ``examples``: targets whose rank lists are shown. ``typed``: the targets in the user's words. ``file``: the flags of ONNX files.
    ``record``: file for all numbers as JSON; only runs have one, as the training of other models is not known.
    """
    from snreid.cli.study import Page, finish
    from snreid.experiments.runs import Run
    from snreid.studies.plan import example_names
    from snreid.studies.run import score_models

    plan = _plan(models, targets)
    if record is not None:
        require_file(record, ".json", flag="--record")
        if others := [model.name for model in models if not isinstance(model, Run)]:
            raise ExperimentError(
                "A record is of runs, whose training is known",
                found=others[0],
                fix="leave it out, or leave out --record",
            )
    title = ", ".join(model.name for model in models)
    page = Page(title=title, examples=example_names(plan, examples, typed), record=record)
    began = time.monotonic()
    with open_session(machine, out) as session:
        if (out / "report.html").exists():
            session.say(f"The page in {out} is replaced; another --out keeps it")
        result = score_models(plan, [_ready(model, file or OnnxFlags(), out, session) for model in models], session)
        if session.first:
            finish(result, out, page, seconds=time.monotonic() - began)


def _opened(request: Request) -> "list[Run | FeaturesFile | Path]":
    """Each run and file of embeddings, and the paths of networks."""
    from snreid.experiments.runs import open_run
    from snreid.studies.others import FeaturesFile

    models: list[Run | FeaturesFile | Path] = []
    for path in request.run:
        if own_backend(path):
            models.append(path)
        elif path.suffix.lower() in EMBEDDINGS and not path.is_dir():
            query, gallery = features_named([path])
            models.append(FeaturesFile(name=path.name, query=query, gallery=gallery))
        else:
            models.append(open_run(path))
    files = [model.name for model in models if isinstance(model, FeaturesFile | Path)]
    if twice := [name for name in files if files.count(name) > 1]:
        raise ExperimentError(
            "Each file of a report has a name of its own",
            found=f"{twice[0]} twice",
            fix="leave one out, or rename it",
        )
    embedded = [model.name for model in models if isinstance(model, FeaturesFile)]
    if not request.target and len(embedded) < len(models):
        raise ExperimentError("A report of networks needs a target", found="none", fix="name one: --target market1501")
    if embedded and len(request.target) > 1:
        raise ExperimentError(
            "Embeddings in a file are the rows of one data set",
            found=f"{embedded[0]} with --target {' '.join(request.target)}",
            fix="name one target, or leave the file out",
        )
    for path in [model for model in models if isinstance(model, Path)] or request.run[:1]:
        backend = chosen_backend(path, precision=request.machine.precision)
        request.file.require_onnx(path, backend)
    return models


def _rows_of(models: "Sequence[Run | FeaturesFile | Path]") -> "DataSet":
    """The images behind the first file of embeddings, where no target is named."""
    from snreid.studies.others import EmbeddedImages, FeaturesFile

    first = models[0]
    assert isinstance(first, FeaturesFile)
    return EmbeddedImages(name=Path(first.name).stem, query=first.query, gallery=first.gallery)


def _plan(models: "Sequence[Run | FeaturesFile | Path]", targets: "Sequence[DataSet]") -> "Plan":
    """A row for each recipe of the runs; one without rows if there is no run."""
    from snreid.experiments.runs import Run
    from snreid.studies.plan import Plan, study_plan
    from snreid.studies.protocols import Case, single

    runs = [model for model in models if isinstance(model, Run)]
    if not runs:
        case = Case(name="study", sources=(), benchmarks=tuple(map(single, targets)))
        return Plan(cases=(case,), rows=(), study=True)
    # Several seeds of a recipe form one row.
    first = {run.experiment.recipe: replace(run.experiment, seed=0) for run in reversed(runs)}
    experiments = [first[name] for name in dict.fromkeys(run.experiment.recipe for run in runs)]
    return study_plan(experiments, targets, sorted({run.experiment.seed for run in runs}))


def _ready(model: "Run | FeaturesFile | Path", file: OnnxFlags, out: Path, session: "Session") -> "Run | OtherModel":
    """The model, with its network opened if it is a path."""
    from snreid.studies.others import NetworkFile

    if not isinstance(model, Path):
        return model
    backend = own_backend(model)
    assert backend is not None
    network = ready(model, backend, file, session)
    results = out / model.name
    return NetworkFile(name=model.name, embed=network.embed, size=network.size, by=network.by, results=results)


def _name(runs: Sequence[str], targets: Sequence[str]) -> str:
    """Name of the folder: other runs or other targets make another page."""
    name = f"report-{'+'.join(dict.fromkeys(runs))}-on-{'+'.join(targets)}"
    if len(name.encode()) <= _LONGEST_NAME:
        return name
    return f"report-of-{len(runs)}-runs-on-{len(targets)}-targets-{hashlib.sha256(name.encode()).hexdigest()[:8]}"
