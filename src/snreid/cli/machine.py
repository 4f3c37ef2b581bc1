"""Flags that several commands share: the machine settings, the data folder, the output folder."""

from pathlib import Path
from typing import Annotated, TypeAlias

import tyro

from snreid.system.machine import Machine

MachineFlags: TypeAlias = Annotated[Machine, tyro.conf.arg(name="")]
"""The machine settings as flags without a prefix."""

DataFolder: TypeAlias = Annotated[
    Path, tyro.conf.arg(help="folder of the data sets; the variable SNREID_DATA is its default")
]
"""The flag ``--root``, for commands that take no other setting of the machine."""


def out_folder(default: str) -> object:
    """The flag ``--out``: a folder to write to. ``default`` says in the help which one it is without the flag."""
    return tyro.conf.arg(metavar="PATH", help="folder to write to", help_behavior_hint=f"(default: {default})")
