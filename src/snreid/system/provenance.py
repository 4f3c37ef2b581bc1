"""Where a result comes from: versions, machine, git state, command line."""

import hashlib
import importlib.metadata
import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

PACKAGES = ("snreid", "torch", "timm", "numpy", "pillow", "simplejpeg", "safetensors")


def provenance() -> dict[str, Any]:
    """JSON: time (UTC), versions of Python and the packages that decide numbers, processor, git state of the working folder, command.

    The command is quoted so that a shell takes it as it is.
    """
    return {
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in PACKAGES},
        "platform": platform.platform(),
        "cores": os.cpu_count(),
        "git": git_state(Path.cwd()),
        "command": shlex.join(["snreid", *sys.argv[1:]]),
    }


@lru_cache(maxsize=64)
def program(file: str) -> str:
    """A hash of the source of a module (``module.__file__``), or of all modules of a package's folder (that of its ``__init__.py``)."""
    path = Path(file)
    parts = sorted(path.parent.glob("*.py")) if path.name == "__init__.py" else [path]
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part.name.encode() + b"\0" + part.read_bytes())
    return digest.hexdigest()[:16]


def git_state(folder: Path, *, but: Sequence[str] = ()) -> dict[str, Any] | None:
    """Commit and whether files of ``folder``'s checkout differ from it; None outside a checkout or without git.

    ``but``: paths from the top of the checkout whose change does not count.
    """
    others = [":(top)", *(f":(top,exclude,literal){path}" for path in but)] if but else []
    try:
        commit = _git(folder, "rev-parse", "HEAD")
        changed = _git(folder, "status", "--porcelain", "--untracked-files=no", "--", *others)
    except (OSError, subprocess.SubprocessError):
        return None
    return {"commit": commit, "changed": bool(changed)}


def _git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=True, timeout=10)
    return done.stdout.strip()


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
