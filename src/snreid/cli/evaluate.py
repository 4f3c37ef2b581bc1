"""``snreid evaluate``: a run, an ONNX file or anybody's embeddings, scored on targets."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro
from rich.console import Console
from rich.table import Table

from snreid.cli.backends import (
    Backend,
    BackendFlag,
    batch_flag,
    chosen_backend,
    embed_batch,
    open_network,
    own_backend,
    require_alone,
)
from snreid.cli.machine import MachineFlags, out_folder
from snreid.cli.order import is_run_folder, misplaced, names_first
from snreid.experiments.packaged import beside
from snreid.system.machine import Machine

if TYPE_CHECKING:
    from snreid.evaluation import ReRanking
    from snreid.experiments.scoring import Result
    from snreid.inference.embedder import EmbedBatch

_AS_A_SET = (
    "uses all queries and gallery images as one set, which a search for one person does not have: "
    "compare with other re-ranked scores only."
)
_BATCH = 128
"""Said here and not read from ``embedding``, which would import torch for the help. Fixed, so that no measured time changes a score."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """Score a run, or its exported file, on targets; or anybody's ONNX file (--onnx) on targets; or embeddings in a file (--features).

    The scores of a run are also kept in its folder; with --out those of anything are kept below that folder instead.
    Every mAP and rank-1 comes with a 95 % bootstrap interval over queries. Shares in --json lie between 0 and 1.
    """

    run: Annotated[
        tyro.conf.Positional[Path | None], tyro.conf.arg(help="folder of a finished run, or its exported file")
    ] = None
    target: Annotated[
        tuple[str, ...], tyro.conf.arg(aliases=["-t"], help="data sets to score, e.g. market1501 cuhk03 noon")
    ] = ()
    features: Annotated[
        Path | None,
        tyro.conf.arg(help="npz: query, gallery, query_person, gallery_person, query_camera, gallery_camera"),
    ] = None
    onnx: Annotated[
        Path | None, tyro.conf.arg(help="ONNX file used as the embedder (anybody's; one of ours needs no flag)")
    ] = None
    height: Annotated[
        int | None, tyro.conf.arg(help="input height of the ONNX file, pixels; read from the file if left out")
    ] = None
    width: Annotated[int | None, tyro.conf.arg(help="input width of the ONNX file, pixels")] = None
    mean: Annotated[
        tuple[float, float, float] | None,
        tyro.conf.arg(
            metavar="R G B",
            help="subtracted from the ONNX file's input, which lies between 0 and 1; left out: as the file says, else ImageNet's",
        ),
    ] = None
    std: Annotated[
        tuple[float, float, float] | None,
        tyro.conf.arg(metavar="R G B", help="divides the input after --mean; left out: likewise"),
    ] = None
    backend: BackendFlag = None
    batch: Annotated[int | None, batch_flag(str(_BATCH))] = None
    metric: Annotated[
        Literal["cosine", "euclidean"] | None, tyro.conf.arg(help="left out: what the run says, else cosine")
    ] = None
    rerank: Annotated[
        bool,
        tyro.conf.arg(
            help="score a second time after k-reciprocal re-ranking, which uses all queries and gallery images as one set: such "
            "scores compare with other re-ranked ones only"
        ),
    ] = False
    k1: Annotated[
        int | None, tyro.conf.arg(help="re-ranking: neighbours of an image that may be reciprocal; left out: 20")
    ] = None
    k2: Annotated[int | None, tyro.conf.arg(help="re-ranking: images averaged, 1 to k1, 1 for none; left out: 6")] = (
        None
    )
    share: Annotated[
        float | None,
        tyro.conf.arg(name="lambda", help="re-ranking: share of the original distance, 0 to 1; left out: 0.3"),
    ] = None
    json: Annotated[bool, tyro.conf.arg(help="print one JSON object")] = False
    out: Annotated[Path | None, out_folder("the run's; other scores are not kept")] = None
    machine: MachineFlags = Machine()


def main(arguments: Sequence[str]) -> int:
    """Scores and prints."""
    words = names_first(arguments, _is_model, 1)
    request = tyro.cli(Request, args=words, prog="snreid evaluate")
    if request.run is not None and request.onnx is None and own_backend(request.run):
        request = replace(request, run=None, onnx=request.run)
    _check(request, words)
    again = _reranking(request)
    results = _from_features(request, again) if request.features else _from_images(request, again)
    if results:
        _show(results, request)
    return 0


def _is_model(word: str) -> bool:
    """Whether ``word`` is the folder of a run, or a file that another runtime reads."""
    return is_run_folder(word) or (Path(word).is_file() and own_backend(Path(word)) is not None)


def _place(request: Request, *, own_metric: bool = True) -> Path | None:
    """The folder that keeps the scores. A run keeps those in its own metric only; None: they are kept nowhere."""
    return request.out or (beside(request.run) if request.run is not None and own_metric else None)


def _check(request: Request, words: Sequence[str]) -> None:
    from snreid.errors import ExperimentError

    given = [name for name in ("run", "features", "onnx") if getattr(request, name) is not None]
    if not given and request.target:
        raise misplaced(
            "evaluate", words, ("runs/snr-noon-0",), "a run's folder (or --features FILE.npz, or --onnx FILE.onnx)"
        )
    if len(given) != 1:
        raise ExperimentError(
            "Give one thing to score: a run's folder, --features FILE.npz, or --onnx FILE.onnx",
            found=" and ".join(given) or "nothing",
            fix="for example: snreid evaluate runs/snr-noon-0 --target dusk night",
        )
    if given != ["features"] and not request.target:
        raise ExperimentError("Scoring images needs a target", found="none", fix="name one: --target market1501")
    if given == ["features"] and request.target:
        raise ExperimentError(
            "Embeddings in a file bring their own query and gallery",
            found=f"--target {' '.join(request.target)}",
            fix="leave it out",
        )
    if given == ["features"] and (request.backend or request.batch is not None):
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


def _model(request: Request) -> Path:
    model = request.run or request.onnx
    assert model is not None
    return model


def _backend(request: Request) -> Backend:
    """What embeds; with another runtime than torch --device is where scores are counted. Raises ``ExperimentError`` for what does not
    go together."""
    from snreid.errors import ExperimentError

    model = _model(request)
    own = own_backend(model) or (None if request.onnx is None else "onnxruntime")
    precision = request.machine.precision
    backend = chosen_backend(model, request.backend, own=own, batch=request.batch, precision=precision)
    asked = [name for name in ("height", "width", "mean", "std") if getattr(request, name) is not None]
    if asked and (request.onnx is None or backend != "onnxruntime"):
        raise ExperimentError(
            "--height, --width, --mean and --std are of an ONNX file; a run and an .xml file know theirs",
            found=f"--{asked[0]} with {model}",
            fix="leave it out",
        )
    if backend != "torch" and model.is_dir():
        require_alone(model, backend)
    return backend


def _reranking(request: Request) -> "ReRanking | None":
    """What --rerank asks for; ``ExperimentError`` for its settings out of range or without it."""
    from snreid.errors import ExperimentError
    from snreid.evaluation import ReRanking

    names = {"k1": "k1", "k2": "k2", "share": "weight"}
    given = {names[name]: value for name in names if (value := getattr(request, name)) is not None}
    if request.rerank:
        return ReRanking(**given)
    if given:
        flags = {"k1": "--k1", "k2": "--k2", "weight": "--lambda"}
        raise ExperimentError(
            "--k1, --k2 and --lambda are settings of --rerank",
            found=f"{flags[next(iter(given))]} without it",
            fix="add --rerank, or leave them out",
        )
    return None


def _from_features(request: Request, again: "ReRanking | None") -> list["Result"]:
    from snreid.evaluation import evaluate, read_features, remarks
    from snreid.experiments.scoring import Result, keep_result, with_reranking
    from snreid.training.distributed import chosen_device

    assert request.features is not None
    device = str(chosen_device(request.machine.device))
    query, gallery = read_features(request.features)
    say = partial(Console(stderr=True).out, highlight=False)
    for remark in remarks(query):
        say(remark)
    metric = request.metric or "cosine"
    result = Result(request.features.stem, evaluate(query, gallery, metric=metric, device=device))
    if again:
        result = with_reranking(result, query, gallery, metric, again)
    if (folder := _place(request)) is not None:
        keep_result(folder, result, say)
    return [result]


def _from_images(request: Request, again: "ReRanking | None") -> list["Result"]:
    from snreid.cli.names import dataset_named
    from snreid.cli.session import open_session
    from snreid.experiments.runs import open_run
    from snreid.experiments.scoring import keep_result, read_targets, score, with_reranking
    from snreid.experiments.targets import embed_target

    backend = _backend(request)
    named = [dataset_named(name, request.machine.root) for name in request.target]
    sources = open_run(request.run).experiment.sources if request.run is not None else ()
    data = read_targets(named, request.machine.root, trained_on=sources)
    folder = _place(request) or Path("runs") / "onnx"
    with open_session(request.machine, folder) as session:
        embed, size, metric = _embedder(request, backend, session.device)
        kept = _place(request, own_metric=(request.metric or metric) == metric)
        results = []
        for target in data:
            embedded = embed_target(embed, size, target, session, folder, batch=request.batch or _BATCH)
            result = score(embedded, request.metric or metric, session.group)
            if again:
                result = with_reranking(result, embedded.query, embedded.gallery, request.metric or metric, again)
            if session.first and kept is not None:
                keep_result(kept, result, session.say)
            results.append(result)
        return results if session.first else []


def _embedder(request: Request, backend: Backend, device: str) -> tuple["EmbedBatch", tuple[int, int], str]:
    """What embeds, the size of its images, and the metric it is for."""
    from snreid.experiments.runs import open_run
    from snreid.inference.onnx_embedder import OnnxEmbedder

    run = None if request.run is None else open_run(request.run)
    metric = "cosine" if run is None else run.experiment.metric
    if run is not None and backend == "torch":
        embedder = run.embedder(device=device, bf16=request.machine.precision == "bf16")
        return embedder, (embedder.input.height, embedder.input.width), metric
    if request.onnx is not None and backend == "onnxruntime":
        network = OnnxEmbedder(
            path=request.onnx, height=request.height, width=request.width, mean=request.mean, std=request.std
        ).open()
    else:
        network = open_network(_model(request), backend)
    return embed_batch(network), (network.height, network.width), metric


def _show(results: list["Result"], request: Request) -> None:
    objects = [result.to_json() for result in results]
    if request.json:
        print(json.dumps(objects[0] if len(objects) == 1 else {"targets": objects}))
        return
    console = Console()
    # Narrower, and numbers would be cut off; a terminal can be widened, a file cannot.
    rows = [row for one in objects for row in (one, *_reranked_rows(one))]
    Console(width=max(console.width, 120)).print(table(rows))
    if again := [one["reranked"]["how"] for one in objects if "reranked" in one]:
        console.out(f"{again[0].capitalize()} {_AS_A_SET}", highlight=False)


def _reranked_rows(row: dict[str, Any]) -> list[dict[str, Any]]:
    """The row of the table that stands below a target's own, where it was re-ranked."""
    again: dict[str, Any] | None = row.get("reranked")
    return [{**again, "target": f"{row['target']}, re-ranked"}] if again else []


def table(objects: list[dict[str, Any]]) -> Table:
    """Scores in percent, one row a target, intervals in brackets."""
    shown = Table(title=None, header_style="bold")
    for name in ("target", "mAP", "rank-1", "rank-5", "rank-10", "rank-20", "mINP", "queries", "without match"):
        shown.add_column(name, justify="left" if name == "target" else "right", no_wrap=name != "target")
    for row in objects:
        low, high = row["mAP_interval"]
        low1, high1 = row["rank1_interval"]
        shown.add_row(
            str(row["target"]),
            f"{100 * row['mAP']:.1f} [{100 * low:.1f}, {100 * high:.1f}]".replace("[", r"\["),
            f"{100 * row['rank1']:.1f} [{100 * low1:.1f}, {100 * high1:.1f}]".replace("[", r"\["),
            *(f"{100 * row[key]:.1f}" for key in ("rank5", "rank10", "rank20", "mINP")),
            str(row["queries"]),
            str(row["skipped_queries"]),
        )
    return shown
