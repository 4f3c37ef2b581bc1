"""``snreid extract``: image files in, embeddings out."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro


@dataclass(frozen=True, kw_only=True)
class Request:
    """Embed images with a run's model; writes an npz with `names` and L2-normalized `embeddings` (N, D) float32, or float16 with --half.

    The model may also be a file that snreid export wrote: .onnx is run by ONNX Runtime, .xml by OpenVINO.
    """

    run: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(help="folder of a finished run, or its exported file")]
    images: Annotated[tyro.conf.Positional[tuple[Path, ...]], tyro.conf.arg(help="image files, or folders of them")]
    out: Annotated[Path, tyro.conf.arg(help="file to write")] = Path("features.npz")
    device: Annotated[str, tyro.conf.arg(help="auto, cpu, cuda or cuda:N")] = "cpu"
    half: Annotated[bool, tyro.conf.arg(help="store float16: half the size, 11 significant bits")] = False
    backend: Annotated[
        Literal["torch", "onnxruntime", "openvino"] | None,
        tyro.conf.arg(help="what computes", help_behavior_hint="(default: torch, for a file its own)"),
    ] = None
    batch: Annotated[
        int | None,
        tyro.conf.arg(help="images per call of the network", help_behavior_hint="(default: the fastest, measured)"),
    ] = None
    precision: Annotated[
        Literal["float32", "bf16"],
        tyro.conf.arg(help="bf16 wants a GPU or a CPU with bfloat16 units (elsewhere it is far slower); torch only"),
    ] = "float32"
    json: Annotated[bool, tyro.conf.arg(help="print one JSON object")] = False


_OF_FILE: dict[str, Literal["onnxruntime", "openvino"]] = {".onnx": "onnxruntime", ".xml": "openvino"}


def main(arguments: Sequence[str]) -> int:
    """Embeds and writes."""
    request = tyro.cli(Request, args=list(arguments), prog="snreid extract")
    import numpy as np

    from snreid.evaluation import in_half
    from snreid.models.weights import require_replaceable, write_atomically

    require_replaceable(request.out)  # before images are embedded
    backend = _backend(request)
    paths = images_of(request.images)
    vectors = _embed(request, backend)(paths, batch=request.batch or "measured")
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


def _backend(request: Request) -> str:
    """What computes. Raises ``ExperimentError`` for what does not go together."""
    from snreid.errors import ExperimentError
    from snreid.training.distributed import chosen_device

    own = _OF_FILE.get(request.run.suffix.lower()) if not request.run.is_dir() else None
    backend = request.backend or own or "torch"
    if own is not None and backend != own:
        raise ExperimentError(
            "An .onnx file is run by onnxruntime, an .xml file by openvino",
            came=f"{request.run} with --backend {backend}",
            repair="leave --backend out, or give the folder of the run",
        )
    if request.batch is not None and request.batch < 1:
        raise ExperimentError("A batch has at least one image", came=f"--batch {request.batch}", repair="leave it out")
    device = str(chosen_device(request.device))
    if backend != "torch" and (device != "cpu" or request.precision != "float32"):
        raise ExperimentError(
            f"{backend} computes on the CPU in the precision of its file",
            came=f"--device {request.device} --precision {request.precision}",
            repair="leave both out, or take --backend torch",
        )
    return backend


def _embed(request: Request, backend: str) -> Callable[..., Any]:
    """What extracts files: ``(paths, batch)``."""
    from functools import partial

    from snreid.embedding import extract
    from snreid.runs import open_run
    from snreid.training.distributed import chosen_device

    if backend == "torch":
        device = str(chosen_device(request.device))
        return open_run(request.run).embedder(device=device, bf16=request.precision == "bf16").extract
    opened = _opened(request.run, backend)
    return partial(extract, lambda images: opened(images.permute(0, 2, 3, 1).numpy()), (opened.height, opened.width))


def _opened(model: Path, backend: str) -> Any:
    """The embedder of another runtime: of a file, or of a run that is exported for this once."""
    import tempfile

    from snreid.evaluation import OnnxEmbedder
    from snreid.export import OpenVinoEmbedder, write_onnx, write_openvino
    from snreid.runs import load

    if not model.is_dir():
        return (OnnxEmbedder if backend == "onnxruntime" else OpenVinoEmbedder)(path=model).open()
    with tempfile.TemporaryDirectory() as place:
        embedder = load(model)
        file = write_onnx(embedder, Path(place) / "model.onnx").path
        if backend == "onnxruntime":
            return OnnxEmbedder(path=file).open()
        return OpenVinoEmbedder(path=write_openvino(embedder, file, file.with_suffix(".xml")).path).open()
