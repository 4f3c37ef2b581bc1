"""Exact training states on disk, in safetensors and JSON, never pickle. A crash at any point leaves a valid checkpoint.

A save has three steps, each durable before the next begins:

1. ``step-00000123-<hash>.safetensors``: every tensor, and the JSON state in the file's header. Written to a
   temporary folder in the same place, fsynced, renamed, folder fsynced.
2. the commit: ``last.json`` (name, sha256, size, step, epoch, batch of that file) is replaced the same way.
3. files that the pointer does not name are deleted.

After a crash before the commit the previous state is still current; after the commit, the new one. The name of a
step file holds the start of its hash, so saving the same step twice never overwrites the file that the pointer names
with other bytes.
"""

import hashlib
import json
import re
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from snreid.errors import CheckpointError, DivergenceError
from snreid.system.atomic_files import draft_folder, move_into_place, write_text

STEP_FILE = re.compile(r"step-\d{8,}-[0-9a-f]{12}\.safetensors")
_OURS = re.compile(r"\.?(step-\d{8,}(-[0-9a-f]{12})?\.safetensors|last\.json)(\.tmp\.\w+)?")
_HEADER = "snreid"
_LAST = "last.json"
_POINTER_FIELDS = {"file": str, "sha256": str, "size": int, "step": int, "epoch": int, "batch": int}


@dataclass(frozen=True, kw_only=True)
class TrainingState:
    """Everything a run needs to resume as if it had never stopped."""

    tensors: Mapping[str, Tensor]
    """Model, optimizer and random state, flat, by name; saved from any device, loaded on the CPU bit for bit."""
    step: int
    """Optimizer steps done since the start of training, >= 0."""
    epoch: int
    """Epoch of the next batch, from 0."""
    batch: int
    """Position of the next batch inside its epoch, from 0."""
    values: Mapping[str, Any] = field(default_factory=dict)
    """Any JSON: the optimizer's groups, counters, the experiment. Finite numbers only."""


@dataclass(frozen=True, slots=True)
class Pointer:
    """The contents of ``last.json``: which step file is current."""

    file: str
    sha256: str
    size: int
    """Bytes."""
    step: int
    epoch: int
    batch: int


@dataclass(frozen=True)
class CheckpointStore:
    """The training states of one run in one folder. One process writes; any number may read at the same time."""

    folder: Path

    def save(self, state: TrainingState) -> Path:
        """Writes the state durably and makes it ``last``. Returns the step file.

        Raises ``DivergenceError`` before writing anything if a tensor or number is NaN or infinite, and
        ``CheckpointError`` if writing fails (disk full, read-only): the previous state stays current and no
        partial file remains.
        """
        _refuse_non_finite(state.tensors)
        header = _header(state)
        try:
            pointer = self._write_step(state, header)
            write_text(self.folder / _LAST, json.dumps(asdict(pointer), indent=2) + "\n")
            self.sweep()
        except (OSError, safetensors.SafetensorError) as error:
            former = (self.folder / _LAST).is_file()  # False if someone deleted the run folder
            raise CheckpointError(
                f"A checkpoint is written whole or not at all; step {state.step} was not, "
                f"{'the one before it counts' if former else 'and there is none before it'}",
                found=f"{error} in {self.folder}",
                fix="free space or rights in the run folder and start the run again: it "
                f"{'resumes' if former else 'starts from the beginning'}",
            ) from error
        return self.folder / pointer.file

    def load(self) -> TrainingState | None:
        """The last saved state, on the CPU; None if nothing was ever saved.

        Raises ``CheckpointError`` if a file is missing, damaged, of the wrong length or hash, or not a training state.
        """
        pointer = self.last()
        while pointer is not None:
            path = self.folder / pointer.file
            try:
                return _read_step(path, pointer)
            except FileNotFoundError as error:
                # A writer may have saved again after we read the pointer.
                pointer, former = self.last(), pointer
                if pointer == former:
                    raise _damaged(path, "the file is missing") from error
        return None

    def last(self) -> Pointer | None:
        """Reads ``last.json`` only; None if there is none. Raises ``CheckpointError`` if it is damaged."""
        path = self.folder / _LAST
        try:
            fields = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, RecursionError) as error:
            raise _damaged(path, f"no JSON: {error}") from error
        if not isinstance(fields, dict) or any(type(fields.get(k)) is not kind for k, kind in _POINTER_FIELDS.items()):
            raise _damaged(path, f"a pointer with the fields {', '.join(_POINTER_FIELDS)} was expected")
        negative = [name for name, kind in _POINTER_FIELDS.items() if kind is int and fields[name] < 0]
        if negative:
            raise _damaged(path, f"its {negative[0]} is {fields[negative[0]]}")
        if not STEP_FILE.fullmatch(fields["file"]):
            raise _damaged(path, f"it names the file {fields['file']!r}")
        return Pointer(**{k: fields[k] for k in _POINTER_FIELDS})

    def sweep(self) -> tuple[str, ...]:
        """Deletes temporary folders and step files that the pointer does not name; returns their names, sorted.

        Only the writing process may call it, when it starts (``save`` calls it too). Other files are left alone.
        """
        pointer = self.last()
        kept = {_LAST} | ({pointer.file} if pointer else set())
        orphans = sorted(p.name for p in self.folder.glob("*") if _OURS.fullmatch(p.name) and p.name not in kept)
        for name in orphans:
            if (self.folder / name).is_dir():
                shutil.rmtree(self.folder / name, ignore_errors=True)
            else:
                (self.folder / name).unlink(missing_ok=True)
        return tuple(orphans)

    def _write_step(self, state: TrainingState, header: str) -> Pointer:
        tensors = _separate(state.tensors)
        with draft_folder(self.folder / f"step-{state.step:08d}.safetensors") as folder:
            draft = folder / "draft"
            safetensors.torch.save_file(tensors, draft, metadata={_HEADER: header})
            with draft.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            size = draft.stat().st_size
            name = f"step-{state.step:08d}-{digest[:12]}.safetensors"
            move_into_place(draft, self.folder / name)
        return Pointer(name, digest, size, state.step, state.epoch, state.batch)


def _read_step(path: Path, pointer: Pointer) -> TrainingState:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise
    except OSError as error:
        raise _damaged(path, str(error)) from error
    if len(data) != pointer.size:
        raise _damaged(path, f"{len(data):,} bytes instead of {pointer.size:,}")
    digest = hashlib.sha256(data).hexdigest()
    if digest != pointer.sha256:
        raise _damaged(path, f"sha256 {digest[:12]}... instead of {pointer.sha256[:12]}...")
    try:
        tensors = safetensors.torch.load(data)
        length = int.from_bytes(data[:8], "little")
        record = json.loads(json.loads(data[8 : 8 + length])["__metadata__"][_HEADER])
        values, position = record["values"], (record["step"], record["epoch"], record["batch"])
    except (safetensors.SafetensorError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise _damaged(path, f"not a training state: {error}") from error
    if position != (pointer.step, pointer.epoch, pointer.batch) or not isinstance(values, dict):
        raise _damaged(path, "not the training state that last.json describes")
    return TrainingState(tensors=tensors, step=pointer.step, epoch=pointer.epoch, batch=pointer.batch, values=values)


def _damaged(path: Path, reason: str) -> CheckpointError:
    return CheckpointError(
        "A checkpoint is read only if it is exactly what was written",
        found=f"{path.name}: {reason} in {path.parent}",
        fix="restore the file from a copy, or start the run again in another folder",
    )


def _header(state: TrainingState) -> str:
    record = {"step": state.step, "epoch": state.epoch, "batch": state.batch, "values": dict(state.values)}
    try:
        return json.dumps(record, allow_nan=False)
    except ValueError as error:
        raise DivergenceError(f"Only finite numbers are saved, at step {state.step}", found=str(error)) from error


def _refuse_non_finite(tensors: Mapping[str, Tensor]) -> None:
    floating = {name: t for name, t in tensors.items() if t.is_floating_point() or t.is_complex()}
    bad = [name for name, t in floating.items() if not bool(torch.isfinite(t).all())]
    if bad:
        raise DivergenceError(
            "Only finite numbers are saved; the last good checkpoint is untouched",
            found=f"NaN or infinity in {len(bad)} of {len(tensors)} tensors, first {bad[0]}",
            fix="start again in another --out folder with a lower learning rate (--optimizer.lr, of MAR --lr)",
        )


def _separate(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Makes tensors contiguous CPU tensors that share no storage, as safetensors requires; copies only if needed."""
    seen: set[int] = set()
    separate: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        plain = tensor.detach().cpu().contiguous()
        storage = plain.untyped_storage()
        if storage.data_ptr() in seen or storage.nbytes() != plain.nbytes:
            plain = plain.clone()
        seen.add(plain.untyped_storage().data_ptr())
        separate[name] = plain
    return separate
