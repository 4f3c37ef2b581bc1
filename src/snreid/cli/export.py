"""``snreid export``: a run's model as a file for ONNX Runtime or OpenVINO, in float32 or in 8 bits."""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from snreid.cli.backends import embed_batch, weights_mark
from snreid.cli.extract import images_of
from snreid.cli.flags import Json, RunFolder, flag, parse
from snreid.cli.machine import DataFolder
from snreid.cli.names import dataset_named
from snreid.cli.session import open_session, require_file
from snreid.errors import DataError, ExperimentError, visible
from snreid.experiments.packaged import beside
from snreid.system.atomic_files import write_bytes
from snreid.system.machine import Machine, data_root

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from snreid.inference.embedder import Embedder
    from snreid.inference.onnx_embedder import OpenedOnnx


@dataclass(frozen=True, kw_only=True)
class Request:
    """Write the model of a run as a file, with input size and normalization inside.

    It takes any batch size and is compared with torch when it is written. --int8
    stores convolutions in 8 bits, calibrated on images without labels; the
    cost is printed as cosine to the float32 embeddings and, with --score, as mAP.

    Examples:
      snreid export runs/snr-market1501-0
      snreid export runs/snr-market1501-0 --to openvino --out snr.xml
      snreid export runs/snr-noon-0 --int8 --calibrate photos --score noon
    """

    run: RunFolder
    to: Annotated[Literal["onnx", "openvino"], flag("file format: onnx or openvino", "FORMAT")] = "onnx"
    out: Annotated[Path | None, flag("file to write", "FILE", default="RUN/model.onnx or RUN/model.xml")] = None
    int8: Annotated[bool, flag("convolutions in 8 bits; needs --calibrate")] = False
    calibrate: Annotated[tuple[Path, ...], flag("image files or folders, a few hundred images", "PATH")] = ()
    score: Annotated[str | None, flag("labelled data set to score both on", "NAME")] = None
    root: DataFolder = field(default_factory=data_root)
    json: Json = False


_MOST = 512
"""Most calibration images used, spaced evenly over the given ones."""


def main(arguments: Sequence[str]) -> int:
    """Export and print."""
    request = parse(Request, arguments, "snreid export")
    from snreid.experiments.runs import load

    if request.int8 != bool(request.calibrate) or (request.score and not request.int8):
        raise ExperimentError(
            "8 bits need calibration images, and only 8 bits need them or a score",
            found=f"--int8 {'given' if request.int8 else 'not given'}, {len(request.calibrate)} paths to calibrate on",
            fix="for example: snreid export RUN --int8 --calibrate IMAGES --score market1501",
        )
    out = request.out or beside(request.run) / f"model{'-int8' if request.int8 else ''}.{_SUFFIX[request.to]}"
    require_file(out, f".{_SUFFIX[request.to]}")
    embedder = load(request.run)
    done = _written(request, embedder, out)
    print(json.dumps(done) if request.json else "\n".join(_sentences(done)))
    return 0


_SUFFIX = {"onnx": "onnx", "openvino": "xml"}


def _written(request: Request, embedder: "Embedder", out: Path) -> dict[str, Any]:
    import tempfile

    from snreid.inference.int8 import quantize
    from snreid.inference.onnx_embedder import OnnxEmbedder
    from snreid.inference.onnx_file import write_onnx
    from snreid.inference.openvino_file import OpenVinoEmbedder, write_openvino

    images = _calibration(request, embedder) if request.int8 else []
    with tempfile.TemporaryDirectory() as place:
        exported = write_onnx(embedder, Path(place) / "float32.onnx", weights=weights_mark(request.run))
        source = exported.path
        if request.int8:
            source = Path(place) / "int8.onnx"
            quantize(exported.path, source, images)
        if request.to == "openvino":
            converted = write_openvino(None if request.int8 else embedder, source, out)
            exported = exported if request.int8 else converted
        else:
            write_bytes(out, source.read_bytes())
    done: dict[str, Any] = {"file": str(out), "bytes": out.stat().st_size}
    if request.to == "openvino":
        done["bytes"] += out.with_suffix(".bin").stat().st_size
    if not request.int8:
        return done | {"difference": exported.difference, "largest": exported.largest}
    opened = (OpenVinoEmbedder if request.to == "openvino" else OnnxEmbedder)(path=out).open()
    return done | _cost(request, embedder, opened, images)


def _calibration(request: Request, embedder: "Embedder") -> list["NDArray[np.uint8]"]:
    from snreid.images.reading import read_image, resize

    paths, note = images_of(request.calibrate)
    if note:
        print(visible(note), file=sys.stderr)
    chosen = paths[:: max(1, -(-len(paths) // _MOST))]
    try:
        return [resize(read_image(path), embedder.input.height, embedder.input.width) for path in chosen]
    except DataError as error:
        raise DataError(
            "Every calibration image must be readable",
            found=error.found,
            fix="replace this file, or leave it out of --calibrate",
        ) from None


def _cost(
    request: Request, embedder: "Embedder", opened: "OpenedOnnx", images: list["NDArray[np.uint8]"]
) -> dict[str, Any]:
    """The cost of 8 bits."""
    import numpy as np
    import torch

    stacked = np.stack(images)
    exact = embedder(torch.from_numpy(stacked.transpose(0, 3, 1, 2).copy()))
    rough = np.concatenate([opened(stacked[i : i + 16]) for i in range(0, len(stacked), 16)])
    cosine = (exact * rough).sum(1) / (np.linalg.norm(exact, axis=1) * np.linalg.norm(rough, axis=1))
    costs = {"calibration_images": len(images), "cosine_mean": float(cosine.mean()), "cosine_min": float(cosine.min())}
    if request.score is None:
        return costs
    from snreid.experiments.scoring import read_targets, score
    from snreid.experiments.targets import embed_target

    (data,) = read_targets([dataset_named(request.score, request.root)], request.root)
    size = embedder.input.height, embedder.input.width
    with open_session(Machine(root=request.root, device="cpu", workers=0)) as session:
        for name, embed in (("float32", embedder), ("int8", embed_batch(opened))):
            embedded = embed_target(embed, size, data, session, beside(request.run))
            costs[f"mAP_{name}"] = float(score(embedded, "cosine").scores.mean_ap)
    return costs | {"target": data.name}


def _sentences(done: dict[str, Any]) -> list[str]:
    lines = [f"{done['file']}, {done['bytes'] / 1e6:.1f} MB"]
    if "difference" in done:
        lines.append(
            f"Largest difference to torch {done['difference']:.1e}, where the largest value is {done['largest']:.2f}"
        )
    if "cosine_mean" in done:
        lines.append(
            f"Cosine to float32 on the {done['calibration_images']} calibration images: mean {done['cosine_mean']:.4f}, "
            f"lowest {done['cosine_min']:.4f}"
        )
    if "target" in done:
        lines.append(
            f"mAP on {done['target']}: float32 {100 * done['mAP_float32']:.2f}, int8 {100 * done['mAP_int8']:.2f} "
            f"({100 * (done['mAP_int8'] - done['mAP_float32']):+.2f})"
        )
    return lines
