"""Extraction on a CPU: ResNet-50, 256 x 128, held against the plain timm network (eager, batches of 16).

python benchmarks/speed/extraction.py [--runs 5] [--quick] [--keep]

Memory is handed out as the system does it, which is how others run the network and how this library is run from Python. With ``--keep`` it
stays with the process, as in the command; eager torch gains from that and the others hardly do, so the ratios are worse.
"""

import importlib.util
import shutil
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from race import Work, below, options, race, report, row

from snreid.images.transforms import InputFormat
from snreid.inference.embedder import Embedder
from snreid.inference.folding import folded
from snreid.inference.int8 import quantize
from snreid.inference.onnx_embedder import OnnxEmbedder
from snreid.inference.onnx_file import write_onnx
from snreid.inference.openvino_file import OpenVinoEmbedder, write_openvino
from snreid.models import Backbone, ModelConfig
from snreid.system.memory import keep_freed_memory

COMPARISON = "16 images, ResNet-50"
_BATCH = 8


def main() -> None:
    """Competitors in turn on the same 16 images; the first is what others do."""
    parser = options(__doc__)
    parser.add_argument("--keep", action="store_true", help="keep freed memory, as the command snreid does")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    if given.keep:
        keep_freed_memory()
    size = (64, 32) if given.quick else (256, 128)
    input = InputFormat(height=size[0], width=size[1])
    torch.manual_seed(0)
    model = ModelConfig(backbone=Backbone(name="resnet50")).build(5).eval()
    eager = _timm(model.backbone)
    images = torch.randint(0, 256, (16, 3, *size), dtype=torch.uint8)
    ours = Embedder(model, input, fold=True, fuse=True)
    expected = Embedder(model, input)(images)
    worst = float(np.abs(ours(images) - expected).max())
    competitors: dict[str, Work] = {"timm eager": lambda: eager(input.normalize(images))}
    competitors["ours"] = _in_parts(ours, images)
    if _bf16_units():
        competitors["ours, bf16"] = _in_parts(Embedder(model, input, fold=True, fuse=True, bf16=True), images)
    if not given.quick and shutil.which("g++"):
        compiled = torch.compile(folded(model, size).to(memory_format=torch.channels_last))
        competitors["torch.compile"] = lambda: compiled(
            input.normalize(images).contiguous(memory_format=torch.channels_last)
        )
    with tempfile.TemporaryDirectory() as place:
        _runtimes(competitors, Embedder(model, input), images, Path(place))
    with torch.inference_mode():
        rows = race(COMPARISON, competitors, runs=1 if given.quick else given.runs)
    # OpenVINO's: it gains from 8 bits. Not among the development packages; ONNX Runtime's does not stand in for it.
    quick = row(rows, COMPARISON, "OpenVINO, int8").ratio if "OpenVINO, int8" in competitors else None
    slow = row(rows, COMPARISON, "ONNX Runtime, int8").ratio
    note = "" if quick else "openvino is not installed (extra openvino); "
    note += f"ONNX Runtime's int8 {slow:.2f}x; mAP cost on Market-1501 in docs/extraction.md"
    targets = [
        below(
            "extraction, float32, ONNX Runtime",
            0.65,
            row(rows, COMPARISON, "ONNX Runtime").ratio,
            "timm eager 1.0x; OpenVINO 0.65x",
            note="`snreid extract --backend onnxruntime`",
        ),
        below(
            "extraction, float32, torch alone",
            0.65,
            row(rows, COMPARISON, "ours").ratio,
            "timm eager 1.0x; torch.compile 0.73x",
            note="`snreid extract --fuse`",
        ),
        below("extraction, largest difference of embeddings", 1e-4, worst, "the model unfolded", unit=""),
        below("extraction, int8, OpenVINO", 0.35, quick, "timm eager 1.0x; int8 0.33x", note=note),
    ]
    report(__file__, given, rows, targets)


def _timm(ours: Any) -> Any:
    """The usual way: timm's own network with last stride 1, in its own layout, with the same weights."""
    network = timm.create_model("resnet50", pretrained=False, num_classes=0).eval()
    network.layer4[0].conv2.stride = network.layer4[0].downsample[0].stride = (1, 1)
    network.load_state_dict(ours.state_dict())
    return network


def _runtimes(competitors: dict[str, Work], embedder: Embedder, images: torch.Tensor, place: Path) -> None:
    """ONNX Runtime and OpenVINO, in float32 and 8 bits, where they are installed."""
    pixels = images.permute(0, 2, 3, 1).contiguous().numpy()
    threads = torch.get_num_threads()
    exact, rough = write_onnx(embedder, place / "exact.onnx").path, place / "rough.onnx"
    quantize(exact, rough, list(pixels))
    for name, file in (("ONNX Runtime", exact), ("ONNX Runtime, int8", rough)):
        competitors[name] = _in_parts(OnnxEmbedder(path=file, threads=threads).open(), pixels)
    if importlib.util.find_spec("openvino"):
        for name, file in (("OpenVINO", exact), ("OpenVINO, int8", rough)):
            made = write_openvino(None, file, file.with_suffix(".xml")).path
            competitors[name] = _in_parts(OpenVinoEmbedder(path=made, threads=threads).open(), pixels)


def _in_parts(embed: Any, images: Any) -> Work:
    return lambda: [embed(images[i : i + _BATCH]) for i in range(0, len(images), _BATCH)]


def _bf16_units() -> bool:
    flags = Path("/proc/cpuinfo")
    return flags.is_file() and any(unit in flags.read_text() for unit in ("amx_bf16", "avx512_bf16"))


if __name__ == "__main__":
    main()
