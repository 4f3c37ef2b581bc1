"""An adaptation that trains: the training loop with the log, the checkpoints and the progress line of the adaptation's folder."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from snreid.adaptation import Adaptation
from snreid.adaptation.job import Job
from snreid.errors import ExperimentError
from snreid.training.checkpoint import CheckpointStore
from snreid.training.follow import follow
from snreid.training.log import MetricsLog, ProgressLine
from snreid.training.loop import Hooks, Loop, Plan


def run_plan(
    method: Adaptation, job: Job, plan: Plan, *, epoch_start: Callable[[int], None] = lambda epoch: None
) -> None:
    """Trains ``plan`` to its end, from wherever the folder's checkpoints say it is.

    ``epoch_start``: see ``Hooks``. Raises ``Interrupted``, ``DivergenceError``, ``CheckpointError``.
    """
    log, checkpoints = MetricsLog(job.machine.out), CheckpointStore(job.machine.out / "checkpoints")
    pointer = checkpoints.last()
    done = pointer.step if pointer else 0
    bar = ProgressLine(job.console, total_steps=plan.epochs * len(plan.batches), epochs=plan.epochs)
    log.start(done)
    bar.start(done)
    with log, bar:
        hooks = Hooks(
            report=follow(log, bar),
            epoch_start=epoch_start,
            values={"experiment": method.to_json()},
            same=lambda stored, _: _reads_as(stored, method),
        )
        Loop(plan, checkpoints, group=job.group, hooks=hooks, save_seconds=job.machine.save_seconds).run()


def _reads_as(stored: object, method: Adaptation) -> bool:
    try:
        return Adaptation.from_json(stored) == method
    except ExperimentError:
        return False


class Deck:
    """Numbers 0 to ``count`` - 1 drawn in shuffled rounds: each once before any comes again, none twice in a draw."""

    def __init__(self, count: int, random: np.random.Generator) -> None:
        self.count, self.random, self.queue = count, random, np.zeros(0, dtype=np.int64)

    def draw(self, size: int) -> NDArray[np.int64]:
        """The next ``size`` numbers, at most ``count``."""
        chosen, self.queue = self.queue[:size], self.queue[size:]
        if len(chosen) < size:
            fresh = self.random.permutation(self.count)
            fits = ~np.isin(fresh, chosen)
            taken = fresh[fits][: size - len(chosen)]
            self.queue = fresh[~np.isin(fresh, taken)]
            chosen = np.concatenate([chosen, taken])
        return chosen.astype(np.int64)
