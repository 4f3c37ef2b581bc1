"""``snreid extract``: image files in, embeddings out."""

import json
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

from snreid.cli.backends import (
    Backend,
    BackendFlag,
    Model,
    OnnxFlags,
    OnnxInput,
    chosen_backend,
    ready,
    trained_on,
)
from snreid.cli.flags import Images, Json, example, flag, parse
from snreid.cli.machine import DataFolder
from snreid.cli.names import dataset_named
from snreid.cli.session import open_session, require_file
from snreid.errors import DataError, ExperimentError, visible
from snreid.images.files import images_at
from snreid.system.atomic_files import atomic_write
from snreid.system.locks import file_lock
from snreid.system.machine import Machine

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from snreid.datasets.labels import LabelRow
    from snreid.images.reading import BadImage
    from snreid.records import ImageSource, ReIDData
    from snreid.training.session import Session


@dataclass(frozen=True, kw_only=True)
class Request:
    """Turn images into embeddings with the model of a run, or its exported file.

    Writes an npz file with names and embeddings, an array (images, dimensions)
    with rows of length 1. With persons, from names (--pattern) or of a data set
    (--data), snreid evaluate --features scores it.

    Examples:
      snreid extract runs/snr-market1501-0 photos --out features.npz
      snreid extract model.onnx a.jpg b.jpg --half
      snreid extract RUN shop --pattern "{split}/{person}_c{camera}_{*}.jpg"
      snreid extract RUN --data market1501
    """

    run: Model
    images: Images = ()
    pattern: Annotated[str, flag("how names below the folders tell persons", "PATTERN")] = ""
    tracks: Annotated[bool, flag("a row for each track: the mean of its images")] = False
    data: Annotated[str, flag("data set: its query and gallery, labelled", "NAME")] = ""
    root: DataFolder = field(default_factory=lambda: Machine().root)
    out: Annotated[Path, flag("file to write", "FILE.npz")] = Path("features.npz")
    device: Annotated[str, flag("torch: auto, cpu, cuda, cuda:N", "NAME")] = "auto"
    half: Annotated[bool, flag("store float16: half the size, 11 significant bits")] = False
    backend: BackendFlag = None
    batch: Annotated[int | None, flag("images at a time", "N", default="the fastest, measured")] = None
    precision: Annotated[Literal["float32", "bf16"], flag("float32; bf16 if supported", "TYPE")] = "float32"
    fuse: Annotated[bool, flag("CPU: faster convolutions by private operators of torch")] = False
    skip_bad: Annotated[bool, flag("go on without images that cannot be read")] = False
    file: OnnxInput = OnnxFlags()
    json: Json = False


def main(arguments: Sequence[str]) -> int:
    """Embed and write; of several processes each embeds a part, and the first one writes."""
    request = parse(Request, arguments, "snreid extract")
    from snreid.images.reading import BadImage

    require_file(request.out, ".npz")  # before images are embedded
    backend = chosen_backend(
        request.run,
        precision=request.precision,
        given=request.backend,
        batch=request.batch,
        device=request.device,
    )
    request.file.require_onnx(request.run, backend)
    if backend != "torch" and request.fuse:
        raise ExperimentError(
            f"{backend} fuses convolutions itself", found="--fuse", fix="leave it out, or take --backend torch"
        )
    images = _images(request)
    batch = [request.batch] if request.batch else []
    bad: dict[int, BadImage] = {}
    # Another runtime computes on the CPU, even if there is a GPU.
    device = request.device if backend == "torch" else "cpu"
    with (
        open_session(Machine(device=device, precision=request.precision)) as session,
        session.holding(file_lock(request.out, "writing embeddings")),
    ):
        embed, mark = _embed(request, backend, session)
        vectors = embed(
            images.sources,
            batch=request.batch or "measured",
            tell=batch.append,
            leave_out=bad.update if request.skip_bad else None,
            group=session.group,
        )
        if session.first:
            for note in images.notes:
                print(visible(note), file=sys.stderr)
            kept = [place for place in range(len(images.sources)) if place not in bad]
            if request.tracks:
                kept, vectors = _means(images.tracks, kept, vectors)
            labels = {name: values[kept] for name, values in images.labels.items()}
            _write(request, labels, vectors, mark)
            _say(request, images, labels, vectors, list(bad.values()), batch)
    return 0


@dataclass(frozen=True)
class _Images:
    """What is embedded."""

    sources: "Sequence[ImageSource]"
    labels: "dict[str, NDArray[Any]]"
    """``names``, and where they are known ``persons``, ``cameras`` and ``splits``, one entry for each image."""
    notes: Sequence[str] = ()
    tracks: "Sequence[_Track]" = ()
    """If means of tracks are wanted: one for each row to write."""


class _Track(NamedTuple):
    """A row to write, by places of images."""

    labels: list[int]
    """The first of these that can be read names the row."""
    images: list[int]
    """The row is the mean of these."""


def _images(request: Request) -> _Images:
    """The named images, or those of the named data set, with their labels."""
    from snreid.datasets.folder import compile_pattern

    if bool(request.data) == bool(request.images) or (request.data and request.pattern):
        raise ExperimentError(
            "Images are named as files and folders, perhaps with --pattern, or as a data set by --data",
            found="neither" if not request.data and not request.images else "both",
            fix=f"write it like {example(Request)}",
        )
    pattern = "" if request.data or not request.tracks else request.pattern or "no --pattern"
    if pattern and not (request.pattern and "track" in compile_pattern(pattern).groupindex):
        raise ExperimentError(
            "--tracks takes means of the tracks that a pattern or a data set names",
            found=f"--pattern {pattern}" if request.pattern else pattern,
            fix='give one with {track}: --pattern "{person}/c{camera}/{track}/{*}.jpg"',
        )
    return _of_data(request) if request.data else _of_files(request)


def _of_files(request: Request) -> _Images:
    import numpy as np

    from snreid.datasets.folder import label_rows
    from snreid.datasets.labels import track_numbers
    from snreid.datasets.table import ENDINGS
    from snreid.images.reading import FileImage

    if tables := [place for place in request.images if place.suffix.lower() in ENDINGS and place.is_file()]:
        raise DataError(
            "Images are files and folders; a table of them is a data set",
            found=str(tables[0]),
            fix=f"name it by --data {tables[0]}",
        )
    paths, note = images_of(request.images)
    (path, times), *_ = Counter(path.absolute() for path in paths).most_common(1)
    if times > 1:  # as images of their own they would change the scores
        raise DataError("Each image is named once", found=f"{path} {times} times", fix="name it, or its folder, once")
    sources, notes = [FileImage(str(path)) for path in paths], [note] if note else []
    if not request.pattern:
        return _Images(sources, {"names": np.array([source.name for source in sources])}, notes)
    rows: list[LabelRow] = []
    for place in request.images:
        folder = place if place.is_dir() else place.parent
        names = [Path(path).relative_to(folder).as_posix() for path in images_at([place]).images]
        # Tracks count anew in every folder.
        rows += [replace(row, track=f"{folder}/{row.track}") for row in label_rows(folder, names, request.pattern)[0]]
    tracks = [_Track(places, places) for places in _places(track_numbers(rows)).values()] if request.tracks else ()
    return _Images(sources, _labelled(rows), notes, tracks)


def _of_data(request: Request) -> _Images:
    from snreid.datasets import require_unseen_persons
    from snreid.datasets.labels import LabelRow
    from snreid.experiments.scoring import read_targets

    named = dataset_named(request.data, request.root)
    (data,) = read_targets([named], request.root)
    require_unseen_persons(trained_on(request.run), named)  # a file of embeddings does not tell evaluate what made it
    samples = [
        (sample, part) for part, split in (("query", data.query), ("gallery", data.gallery)) for sample in split.samples
    ]
    rows = [
        LabelRow(sample.image.name, str(sample.person), str(sample.camera) if data.has_cameras else None, part, "")
        for sample, part in samples
    ]
    tracks = _tracks_of(data) if request.tracks else ()
    return _Images([sample.image for sample, _ in samples], _labelled(rows), data.remarks, tracks)


def _tracks_of(data: "ReIDData") -> list[_Track]:
    """Those of the query images, then of the gallery, whose places follow; a query track is whole where the gallery holds its images."""
    from snreid.experiments.targets import require_tracks

    for split in (data.query, data.gallery):
        require_tracks(split, data.name)
    asked, there = _places(data.query.tracks.tolist()), _places(data.gallery.tracks.tolist(), first=len(data.query))
    whole = there if asked.keys() <= there.keys() else asked
    query = [_Track(places, whole[track]) for track, places in sorted(asked.items())]
    return query + [_Track(places, places) for _, places in sorted(there.items())]


def _places(tracks: Sequence[int], first: int = 0) -> dict[int, list[int]]:
    """The places of the images of each track, counted from ``first``."""
    places: defaultdict[int, list[int]] = defaultdict(list)
    for place, track in enumerate(tracks, first):
        places[track].append(place)
    return places


def _labelled(rows: "Sequence[LabelRow]") -> "dict[str, NDArray[Any]]":
    """Labels as ``snreid evaluate --features`` reads them."""
    import numpy as np

    from snreid.datasets.labels import split_word
    from snreid.evaluation import label_array

    labels = {"names": np.array([row.path for row in rows]), "persons": label_array(row.person for row in rows)}
    if rows[0].camera is not None:
        labels["cameras"] = label_array(str(row.camera) for row in rows)
    if rows[0].split is not None:
        labels["splits"] = np.array([split_word(row) for row in rows])
    return labels


def _means(
    tracks: Sequence[_Track], readable: Sequence[int], vectors: "NDArray[Any]"
) -> tuple[list[int], "NDArray[Any]"]:
    """The place whose labels each track has, and the mean of its embeddings, of length 1; tracks without a readable image are left out."""
    import numpy as np

    from snreid.evaluation import group_means

    row_of = {place: row for row, place in enumerate(readable)}
    named = [next((place for place in track.labels if place in row_of), None) for track in tracks]
    there = [(place, track.images) for place, track in zip(named, tracks, strict=True) if place is not None]
    rows = [[row_of[place] for place in images if place in row_of] for _, images in there]
    groups = np.repeat(np.arange(len(rows)), [len(one) for one in rows])
    return [place for place, _ in there], group_means(vectors[[row for one in rows for row in one]], groups)


def _write(request: Request, labels: "dict[str, NDArray[Any]]", vectors: "NDArray[Any]", mark: str) -> None:
    import numpy as np

    from snreid.evaluation import MARK, in_half

    embeddings = in_half(vectors, "extracted") if request.half else vectors
    arrays: dict[str, Any] = {**labels, "embeddings": embeddings, MARK: np.str_(mark)}
    with atomic_write(request.out) as draft, draft.open("wb") as file:
        np.savez(file, **arrays)


def _say(
    request: Request,
    images: _Images,
    written: "dict[str, NDArray[Any]]",
    vectors: "NDArray[Any]",
    bad: Sequence["BadImage"],
    batch: Sequence[int],
) -> None:
    """Report the written file; ``batch``: images at a time, as requested or measured; empty if there were too few to measure."""
    from snreid.images.reading import listed
    from snreid.inference.embedder import SHOWN_BAD

    counts = {name: len(set(values.tolist())) for name, values in written.items() if name != "names"}
    done: dict[str, object] = {
        "file": str(request.out),
        "images": len(images.sources) - len(bad),
        "dim": int(vectors.shape[1]),
        **({"tracks": len(vectors)} if request.tracks else {}),
        "batch": batch[0] if batch else None,
        "labels": list(counts),
        "left_out": [{"name": one.name, "reason": one.reason} for one in bad],
    }
    if bad:
        sentence = (
            f"{len(bad)} of {len(images.sources)} images could not be read and are left out: {listed(bad, SHOWN_BAD)}."
        )
        print(visible(sentence), file=sys.stderr)
    measured = f"; {batch[0]} images at a time were fastest" if batch and not request.batch else ""
    counted = [f"{count} {name if count > 1 else name[:-1]}" for name, count in counts.items()]
    listed_labels = " and ".join(filter(None, [", ".join(counted[:-1]), *counted[-1:]]))
    with_labels = f", with {listed_labels}," if counts else ""
    print(
        json.dumps(done)
        if request.json
        else visible(f"{len(vectors)} embeddings of {done['dim']} numbers{with_labels} in {done['file']}{measured}")
    )


def images_of(places: Sequence[Path]) -> tuple[list[Path], str]:
    """The named image files and those in the named folders, and a note on other files there. Raises ``DataError`` when there
    are none."""
    there = images_at(places)
    if not there.images:
        found = f"none in {', '.join(map(str, places)) or 'an empty list'}"
        raise DataError(
            "Extraction needs images",
            found=f"{found}; {there.note}" if there.note else found,
            fix="name image files, or a folder with images in it or below it",
        )
    return [Path(path) for path in there.images], there.note


def _embed(request: Request, backend: Backend, session: "Session") -> tuple[Callable[..., Any], str]:
    """The function that embeds files: ``(paths, batch, tell, leave_out, group)``, and the mark of its model."""
    from functools import partial

    from snreid.inference.embedder import Embedder, extract

    network = ready(request.run, backend, request.file, session, fuse=request.fuse)
    if isinstance(network.embed, Embedder):
        return network.embed.extract, network.mark
    return partial(extract, network.embed, network.size, by=network.by), network.mark
