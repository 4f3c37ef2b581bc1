"""Writing a run folder, for training and adaptation; ``runs.py`` describes and reads it."""

import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from snreid.experiments.runs import Run, open_run
from snreid.images.loading import BAD_FILES
from snreid.models.delta import has_weights
from snreid.system.atomic_files import sweep, write_json
from snreid.system.locks import folder_lock
from snreid.system.provenance import provenance
from snreid.training.checkpoint import CheckpointStore
from snreid.training.log import MetricsLog, ProgressLine, follow, number_in, read_metrics, skipped_text, waited_text
from snreid.training.loop import Hooks, Loop
from snreid.training.plan import TrainingPlan
from snreid.training.session import Session

EpochEnd = Callable[[int, Mapping[str, Any], MetricsLog], Mapping[str, Any]]
"""(epoch, previous result, log) -> JSON that is kept in the checkpoint."""


@dataclass(frozen=True)
class RunFolder:
    """A run folder being written: inside ``resume``, call ``start``, ``loop`` and ``finish`` in this order."""

    path: Path
    session: Session

    @property
    def checkpoints(self) -> CheckpointStore:
        """The training states, deleted when the run is finished."""
        return CheckpointStore(self.path / "checkpoints")

    @contextmanager
    def resume(self, doing: str, check: Callable[[Run], None]) -> Iterator[Run | None]:
        """Opens the run already in the folder and removes what a killed process left half written.

        Unless that run is finished, the folder is locked until the block ends. Yields None if there is nothing to resume: a request
        that failed at its start leaves nothing to protect.

        Args:
            doing: What this process does there, as for ``folder_lock``.
            check: Raises if that run is not the requested one; called before anything is changed.

        Raises:
            BusyError: Another process is writing to the folder.
        """
        former = self._former(check)
        if former is not None and former.finished:
            self._clean(former)
            yield former
            return
        with self.session.holding(folder_lock(self.path, doing)):
            former = self._former(check)  # whoever held the lock until now has changed it
            self._clean(former)
            yield former

    def _former(self, check: Callable[[Run], None]) -> Run | None:
        begun = has_weights(self.path) or self.checkpoints.last() is not None
        former = open_run(self.path) if begun and (self.path / "experiment.json").exists() else None
        if former is not None:
            check(former)
        return former

    def _clean(self, former: Run | None) -> None:
        self.session.group.barrier()  # every process must read before rank 0 changes anything
        if self.session.first:
            self._sweep(finished=former is not None and former.finished)

    def conditions(self) -> dict[str, Any]:
        """The record's entries on the machine that trains."""
        session = self.session
        return {
            "processes": session.group.world,
            "device": session.device,
            "precision": session.machine.precision,
            "threads": torch.get_num_threads(),
        }

    def start(self, record: Mapping[str, Any], former: Run | None) -> dict[str, Any]:
        """Writes ``experiment.json`` and returns it. A resumed run keeps the provenance of its start."""
        record = {**record, "provenance": provenance() if former is None else former.record["provenance"]}
        self._write(record)
        return record

    def loop(
        self,
        plan: TrainingPlan,
        *,
        settings: Any,
        is_same: Callable[[Any], bool],
        epoch_start: Callable[[int], None] = lambda epoch: None,
        epoch_end: EpochEnd = lambda epoch, kept, log: kept,
    ) -> None:
        """Trains a plan to its end, starting from the last checkpoint, with log and progress line.

        Args:
            plan: What to train.
            settings: JSON of the request, stored in each checkpoint.
            is_same: Whether the settings of a checkpoint match the request; an older version may have stored fewer fields.
            epoch_start: As in ``Hooks``.
            epoch_end: As in ``Hooks``; also gets the log.

        Raises:
            Interrupted: After SIGTERM or Ctrl-C; the state is saved.
            DivergenceError: Too many steps in a row were not finite.
            CheckpointError: A checkpoint cannot be read or written.
        """
        session, checkpoints, log = self.session, self.checkpoints, MetricsLog(self.path)
        pointer = checkpoints.last()
        done = pointer.step if pointer else 0
        bar = ProgressLine(session.console, total_steps=plan.epochs * plan.steps, epochs=plan.epochs)
        if session.first:
            log.start(done)
        bar.start(done)
        with log, bar:
            hooks = Hooks(
                report=follow(log, bar) if session.first else lambda step: None,
                epoch_start=epoch_start,
                epoch_end=lambda epoch, kept: epoch_end(epoch, kept, log),
                values={"experiment": settings},
                same=lambda stored, _: is_same(stored),
            )
            Loop(plan, checkpoints, group=session.group, hooks=hooks, save_seconds=session.machine.save_seconds).run()

    def finish(self, record: Mapping[str, Any], seconds: float, *, checkpoint: str, **facts: Any) -> None:
        """Completes the record and deletes the training states. The weights must be in the folder already.

        Args:
            record: The result of ``start``.
            seconds: Wall time of this process.
            checkpoint: Which weights were kept, in words.
            **facts: Further entries of ``finished``.
        """
        for sentence in (skipped_text(self.path), waited_text(self.path)):
            self.session.say(sentence)
        # An interrupted run took as long as its steps.
        steps = sum(number_in(line, "seconds") for line in read_metrics(self.path))
        finished = {"seconds": round(max(seconds, steps), 1), "checkpoint": checkpoint, **facts}
        self._write({**record, "finished": finished})
        self._sweep(finished=True)

    def _write(self, record: Mapping[str, Any]) -> None:
        if self.session.first:
            self.path.mkdir(parents=True, exist_ok=True)
            write_json(self.path / "experiment.json", record)

    def _sweep(self, *, finished: bool) -> None:
        """Deletes drafts, and the training states of a finished run."""
        for folder in (self.path, self.path / "checkpoints"):
            sweep(folder, older_than=0)
        if finished:
            shutil.rmtree(self.path / "checkpoints", ignore_errors=True)
        else:
            (self.path / BAD_FILES).unlink(missing_ok=True)  # the images are read again
