"""The runtime of a network on the command line: torch, or another one on the CPU (``--backend``, ``--batch``)."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

from snreid.cli.flags import flag
from snreid.experiments.packaged import located

if TYPE_CHECKING:
    from snreid.inference.embedder import EmbedBatch
    from snreid.inference.onnx_embedder import OpenedOnnx

Backend = Literal["torch", "onnxruntime", "openvino"]
BackendFlag: TypeAlias = Annotated[Backend | None, flag("torch, onnxruntime or openvino", "NAME", default="the file's")]
"""The flag ``--backend``."""
_OF_FILE: dict[str, Backend] = {".onnx": "onnxruntime", ".xml": "openvino"}


def own_backend(model: Path) -> Backend | None:
    """The runtime of a file, by its suffix; None for the folder of a run and for any other file."""
    return None if model.is_dir() else _OF_FILE.get(model.suffix.lower())


def chosen_backend(
    model: Path,
    given: Backend | None,
    *,
    own: Backend | None,
    batch: int | None,
    precision: str,
    device: str | None = None,
) -> Backend:
    """Choose the runtime of the network.

    Args:
        model: The folder of a run, or a file.
        given: The flag ``--backend``.
        own: The runtime of ``model``, None for the folder of a run.
        batch: The flag ``--batch``.
        precision: The flag ``--precision``.
        device: Device for the network; None if not given.

    Raises:
        ExperimentError: The flags contradict each other or the file, or several processes would each export the run.
    """
    from snreid.errors import ExperimentError
    from snreid.training.distributed import chosen_device

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


def _require_usual(backend: Backend, precision: str, device: str | None) -> None:
    """Raises ``ExperimentError`` if another runtime than torch is to compute in another precision than float32 or not on the CPU; for
    such a runtime ``auto`` means the CPU even if there is a GPU."""
    from snreid.errors import ExperimentError
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

    from snreid.errors import ExperimentError
    from snreid.training.distributed import launched_rank

    if others := launched_rank(os.environ):
        kind = "onnx" if backend == "onnxruntime" else "openvino"
        file = "model.onnx" if backend == "onnxruntime" else "model.xml"
        raise ExperimentError(
            "Processes that work together embed with one exported file; a run is exported for one process",
            found=f"--backend {backend} for the run {run} in {others.world} processes",
            fix=f"snreid export {run} --to {kind} --out {file}, then name {file} in the place of the run; or start one process",
        )


def open_network(model: Path, backend: Backend) -> "OpenedOnnx":
    """The embedder of another runtime than torch: from a file, or from a run exported temporarily."""
    import tempfile

    from snreid.experiments.runs import load
    from snreid.inference.onnx_embedder import OnnxEmbedder
    from snreid.inference.onnx_file import write_onnx
    from snreid.inference.openvino_file import OpenVinoEmbedder, write_openvino

    if not located(model).is_dir():
        return (OnnxEmbedder if backend == "onnxruntime" else OpenVinoEmbedder)(path=model).open()
    with tempfile.TemporaryDirectory() as place:
        embedder = load(model)
        file = write_onnx(embedder, Path(place) / "model.onnx").path
        if backend == "onnxruntime":
            return OnnxEmbedder(path=file).open()
        return OpenVinoEmbedder(path=write_openvino(embedder, file, file.with_suffix(".xml")).path).open()


def embed_batch(network: "OpenedOnnx") -> "EmbedBatch":
    """``network`` as a callable that takes images as torch stores them."""
    return lambda images: network(images.permute(0, 2, 3, 1).numpy())
