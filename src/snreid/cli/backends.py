"""The network on the command line: a run's or a file's, with torch or another runtime on the CPU (``--backend``, ``--batch``)."""

from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

import tyro

from snreid.cli.flags import example, flag
from snreid.errors import DataError, ExperimentError
from snreid.experiments.packaged import located

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from snreid.images.reading import BadImage, Interpolation
    from snreid.inference.embedder import EmbedBatch
    from snreid.inference.onnx_embedder import OpenedOnnx
    from snreid.records import DataSet
    from snreid.training.session import Session

Backend = Literal["torch", "onnxruntime", "openvino"]
BackendFlag: TypeAlias = Annotated[Backend | None, flag("torch, onnxruntime, openvino", "NAME", default="the file's")]
"""The flag ``--backend``."""
_RGB: TypeAlias = tuple[float, float, float] | None


@dataclass(frozen=True, kw_only=True)
class OnnxFlags:
    """What a foreign ONNX file may not say about its input and output."""

    height: Annotated[int | None, flag("ONNX: input height (default: as in the file)", "PIXELS")] = None
    width: Annotated[int | None, flag("ONNX: input width (default: as in the file)", "PIXELS")] = None
    mean: Annotated[_RGB, flag("ONNX: mean, 0..1", "R G B", default="its own, or ImageNet's")] = None
    std: Annotated[_RGB, flag("ONNX: standard deviation", "R G B", default="likewise")] = None
    onnx_output: Annotated[str | None, flag("ONNX: its embedding output", "NAME", default="by its name")] = None
    onnx_bgr: Annotated[bool, flag("ONNX: it takes blue, green, red, as OpenCV")] = False
    onnx_interpolation: Annotated[
        Literal["bilinear", "bicubic"] | None, flag("ONNX: filter of resizing", "HOW", default="bilinear")
    ] = None

    def require_onnx(self, model: Path, backend: Backend) -> None:
        """Raises ``ExperimentError`` if a flag is given and ``model`` is no ONNX file."""
        names = [one.name for one in fields(self)]
        asked = [name for name in names if getattr(self, name) not in (None, False)]
        if asked and (backend != "onnxruntime" or located(model).is_dir()):
            raise ExperimentError(
                f"{', '.join(map(_dashed, names))} are of an ONNX file; a run and an .xml file know theirs",
                found=f"{_dashed(asked[0])} with {model}",
                fix="leave it out",
            )


Model: TypeAlias = Annotated[tyro.conf.Positional[Path], flag("folder or exported file of a run, or people", "RUN")]
"""The argument RUN of commands that take exported files too."""
MaybeModel: TypeAlias = Annotated[
    tyro.conf.Positional[Path | None], flag("folder or exported file of a run, or people", "[RUN]")
]
OnnxFile: TypeAlias = Annotated[Path | None, flag("this ONNX file (of anybody) in place of RUN", "FILE.onnx")]
"""The flag ``--onnx``."""
OnnxInput: TypeAlias = Annotated[OnnxFlags, tyro.conf.arg(name="")]
"""The flags of an ONNX file without a prefix."""
_OF_FILE: dict[str, Backend] = {".onnx": "onnxruntime", ".xml": "openvino"}


def own_backend(model: Path) -> Backend | None:
    """The runtime of a file, by its suffix; None for the folder of a run and for any other file."""
    return None if model.is_dir() else _OF_FILE.get(model.suffix.lower())


def chosen_backend(
    model: Path,
    *,
    precision: str,
    given: Backend | None = None,
    batch: int | None = None,
    device: str | None = None,
    unnamed: Backend | None = None,
) -> Backend:
    """Choose the runtime of a run or a file by the flags ``--backend`` (``given``), ``--batch``, ``--precision`` and ``--device``.

    ``unnamed``: the runtime of a file whose suffix does not tell it. Raises ``ExperimentError`` if the flags contradict each other or the
    file, or if several processes would each export the run.
    """
    from snreid.training.distributed import chosen_device

    own = own_backend(model) or unnamed
    backend = given or own or "torch"
    if own is not None and backend != own:
        raise ExperimentError(
            "An .onnx file is run by onnxruntime, an .xml file by openvino",
            found=f"{model} with --backend {backend}",
            fix="leave --backend out, or give the folder of the run",
        )
    if batch is not None and batch < 1:
        raise ExperimentError("A batch has at least one image", found=f"--batch {batch}", fix="leave it out")
    if backend != "torch":
        _require_usual(backend, precision, device)
        if located(model).is_dir():
            _require_alone(model, backend)
    elif device is not None:
        chosen_device(device)  # raises for a missing device
    return backend


def named_model(
    run: Path | None,
    onnx: Path | None,
    flags: OnnxFlags,
    *,
    given: Backend | None = None,
    batch: int | None = None,
    precision: str,
) -> tuple[Path, Backend]:
    """The model of a command that takes RUN or ``--onnx`` (an ONNX file whatever its name), and its runtime.

    Raises ``ExperimentError`` as ``chosen_backend`` does, and for ``flags`` of an ONNX file without one.
    """
    model = run or onnx
    assert model is not None
    unnamed: Backend | None = None if onnx is None else "onnxruntime"
    backend = chosen_backend(model, precision=precision, given=given, batch=batch, unnamed=unnamed)
    flags.require_onnx(model, backend)
    return model, backend


def require_one_source(request: Any, command: str) -> None:
    """Raises ``ExperimentError`` unless ``request`` names either a run or ``--onnx`` or ``--features``, the last without flags of an ONNX
    file."""
    given = [name for name in ("run", "features", "onnx") if getattr(request, name) not in (None, ())]
    if len(given) != 1:
        raise ExperimentError(
            f"snreid {command} takes the folder of a run before all flags, or --features FILE, or --onnx FILE.onnx",
            found=" and ".join(given) or "nothing",
            fix=f"write it like {example(type(request))}",
        )
    if request.features:
        request.file.require_onnx(request.features[0], "torch")


def _require_usual(backend: Backend, precision: str, device: str | None) -> None:
    """Raises ``ExperimentError`` if another runtime than torch is to compute in another precision than float32 or not on the CPU; for
    such a runtime ``auto`` means the CPU even if there is a GPU."""
    from snreid.training.distributed import chosen_device

    elsewhere = device is not None and device.startswith("cuda")
    if device is not None and not elsewhere:
        chosen_device(device)  # raises for an invalid device
    unsupported = [f"--device {device}"] * elsewhere + [f"--precision {precision}"] * (precision != "float32")
    if unsupported:
        raise ExperimentError(
            f"{backend} computes on the CPU in the precision of its file",
            found=" ".join(unsupported),
            fix=f"leave {'both' if len(unsupported) > 1 else 'it'} out, or take --backend torch",
        )


def _require_alone(run: Path, backend: Backend) -> None:
    """Raises ``ExperimentError`` if several processes would each export the run and hold two networks meanwhile."""
    import os

    from snreid.training.distributed import launched_rank

    if others := launched_rank(os.environ):
        kind, file = ("onnx", "model.onnx") if backend == "onnxruntime" else ("openvino", "model.xml")
        raise ExperimentError(
            "Processes that work together embed with one exported file; a run is exported for one process",
            found=f"--backend {backend} for the run {run} in {others.world} processes",
            fix=f"snreid export {run} --to {kind} --out {file}, then name {file} in place of the run; or start one process",
        )


@dataclass(frozen=True)
class Network:
    """A network that is ready to embed."""

    embed: "EmbedBatch"
    size: tuple[int, int]
    """Height and width of its input images, pixels."""
    by: "Interpolation" = "bilinear"
    """How its images are resized."""
    metric: str = "cosine"
    """How its embeddings are compared: the run's, or cosine."""
    model: Path = Path()
    """The run or the file it comes from."""
    weights: str = ""
    """What an exported file tells of the weights of its run."""

    @cached_property
    def mark(self) -> str:
        """Whose embeddings these are: the run's, also those of its exported files in float32, or else the file's."""
        return f"run {self.weights}" if self.weights else model_mark(self.model)

    @cached_property
    def dim(self) -> int:
        """Numbers in an embedding."""
        import torch

        return int(self.embed(torch.zeros((1, 3, *self.size), dtype=torch.uint8)).shape[1])


def ready(model: Path, backend: Backend, onnx: OnnxFlags, session: "Session", *, fuse: bool = False) -> Network:
    """The network of a run or a file. The session says what was assumed about a file; ``fuse`` is as in ``Run.embedder``."""
    from snreid.experiments.runs import open_run

    if backend == "torch":
        bf16 = session.machine.precision == "bf16"
        run = open_run(model)
        embedder = run.embedder(device=session.device, bf16=bf16, fuse=fuse)
        size = (embedder.input.height, embedder.input.width)
        return Network(embedder, size, metric=run.experiment.metric, model=model)
    network = open_network(model, backend, onnx)
    for note in network.notes:
        session.say(note)
    size, by = (network.height, network.width), onnx.onnx_interpolation or "bilinear"
    return Network(embed_batch(network), size, by, model=model, weights=network.weights)


def trained_on(model: Path) -> "Sequence[DataSet]":
    """What a run was trained on; nothing for a file, which does not tell."""
    from snreid.experiments.runs import open_run

    return () if own_backend(model) else open_run(model).experiment.sources


def model_mark(model: Path) -> str:
    """Tells models apart in files of embeddings: a hash of the weights of a run, or of an exported file."""
    import hashlib

    if located(model).is_dir():
        return f"run {weights_mark(model)}"
    digest = hashlib.sha256()
    for part in dict.fromkeys((model, model.with_suffix(".bin") if own_backend(model) == "openvino" else model)):
        digest.update(part.read_bytes())
    return f"file {digest.hexdigest()[:16]}"


def weights_mark(run: Path) -> str:
    """The first 16 digits of the hash of the weights of a run."""
    from snreid.models.delta import read_weights

    return read_weights(located(run)).sha256[:16]


def require_same_model(mark: str, network: Network, where: Path, session: "Session") -> None:
    """Raises ``ExperimentError`` if the file ``where`` was made by another model. Says so if that cannot be checked: one is of a run, the
    other of a file that does not name its run."""
    if not mark.strip() or mark == network.mark:
        return
    if mark.split()[0] != network.mark.split()[0]:
        session.say(
            f"{where} is of a {mark.split()[0]}, and the model named is a {network.mark.split()[0]}: "
            "whether they are the same model cannot be checked"
        )
        return
    raise ExperimentError(
        "Embeddings are compared with those of the same model",
        found=f"{where} is of {mark}, this model is {network.mark}",
        fix="name the model that made the file, or make the file again with this one",
    )


def embed_files(network: Network, paths: "Sequence[Path]", *, unit: bool) -> "NDArray[np.float32]":
    """The embeddings (N, D) of a few images, all of which must be readable; of length 1 if ``unit``."""
    from snreid.images.reading import listed
    from snreid.inference.embedder import SHOWN_BAD, USUAL_BATCH, extract

    def refuse(bad: "Mapping[int, BadImage]") -> None:
        """Refuses to embed only some of the images."""
        found = listed(list(bad.values()), SHOWN_BAD)
        raise DataError("Every image must be readable", found=found, fix="restore it, or name others")

    images = list(paths)
    return extract(network.embed, network.size, images, batch=USUAL_BATCH, leave_out=refuse, by=network.by, unit=unit)


def open_network(model: Path, backend: Backend, onnx: OnnxFlags = OnnxFlags()) -> "OpenedOnnx":
    """The embedder of another runtime than torch: from a file, or from a run exported temporarily."""
    import tempfile

    from snreid.experiments.runs import load
    from snreid.inference.onnx_embedder import OnnxEmbedder
    from snreid.inference.onnx_file import write_onnx
    from snreid.inference.openvino_file import OpenVinoEmbedder, write_openvino

    if not located(model).is_dir():
        if backend == "openvino":
            return OpenVinoEmbedder(path=model).open()
        return OnnxEmbedder(
            path=model,
            height=onnx.height,
            width=onnx.width,
            mean=onnx.mean,
            std=onnx.std,
            output=onnx.onnx_output or "",
            bgr=onnx.onnx_bgr,
        ).open()
    with tempfile.TemporaryDirectory() as place:
        embedder = load(model)
        file = write_onnx(embedder, Path(place) / "model.onnx").path
        if backend == "onnxruntime":
            return OnnxEmbedder(path=file).open()
        return OpenVinoEmbedder(path=write_openvino(embedder, file, file.with_suffix(".xml")).path).open()


def embed_batch(network: "OpenedOnnx") -> "EmbedBatch":
    """``network`` as a callable that takes images as torch stores them."""
    return lambda images: network(images.permute(0, 2, 3, 1).numpy())


def _dashed(name: str) -> str:
    return f"--{name.replace('_', '-')}"
