"""Files written whole: a reader finds either the old content or the new one, whenever the writer stops.

A file is written as a draft in a hidden folder beside it, ``.NAME.tmp.XXXXXXXX``, and renamed when it is complete.

- fsync: the draft is flushed before the rename and its folder after it, so the file survives a power cut. ``durable=False`` skips both,
  for files that are verified on reading or easily made again.
- Leftovers: a write that fails deletes its draft. A killed process leaves one behind, which ``sweep`` deletes.
- Errors: an ``OSError`` (disk full, folder not writable) names the file, not its draft.
"""

import contextlib
import errno
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from snreid.errors import ExperimentError

DAY = 24 * 3600.0
"""Seconds."""


def write_bytes(path: Path, content: bytes, *, durable: bool = True) -> None:
    """Write ``content`` to ``path``, whole or not at all. Raises as ``atomic_write``."""
    with atomic_write(path, durable=durable) as draft:
        draft.write_bytes(content)


def write_text(path: Path, text: str) -> None:
    r"""Write ``text`` to ``path`` as UTF-8 with ``\n`` line ends, whole or not at all. Raises as ``atomic_write``."""
    write_bytes(path, text.encode())


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write ``value`` to ``path`` as indented JSON, whole or not at all. Raises as ``atomic_write``."""
    write_text(path, json.dumps(value, indent=1) + "\n")


@contextlib.contextmanager
def atomic_write(path: Path, *, durable: bool = True) -> Iterator[Path]:
    """Replace ``path`` by the draft that the block writes.

    Args:
        path: The file to write. Missing parent folders are made.
        durable: Whether the file has to survive a power cut (fsync).

    Yields:
        Where to write the draft. The name has no suffix.

    Raises:
        ExperimentError: ``path`` is not a regular file (``require_replaceable``).
        OSError: The file cannot be written; ``path`` is unchanged.

    Example:
        >>> with atomic_write(Path("scores.npz")) as draft, draft.open("wb") as file:
        ...     np.savez(file, scores=scores)
    """
    require_replaceable(path)
    with draft_folder(path) as folder:
        draft = folder / "draft"
        yield draft
        move_into_place(draft, path, durable=durable)


@contextlib.contextmanager
def draft_folder(path: Path) -> Iterator[Path]:
    """Yield an empty folder for the draft of ``path``, deleted at the end; for programs that write more than one file. An ``OSError`` of
    the block names ``path``."""
    folder = None
    try:
        with naming(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            folder = Path(tempfile.mkdtemp(prefix=f".{path.name}.tmp.", dir=path.parent))
            yield folder
    finally:
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """Give an ``OSError`` of the block (disk full, folder not writable) the name ``path``: a failed write names no file."""
    try:
        yield
    except OSError as error:
        if error.errno is None:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error


def move_into_place(draft: Path, path: Path, *, durable: bool = True) -> None:
    """Rename ``draft`` to ``path`` (same file system), flushed to the disk if ``durable``. Raises ``OSError``."""
    if durable:
        with draft.open("r+b") as file:  # Windows can flush only what is open for writing
            os.fsync(file.fileno())
    draft.replace(path)
    if durable and os.name == "posix":  # Windows cannot open folders and orders its renames itself
        handle = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def require_replaceable(path: Path) -> None:
    """Raise ``ExperimentError`` unless ``path`` is free or a regular file.

    Renaming would remove a device (``/dev/null``), a pipe or the link ``/dev/stdout`` for the whole machine.
    """
    if not path.exists() or (path.is_file() and not (path.is_symlink() and str(path.readlink()).startswith("/proc/"))):
        return
    kind = "a folder" if path.is_dir() else "no regular file (a device, a pipe, ...)"
    raise ExperimentError(
        "A result is written to a new file or over an old one", found=f"{path} is {kind}", fix="name another file"
    )


def require_writable(path: Path) -> None:
    """Check before any work that the file ``path`` can be written. Changes nothing, not even a folder's time.

    Raises ``ExperimentError`` as ``require_replaceable`` does, and ``OSError`` with ``path`` as its file name.
    """
    require_replaceable(path)
    with naming(path):
        require_writable_folder(path.absolute().parent)


def require_writable_folder(folder: Path) -> None:
    """Check that files can be written to ``folder``, new or old, in the same way. Raises ``OSError`` with ``folder`` as its file name."""
    there = next(place for place in (folder.absolute(), *folder.absolute().parents) if place.exists())
    wrong = errno.ENOTDIR if not there.is_dir() else 0 if os.access(there, os.W_OK | os.X_OK) else errno.EACCES
    if wrong:
        raise OSError(wrong, os.strerror(wrong), str(folder))


def sweep(folder: Path, *, older_than: float = DAY) -> None:
    """Delete the drafts that killed processes left in ``folder`` (not below it), those of earlier versions included.

    A draft that is younger than ``older_than`` seconds may belong to a living process; give 0 where there is no other writer.
    """
    for draft in (*folder.glob(".*.tmp.????????"), *folder.glob(".*.tmp")):
        with contextlib.suppress(OSError):  # another process may delete it at the same time
            if max(0.0, time.time() - draft.stat().st_mtime) < older_than:
                continue
            if draft.is_dir():
                shutil.rmtree(draft, ignore_errors=True)
            else:
                draft.unlink()
