"""What every computing command opens: the processes, a console, the machine settings."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from snreid.cli.machine import MachineFlags
from snreid.system.cores import core_quota

if TYPE_CHECKING:
    from snreid.system.machine import Machine
    from snreid.training.distributed import ProcessGroup


@dataclass(frozen=True)
class Session:
    """The processes of a command and where it talks to (progress to stderr, results to stdout)."""

    group: "ProcessGroup"
    console: Console


@contextmanager
def session(flags: MachineFlags) -> Iterator[Session]:
    """Joins the processes torchrun or srun started, if any; only the first one talks.

    Raises ``SnreidError`` when another process of the job goes before the work is done.
    """
    from snreid.errors import SnreidError
    from snreid.training.distributed import join
    from snreid.training.precision import require_precision

    keep_to_quota()
    group = join(flags.device)
    try:
        require_precision(flags.precision, group.device)
        yield Session(group, Console(stderr=True, quiet=not group.first))
    except RuntimeError as error:
        # torch has no type of its own for this; gloo's words name its source file.
        if group.world == 1 or not re.search(r"gloo|nccl", str(error), re.IGNORECASE):
            raise
        raise SnreidError(
            "The processes of a job work together to the end",
            found=f"process {group.rank} of {group.world} lost another one ({str(error).splitlines()[0]})",
            fix="see what that one said, and start the same command again: what was saved is not done again",
        ) from error
    finally:
        group.leave()


def keep_to_quota() -> None:
    """torch starts a thread on each core that it sees. In a container that may use fewer it takes as many as that, unless the
    environment says how many."""
    import torch

    quota = core_quota()
    if (
        quota
        and quota < torch.get_num_threads()
        and not any(map(os.environ.get, ("OMP_NUM_THREADS", "MKL_NUM_THREADS")))
    ):
        torch.set_num_threads(quota)


@contextmanager
def resumable(out: Path) -> Iterator[None]:
    """The signal that stops a command is told with what the folder ``out`` holds then."""
    from snreid.cli import Terminated
    from snreid.errors import CheckpointError, Interrupted

    try:
        yield
    except (KeyboardInterrupt, Terminated, Interrupted) as stop:
        with suppress(CheckpointError):  # the next start says what is damaged
            stop.add_note(saved_text(out))
        raise


def saved_text(out: Path) -> str:
    """How far the runs in ``out`` and below it are and what the same command does with them, in words. Raises ``CheckpointError``
    where a run's last state is damaged."""
    from snreid.models.delta import has_weights
    from snreid.training.checkpoint import CheckpointStore

    folders = [path.parent for path in out.rglob("experiment.json")]
    begun = [folder for folder in folders if not has_weights(folder)]
    trained = len(folders) - len(begun)
    steps = [last.step for folder in begun if (last := CheckpointStore(folder / "checkpoints").last()) is not None]
    saved = [f"{trained} trained run{'s' * (trained > 1)}"] if trained else []
    if steps:
        saved.append(f"a run at step {steps[0]}" if len(steps) == 1 else f"{len(steps)} runs on their way")
    if not saved:
        return f"nothing is saved in {out} yet, the same command begins anew"
    return f"{' and '.join(saved)} saved in {out}, the same command goes on from there"


def machine(flags: MachineFlags, out: Path) -> "Machine":
    """Machine settings with the folder to write to. Raises ``ExperimentError`` for impossible values."""
    from snreid.errors import ExperimentError
    from snreid.system.machine import Machine

    if not (flags.workers >= 0 and flags.memory_gb >= 0 and flags.save_seconds >= 0):  # of NaN nothing is true
        raise ExperimentError(
            "Workers, memory and seconds must not be negative",
            found=f"--workers {flags.workers} --memory-gb {flags.memory_gb} --save-seconds {flags.save_seconds}",
            fix="give 0 or more",
        )
    require_folder(out, "--out")
    if flags.cache is not None:
        require_folder(flags.cache, "--cache")
    return Machine(
        root=flags.root,
        out=out,
        device=flags.device,
        workers=flags.workers,
        precision=flags.precision,
        skip_bad=flags.skip_bad,
        memory_gb=flags.memory_gb,
        cache=flags.cache,
        save_seconds=flags.save_seconds,
    )


def require_folder(place: Path, flag: str) -> None:
    """Raise ``ExperimentError`` where no folder can be because a file is in its way; asked before hours of work."""
    from snreid.errors import ExperimentError

    if taken := next((one for one in (place, *place.parents) if one.exists() and not one.is_dir()), None):
        raise ExperimentError(f"{flag} is a folder", found=f"{taken} is a file", fix="name a folder, new or old")
