"""Training and scoring from Python: ``snreid.train`` and ``snreid.score``."""

from pathlib import Path

from snreid.experiments.experiment import Experiment
from snreid.experiments.job import train as train_run
from snreid.experiments.runs import Run, open_run
from snreid.experiments.scoring import read_targets, score_run
from snreid.records import DataSet, Scores
from snreid.system.machine import Machine, Precision, data_root
from snreid.training.session import Session


def train(
    experiment: Experiment,
    *,
    out: str | Path,
    root: str | Path | None = None,
    device: str = "auto",
    precision: Precision = "float32",
    workers: int = 0,
    quiet: bool = True,
) -> Run:
    """Trains an experiment and writes the run to a folder.

    Resumes an interrupted run, which ends with the same weights; returns a finished one as it is.

    Args:
        experiment: What to train, usually a recipe with sources.
        out: Folder of the run.
        root: Folder of the data sets; if None, the variable SNREID_DATA or ``data``.
        device: ``auto`` (CUDA if there is one), ``cpu``, ``cuda`` or ``cuda:N``.
        precision: ``bf16`` needs a GPU or a CPU with bfloat16 units, ``fp16`` a GPU.
        workers: Processes that decode images; 0 decodes in the calling process. With more, guard your script with
            ``if __name__ == "__main__":``.
        quiet: Show no progress on stderr.

    Returns:
        The finished run.

    Raises:
        DataError: A source is missing, or an image cannot be read; all such images are listed before training.
        ExperimentError: The settings contradict each other, or the folder holds another run.
        CheckpointError: A weight file or a training state is missing or damaged.
        DivergenceError: The loss is no longer finite.
        Interrupted: After SIGTERM or Ctrl-C; the state is saved.
        BusyError: Another process is writing to the folder.

    Example:
        >>> from dataclasses import replace
        >>> experiment = replace(snreid.recipes.snr("mobile"), sources=(Market1501(),))     # doctest: +SKIP
        >>> run = snreid.train(experiment, out="runs/snr", root="data")                     # doctest: +SKIP
    """
    machine = Machine(
        root=data_root() if root is None else Path(root), device=device, precision=precision, workers=workers
    )
    return train_run(experiment, Path(out), Session.start(machine, quiet=quiet))


def score(
    run: Run | str | Path,
    target: DataSet,
    *,
    root: str | Path | None = None,
    device: str = "auto",
    workers: int = 0,
    quiet: bool = True,
) -> Scores:
    """Scores a finished run on a data set. Scores are stored in the run's folder and reused.

    Args:
        run: A run, its folder, or the name of a packaged run.
        target: The data set; its query and gallery images are used.
        root: Folder of the data sets; if None, the variable SNREID_DATA or ``data``.
        device: ``auto`` (CUDA if there is one), ``cpu``, ``cuda`` or ``cuda:N``.
        workers: Processes that decode images; 0 decodes in the calling process.
        quiet: Show no progress on stderr.

    Returns:
        mAP, CMC and mINP with one value per query.

    Raises:
        CheckpointError: There is no such run, it is not finished, or its weights are damaged.
        DataError: The data set is missing, has no query with a match, or an image cannot be read.
        ExperimentError: The run was trained on the target's test people.

    Example:
        >>> scores = snreid.score("runs/snr", CUHK03(), root="data")       # doctest: +SKIP
        >>> f"{scores.mean_ap:.1%} mAP, {scores.rank(1):.1%} rank-1"       # doctest: +SKIP
        '6.6% mAP, 6.0% rank-1'
    """
    run = run if isinstance(run, Run) else open_run(run)
    machine = Machine(root=data_root() if root is None else Path(root), device=device, workers=workers)
    data = read_targets([target], machine.root, trained_on=run.experiment.sources)
    return score_run(run, data, Session.start(machine, quiet=quiet))[0].scores
