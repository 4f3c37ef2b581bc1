"""Weights on disk: safetensors with a JSON header, written atomically, never pickled.

A reader sees either the old file or the new one, even if writing is interrupted. The header holds the SHA-256 of the rest, which
detects a changed byte; files of earlier versions have no hash and are not checked.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from snreid.errors import CheckpointError
from snreid.system.atomic_files import write_bytes

_HEADER, _HASH = "snreid", "sha256"
HALF = {"stored": "float16"}
"""In the metadata of a file with float32 tensors stored in 16 bits; ``load_model`` widens them."""
_SHOWN = 4


@dataclass(frozen=True)
class SavedModel:
    """The contents of a weight file."""

    tensors: dict[str, Tensor]
    """Parameters and buffers by name, on the CPU."""
    metadata: dict[str, Any]
    """The metadata given to ``save_model``, as JSON."""
    sha256: str
    """Hash of all meaningful content: files with equal hashes are the same model with the same metadata."""


def save_model(path: Path, model: nn.Module, metadata: Mapping[str, Any]) -> None:
    """Write a model's parameters and buffers, with ``metadata`` in the header of the same file."""
    save_tensors(path, model.state_dict(), metadata)


def save_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, Any]) -> None:
    """Write named tensors with JSON metadata, atomically: a temporary file beside ``path``, flushed, then renamed.

    Tensors that share memory are written once each. Equal content gives equal files, byte by byte.
    Raises ``CheckpointError`` when the metadata is not JSON or the file cannot be written; ``path`` then stays unchanged.
    """
    try:
        text = json.dumps(metadata, sort_keys=True, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise CheckpointError("Metadata of a weight file must be JSON", found=str(error)) from error
    owned = {name: tensor.detach().to("cpu", copy=True).contiguous() for name, tensor in tensors.items()}
    try:
        content = save(owned, metadata={_HEADER: text})
        header, stored = _split(content)
        header["__metadata__"][_HASH] = _digest(content)
        write_bytes(path, _joined(header, stored))
    except OSError as error:
        raise CheckpointError(
            "A weight file must be writable", found=str(error), fix="free space or give another folder"
        ) from error


def load_model(path: Path) -> SavedModel:
    """Read a file of ``save_model``. Raises ``CheckpointError`` when it is missing, damaged or of another origin."""
    if not path.is_file():
        raise CheckpointError("A weight file must exist", found=f"no file {path}", fix="check the path of the run")
    try:
        content = path.read_bytes()
        tensors = load(content)
        header = _split(content)[0].get("__metadata__", {})
        digest = _digest(content)
        if header.get(_HASH, digest) != digest:
            raise ValueError(f"sha256 {digest[:12]}... instead of {header[_HASH][:12]}...")
        # The earliest files have no hash; a file whose hash key is damaged must not pass for one of them.
        if _HEADER in header and (strange := sorted(set(header) - {_HEADER, _HASH})):
            raise ValueError(f"{strange[0]!r} in the header")
    except (SafetensorError, OSError, ValueError, RuntimeError, RecursionError) as error:
        raise CheckpointError(
            "A weight file must be whole",
            found=f"{path}: {error}",
            fix="copy it again, or train again in another --out folder",
        ) from error
    try:
        metadata = json.loads(header[_HEADER])
        if not isinstance(metadata, dict):
            raise TypeError(type(metadata).__name__)
    except (KeyError, ValueError, TypeError, RecursionError) as error:
        raise CheckpointError(
            "A weight file must carry snreid's header",
            found=f"{path} with {sorted(header) or 'no metadata'}",
            fix="give foreign weights as the backbone's weights instead",
        ) from error
    if HALF.items() <= metadata.items():
        tensors = {name: t.float() if t.dtype == torch.float16 else t for name, t in tensors.items()}
    return SavedModel(tensors, metadata, digest)


def _split(content: bytes) -> tuple[dict[str, Any], memoryview]:
    """Header and tensors of a safetensors file: 8 bytes with the length of the header, the header as JSON, the tensors."""
    end = 8 + int.from_bytes(content[:8], "little")
    header: dict[str, Any] = json.loads(content[8:end])
    return header, memoryview(content)[end:]


def _joined(header: Mapping[str, Any], tensors: memoryview) -> bytes:
    """The inverse of ``_split``, with a sorted header; safetensors' own writer shuffles its metadata."""
    text = json.dumps(header, sort_keys=True, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # tensors begin at a multiple of eight
    return b"".join((len(text).to_bytes(8, "little"), text, tensors))


def _digest(content: bytes) -> str:
    """SHA-256 of all meaningful content except the hash itself; the order inside the header has no effect."""
    header, tensors = _split(content)
    header.get("__metadata__", {}).pop(_HASH, None)
    digest = hashlib.sha256(json.dumps(header, sort_keys=True).encode())
    digest.update(tensors)
    return digest.hexdigest()


def restore(
    model: nn.Module,
    saved: SavedModel,
    *,
    source: str,
    spare: tuple[str, ...] = (),
    fix: str = "build the model from the file's own metadata",
) -> None:
    """Load saved tensors into a model of the same structure.

    Arguments and errors are those of ``require_fitting`` and ``require_usable``; after an error the model is unchanged.
    """
    require_fitting(model, saved, source=source, spare=spare, fix=fix)
    state = model.state_dict()
    require_usable({name: saved.tensors[name] for name in state if not name.startswith(spare)}, source=source)
    with torch.no_grad():
        model.load_state_dict({n: t if n.startswith(spare) else saved.tensors[n] for n, t in state.items()})


def require_fitting(model: nn.Module, saved: SavedModel, *, source: str, spare: tuple[str, ...] = (), fix: str) -> None:
    """Check that saved tensors are those of a model, which may be on torch's device ``meta`` and so take no memory.

    ``source``: name of the file in messages. ``spare``: tensors with one of these prefixes are not needed. ``fix``: advice if they do
    not fit. Raises ``CheckpointError`` naming the tensors that are missing, left over, or of another shape or dtype.
    """
    wanted = {name: tensor for name, tensor in model.state_dict().items() if not name.startswith(spare)}
    missing = [name for name in wanted if name not in saved.tensors]
    unexpected = [name for name in saved.tensors if name not in wanted and not name.startswith(spare)]
    other = [
        f"{name} {_kind(saved.tensors[name])} instead of {_kind(tensor)}"
        for name, tensor in wanted.items()
        if name in saved.tensors and _kind(saved.tensors[name]) != _kind(tensor)
    ]
    differences = [
        f"{len(names)} {what} ({shown(names)})"
        for what, names in (("missing", missing), ("unexpected", unexpected), ("of another kind", other))
        if names
    ]
    if differences:
        raise CheckpointError(
            "Saved weights must belong to this model",
            found=f"{source}: {'; '.join(differences)}",
            fix=fix,
        )


def require_usable(tensors: Mapping[str, Tensor], *, source: str) -> None:
    """Raise ``CheckpointError`` naming the first tensor with NaN or infinity, or the first negative running variance.

    Such a network embeds every image as NaN, or as numbers without meaning. ``source``: name of the file in the message.
    """
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            defect = "NaN or infinity"
        elif name.endswith("running_var") and bool((tensor < 0).any()):
            defect = "a negative variance"
        else:
            continue
        raise CheckpointError(
            "Weights are finite numbers, and variances are not negative",
            found=f"{defect} in {name} of {source}",
            fix="copy the file again, or take the weights of another training",
        )


def shown(names: list[str]) -> str:
    """The first of the names, for a message."""
    return ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")


def _kind(tensor: Tensor) -> str:
    return f"{tuple(tensor.shape)} {str(tensor.dtype).removeprefix('torch.')}"
