"""Any ONNX file as the embedder, to compare other models on equal terms.

The only module that imports onnxruntime (``pip install "snreid[onnx]"``), and only when a file is opened.

Each property of the expected input comes from the first of these that defines it:

1. the fields of ``OnnxEmbedder``;
2. the graph: a fixed height and width of its input;
3. the file's metadata: ``snreid.height``, ``snreid.width`` (pixels), ``snreid.mean``, ``snreid.std`` (three numbers separated by commas,
   for values from 0 to 1);
4. BoxMOT's side-car ``FILE.onnx.metadata.json``: ``img_size`` ([height, width]) and ``preprocess``;
5. for the normalization only: ImageNet's mean and standard deviation, which is BoxMOT's contract.

Contract of the graph: its one input is RGB (or BGR, where ``bgr`` says so), NCHW, 3 channels, float32 or float16, with a dynamic or a
fixed batch; the embedding is an output (B, D) or (B, D, 1, 1): the one named by ``output``, or the only one, or the only one whose name
says feature or embedding. The embedding of an image does not depend on the others of its batch. If the graph's fixed size contradicts
the fields, the file cannot be run.
"""

import importlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snreid.errors import CheckpointError, DataError, ExperimentError
from snreid.system.cores import core_quota

INSTALL = 'pip install "snreid[onnx]"'
Triple = tuple[float, float, float]
IMAGENET_MEAN: Triple = (0.485, 0.456, 0.406)
"""Mean of R, G, B (0 to 1) over ImageNet."""
IMAGENET_STD: Triple = (0.229, 0.224, 0.225)
"""Standard deviation of R, G, B (0 to 1) over ImageNet."""
_NAMED_LIKE_IT = ("feat", "embed")
"""An output with one of these in its name is the embedding."""
_APART = {np.float32: 1e-3, np.float16: 1e-2}
"""Largest difference of an embedding between batches, relative to the largest value: rounding is far below."""
_TYPES: dict[str, type[np.floating[Any]]] = {"tensor(float)": np.float32, "tensor(float16)": np.float16}


@dataclass(frozen=True, kw_only=True)
class OnnxEmbedder:
    """An ONNX file and the preparation of its images. ``open`` reads the file."""

    path: Path
    """The ``.onnx`` file."""
    height: int | None = None
    """Input height in pixels; None: read from the file."""
    width: int | None = None
    """Input width in pixels; None: read from the file."""
    mean: Triple | None = None
    """Subtracted from R, G, B scaled to 0..1; None: read from the file, else ImageNet's."""
    std: Triple | None = None
    """Divided by afterwards, > 0; None: read from the file, else ImageNet's."""
    output: str = ""
    """Name of the output that is the embedding; empty: the only one, or the one named like a feature or an embedding."""
    bgr: bool = False
    """Whether the network takes blue, green, red, as OpenCV reads images. Mean and std are of R, G, B all the same."""
    threads: int = 0
    """CPU threads of the runtime; 0: the runtime's choice, or the quota of a container."""

    def __post_init__(self) -> None:
        for name, size in (("height", self.height), ("width", self.width)):
            if size is not None and size < 1:
                raise ExperimentError(
                    f"The input {name} is at least 1 pixel", found=str(size), fix=f"give --{name} 256"
                )
        _check_triple("mean", self.mean, positive=False)
        _check_triple("std", self.std, positive=True)
        if self.threads < 0:
            raise ExperimentError("Threads are 0 (automatic) or more", found=str(self.threads), fix="use 0")

    def open(self) -> "OpenedOnnx":
        """Load the file. Raises ``CheckpointError`` when it is missing, damaged or not an embedder, or when an embedding depends on
        the other images of its batch; ``ExperimentError`` when onnxruntime is not installed, or the input size or the output is unknown."""
        session = self._session()
        tensor, output = _single_input(session, self.path), self._output(session)
        notes = {str(k): str(v) for k, v in session.get_modelmeta().custom_metadata_map.items()}
        sidecar = _sidecar(self.path)
        size = []
        for axis, name, field in ((2, "height", self.height), (3, "width", self.width)):
            fixed = tensor.shape[axis] if isinstance(tensor.shape[axis], int) else None
            if field is not None and fixed is not None and field != fixed:
                raise ExperimentError(
                    f"The graph of {self.path.name} fixes its input {name}",
                    found=f"--{name} {field}, the graph wants {fixed}",
                    fix=f"leave --{name} out",
                )
            size.append(field or fixed or _noted_size(notes, name, self.path) or sidecar.get(name))
        height, width = size
        if height is None or width is None:
            raise ExperimentError(
                "The input size of an ONNX file is in its graph, its metadata, its side-car, or given",
                found=f"none in {self.path}, whose input has the shape {tensor.shape}",
                fix="give --height and --width, for example --height 256 --width 128",
            )
        mean = self.mean or _noted_triple(notes, "mean", self.path)
        std = self.std or _noted_triple(notes, "std", self.path)
        batch = tensor.shape[0] if isinstance(tensor.shape[0], int) else None
        opened = OpenedOnnx(
            session=session,
            input_name=tensor.name,
            output_name=output,
            dtype=_TYPES[tensor.type],
            height=height,
            width=width,
            mean=mean or IMAGENET_MEAN,
            std=std or IMAGENET_STD,
            batch=batch,
            bgr=self.bgr,
            notes=_assumed(self.path, mean, std),
            weights=notes.get("snreid.weights", ""),
        )
        _require_independent(opened, self.path)
        return opened

    def _output(self, session: Any) -> str:
        """The output that is the embedding."""
        names = [str(output.name) for output in session.get_outputs()]
        alike = [name for name in names if any(word in name.lower() for word in _NAMED_LIKE_IT)]
        fitting = [name for name in names if name == self.output] if self.output else alike if len(names) > 1 else names
        if len(fitting) == 1:
            return fitting[0]
        raise ExperimentError(
            "One output of an ONNX file is the embedding",
            found=f"{self.output or f'{len(names)} outputs'}; {self.path.name} has {', '.join(names)}",
            fix=f"name it: --onnx-output {(alike or names)[-1]} (in Python OnnxEmbedder(output=...))",
        )

    def _session(self) -> Any:
        runtime = package("onnxruntime", INSTALL)
        if not self.path.is_file():
            raise CheckpointError("The ONNX file must exist", found=str(self.path), fix="check the path")
        options = runtime.SessionOptions()
        options.intra_op_num_threads = self.threads or core_quota() or 0
        options.log_severity_level = 4  # errors are raised and reported once, in our words.
        try:
            return runtime.InferenceSession(str(self.path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # The runtime has a class of exceptions per failure, none of them public.
            raise CheckpointError(
                "An ONNX file is complete and valid",
                found=f"{self.path}: {first_line(error)}",
                fix="export or copy it again, with its external data file if it has one",
            ) from error


@dataclass(frozen=True, kw_only=True)
class OpenedOnnx:
    """A loaded network: call it with images. Made by ``OnnxEmbedder.open``."""

    session: Any
    """The runtime's session."""
    input_name: str
    output_name: str
    dtype: type[np.floating[Any]]
    """Input type of the graph: float32 or float16."""
    height: int
    """Input height in pixels."""
    width: int
    """Input width in pixels."""
    mean: Triple
    std: Triple
    batch: int | None
    """The fixed batch of the graph, or None if any is allowed."""
    bgr: bool = False
    """Whether the graph takes blue, green, red."""
    notes: tuple[str, ...] = ()
    """Sentences for the user about what the file leaves open."""
    weights: str = ""
    """Hash of the weights of the run that the file was exported from; empty if unknown, as for 8-bit files, whose weights differ."""

    def __call__(self, images: NDArray[Any]) -> NDArray[np.float32]:
        """Embeddings (B, D), float32, of uint8 RGB images (B, height, width, 3), or of already normalized floats
        (B, 3, height, width) in the graph's order of channels. Raises ``DataError`` for another shape or type."""
        values = self._prepared(images)
        if self.batch is None:
            return self._run(values)
        parts = []
        for start in range(0, len(values), self.batch):
            part = values[start : start + self.batch]
            filled = np.concatenate([part, np.repeat(part[-1:], self.batch - len(part), axis=0)])
            parts.append(self._run(filled)[: len(part)])
        return np.concatenate(parts)

    def _prepared(self, images: NDArray[Any]) -> NDArray[Any]:
        """Normalized (B, 3, H, W) in the graph's input type."""
        size = (self.height, self.width)
        if images.dtype == np.uint8 and images.ndim == 4 and images.shape[1:] == (*size, 3) and len(images):
            scale = (1 / (255 * np.array(self.std))).astype(np.float32)
            shift = (np.array(self.mean) / np.array(self.std)).astype(np.float32)
            normalized = images.astype(np.float32) * scale - shift
            normalized = normalized[..., ::-1] if self.bgr else normalized
            return np.ascontiguousarray(normalized.transpose(0, 3, 1, 2), dtype=self.dtype)
        if images.dtype.kind == "f" and images.ndim == 4 and images.shape[1:] == (3, *size) and len(images):
            return np.ascontiguousarray(images, dtype=self.dtype)
        raise DataError(
            f"Images are uint8 (B, {size[0]}, {size[1]}, 3) or normalized floats (B, 3, {size[0]}, {size[1]}), B at least 1",
            found=f"{images.dtype} of shape {images.shape}",
            fix="resize them to the network's input first",
        )

    def _run(self, values: NDArray[Any]) -> NDArray[np.float32]:
        try:
            embeddings = np.asarray(self.session.run([self.output_name], {self.input_name: values})[0])
        except Exception as error:
            raise CheckpointError(
                "The ONNX graph runs on a batch of images",
                found=f"batch of shape {values.shape}: {first_line(error)}",
                fix="export it with a dynamic batch, or look whether --height and --width are right",
            ) from error
        if embeddings.ndim == 4 and embeddings.shape[2:] == (1, 1):
            embeddings = embeddings[:, :, 0, 0]
        if embeddings.ndim != 2 or len(embeddings) != len(values):
            raise CheckpointError(
                "An output of the graph is one embedding per image, (B, D)",
                found=f"{self.output_name} of shape {embeddings.shape} for {len(values)} images",
                fix="name another output (--onnx-output), or export the network with its embedding",
            )
        return embeddings.astype(np.float32, copy=False)


def _single_input(session: Any, path: Path) -> Any:
    """The graph's image input."""
    tensors = session.get_inputs()
    shapes = [f"{t.name}: {t.type} {t.shape}" for t in tensors]
    fits = len(tensors) == 1 and tensors[0].type in _TYPES and len(tensors[0].shape) == 4
    if not fits or (isinstance(tensors[0].shape[1], int) and tensors[0].shape[1] != 3):
        raise CheckpointError(
            "The graph has one input: RGB images (B, 3, H, W), float32 or float16",
            found=f"{path} with {'; '.join(shapes) or 'none'}",
            fix="export the image network alone, channels first",
        )
    return tensors[0]


def _assumed(path: Path, mean: Triple | None, std: Triple | None) -> tuple[str, ...]:
    """A sentence if the file does not state its normalization."""
    silent = [name for name, values in (("mean", mean), ("std", std)) if values is None]
    flags = " and ".join(f"--{name}" for name in silent)
    text = f"{path.name} does not tell its {' and '.join(silent)}: ImageNet's are assumed ({flags} change that)."
    return (text,) if silent else ()


def _require_independent(network: OpenedOnnx, path: Path) -> None:
    """``CheckpointError`` if an image alone has another embedding than among others, as with batch statistics in place of learned ones."""
    if network.batch == 1:
        return
    # From dark to bright, so that no two images have the same statistics.
    noise = np.random.default_rng(0).integers(0, 256, (4, network.height, network.width, 3))
    images = (noise * np.array([0.25, 0.5, 0.75, 1.0])[:, None, None, None]).astype(np.uint8)
    together = network(images)
    alone = np.concatenate([network(images[:1]), network(images[3:])])
    apart, largest = float(np.abs(alone - together[[0, 3]]).max()), float(np.abs(together).max())
    if np.isfinite(apart) and apart > _APART[network.dtype] * max(largest, float(np.abs(alone).max())):
        raise CheckpointError(
            "The embedding of an image does not depend on the other images of its batch",
            found=f"{path}: alone and among four, embeddings differ by {apart:.2g}, where the largest value is {largest:.2g}",
            fix="export the network in evaluation mode, in PyTorch after model.eval(); quantize with fixed scales",
        )


def _sidecar(path: Path) -> dict[str, int]:
    """Height and width from BoxMOT's side-car, or nothing if there is none."""
    file = path.with_name(path.name + ".metadata.json")
    if not file.is_file():
        return {}
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        if not isinstance(content, dict):
            raise ValueError("not an object")
        size = content.get("img_size")
        height, width = (None, None) if size is None else (int(size[0]), int(size[1]))
    except (ValueError, TypeError, LookupError, OSError) as error:
        raise CheckpointError(
            'the side-car of an ONNX file is JSON like {"img_size": [256, 128]}',
            found=f"{file}: {first_line(error)}",
            fix="correct it, or move it away and give --height and --width",
        ) from error
    if content.get("preprocess", "resize") != "resize":
        raise ExperimentError(
            "Images are resized to the network's input, without padding",
            found=f'"preprocess": {content["preprocess"]!r} in {file}',
            fix='set "preprocess": "resize" there to evaluate the model like that all the same',
        )
    if height is None or width is None:
        return {}
    if height < 1 or width < 1:
        raise CheckpointError("img_size is [height, width] in pixels", found=f"{size} in {file}", fix="correct it")
    return {"height": height, "width": width}


def _noted_size(notes: Mapping[str, str], name: str, path: Path) -> int | None:
    """``snreid.height`` or ``snreid.width`` of the metadata."""
    text = notes.get(f"snreid.{name}")
    if text is None:
        return None
    if not (text.isdecimal() and int(text) > 0):
        raise CheckpointError(
            f"snreid.{name} in the metadata is a number of pixels", found=f"{text!r} in {path}", fix="export again"
        )
    return int(text)


def _noted_triple(notes: Mapping[str, str], name: str, path: Path) -> Triple | None:
    """``snreid.mean`` or ``snreid.std`` of the metadata."""
    text = notes.get(f"snreid.{name}")
    if text is None:
        return None
    try:
        return triple(text, name)
    except (ValueError, ExperimentError) as error:
        raise CheckpointError(
            f"snreid.{name} in the metadata is three numbers with commas",
            found=f"{text!r} in {path}",
            fix="export again",
        ) from error


def triple(text: str, name: str) -> Triple:
    """The ``mean`` or ``std`` in a file's metadata. Raises ``ValueError`` or ``ExperimentError`` unless it is three finite numbers,
    those of ``std`` above 0."""
    red, green, blue = (float(part) for part in text.split(","))
    _check_triple(name, (red, green, blue), positive=name == "std")
    return red, green, blue


def _check_triple(name: str, values: Triple | None, *, positive: bool) -> None:
    """``ExperimentError`` unless there are three finite numbers, > 0 if ``positive``."""
    if values is None:
        return
    if len(values) != 3 or not np.isfinite(values).all() or (positive and min(values) <= 0):
        raise ExperimentError(
            f"The {name} is three finite numbers, one for each of R, G, B" + (", above 0" if positive else ""),
            found=str(values),
            fix=f"give --{name} {' '.join(map(str, IMAGENET_STD if positive else IMAGENET_MEAN))}",
        )


def first_line(error: Exception) -> str:
    """The first line of its message, or its class if it has none."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def package(name: str, install: str) -> Any:
    """An optional package. Raises ``ExperimentError`` with the command that installs it."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ExperimentError(
            f"This needs the package {name.partition('.')[0]}", found=f"no {name} in this environment", fix=install
        ) from error
