"""Models that come with the package: run folders inside snreid. Their names are taken wherever a run folder is asked for."""

from pathlib import Path

from snreid.errors import CheckpointError

HOME = Path(__file__).parent / "packaged_runs"
NAMES = ("people",)
WEIGHTS = "model.safetensors"


def located(folder: Path) -> Path:
    """Where a run lies: ``folder`` itself, or inside the package when it is the name of a packaged run and no run here is called so.

    Raises ``CheckpointError`` when this installation has no weights of that name.
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
    """Whether a run folder belongs to the package: nothing is written there."""
    return folder.parent == HOME


def beside(folder: Path) -> Path:
    """Where scores and files made of a run go: into its folder; for a packaged run ``runs/NAME`` of the current folder."""
    return Path("runs") / folder.name if is_packaged(folder) or is_packaged(located(folder)) else folder
