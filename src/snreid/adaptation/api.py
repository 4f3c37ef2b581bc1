"""Adaptation from Python: ``snreid.adapt``."""

from pathlib import Path

from snreid.adaptation.base import Adaptation
from snreid.adaptation.clustering import ClusterContrast
from snreid.adaptation.folder import adapt_run
from snreid.adaptation.unlabelled import Unlabelled
from snreid.experiments.runs import Run, open_run
from snreid.records import DataSet
from snreid.system.machine import Machine, data_root
from snreid.training.session import Session


def adapt(
    run: Run | str | Path,
    target: DataSet | str | Path,
    *,
    out: str | Path,
    method: Adaptation | None = None,
    root: str | Path | None = None,
    device: str = "auto",
    workers: int = 0,
    quiet: bool = True,
) -> Run:
    """Adapts a finished run to a target without using its labels.

    Args:
        run: A run, its folder, or the name of a packaged run. It stays as it is.
        target: A data set (only its training images are used) or a folder of images.
        out: Folder of the adapted run.
        method: ``ClusterContrast``, ``MAR`` or ``AdaptiveBN`` (statistics alone, seconds); if None, ``ClusterContrast`` with the settings
            for the run's preset, as ``snreid adapt``.
        root: Folder of the data sets; if None, the variable SNREID_DATA or ``data``.
        device: ``auto`` (CUDA if there is one), ``cpu``, ``cuda`` or ``cuda:N``.
        workers: Processes that decode images; 0 decodes in the calling process.
        quiet: Show no progress on stderr.

    Returns:
        The adapted run.

    Raises:
        DataError: The target has no training images, or an image cannot be read.
        ExperimentError: The settings do not fit, or the folder holds another run.
        CheckpointError: The run is not finished, or a weight file is damaged.
        Interrupted: After SIGTERM or Ctrl-C; the state is saved.
        BusyError: Another process is writing to the folder.

    Example:
        >>> adapted = snreid.adapt("runs/snr", "my_cameras/", out="runs/snr-mine")      # doctest: +SKIP
    """
    run = run if isinstance(run, Run) else open_run(run)
    method = method or ClusterContrast.for_experiment(run.experiment)
    machine = Machine(root=data_root() if root is None else Path(root), device=device, workers=workers)
    images = (
        Unlabelled.of(target.read(machine.root)) if isinstance(target, DataSet) else Unlabelled.in_folder(Path(target))
    )
    return adapt_run(method, run, images, Path(out), Session.start(machine, quiet=quiet))
