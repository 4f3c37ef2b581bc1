"""Weights on disk: safetensors with a JSON header, written atomically, never pickled.

A reader sees either the old file or the new one, whatever happens while it is written.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from snreid.errors import CheckpointError

_HEADER = "snreid"
_SHOWN = 4


@dataclass(frozen=True)
class SavedModel:
    """What a weight file holds."""

    tensors: dict[str, Tensor]
    """Parameters and buffers by name, on the CPU."""
    metadata: dict[str, Any]
    """What was given to ``save_model``: anything JSON can say."""


def save_model(path: Path, model: nn.Module, metadata: Mapping[str, Any]) -> None:
    """Write a model's parameters and buffers, with ``metadata`` in the header of the same file."""
    save_tensors(path, model.state_dict(), metadata)


def save_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, Any]) -> None:
    """Write named tensors with JSON metadata, atomically: a temporary file beside ``path``, flushed, then renamed.

    Tensors that share memory are written once each. Raises ``CheckpointError`` when the metadata is no JSON or the
    file cannot be written; ``path`` is then what it was before.
    """
    try:
        header = {_HEADER: json.dumps(metadata, sort_keys=True, allow_nan=False)}
    except (TypeError, ValueError) as error:
        raise CheckpointError("Metadata of a weight file must be JSON", came=str(error)) from error
    owned = {name: tensor.detach().to("cpu", copy=True).contiguous() for name, tensor in tensors.items()}
    try:
        write_atomically(path, save(owned, metadata=header))
    except OSError as error:
        raise CheckpointError(
            "A weight file must be writable", came=f"{path}: {error}", repair="free space or give another folder"
        ) from error


def write_atomically(path: Path, content: bytes) -> None:
    """Write ``content`` so that ``path`` holds either all of it or what it held before. Raises ``OSError``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # The process id keeps two writers apart; a leftover of a killed one is overwritten by its successor or harmless.
    draft = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with draft.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    _flush_folder(path.parent)


def _flush_folder(folder: Path) -> None:
    """Make the rename itself survive a power cut. Windows cannot open folders and needs no such thing."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def load_model(path: Path) -> SavedModel:
    """Read what ``save_model`` wrote. Raises ``CheckpointError`` when the file is missing, damaged or not ours."""
    if not path.is_file():
        raise CheckpointError("A weight file must exist", came=f"no file {path}", repair="check the path of the run")
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            header = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    except (SafetensorError, OSError, ValueError, RuntimeError) as error:
        raise CheckpointError(
            "A weight file must be whole", came=f"{path}: {error}", repair="take an earlier checkpoint of the run"
        ) from error
    try:
        metadata = json.loads(header[_HEADER])
    except (KeyError, ValueError) as error:
        raise CheckpointError(
            "A weight file must carry snreid's header",
            came=f"{path} with {sorted(header) or 'no metadata'}",
            repair="give foreign weights as the backbone's weights instead",
        ) from error
    return SavedModel(tensors, metadata)


def restore(model: nn.Module, saved: SavedModel, *, source: str) -> None:
    """Put saved tensors into a model of the same structure. ``source``: what to call the file in a message.

    Raises ``CheckpointError`` naming tensors that are missing, left over, of another shape or of another dtype; the model is
    then untouched.
    """
    wanted = model.state_dict()
    missing = [name for name in wanted if name not in saved.tensors]
    unexpected = [name for name in saved.tensors if name not in wanted]
    other = [
        f"{name} {_kind(saved.tensors[name])} instead of {_kind(tensor)}"
        for name, tensor in wanted.items()
        if name in saved.tensors and _kind(saved.tensors[name]) != _kind(tensor)
    ]
    found = [
        f"{len(names)} {what} ({', '.join(names[:_SHOWN])}{', ...' if len(names) > _SHOWN else ''})"
        for what, names in (("missing", missing), ("unexpected", unexpected), ("of another kind", other))
        if names
    ]
    if found:
        raise CheckpointError(
            "Saved weights must belong to this model",
            came=f"{source}: {'; '.join(found)}",
            repair="build the model from the file's own metadata",
        )
    with torch.no_grad():
        model.load_state_dict(saved.tensors)


def _kind(tensor: Tensor) -> str:
    return f"{tuple(tensor.shape)} {str(tensor.dtype).removeprefix('torch.')}"
