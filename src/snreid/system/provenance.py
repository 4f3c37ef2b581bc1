"""Where a result comes from: package versions, machine, git state and command line."""

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
    """What a record states about its origin, ready for JSON: start time (UTC), versions of Python and of ``PACKAGES``, platform, cores, git
    state of the working folder, and the command, quoted for a shell."""
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
    """Hash of the source code of a module, given its ``__file__``; for a package (``__init__.py``), of all modules in its folder."""
    path = Path(file)
    parts = sorted(path.parent.glob("*.py")) if path.name == "__init__.py" else [path]
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part.name.encode() + b"\0" + part.read_bytes())
    return digest.hexdigest()[:16]


def git_state(folder: Path, *, but: Sequence[str] = ()) -> dict[str, Any] | None:
    """The ``commit`` of the checkout that a folder is in, and whether its files are ``changed``; None outside a checkout or without git.

    Changes of ``but``, paths from the top of the checkout, do not count.
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
