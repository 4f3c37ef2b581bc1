"""The tree as the architecture tests see it: parsed source files and what git would track."""

import ast
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src" / "snreid"


@dataclass(frozen=True)
class Source:
    """One Python file of the package."""

    path: Path
    text: str
    tree: ast.Module

    @property
    def name(self) -> str:
        """Path from the package folder, with slashes: ``models/snr.py``."""
        return self.path.relative_to(SOURCE).as_posix()


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository."""
    return ROOT


@pytest.fixture(scope="session")
def sources() -> tuple[Source, ...]:
    """Every Python file of the package, parsed."""
    files = sorted(SOURCE.rglob("*.py"))
    assert files, f"no source below {SOURCE}"
    texts = [(path, path.read_text(encoding="utf-8")) for path in files]
    return tuple(Source(path, text, ast.parse(text, filename=str(path))) for path, text in texts)


@pytest.fixture(scope="session")
def tracked() -> tuple[Path, ...]:
    """Files git tracks or would track: what another person gets, and what has to be fit to be seen."""
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("this copy of the source has no git history to ask")
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listing = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return tuple(path for name in listing.split("\0") if name and (path := ROOT / name).is_file())
