"""Settings of the machine, apart from the science. Every command that computes takes them as flags of the same names."""

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from snreid.errors import ExperimentError

Precision = Literal["float32", "bf16", "fp16"]


def data_root() -> Path:
    """The default data folder: the variable SNREID_DATA, or ``data`` in the current folder."""
    return Path(os.environ.get("SNREID_DATA") or "data")


def _pixel_cache() -> Path | None:
    return Path(os.environ["SNREID_CACHE"]) if os.environ.get("SNREID_CACHE") else None


@dataclass(frozen=True, kw_only=True)
class Machine:
    """Settings of the machine; no result depends on them beyond rounding.

    Raises:
        ExperimentError: Workers, memory or seconds are negative.
    """

    root: Path = field(default_factory=data_root)
    """folder of the data sets; the variable SNREID_DATA is its default"""
    device: str = "auto"
    """auto, cpu, cuda or cuda:N"""
    workers: int = 2
    """processes that decode images"""
    precision: Precision = "float32"
    """bf16 wants a GPU or a CPU with bfloat16 units (elsewhere it is far slower); fp16 is for training on a GPU"""
    skip_bad: bool = False
    """go on without images that cannot be read"""
    memory_gb: float = 4.0
    """keep sets of up to this size decoded in memory"""
    cache: Path | None = field(default_factory=_pixel_cache)
    """folder that keeps decoded pixels: the next start reads them, and sets larger than --memory-gb are mapped from it; the
    variable SNREID_CACHE is its default"""
    save_seconds: float = 60.0
    """least time between two checkpoints (training only)"""

    def __post_init__(self) -> None:
        if not (
            self.workers >= 0 and self.memory_gb >= 0 and self.save_seconds >= 0
        ):  # every comparison with NaN is false
            raise ExperimentError(
                "Workers, memory and seconds must not be negative",
                found=f"--workers {self.workers} --memory-gb {self.memory_gb} --save-seconds {self.save_seconds}",
                fix="give 0 or more",
            )

    @property
    def bf16(self) -> bool:
        """Whether to compute under bfloat16 autocast."""
        return self.precision == "bf16"
