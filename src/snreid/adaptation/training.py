"""An adaptation that trains: the training loop with the log, the checkpoints and the progress line of the adaptation's folder."""

from collections.abc import Callable

from snreid.adaptation import Adaptation
from snreid.adaptation.job import Job
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
    bar = ProgressLine(job.console, total_steps=plan.epochs * plan.steps, epochs=plan.epochs)
    log.start(done)
    bar.start(done)
    with log, bar:
        hooks = Hooks(
            report=follow(log, bar),
            epoch_start=epoch_start,
            values={"experiment": method.to_json()},
            same=lambda stored, _: method.is_in(stored),
        )
        Loop(plan, checkpoints, group=job.group, hooks=hooks, save_seconds=job.machine.save_seconds).run()
