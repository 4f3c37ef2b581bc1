"""OpenVINO: a model in its own format (``.xml`` beside ``.bin``), converted from the ONNX file, and the embedder that reads it.

The only module that imports openvino (``pip install "snreid[openvino]"``), and only when needed.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from snreid.errors import CheckpointError, ExperimentError
from snreid.inference.embedder import Embedder
from snreid.inference.onnx_embedder import INSTALL as ONNX_INSTALL
from snreid.inference.onnx_embedder import OpenedOnnx, first_line, package, triple
from snreid.inference.onnx_file import Exported, difference_to
from snreid.system.atomic_files import draft_folder, move_into_place
from snreid.system.cores import core_quota

_NOTES = ("height", "width", "mean", "std")
_INSTALL = 'pip install "snreid[openvino]"'


@dataclass(frozen=True, kw_only=True)
class OpenVinoEmbedder:
    """A network in OpenVINO's format, as written by ``write_openvino``. ``open`` reads it."""

    path: Path
    """The ``.xml`` file; its ``.bin`` is beside it."""
    threads: int = 0
    """CPU threads; 0: OpenVINO's choice, or the quota of a container."""
    precision: Literal["f32", "bf16"] = "f32"
    """Precision of float layers. OpenVINO's default is bf16 (3 digits) on processors with bfloat16 units."""

    def open(self) -> OpenedOnnx:
        """Load and compile it. Raises ``CheckpointError`` when the file is missing, damaged or not written by snreid, ``ExperimentError``
        when openvino is not installed."""
        openvino = package("openvino", _INSTALL)
        if not self.path.is_file():
            raise CheckpointError("The OpenVINO file must exist", found=str(self.path), fix="check the path")
        core = openvino.Core()
        try:
            model = core.read_model(str(self.path))
            notes = {name: str(model.get_rt_info(["snreid", name]).astype(str)) for name in _NOTES}
            options: dict[str, str] = {"INFERENCE_PRECISION_HINT": self.precision}
            if threads := self.threads or core_quota():
                options["INFERENCE_NUM_THREADS"] = str(threads)
            compiled = core.compile_model(model, "CPU", options)
            known = model.has_rt_info(["snreid", "weights"])
            weights = str(model.get_rt_info(["snreid", "weights"]).astype(str)) if known else ""
            mean, std = (triple(notes[name], name) for name in ("mean", "std"))
            height, width = int(notes["height"]), int(notes["width"])
        except Exception as error:  # the C++ library raises RuntimeError for every defect of a file
            raise CheckpointError(
                "An OpenVINO file is one that snreid export wrote, with its .bin file beside it",
                found=f"{self.path}: {first_line(error)}",
                fix="export it again: snreid export RUN --to openvino",
            ) from error
        return OpenedOnnx(
            session=_Session(compiled),
            input_name="images",
            output_name="embeddings",
            dtype=np.float32,
            height=height,
            width=width,
            mean=mean,
            std=std,
            batch=None,
            weights=weights,
        )


@dataclass(frozen=True)
class _Session:
    """A compiled network with the only method of an ONNX Runtime session that is called."""

    compiled: Any

    def run(self, outputs: list[str], inputs: dict[str, NDArray[Any]]) -> list[NDArray[Any]]:
        """The first output for the one input."""
        (images,) = inputs.values()
        return [np.array(self.compiled(images)[0])]  # a copy: the network reuses its memory


def write_openvino(embedder: Embedder | None, onnx_file: Path, path: Path) -> Exported:
    """Converts an ONNX file of snreid to ``path`` (``.xml``, and ``.bin`` beside it) and compares it with ``embedder``; None skips
    the comparison (8 bits differ). Raises as ``write_onnx``."""
    openvino = package("openvino", _INSTALL)
    if path.suffix != ".xml":
        raise ExperimentError("An OpenVINO file is called .xml", found=path.name, fix=f"name it {path.stem}.xml")
    onnx = package("onnx", ONNX_INSTALL)
    notes = {p.key: p.value for p in onnx.load(str(onnx_file), load_external_data=False).metadata_props}
    model = openvino.Core().read_model(str(onnx_file))
    for name, value in notes.items():
        model.set_rt_info(value, name.split("."))
    with draft_folder(path) as folder:
        draft = folder / "draft.xml"
        openvino.save_model(model, str(draft), compress_to_fp16=False)
        difference = (0.0, 0.0)
        if embedder is not None:
            difference = difference_to(embedder, OpenVinoEmbedder(path=draft, threads=1).open(), "OpenVINO")
        for suffix in (".bin", ".xml"):
            move_into_place(draft.with_suffix(suffix), path.with_suffix(suffix))
    return Exported(path, *difference)
