"""``snreid verify``: do two images show the same person? With the threshold at a false match rate on labelled pairs."""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from snreid.cli.backends import (
    Model,
    OnnxFlags,
    chosen_backend,
    embed_files,
    own_backend,
    ready,
    require_same_model,
    trained_on,
)
from snreid.cli.flags import Json, Metric, flag, parse
from snreid.cli.machine import Flags, MachineFlags
from snreid.cli.names import EMBEDDINGS, dataset_named, features_named
from snreid.cli.session import open_session, require_file
from snreid.errors import DataError, ExperimentError, visible
from snreid.experiments.packaged import beside
from snreid.experiments.serialization import from_json, to_json
from snreid.system.atomic_files import write_json, write_text

if TYPE_CHECKING:
    from snreid.cli.backends import Network
    from snreid.evaluation import Calibration
    from snreid.training.session import Session

_USUAL = 1e-3


@dataclass(frozen=True, kw_only=True)
class Request:
    """Tell whether two images show the same person.

    The score is the cosine of their embeddings, -1 to 1: higher is more alike.
    With the Euclidean metric it is their distance: lower is more alike. A verdict
    needs a threshold. --calibrate finds it on the pairs of labelled images: a
    data set, embeddings as for snreid evaluate, or what --out has kept.

    Examples:
      snreid verify runs/snr-noon-0 a.jpg b.jpg
      snreid verify runs/snr-noon-0 a.jpg b.jpg --calibrate cuhk03 --roc roc.svg
      snreid verify runs/snr-noon-0 --calibrate my.npz --fmr 0.01 --out my.json
      snreid verify runs/snr-noon-0 a.jpg b.jpg --calibrate my.json
    """

    run: Model
    images: Annotated[tyro.conf.Positional[tuple[Path, ...]], flag("two image files; none to calibrate", "A B")] = ()
    calibrate: Annotated[
        tuple[str, ...], flag("labelled images: a data set or embeddings; or a kept calibration", "NAME|FILE")
    ] = ()
    fmr: Annotated[
        float | None, flag("wanted false match rate, 0..1", "RATE", default=f"{_USUAL:g}, one pair in 1,000")
    ] = None
    roc: Annotated[Path | None, flag("picture of the ROC curve to write", "FILE.svg")] = None
    out: Annotated[Path | None, flag("keep the calibration here", "FILE.json")] = None
    metric: Metric = None
    json: Json = False
    machine: MachineFlags = Flags()


def main(arguments: Sequence[str]) -> int:
    """Embeds, calibrates, compares, prints."""
    request = parse(Request, arguments, "snreid verify")
    _check(request)
    machine, kept = request.machine, _kept(request)
    backend = chosen_backend(request.run, precision=machine.precision)
    with open_session(machine, None) as session:
        network = ready(request.run, backend, OnnxFlags(), session)
        if kept is not None:
            require_same_model(kept.model, network, Path(request.calibrate[0]), session)
        found = _calibration(request, network, session) if request.calibrate and kept is None else kept
        metric = found.metric if found is not None else request.metric or network.metric
        score = _score(request, network, metric) if request.images else None
        if session.first:
            _write(request, found)
            _tell(request, score, found, metric)
    return 0


def _check(request: Request) -> None:
    from snreid.evaluation.verification import require_rate

    folders = any(path.is_dir() for path in request.images)  # would be all images in them
    if len(request.images) not in (0, 2) or folders or not (request.images or request.calibrate):
        raise ExperimentError(
            "snreid verify compares two images, or calibrates without any",
            found=" ".join(map(str, request.images)) or "neither images nor --calibrate",
            fix=f"write it like snreid verify {request.run} a.jpg b.jpg",
        )
    if len(request.calibrate) > 1 and Path(request.calibrate[0]).suffix.lower() not in EMBEDDINGS:
        found = " ".join(request.calibrate)
        raise ExperimentError("A calibration is made on one data set", found=found, fix="name one")
    for value, name in ((request.fmr, "--fmr"), (request.roc, "--roc"), (request.out, "--out")):
        if value is not None and not request.calibrate:
            raise ExperimentError(
                f"{name} belongs to a calibration", found=f"{name} {value}", fix="add --calibrate NAME, or leave it out"
            )
    if request.fmr is not None:
        require_rate(request.fmr)
    for path, ending, name in ((request.roc, ".svg", "--roc"), (request.out, ".json", "--out")):
        if path is not None:
            require_file(path, ending, flag=name)  # before anything is embedded


def _calibration(request: Request, network: "Network", session: "Session") -> "Calibration":
    """Of embeddings in a file, or of a data set."""
    from snreid.evaluation import calibrate, have_length_one, read_mark

    files, metric = [Path(word) for word in request.calibrate], request.metric or network.metric
    if files[0].suffix.lower() in EMBEDDINGS:
        for file in files:
            require_same_model(read_mark(file) if file.suffix.lower() in EMBEDDINGS else "", network, file, session)
        query, gallery = features_named(files)
        if (dim := gallery.embeddings.shape[1]) != network.dim:
            raise ExperimentError(
                "Embeddings are compared with those of the same model",
                found=f"{dim} numbers an embedding in {files[0]}, {network.dim} of this model",
                fix="name the model that made the file, or make the file again with this one",
            )
        if metric == "euclidean" and have_length_one(gallery.embeddings):
            raise ExperimentError(
                "Euclidean distances are of embeddings that are not normalized",
                found=f"rows of length 1 in {files[-1]}",
                fix="add --metric cosine, which orders them alike, or calibrate on the data set itself",
            )
        name = files[0].stem
    else:
        query, gallery, name = _embedded(request, network, session)
    rate = _USUAL if request.fmr is None else request.fmr
    return calibrate(query, gallery, false_match_rate=rate, metric=metric, data=name, model=network.mark)


def _embedded(request: Request, network: "Network", session: "Session") -> tuple[Any, Any, str]:
    """Query and gallery of a data set, and its name."""
    from snreid.experiments.scoring import read_targets
    from snreid.experiments.targets import embed_target

    root, name = request.machine.root, request.calibrate[0]
    (data,) = read_targets([dataset_named(name, root)], root, trained_on=trained_on(request.run))
    for note in data.remarks:
        session.say(note)
    out = Path("runs") / "verify" if own_backend(request.run) else beside(request.run)
    embedded = embed_target(network.embed, network.size, data, session, out, by=network.by)
    return embedded.query, embedded.gallery, data.name


def _kept(request: Request) -> "Calibration | None":
    """What --out has kept, if --calibrate names such a file."""
    from snreid.evaluation import Calibration

    path = Path(*request.calibrate[:1])
    if path.suffix.lower() != ".json" and (path.suffix or not path.is_file()):
        return None
    try:
        found = from_json(Calibration, json.loads(path.read_text(encoding="utf-8")), "the calibration")
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(
            "A calibration is a JSON file that snreid verify --out has written",
            found=f"{path}: {error}",
            fix="calibrate again, on a data set or a features file",
        ) from error
    for flag_, given, kept in (("--fmr", request.fmr, found.wanted), ("--metric", request.metric, found.metric)):
        if given is not None and given != kept:
            raise ExperimentError(
                f"{flag_} of a kept calibration is the one it was made with",
                found=f"{given} and, in {path}, {kept}",
                fix="leave it out, or calibrate again",
            )
    return found


def _score(request: Request, network: "Network", metric: str) -> float:
    from snreid.evaluation import pair_scores

    first, second = embed_files(network, request.images, unit=False)
    return float(pair_scores(first[None], second[None], metric)[0, 0])


def _write(request: Request, found: "Calibration | None") -> None:
    from snreid.figures.roc_chart import roc_svg

    if found is not None and request.out is not None:
        write_json(request.out, to_json(found))
    if found is not None and request.roc is not None:
        write_text(request.roc, roc_svg(found))


def _tell(request: Request, score: float | None, found: "Calibration | None", metric: str) -> None:
    from snreid.evaluation import score_text

    same = None if score is None or found is None else found.matches(score)
    if request.json:
        kept = None
        if found is not None:
            fields = {key: value for key, value in to_json(found).items() if key not in ("kind", "roc")}
            kept = {**fields, "interval": [found.interval.low, found.interval.high], "notes": list(found.notes)}
        names = [str(path) for path in request.images]
        print(json.dumps({"images": names, "metric": metric, "score": score, "same": same, "calibration": kept}))
    elif score is not None:
        shown = score_text(score, metric) if found is None else found.text(score)
        cosine = metric == "cosine"
        print(
            f"{'cosine' if cosine else 'distance'} {shown} ({'-1 to 1; higher' if cosine else '0 or more; lower'} is more alike)"
        )
    if found is None or request.json:
        return
    if same is not None:
        print(f"{'the same person' if same else 'different persons'}: the threshold is {found.rule}")
    else:
        print(f"threshold: {found.rule}")
    low, high = 100 * found.interval.low, 100 * found.interval.high
    print(
        visible(
            f"{found.data}: {100 * found.true_match_rate:.1f} [{low:.1f}, {high:.1f}] % of {found.genuine:,} pairs of the "
            f"same person match, and {100 * found.false_match_rate:.2g} % of {found.impostor:,} of different persons"
        )
    )
    for note in found.notes:
        print(note, file=sys.stderr)
