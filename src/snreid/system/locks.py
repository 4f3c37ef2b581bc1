"""Locks between processes: one writer for a folder or a file, and the others are told who it is.

The operating system holds the lock (``flock``) and drops it when the process ends in any way, SIGKILL and a power cut included, so a lock
of the dead never blocks. The lock file only says who holds it; it is removed at the end, and a file that a killed process left is free.

There is no lock where the system has none (Windows, some network disks) or where nothing can be written.
"""

import json
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from datetime import datetime
from pathlib import Path

from snreid.errors import BusyError

if sys.platform != "win32":
    import fcntl


def folder_lock(folder: Path, doing: str, *, part: str = "") -> AbstractContextManager[None]:
    """The lock of a folder, which is made if it is missing and removed again if it stays empty.

    ``doing`` tells others what this process does there: "training", "filling a table". ``part`` is the share K/N of a folder that several
    processes fill side by side; empty for the whole. Raises ``BusyError``, when the context is entered, if another process or another
    thread of this one holds it.
    """
    name = f".lock-{part.replace('/', '-of-')}" if part else ".lock"
    return _locked(folder / name, "folder", doing, f"in {folder}")


def file_lock(path: Path, doing: str) -> AbstractContextManager[None]:
    """The lock of a file that is going to be written. Arguments and errors are those of ``folder_lock``."""
    return _locked(path.parent / f".{path.name}.lock", "file", doing, f"to {path}")


@contextmanager
def _locked(lock: Path, what: str, doing: str, where: str) -> Iterator[None]:
    handle = None
    missing = [place for place in lock.parents if not place.exists()]
    with suppress(OSError):  # no right to write, or no locks on this disk: then there is nothing to hold
        handle = _taken(lock)
        if handle is None:
            raise BusyError(
                f"One process at a time writes to a {what}",
                found=_holder(lock, where),
                fix=f"wait until it ends, or give another --out {what}",
            )
        now = datetime.now().isoformat()
        note = {"process": os.getpid(), "host": socket.gethostname(), "doing": doing, "since": now}
        os.ftruncate(handle, 0)
        os.write(handle, json.dumps(note).encode())
        lock.chmod(0o666)  # whoever may write to the folder may take over what a killed process left
    try:
        yield
    finally:
        if handle is not None:
            with suppress(OSError):
                lock.unlink()  # while it is held: whoever waits for this very file finds that it is gone
            os.close(handle)
        with suppress(OSError):  # not empty: something was written
            for place in missing:
                place.rmdir()


def _taken(lock: Path) -> int | None:
    """The locked file's handle; None if another one holds it. Raises ``OSError`` if there can be no lock."""
    if sys.platform == "win32":
        raise OSError("no flock")
    while True:
        lock.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileNotFoundError):  # a holder that ends removes the file, and its folder if that is empty
            handle = os.open(lock, os.O_RDWR | os.O_CREAT, 0o666)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if os.path.samestat(os.fstat(handle), os.stat(lock)):
                    return handle
                os.close(handle)
            except BlockingIOError:
                os.close(handle)
                return None
            except OSError:
                os.close(handle)
                raise


def _holder(lock: Path, where: str) -> str:
    """Who holds a lock: ``process 26194 has been training in runs/snr since 13:20``."""
    try:
        note = json.loads(lock.read_text(encoding="utf-8"))
        began = datetime.fromisoformat(note["since"])
        day = "" if began.date() == datetime.now().date() else f"{began:%Y-%m-%d} "
        host = "" if note["host"] == socket.gethostname() else f" on {note['host']}"
        return f"process {int(note['process'])}{host} has been {note['doing']} {where} since {day}{began:%H:%M}"
    except (OSError, ValueError, LookupError, TypeError, RecursionError):  # it has only just begun
        return f"another process is at work {where}"
