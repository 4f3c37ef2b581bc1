"""``snreid extract``: image files in, embeddings out."""

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from snreid.cli.backends import Backend, BackendFlag, batch_flag, chosen_backend, embed_batch, open_network, own_backend


@dataclass(frozen=True, kw_only=True)
class Request:
    """Embed images with a run's model; writes an npz with `names` and L2-normalized `embeddings` (N, D) float32, or float16 with --half.

    The model may also be a file that snreid export wrote: .onnx is run by ONNX Runtime, .xml by OpenVINO.
    """

    run: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(help="folder of a finished run, or its exported file")]
    images: Annotated[tyro.conf.Positional[tuple[Path, ...]], tyro.conf.arg(help="image files, or folders of them")]
    out: Annotated[Path, tyro.conf.arg(help="file to write")] = Path("features.npz")
    device: Annotated[str, tyro.conf.arg(help="auto, cpu, cuda or cuda:N; torch only")] = "auto"
    half: Annotated[bool, tyro.conf.arg(help="store float16: half the size, 11 significant bits")] = False
    backend: BackendFlag = None
    batch: Annotated[int | None, batch_flag("the fastest, measured")] = None
    precision: Annotated[
        Literal["float32", "bf16"],
        tyro.conf.arg(help="bf16 wants a GPU or a CPU with bfloat16 units (elsewhere it is far slower); torch only"),
    ] = "float32"
    skip_bad: Annotated[bool, tyro.conf.arg(help="go on without images that cannot be read")] = False
    json: Annotated[bool, tyro.conf.arg(help="print one JSON object")] = False


def main(arguments: Sequence[str]) -> int:
    """Embeds and writes."""
    request = tyro.cli(Request, args=list(arguments), prog="snreid extract")
    import numpy as np

    from snreid.embedding import SHOWN_BAD
    from snreid.evaluation import in_half
    from snreid.images import BadImage, listed
    from snreid.models.weights import require_replaceable, write_atomically

    require_replaceable(request.out)  # before images are embedded
    backend = _backend(request)
    paths = images_of(request.images)
    batch = [request.batch] if request.batch else []
    bad: dict[int, BadImage] = {}
    vectors = _embed(request, backend)(
        paths,
        batch=request.batch or "measured",
        tell=batch.append,
        leave_out=bad.update if request.skip_bad else None,
    )
    content = BytesIO()
    np.savez(
        content,
        names=np.array([str(path) for place, path in enumerate(paths) if place not in bad]),
        embeddings=in_half(vectors, "extracted") if request.half else vectors,
    )
    write_atomically(request.out, content.getvalue())
    done: dict[str, object] = {"file": str(request.out), "images": len(vectors), "dim": int(vectors.shape[1])}
    done["batch"] = batch[0] if batch else None  # None: too few images to measure
    done["left_out"] = [{"name": one.name, "reason": one.reason} for one in bad.values()]
    if bad:
        shown = listed(list(bad.values()), SHOWN_BAD)
        print(f"{len(bad)} of {len(paths)} images could not be read and are left out: {shown}.", file=sys.stderr)
    measured = f"; {batch[0]} images at a time were fastest" if batch and not request.batch else ""
    print(
        json.dumps(done)
        if request.json
        else f"{done['images']} embeddings of {done['dim']} numbers in {done['file']}{measured}"
    )
    return 0


def images_of(places: Sequence[Path]) -> list[Path]:
    """The image files that are named or lie in a folder that is. Raises ``DataError`` when there are none."""
    from snreid.datasets._files import SUFFIXES as IMAGE_SUFFIXES
    from snreid.errors import DataError

    paths: list[Path] = []
    for path in places:
        inside = sorted(p for p in path.rglob("*") if p.suffix.lower() in IMAGE_SUFFIXES) if path.is_dir() else [path]
        paths += inside
    if not paths:
        raise DataError(
            "Extraction needs images",
            came=f"none in {', '.join(map(str, places)) or 'an empty list'}",
            repair="give image files",
        )
    return paths


def _backend(request: Request) -> Backend:
    """What computes. Raises ``ExperimentError`` for what does not go together."""
    return chosen_backend(
        request.run,
        request.backend,
        own=own_backend(request.run),
        batch=request.batch,
        precision=request.precision,
        device=request.device,
    )


def _embed(request: Request, backend: Backend) -> Callable[..., Any]:
    """What extracts files: ``(paths, batch, tell)``."""
    from functools import partial

    from snreid.cli.session import keep_to_quota
    from snreid.embedding import extract
    from snreid.runs import open_run
    from snreid.training.distributed import chosen_device

    if backend == "torch":
        keep_to_quota()
        device = str(chosen_device(request.device))
        return open_run(request.run).embedder(device=device, bf16=request.precision == "bf16").extract
    network = open_network(request.run, backend)
    return partial(extract, embed_batch(network), (network.height, network.width))
