"""``snreid evaluate``: a run, an ONNX file or any embeddings, scored on targets."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from rich.console import Console
from rich.table import Table

from snreid.cli.backends import (
    BackendFlag,
    MaybeModel,
    OnnxFile,
    OnnxFlags,
    OnnxInput,
    named_model,
    own_backend,
    ready,
    require_one_source,
)
from snreid.cli.flags import Json, Metric, flag, parse
from snreid.cli.machine import Flags, MachineFlags, out_folder
from snreid.cli.names import dataset_named, features_named
from snreid.cli.session import open_session
from snreid.errors import ExperimentError
from snreid.experiments.packaged import beside

if TYPE_CHECKING:
    from snreid.evaluation import ReRanking
    from snreid.experiments.scoring import Result

_AS_A_SET = (
    "uses all queries and gallery images as one set, which a search for one person does not have: "
    "compare with other re-ranked scores only."
)
_BATCH = 128
"""Repeated here because ``embedding`` would import torch for the help. Fixed, so that no measured time changes a score."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """Score a run, its exported file, any ONNX file or any embeddings on data sets.

    Every score comes with its 95 % interval over the persons queried. The scores
    of a run are kept in its folder, so that other commands find them.

    Examples:
      snreid evaluate runs/snr-market1501-0 --target cuhk03 msmt17
      snreid evaluate --onnx theirs.onnx --target market1501 --rerank
      snreid evaluate --features mine.npz --json
    """

    run: MaybeModel = None
    target: Annotated[tuple[str, ...], flag("one or more data sets, e.g. market1501 noon", "NAME", "-t")] = ()
    features: Annotated[tuple[Path, ...], flag("embeddings: FILE, QUERY GALLERY or NPY TABLE", "FILE")] = ()
    onnx: OnnxFile = None
    file: OnnxInput = OnnxFlags()
    backend: BackendFlag = None
    batch: Annotated[int | None, flag("images per call of the network", "N", default=str(_BATCH))] = None
    metric: Metric = None
    tracks: Annotated[bool, flag("score means of tracks")] = False
    rerank: Annotated[bool, flag("score re-ranked too (compare with re-ranked only)")] = False
    k1: Annotated[int | None, flag("--rerank: reciprocal neighbours", "N", default="20")] = None
    k2: Annotated[int | None, flag("--rerank: images averaged, 1 to k1", "N", default="6")] = None
    share: Annotated[
        float | None, flag("--rerank: original distance's share", "0..1", name="lambda", default="0.3")
    ] = None
    json: Json = False
    out: Annotated[Path | None, out_folder("the run's, else none")] = None
    machine: MachineFlags = Flags()


def main(arguments: Sequence[str]) -> int:
    """Scores and prints."""
    request = parse(Request, arguments, "snreid evaluate")
    if request.run is not None and request.onnx is None and own_backend(request.run):
        request = replace(request, run=None, onnx=request.run)
    _check(request)
    again = _reranking(request)
    results = _from_features(request, again) if request.features else _from_images(request, again)
    if results:
        _show(results, request)
    return 0


def _place(request: Request, *, own_metric: bool = True) -> Path | None:
    """The folder for the scores. A run keeps only those of images, in its own metric; None: they are not kept."""
    own = request.run is not None and own_metric and not request.tracks
    return request.out or (beside(request.run) if request.run is not None and own else None)


def _check(request: Request) -> None:
    require_one_source(request, "evaluate")
    if not request.features and not request.target:
        raise ExperimentError("Scoring images needs a target", found="none", fix="name one: --target market1501")
    if request.features and request.target:
        raise ExperimentError(
            "Embeddings in a file bring their own query and gallery",
            found=f"--target {' '.join(request.target)}",
            fix="leave it out",
        )
    if request.features and request.tracks:
        raise ExperimentError(
            "--tracks takes the means of embeddings that are computed from images",
            found="--tracks with --features",
            fix="leave it out; snreid extract --tracks writes means",
        )
    if request.features and (request.backend or request.batch is not None):
        raise ExperimentError(
            "Embeddings in a file are not computed again",
            found=f"--backend {request.backend}" if request.backend else f"--batch {request.batch}",
            fix="leave it out",
        )
    if request.out is not None and (request.out / "experiment.json").exists():
        raise ExperimentError(
            "--out is a folder for scores, and that of a run holds its own",
            found=str(request.out),
            fix="name another folder; without --out the scores of a run are kept in it",
        )


def _reranking(request: Request) -> "ReRanking | None":
    """The settings of --rerank; ``ExperimentError`` for settings out of range or without --rerank."""
    from snreid.evaluation import ReRanking

    settings: dict[str, Any] = {"k1": request.k1, "k2": request.k2, "weight": request.share}
    given = {name: value for name, value in settings.items() if value is not None}
    if request.rerank:
        return ReRanking(**given)
    if given:
        name = next(iter(given)).replace("weight", "lambda")
        raise ExperimentError(
            "--k1, --k2 and --lambda are settings of --rerank",
            found=f"--{name} without it",
            fix="add --rerank, or leave them out",
        )
    return None


def _from_features(request: Request, again: "ReRanking | None") -> list["Result"]:
    from snreid.evaluation import evaluate, remarks
    from snreid.experiments.scoring import Result, keep_result, with_reranking
    from snreid.training.distributed import chosen_device

    device = str(chosen_device(request.machine.device))
    query, gallery = features_named(request.features)
    say = partial(Console(stderr=True).out, highlight=False)
    for remark in remarks(query):
        say(remark)
    metric = request.metric or "cosine"
    result = Result(request.features[0].stem, evaluate(query, gallery, metric=metric, device=device))
    if again:
        result = with_reranking(result, query, gallery, metric, again)
    if (folder := _place(request)) is not None:
        keep_result(folder, result, say)
    return [result]


def _from_images(request: Request, again: "ReRanking | None") -> list["Result"]:
    from snreid.experiments.runs import open_run
    from snreid.experiments.scoring import keep_result, read_targets, score, with_reranking
    from snreid.experiments.targets import embed_target, track_means

    model, backend = named_model(
        request.run,
        request.onnx,
        request.file,
        given=request.backend,
        batch=request.batch,
        precision=request.machine.precision,
    )
    named = [dataset_named(name, request.machine.root) for name in request.target]
    run = None if request.run is None else open_run(request.run).experiment
    sources, own_metric = ((), "cosine") if run is None else (run.sources, run.metric)
    metric = request.metric or own_metric
    data = read_targets(named, request.machine.root, trained_on=sources)
    folder = _place(request) or Path("runs") / "onnx"
    with open_session(request.machine, folder) as session:
        network = ready(model, backend, request.file, session)
        kept = _place(request, own_metric=metric == own_metric)
        results = []
        for target in data:
            embedded = embed_target(
                network.embed,
                network.size,
                target,
                session,
                folder,
                batch=request.batch or _BATCH,
                by=network.by,
            )
            if request.tracks:
                embedded = track_means(embedded, metric)
            result = score(embedded, metric, session.group)
            if again:
                result = with_reranking(result, embedded.query, embedded.gallery, metric, again)
            if session.first and kept is not None:
                keep_result(kept, result, session.say)
            results.append(result)
        return results if session.first else []


def _show(results: list["Result"], request: Request) -> None:
    objects = [result.to_json() for result in results]
    if request.json:
        print(json.dumps(objects[0] if len(objects) == 1 else {"targets": objects}))
        return
    console = Console()
    rows: list[dict[str, Any]] = []
    for one in objects:  # below a target's own row the re-ranked one
        rows += [one, {**one["reranked"], "target": f"{one['target']}, re-ranked"}] if "reranked" in one else [one]
    print_table(rows)
    for note in dict.fromkeys(f"{one['target']}: {note}" for one in objects for note in one["notes"]):
        console.out(note, highlight=False)
    if again := [one["reranked"]["how"] for one in objects if "reranked" in one]:
        console.out(f"{again[0].capitalize()} {_AS_A_SET}", highlight=False)


def print_table(objects: list[dict[str, Any]]) -> None:
    """Prints ``table`` as wide as it is: a narrower one would truncate numbers, and a terminal can be widened."""
    console, shown = Console(), table(objects)
    Console(
        width=max(console.width, console.measure(shown, options=console.options.update(max_width=10_000)).maximum)
    ).print(shown)


def table(objects: list[dict[str, Any]]) -> Table:
    """Scores in percent with their 95 % intervals, one column per target."""
    shown = Table(title=None, header_style="bold")
    shown.add_column("", no_wrap=True)
    for row in objects:
        shown.add_column(str(row["target"]), justify="right", no_wrap=True)
    for name in ("mAP", "rank-1", "rank-5", "rank-10", "rank-20", "mINP"):
        key = name.replace("-", "")
        shown.add_row(name, *(_percent(row[key], row[f"{key}_interval"]) for row in objects))
    for name, key in (("queries", "queries"), ("without match", "skipped_queries")):
        shown.add_row(name, *(str(row[key]) for row in objects))
    return shown


def _percent(value: float, interval: Sequence[float]) -> str:
    low, high = interval
    return f"{100 * value:.1f} \\[{100 * low:.1f}, {100 * high:.1f}]"
