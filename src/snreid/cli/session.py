"""The session that every computing command opens, and its report when stopped."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from snreid.cli import Terminated
from snreid.errors import CheckpointError, ExperimentError, Interrupted, SnreidError
from snreid.system.atomic_files import require_writable, require_writable_folder
from snreid.system.cores import core_quota
from snreid.system.machine import Machine

if TYPE_CHECKING:
    from snreid.training.session import Session


@contextmanager
def open_session(machine: Machine, out: Path | None = None) -> Iterator["Session"]:
    """A session of the processes that torchrun or srun started, or of this one alone; only the first one talks. ``out``, the folder that
    the command writes to, is checked before any work.

    Raises:
        ExperimentError: A file is in the way of a folder, or the machine cannot compute in this precision.
        SnreidError: Another process of the job was lost.
    """
    from snreid.training.precision import require_precision
    from snreid.training.session import Session

    for folder, flag in ((out, "--out"), (machine.cache, "--cache")):
        if folder is not None:
            require_folder(folder, flag)
    keep_to_quota()
    session = Session.start(machine)
    try:
        require_precision(machine.precision, session.group.device)
        yield session
    except RuntimeError as error:
        # torch has no exception type for a lost process; gloo's message names its source file.
        if session.group.world == 1 or not re.search(r"gloo|nccl", str(error), re.IGNORECASE):
            raise
        raise SnreidError(
            "The processes of a job work together to the end",
            found=f"process {session.group.rank} of {session.group.world} lost another one ({str(error).splitlines()[0]})",
            fix="see what that one said, and start the same command again: what was saved is not done again",
        ) from error
    finally:
        session.group.leave()


def keep_to_quota() -> None:
    """Limits torch's threads to the cores that a container may use, unless the environment sets their number. torch counts all cores
    of the machine."""
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
    """Adds the current contents of the folder ``out`` to the message of a stopped command."""
    try:
        yield
    except (KeyboardInterrupt, Terminated, Interrupted) as stop:
        with suppress(CheckpointError):  # the next start reports the damage
            stop.add_note(saved_text(out))
        raise


def saved_text(out: Path) -> str:
    """The progress of the runs in ``out`` and below, and what the same command will do with them.

    Raises:
        CheckpointError: A run's last state is damaged.
    """
    from snreid.models.delta import has_weights
    from snreid.training.checkpoint import CheckpointStore

    folders = [path.parent for path in out.rglob("experiment.json")]
    unfinished = [folder for folder in folders if not has_weights(folder)]
    trained = len(folders) - len(unfinished)
    steps = [last.step for folder in unfinished if (last := CheckpointStore(folder / "checkpoints").last()) is not None]
    saved = [f"{trained} trained run{'s' * (trained > 1)}"] if trained else []
    if steps:
        saved.append(f"a run at step {steps[0]}" if len(steps) == 1 else f"{len(steps)} runs on their way")
    if not saved:
        return f"nothing is saved in {out} yet, the same command starts from the beginning"
    return f"{' and '.join(saved)} saved in {out}, the same command continues from there"


def require_file(path: Path, *endings: str, flag: str = "--out") -> None:
    """Raises ``ExperimentError`` or ``OSError``, before hours of work, unless ``path`` can be written and its name has one of the
    ``endings``. One without an ending is taken as it is."""
    if path.suffix and path.suffix.lower() not in endings:
        raise ExperimentError(
            f"{flag} names a file that ends in {' or '.join(endings)}: its content is of this kind",
            found=str(path),
            fix=f"name it {path.with_suffix(endings[0])}",
        )
    require_writable(path)


def require_folder(place: Path, flag: str) -> None:
    """Raises ``ExperimentError`` if a file is in the way of the folder ``place``, ``OSError`` if nothing can be written there; before
    hours of work."""
    if taken := next((path for path in (place, *place.parents) if path.exists() and not path.is_dir()), None):
        raise ExperimentError(f"{flag} is a folder", found=f"{taken} is a file", fix="name a folder, new or old")
    require_writable_folder(place)
