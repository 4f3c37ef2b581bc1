"""``snreid search``: the images of a gallery of embeddings that are nearest to a query."""

import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from snreid.cli.backends import Model, OnnxFlags, chosen_backend, embed_files, ready, require_same_model
from snreid.cli.extract import images_of
from snreid.cli.flags import Json, Metric, flag, parse
from snreid.cli.session import open_session, require_file
from snreid.errors import DataError, ExperimentError, visible
from snreid.system.atomic_files import atomic_write
from snreid.system.machine import Machine

if TYPE_CHECKING:
    from snreid.cli.backends import Network
    from snreid.records import Features, RankList, Sample

_NAMED = 3
_MEASURE = {"cosine": "1 - cosine", "euclidean": "Euclidean"}


@dataclass(frozen=True, kw_only=True)
class Request:
    """Search a gallery of embeddings for the person of an image.

    The gallery is a file of snreid extract, or one for evaluate --features.
    Several images, or a folder, are one query: the mean of their embeddings.
    Prints the nearest images; distances are 1 - cosine (0 to 2), or Euclidean.

    Examples:
      snreid search runs/snr-market1501-0 a.jpg --in features.npz
      snreid search runs/snr-noon-0 a.jpg b.jpg --in features.npz --out sheet.png
      snreid search runs/snr-market1501-0 anna --in features.npz --top 50 --json
    """

    run: Model
    query: Annotated[tyro.conf.Positional[tuple[Path, ...]], flag("images of one person, or folders", "QUERY...")]
    gallery: Annotated[Path, flag("the gallery: embeddings and names", "FILE.npz", name="in")]
    top: Annotated[int, flag("images to find", "K")] = 10
    out: Annotated[Path | None, flag("contact sheet to write", "FILE.png")] = None
    images: Annotated[
        Path | None, flag("folder of the gallery's images", "DIR", default="here, or beside the gallery")
    ] = None
    metric: Metric = None
    device: Annotated[str, flag("auto, cpu, cuda or cuda:N; torch only", "NAME")] = "auto"
    json: Json = False


@dataclass(frozen=True)
class Found:
    """One image of the gallery."""

    rank: int
    """From 1."""
    name: str
    distance: float
    """1 - cosine, or the Euclidean distance."""
    person: int | str | None = None
    """As in the gallery, like the camera; None if it does not know."""
    camera: int | str | None = None


def main(arguments: Sequence[str]) -> int:
    """Embeds the query, ranks, draws, prints."""
    request = parse(Request, arguments, "snreid search")
    from snreid.evaluation import rank_lists, read_gallery, read_mark

    if request.top < 1:
        raise ExperimentError("At least one image is found", found=f"--top {request.top}", fix="give 1 or more")
    if request.out is not None:
        require_file(request.out, ".png")
    gallery = read_gallery(request.gallery)
    paths, note = images_of(request.query)
    backend = chosen_backend(request.run, precision="float32", device=request.device)
    with open_session(Machine(device=request.device if backend == "torch" else "cpu")) as session:
        if note:
            session.say(note)
        network = ready(request.run, backend, OnnxFlags(), session)
        require_same_model(read_mark(request.gallery), network, request.gallery, session)
        metric = request.metric or network.metric
        query = _query(network, paths, gallery, metric)
        (ranks,) = rank_lists(query, gallery, [0], min(request.top, len(gallery.persons)), metric)
        if session.first:
            found = _found(ranks, gallery, metric)
            missing = _sheet(request, paths, found, metric, session.say) if request.out else []
            _tell(request, paths, found, metric, missing)
    return 0


def _query(network: "Network", paths: Sequence[Path], gallery: "Features", metric: str) -> "Features":
    """The mean of the embeddings of the images, of length 1 if the rows of the gallery are."""
    import numpy as np

    from snreid.evaluation import group_means, have_length_one
    from snreid.records import JUNK, NO_CAMERA, Features

    unit = metric == "cosine" or have_length_one(gallery.embeddings)
    vectors = embed_files(network, paths, unit=unit)
    mean = group_means(vectors, np.zeros(len(vectors), np.int64), "cosine" if unit else "euclidean")
    return Features(mean, np.array([JUNK]), np.array([NO_CAMERA]))  # nobody's images: none is left out of the list


def _found(ranks: "RankList", gallery: "Features", metric: str) -> list[Found]:
    from snreid.records import JUNK, NO_CAMERA

    found = []
    for rank, (row, score) in enumerate(zip(ranks.gallery.tolist(), ranks.score.tolist(), strict=True), 1):
        name = gallery.names[row] if gallery.names else f"row {row}"
        person, camera = int(gallery.persons[row]), int(gallery.cameras[row])
        found.append(
            Found(
                rank,
                name,
                max(0.0, 1 - score) if metric == "cosine" else abs(score),
                None if person == JUNK else gallery.person_names.get(person, person),
                None if camera == NO_CAMERA else gallery.camera_names.get(camera, camera),
            )
        )
    return found


def _sheet(
    request: Request, paths: Sequence[Path], found: Sequence[Found], metric: str, say: Callable[[str], None]
) -> list[str]:
    """Draws the contact sheet. Returns the names of the images that are missing on it."""
    from snreid.figures.pictures import Hit, search_picture

    assert request.out is not None
    folders = [folder for folder in (request.images, Path(), request.gallery.parent) if folder is not None]
    hits = [Hit(_image(one.name, folders), f"{one.rank}  {one.distance:.3f}") for one in found]
    queries = [sample for path in paths if (sample := _image(str(path), [Path()])) is not None]
    more = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
    title = f"{paths[0].name}{more} in {request.gallery.name}, distances: {_MEASURE[metric]}"
    picture = search_picture(visible(title), queries, hits)
    with atomic_write(request.out) as draft:
        picture.save(draft, "PNG")
    missing = [one.name for one, hit in zip(found, hits, strict=True) if hit.sample is None]
    if missing:
        names = ", ".join(missing[:_NAMED]) + ", ..." * (len(missing) > _NAMED)
        say(
            f"{len(missing)} of {len(found)} images are missing on the sheet; --images DIR says where they are: {names}"
        )
    return missing


def _image(name: str, folders: Sequence[Path]) -> "Sample | None":
    """The image of this name in the first folder that has it; None if none has, or it cannot be read."""
    from snreid.images.reading import FileImage
    from snreid.records import DISTRACTOR, NO_CAMERA, Sample

    for path in (folder / name for folder in folders):
        with suppress(DataError):
            image = FileImage(str(path))
            image.read()
            return Sample(image, DISTRACTOR, NO_CAMERA)
    return None


def _tell(request: Request, paths: Sequence[Path], found: Sequence[Found], metric: str, missing: list[str]) -> None:
    if request.json:
        rows = [{key: value for key, value in asdict(one).items() if value is not None} for one in found]
        about = {"query": [str(path) for path in paths], "gallery": str(request.gallery), "metric": metric}
        sheet = None if request.out is None else str(request.out)
        print(json.dumps({**about, "found": rows, "sheet": sheet, "missing": missing}))
        return
    print("rank  distance  image")
    for one in found:
        named = (("person", one.person), ("camera", one.camera))
        labels = [f"{kind} {label}" for kind, label in named if label is not None]
        who = f"  ({', '.join(labels)})" if labels else ""
        print(visible(f"{one.rank:>4}  {one.distance:>8.4f}  {one.name}{who}"))
    if request.out is not None:
        print(visible(f"Sheet: {request.out}"))
