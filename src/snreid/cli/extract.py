"""``snreid extract``: image files in, embeddings out."""

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from snreid.cli.backends import (
    Backend,
    BackendFlag,
    OnnxFlags,
    OnnxInput,
    chosen_backend,
    own_backend,
    ready,
)
from snreid.cli.flags import Json, flag, parse
from snreid.errors import visible
from snreid.system.machine import Machine

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from snreid.images.reading import BadImage
    from snreid.training.session import Session


@dataclass(frozen=True, kw_only=True)
class Request:
    """Turn images into embeddings with the model of a run, or its exported file.

    Writes an npz file with names and embeddings, an array (images, dimensions)
    with rows of length 1.

    Examples:
      snreid extract runs/snr-market1501-0 photos --out features.npz
      snreid extract runs/snr-market1501-0 a.jpg b.jpg --half
      snreid extract model.onnx photos --batch 16
    """

    run: Annotated[tyro.conf.Positional[Path], flag("folder of a finished run, or its exported file", "RUN")]
    images: Annotated[tyro.conf.Positional[tuple[Path, ...]], flag("image files, or folders of them", "IMAGE...")]
    out: Annotated[Path, flag("file to write", "FILE.npz")] = Path("features.npz")
    device: Annotated[str, flag("auto, cpu, cuda or cuda:N; torch only", "NAME")] = "auto"
    half: Annotated[bool, flag("store float16: half the size, 11 significant bits")] = False
    backend: BackendFlag = None
    batch: Annotated[int | None, flag("images per call of the network", "N", default="the fastest, measured")] = None
    precision: Annotated[Literal["float32", "bf16"], flag("float32, or bf16 where the hardware has it", "TYPE")] = (
        "float32"
    )
    fuse: Annotated[bool, flag("CPU: faster convolutions by private operators of torch")] = False
    skip_bad: Annotated[bool, flag("go on without images that cannot be read")] = False
    file: OnnxInput = OnnxFlags()
    json: Json = False


def main(arguments: Sequence[str]) -> int:
    """Embed and write; of several processes each embeds a part, and the first one writes."""
    request = parse(Request, arguments, "snreid extract")
    from snreid.cli.session import open_session, require_file
    from snreid.errors import ExperimentError
    from snreid.images.reading import BadImage
    from snreid.system.locks import file_lock

    require_file(request.out, ".npz")  # before images are embedded
    backend = chosen_backend(
        request.run,
        request.backend,
        own=own_backend(request.run),
        batch=request.batch,
        precision=request.precision,
        device=request.device,
    )
    request.file.check(request.run, backend)
    if backend != "torch" and request.fuse:
        raise ExperimentError(
            f"{backend} fuses convolutions itself", found="--fuse", fix="leave it out, or take --backend torch"
        )
    paths, note = images_of(request.images)
    batch = [request.batch] if request.batch else []
    bad: dict[int, BadImage] = {}
    # Another runtime computes on the CPU, even if there is a GPU.
    device = request.device if backend == "torch" else "cpu"
    with (
        open_session(Machine(device=device, precision=request.precision)) as session,
        session.holding(file_lock(request.out, "writing embeddings")),
    ):
        vectors = _embed(request, backend, session)(
            paths,
            batch=request.batch or "measured",
            tell=batch.append,
            leave_out=bad.update if request.skip_bad else None,
            group=session.group,
        )
        if session.first:
            if note:
                print(visible(note), file=sys.stderr)
            _write(request, [path for place, path in enumerate(paths) if place not in bad], vectors)
            _say(request, vectors, list(bad.values()), batch)
    return 0


def _write(request: Request, paths: Sequence[Path], vectors: "NDArray[Any]") -> None:
    import numpy as np

    from snreid.evaluation import in_half
    from snreid.system.atomic_files import atomic_write

    names = np.array([str(path) for path in paths])
    embeddings = in_half(vectors, "extracted") if request.half else vectors
    with atomic_write(request.out) as draft, draft.open("wb") as file:
        np.savez(file, names=names, embeddings=embeddings)


def _say(request: Request, vectors: "NDArray[Any]", bad: Sequence["BadImage"], batch: Sequence[int]) -> None:
    """Report the written file; ``batch``: images at a time, as requested or measured; empty if there were too few to measure."""
    from snreid.images.reading import listed
    from snreid.inference.embedder import SHOWN_BAD

    done: dict[str, object] = {"file": str(request.out), "images": len(vectors), "dim": int(vectors.shape[1])}
    done["batch"] = batch[0] if batch else None
    done["left_out"] = [{"name": one.name, "reason": one.reason} for one in bad]
    if bad:
        count = len(vectors) + len(bad)
        sentence = f"{len(bad)} of {count} images could not be read and are left out: {listed(bad, SHOWN_BAD)}."
        print(visible(sentence), file=sys.stderr)
    measured = f"; {batch[0]} images at a time were fastest" if batch and not request.batch else ""
    print(
        json.dumps(done)
        if request.json
        else visible(f"{done['images']} embeddings of {done['dim']} numbers in {done['file']}{measured}")
    )


def images_of(places: Sequence[Path]) -> tuple[list[Path], str]:
    """The named image files and those in the named folders, and a note on other files there. Raises ``DataError`` when there
    are none."""
    from snreid.errors import DataError
    from snreid.images.files import images_at

    there = images_at(places)
    if not there.images:
        found = f"none in {', '.join(map(str, places)) or 'an empty list'}"
        raise DataError(
            "Extraction needs images", found=f"{found}; {there.note}" if there.note else found, fix="give image files"
        )
    return [Path(path) for path in there.images], there.note


def _embed(request: Request, backend: Backend, session: "Session") -> Callable[..., Any]:
    """The function that embeds files: ``(paths, batch, tell, leave_out, group)``."""
    from functools import partial

    from snreid.inference.embedder import Embedder, extract

    network = ready(request.run, backend, request.file, session, fuse=request.fuse)
    if isinstance(network.embed, Embedder):
        return network.embed.extract
    return partial(extract, network.embed, network.size, by=network.by)
