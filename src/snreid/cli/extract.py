"""``snreid extract``: image files in, embeddings out."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Annotated

import tyro


@dataclass(frozen=True, kw_only=True)
class Request:
    """Embed images with a run's model; writes an npz with `names` and L2-normalized `embeddings` (N, D) float32, or float16 with --half."""

    run: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(help="folder of a finished run")]
    images: Annotated[tyro.conf.Positional[tuple[Path, ...]], tyro.conf.arg(help="image files, or folders of them")]
    out: Annotated[Path, tyro.conf.arg(help="file to write")] = Path("features.npz")
    device: Annotated[str, tyro.conf.arg(help="auto, cpu, cuda or cuda:N")] = "cpu"
    half: Annotated[bool, tyro.conf.arg(help="store float16: half the size, 11 significant bits")] = False
    json: Annotated[bool, tyro.conf.arg(help="print one JSON object")] = False


def main(arguments: Sequence[str]) -> int:
    """Embeds and writes."""
    request = tyro.cli(Request, args=list(arguments), prog="snreid extract")
    import numpy as np

    from snreid.datasets._files import SUFFIXES as IMAGE_SUFFIXES
    from snreid.errors import DataError
    from snreid.evaluation import in_half
    from snreid.models.weights import require_replaceable, write_atomically
    from snreid.runs import load
    from snreid.training.distributed import chosen_device

    require_replaceable(request.out)  # before images are embedded
    device = str(chosen_device(request.device))
    paths: list[Path] = []
    for path in request.images:
        inside = sorted(p for p in path.rglob("*") if p.suffix.lower() in IMAGE_SUFFIXES) if path.is_dir() else [path]
        paths += inside
    if not paths:
        raise DataError(
            "Extraction needs images",
            came=f"none in {', '.join(map(str, request.images)) or 'an empty list'}",
            repair="give image files",
        )
    vectors = load(request.run, device=device).extract(paths)
    content = BytesIO()
    np.savez(
        content,
        names=np.array([str(p) for p in paths]),
        embeddings=in_half(vectors, "extracted") if request.half else vectors,
    )
    write_atomically(request.out, content.getvalue())
    done = {"file": str(request.out), "images": len(paths), "dim": int(vectors.shape[1])}
    print(
        json.dumps(done) if request.json else f"{done['images']} embeddings of {done['dim']} numbers in {done['file']}"
    )
    return 0
