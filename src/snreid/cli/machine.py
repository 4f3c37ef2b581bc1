"""Flags that several commands share: the machine settings, the data folder, the output folder."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, TypeAlias

import tyro

from snreid.cli.flags import flag
from snreid.system.machine import Machine, Precision

DataFolder: TypeAlias = Annotated[Path, flag("data folder, or set SNREID_DATA", "DIR")]
"""The flag ``--root``, also of commands without other machine settings."""


def out_folder(default: str) -> object:
    """The flag ``--out``: a folder to write to. ``default`` names the folder used without the flag."""
    return flag("folder to write to", "DIR", default=default)


@dataclass(frozen=True, kw_only=True)
class Flags(Machine):
    """The machine settings, with their ``--help`` texts."""

    root: DataFolder = field(default_factory=lambda: Machine().root)
    device: Annotated[str, flag("auto, cpu, cuda or cuda:N", "NAME")] = Machine.device
    workers: Annotated[int, flag("processes that decode images", "N")] = Machine.workers
    precision: Annotated[Precision, flag("float32; bf16, fp16 want a GPU", "TYPE")] = Machine.precision
    skip_bad: Annotated[bool, flag("go on without images that cannot be read")] = Machine.skip_bad
    memory_gb: Annotated[float, flag("keep sets up to this size decoded", "GB")] = Machine.memory_gb
    cache: Annotated[Path | None, flag("keep decoded pixels here, or set SNREID_CACHE", "DIR")] = field(
        default_factory=lambda: Machine().cache
    )
    save_seconds: tyro.conf.Suppress[float] = Machine.save_seconds
    """Taken by every command and listed by those that train."""


@dataclass(frozen=True, kw_only=True)
class TrainingFlags(Flags):
    """The machine settings of a command that trains, with their ``--help`` texts."""

    save_seconds: Annotated[float, flag("time between checkpoints", "SECONDS")] = Machine.save_seconds


MachineFlags: TypeAlias = Annotated[Flags, tyro.conf.arg(name="")]
"""The machine settings as flags without a prefix."""
TrainingMachineFlags: TypeAlias = Annotated[TrainingFlags, tyro.conf.arg(name="")]
"""The same, of a command that trains."""
