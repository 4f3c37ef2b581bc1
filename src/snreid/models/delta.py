"""Weights of a run folder: whole, or as a small delta beside the model that it changes.

A delta file holds only the tensors that differ, and in its header where the base model lies (a path relative to the delta's folder)
and the base's hash. Reading holds the hash against the base, so that a delta is never put on another model. Taking a delta back is
deleting its folder: the base was never touched.
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
    """Whether a run folder has weights of either kind."""
    return (folder / WHOLE).is_file() or (folder / DELTA).is_file()


def read_weights(folder: Path) -> SavedModel:
    """The weights of a run folder; a delta is put on its base first. ``sha256`` is that of the file in ``folder``.

    Raises ``CheckpointError`` when a file is missing or damaged, or the base is not the model that the delta was made of.
    """
    if (folder / WHOLE).is_file() or not (folder / DELTA).is_file():
        return load_model(folder / WHOLE)
    delta = load_model(folder / DELTA)
    place, wanted = delta.metadata.get("base"), delta.metadata.get("base_sha256")
    if not isinstance(place, str) or not isinstance(wanted, str):
        raise CheckpointError(
            "A delta names the model that it changes", found=f"{folder / DELTA}: no base", fix="adapt again"
        )
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


def save_delta(folder: Path, model: nn.Module, base: Path) -> int:
    """Writes ``delta.safetensors`` in ``folder``: what of ``model`` differs from the weights of the run in ``base``. Returns its bytes.

    ``base``: folder of a run; where that is a delta itself, the one it stands on is named, so deltas never pile up. Raises
    ``CheckpointError``.
    """
    root = base
    if not (base / WHOLE).is_file() and (base / DELTA).is_file():
        root = base / str(load_model(base / DELTA).metadata["base"])
    saved = load_model(root / WHOLE)
    changed = {
        name: tensor
        for name, tensor in model.state_dict().items()
        if not torch.equal(tensor.detach().cpu(), saved.tensors[name])
    }
    place = os.path.relpath(root.resolve(), folder.resolve())
    save_tensors(folder / DELTA, changed, {"base": place, "base_sha256": saved.sha256})
    return (folder / DELTA).stat().st_size
