"""Weights of a run folder: complete, or a small delta against the model it changes.

A delta file holds only the tensors that differ; its header holds the path of the base model (relative to the delta's folder)
and its hash. Reading verifies the hash, so that a delta is never applied to another model. To undo a delta, delete its folder:
the base is never changed.
"""

import os
from pathlib import Path

import torch
from torch import nn

from snreid.errors import CheckpointError
from snreid.models.weights import SavedModel, load_model, save_tensors

WHOLE = "model.safetensors"
DELTA = "delta.safetensors"


def has_weights(folder: Path) -> bool:
    """Whether a run folder has weights, complete or as a delta."""
    return (folder / WHOLE).is_file() or (folder / DELTA).is_file()


def read_weights(folder: Path) -> SavedModel:
    """The weights of a run folder; a delta is applied to its base first. ``sha256`` is that of the file in ``folder``.

    Raises ``CheckpointError`` when a file is missing or damaged, or the base is not the model the delta was computed from.
    """
    if (folder / WHOLE).is_file() or not (folder / DELTA).is_file():
        return load_model(folder / WHOLE)
    delta = load_model(folder / DELTA)
    place, wanted = _base(delta, folder / DELTA)
    base = folder / place / WHOLE
    if not base.is_file():
        raise CheckpointError(
            "A delta is used beside the model that it changes",
            found=f"no {base}",
            fix=f"put the run {Path(place).name} back to where it was, or adapt again from where it is now",
        )
    saved = load_model(base)
    unknown = [name for name in delta.tensors if name not in saved.tensors]
    if saved.sha256 != wanted or unknown:
        raise CheckpointError(
            "A delta fits only the very model that it was made of",
            found=f"{base} with sha256 {saved.sha256[:12]}..., the delta was made of {wanted[:12]}...",
            fix="restore that model, or adapt the one that is there now",
        )
    return SavedModel({**saved.tensors, **delta.tensors}, saved.metadata, delta.sha256)


def _base(delta: SavedModel, path: Path) -> tuple[str, str]:
    """The path of the model that a delta changes, and its hash."""
    place, wanted = delta.metadata.get("base"), delta.metadata.get("base_sha256")
    if not isinstance(place, str) or not isinstance(wanted, str):
        raise CheckpointError("A delta names the model that it changes", found=f"{path}: no base", fix="adapt again")
    return place, wanted


def save_delta(folder: Path, model: nn.Module, base: Path) -> int:
    """Writes ``delta.safetensors`` in ``folder``: the tensors of ``model`` that differ from the run in ``base``. Returns its bytes.

    ``base``: folder of a run; if that is itself a delta, the header names its base, so deltas never chain. Raises
    ``CheckpointError``.
    """
    root = base
    if not (base / WHOLE).is_file() and (base / DELTA).is_file():
        root = base / _base(load_model(base / DELTA), base / DELTA)[0]
    saved = load_model(root / WHOLE)
    changed = {
        name: tensor
        for name, tensor in model.state_dict().items()
        if not torch.equal(tensor.detach().cpu(), saved.tensors[name])
    }
    place = os.path.relpath(root.resolve(), folder.resolve())
    save_tensors(folder / DELTA, changed, {"base": place, "base_sha256": saved.sha256})
    return (folder / DELTA).stat().st_size
