"""Settings of the machine, apart from the science."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Precision = Literal["float32", "bf16", "fp16"]


@dataclass(frozen=True, kw_only=True)
class Machine:
    """Settings of the machine, not of the science: results depend on them only by rounding."""

    root: Path = Path("data")
    """Folder of the data sets."""
    out: Path = Path("runs")
    """Folder that the run is written to."""
    device: str = "auto"
    """auto, cpu, cuda or cuda:N."""
    workers: int = 2
    """Processes that decode images."""
    precision: Precision = "float32"
    """bf16: bfloat16 autocast, many times slower on a CPU without bfloat16 units, so never the default. fp16: float16 autocast with
    a scaled loss, for training on a GPU."""
    compile: bool = False
    """Compile the training step with ``torch.compile`` where the machine can."""
    skip_bad: bool = False
    """Continue without the images that cannot be read."""
    memory_gb: float = 4.0
    """Data sets of up to this many GB stay decoded in memory."""
    cache: Path | None = None
    """Folder that keeps decoded pixels for the next start; None: they are not kept."""
    save_seconds: float = 60.0
    """Least number of seconds between two checkpoints."""

    @property
    def bf16(self) -> bool:
        """Whether to compute under bfloat16 autocast."""
        return self.precision == "bf16"
