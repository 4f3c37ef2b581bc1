"""Machine flags, the same for every command that computes; listed in a test so that they do not grow unnoticed."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

import tyro

DataFolder: TypeAlias = Annotated[
    Path, tyro.conf.arg(help="folder of the data sets; the variable SNREID_DATA is its default")
]
"""The flag ``--root``, also of commands that take no other setting of the machine."""


def out_folder(left_out: str) -> object:
    """What the help of a command says of ``--out``: ``left_out`` is the folder that it writes to without the flag."""
    return tyro.conf.arg(metavar="PATH", help="folder to write to", help_behavior_hint=f"(default: {left_out})")


@dataclass(frozen=True, kw_only=True)
class MachineFlags:
    """Settings of the machine; no result depends on them beyond rounding."""

    root: DataFolder = Path(os.environ.get("SNREID_DATA") or "data")
    out: Annotated[Path | None, out_folder("see the command")] = None
    device: Annotated[str, tyro.conf.arg(help="auto, cpu, cuda or cuda:N")] = "auto"
    workers: Annotated[int, tyro.conf.arg(help="processes that decode images")] = 2
    precision: Annotated[
        Literal["float32", "bf16", "fp16"],
        tyro.conf.arg(
            help="bf16 wants a GPU or a CPU with bfloat16 units (elsewhere it is far slower); fp16 is for training on a GPU"
        ),
    ] = "float32"
    skip_bad: Annotated[bool, tyro.conf.arg(help="go on without images that cannot be read")] = False
    memory_gb: Annotated[float, tyro.conf.arg(help="keep sets of up to this size decoded in memory")] = 4.0
    cache: Annotated[
        Path | None,
        tyro.conf.arg(
            help="folder that keeps decoded pixels: the next start reads them, and sets larger than --memory-gb are mapped from it; "
            "the variable SNREID_CACHE is its default"
        ),
    ] = Path(os.environ["SNREID_CACHE"]) if os.environ.get("SNREID_CACHE") else None
    save_seconds: Annotated[float, tyro.conf.arg(help="least time between two checkpoints (training only)")] = 60.0
