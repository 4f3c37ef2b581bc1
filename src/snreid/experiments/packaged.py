"""Packaged runs: run folders inside snreid. Their names are accepted wherever a run folder is expected."""

import json
from pathlib import Path

from snreid.errors import CheckpointError

HOME = Path(__file__).parent / "packaged_runs"
NAMES = ("people",)
WEIGHTS = "model.safetensors"


def located(folder: Path) -> Path:
    """Resolves a run folder: ``folder`` itself, or the packaged run of that name if no such folder exists here.

    Raises ``CheckpointError`` if this installation lacks the weights of that packaged run.
    """
    if len(folder.parts) != 1 or folder.name not in NAMES or (folder / "experiment.json").exists():
        return folder
    run = HOME / folder.name
    if not (run / WEIGHTS).is_file():
        raise CheckpointError(
            f"The run {folder} comes with the package",
            found="an installation of snreid without its weights",
            fix="install a wheel that has them, or name a run folder of your own",
        )
    return run


def is_packaged(folder: Path) -> bool:
    """Whether a run folder belongs to the package, where nothing may be written."""
    return folder.parent == HOME


def beside(folder: Path) -> Path:
    """Returns the folder for scores and files made from a run: its own, or ``runs/NAME-HASH`` here for a packaged run.

    The hash of the weights keeps its scores apart from those of a run that is called so, and of another version of the package.
    """
    inside = folder if is_packaged(folder) else located(folder)
    if not is_packaged(inside):
        return folder
    kept = json.loads((inside / "experiment.json").read_text(encoding="utf-8"))
    return Path("runs") / f"{inside.name}-{kept['packaged']['sha256'][:8]}"
