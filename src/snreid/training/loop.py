"""The one training loop, on plain PyTorch: one process or many, CPU or GPU, float32, bfloat16 or float16.

No call in a step waits for the device. The device decides whether to skip an update (if a number is not finite), and the host reads that
verdict and the losses for the log ``lag`` steps later: one on CUDA, none on CPU. Whatever needs the whole state (a checkpoint, the end of
an epoch, a signal) first waits until every step has been reported.

Everything random in a step is a pure function of (seed, step): batches, augmentation and, by seeding torch before each step, whatever a
layer draws. A resumed run therefore needs only the weights, the optimizer state and the position, and ends with the same bits.
"""

import itertools
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from snreid.errors import CheckpointError, Interrupted
from snreid.images.second_view import ViewDraws
from snreid.images.transforms import Draws, StoredImages
from snreid.training.async_copy import Later, sent
from snreid.training.checkpoint import CheckpointStore, TrainingState
from snreid.training.distributed import ProcessGroup
from snreid.training.finite_guard import FiniteGuard
from snreid.training.log import StepReport
from snreid.training.optim import OptimizerState, apply_step, flatten_optimizer, restore_optimizer
from snreid.training.parallel import Objective, agree, agree_there, part_of_step, share_buffers, wrap
from snreid.training.plan import TrainingPlan
from snreid.training.precision import LossScale
from snreid.training.stop_signal import StopSignal, stopped

__all__ = ["Hooks", "Loop", "StepReport", "TrainingPlan"]


@dataclass(frozen=True, kw_only=True)
class Hooks:
    """Callbacks around the steps; all are optional."""

    report: Callable[[StepReport], None] = lambda report: None
    """Called after every step, in order; on CUDA one step later."""
    epoch_start: Callable[[int], None] = lambda epoch: None
    """Called with the epoch (from 0) before its batches are drawn, and again when a run resumes inside the epoch. It may change buffers of
    the model and which parameters train. SIGTERM or Ctrl-C interrupts it (one process), and the next start calls it again."""
    epoch_end: Callable[[int, Mapping[str, Any]], Mapping[str, Any]] = lambda epoch, kept: kept
    """Called after every epoch (validation) with its previous result; its JSON result is kept in the checkpoint."""
    values: Mapping[str, Any] | None = None
    """JSON stored with each checkpoint."""
    same: Callable[[Any, Any], bool] = lambda stored, mine: bool(stored == mine)
    """Whether a checkpoint's ``experiment`` equals that of ``values``; JSON of an older version may lack a field."""


@dataclass
class _Position:
    step: int = 0
    epoch: int = 0
    batch: int = 0
    kept: Mapping[str, Any] | None = None
    skipped: int = 0
    pending: bool = False
    """Whether an epoch has ended and ``epoch_end`` has not been called for it."""


@dataclass(frozen=True, slots=True)
class _Batch:
    """This process's share of a batch."""

    images: StoredImages
    draws: Draws
    """Random numbers of the augmentation."""
    second: ViewDraws | None
    """Random numbers of the second view."""
    mine: NDArray[np.int64]
    """Positions of this process's images in the store."""
    whole: NDArray[np.int64]
    """Positions of the images of all processes."""
    waited: float
    """Seconds spent waiting for the batch."""


@dataclass(frozen=True, slots=True)
class _Untold:
    """A finished step that the host has not reported yet."""

    report: StepReport
    """Still without the loss parts and the number of skipped steps."""
    numbers: Later
    """Whether the step was skipped, whether the loss was not finite, the loss scale, and the loss parts."""
    names: tuple[str, ...]
    """Names of the loss parts."""
    images: tuple[NDArray[np.int64], ...]
    """Positions of the step's images in all processes."""


class Loop:
    """Trains a plan to its end, starting from its last checkpoint."""

    def __init__(
        self,
        plan: TrainingPlan,
        checkpoints: CheckpointStore,
        *,
        group: ProcessGroup,
        hooks: Hooks,
        save_seconds: float = 60.0,
        lag: int | None = None,
    ) -> None:
        """``save_seconds``: least time between two checkpoints; those at the end and at a signal are always written. ``lag``: how many
        steps the host may run ahead of the results it has read; None: 1 on CUDA, 0 on CPU."""
        self.plan, self.checkpoints, self.group = plan, checkpoints, group
        self.hooks, self.save_seconds = hooks, save_seconds
        self.device = next(plan.model.parameters()).device
        self.lag = int(self.device.type == "cuda") if lag is None else lag
        self.guard = FiniteGuard(plan.model)
        self.scale = LossScale(self.device) if plan.precision == "fp16" else None
        self._untold: deque[_Untold] = deque()

    def run(self) -> Mapping[str, Any]:
        """Trains until ``plan.epochs`` are done; returns what the last ``epoch_end`` returned.

        Raises ``Interrupted`` after SIGTERM or Ctrl-C (the current step is saved), ``DivergenceError`` on NaN or infinity,
        ``CheckpointError`` when a checkpoint cannot be read or written.
        """
        optimizer = self.plan.optim.build(self.plan.model)
        position = self._resume(optimizer)
        plan = self.plan
        objective = plan.objective or Objective(plan.model, plan.losses, precision=plan.precision)
        if plan.compiler is not None:
            objective.compile(backend=plan.compiler)
        objective = wrap(objective, self.group)
        saved = time.monotonic()
        with StopSignal() as stop:
            self._finish_epoch(position, stop, optimizer)
            while position.epoch < plan.epochs:
                self._start_epoch(position, stop, optimizer)
                for batches in _in_steps(self._batches(position), plan.accumulate):
                    self._step(objective, optimizer, position, batches)
                    due = time.monotonic() - saved >= self.save_seconds
                    stopping, saving = agree((stop.requested, due), self.group)
                    if stopping or position.pending or saving:
                        self._tell(position, 0)
                    if stopping or (saving and not position.pending):
                        self._save(optimizer, position)
                        saved = time.monotonic()
                    if stopping:
                        raise stopped(stop.received)
                self._finish_epoch(position, stop, optimizer)
                due = time.monotonic() - saved >= self.save_seconds
                if agree((due or position.epoch == plan.epochs, False), self.group)[0]:
                    self._save(optimizer, position)
                    saved = time.monotonic()
            if agree((stop.requested, False), self.group)[0]:
                # The signal arrived after the last step, and nothing after training would handle it.
                raise stopped(stop.received)
        return position.kept or {}

    def _start_epoch(self, position: _Position, stop: StopSignal, optimizer: torch.optim.Optimizer) -> None:
        try:
            if self.group.world == 1:  # with several, none may leave before all agree
                stop.interruptible()
            self.hooks.epoch_start(position.epoch)
            stop.deferring = True
        except Interrupted:
            self._save(optimizer, position, together=False)
            raise

    def _finish_epoch(self, position: _Position, stop: StopSignal, optimizer: torch.optim.Optimizer) -> None:
        """Runs what follows an epoch, such as validation; if interrupted, it runs again after the resume."""
        if not position.pending:
            return
        try:
            # A process that left an exchange on the GPU would make the others wait for the timeout. Validation exchanges over gloo,
            # which reports a lost process at once.
            share_buffers(self.plan.model, self.group)
            if self.plan.average is not None:
                share_buffers(self.plan.average.model, self.group)
            stop.interruptible()
            kept = self.hooks.epoch_end(position.epoch, position.kept or {})
            stop.deferring = True  # inside the block, so that no signal slips in between
        except Interrupted:
            self._save(optimizer, position, together=False)
            raise
        position.kept, position.pending = kept, False

    def _batches(self, position: _Position) -> Iterator[_Batch]:
        plan, group = self.plan, self.group
        whole = plan.batches.epoch(position.epoch)
        shares = [plan.batches.share(batch, group.rank, group.world) for batch in whole]
        size = len(whole[0])
        mine = slice(group.rank * size // group.world, (group.rank + 1) * size // group.world)
        epoch, start = position.epoch, position.batch
        source = plan.store.batches(shares[start:])
        for number in range(start, len(whole)):
            began = time.monotonic()
            images = next(source)
            draws = plan.augmentation.draws(plan.seed, epoch, number, size)[mine]
            view = plan.second_view
            second = None if view is None else view.draws(plan.seed, epoch, number, size)[mine]
            yield _Batch(images, draws, second, shares[number], whole[number], time.monotonic() - began)

    def _step(
        self, objective: nn.Module, optimizer: torch.optim.Optimizer, position: _Position, batches: list[_Batch]
    ) -> None:
        plan, began = self.plan, time.monotonic()
        length = len(plan.batches)
        factor = plan.schedule.factor(position.epoch + position.batch / length, plan.epochs)
        rate = plan.optim.set_rate(optimizer, factor)
        self.guard.before()
        total, parts = self._gradients(objective, position.epoch * length + position.batch, batches)
        bad = agree_there(self.guard.verdict(total), self.group)
        scale = None if self.scale is None else self.scale.factor
        apply_step(optimizer, bad, scale)
        # Reading the verdict on the CPU is free, and saves restoring buffers that are fine.
        if self.lag or bool(bad):
            self.guard.undo(bad)
        if plan.average is not None:
            plan.average.update(bad)
        optimizer.zero_grad(set_to_none=True)
        numbers = Later([bad, ~torch.isfinite(total), bad if scale is None else scale, *parts.values()])
        if self.scale is not None:
            self.scale.update(bad)
        position.step += 1
        waited = sum(batch.waited for batch in batches)
        report = StepReport(
            step=position.step,
            epoch=position.epoch,
            rate=rate,
            parts={},
            images=sum(len(batch.whole) for batch in batches),
            seconds=time.monotonic() - began + waited,
            waited=waited,
            skipped=0,
        )
        position.batch = (position.batch + len(batches)) % length
        position.pending = position.batch == 0
        position.epoch += position.pending
        self._untold.append(_Untold(report, numbers, tuple(parts), tuple(batch.whole for batch in batches)))
        self._tell(position, self.lag)

    def _gradients(
        self, objective: nn.Module, number: int, batches: list[_Batch]
    ) -> tuple[Tensor, Mapping[str, Tensor]]:
        """Computes the mean gradient over ``batches`` (the first is batch ``number`` of the training); returns mean loss and parts."""
        plan, totals, parts = self.plan, list[Tensor](), dict[str, Tensor]()
        share = 1 / len(batches)
        for turn, batch in enumerate(batches):
            torch.manual_seed(_mix(plan.seed, number + turn, self.group.rank))
            pixels = self._pixels(batch).contiguous(memory_format=torch.channels_last)
            persons = sent(torch.from_numpy(plan.persons[batch.mine]), self.device)
            with part_of_step(objective, last=turn + 1 == len(batches)):
                total, of_batch = objective(pixels, persons)
                total = total * share
                (total if self.scale is None else total * self.scale.factor).backward()
            totals.append(total.detach())
            for name, value in of_batch.items():
                parts[name] = parts[name] + value * share if name in parts else value * share
        return torch.stack(totals).sum(), parts

    def _pixels(self, batch: _Batch) -> Tensor:
        """The input of the objective: all first views, then the second views if there are any."""
        plan, images, draws = self.plan, sent(batch.images, self.device), sent(batch.draws, self.device)
        if plan.second_view is None or batch.second is None:
            return plan.augmentation(images, draws, plan.input)
        return plan.input.normalize(
            torch.cat([plan.augmentation(images, draws), plan.second_view(images, batch.second)])
        )

    def _tell(self, position: _Position, lag: int) -> None:
        """Counts and reports the finished steps except the last ``lag``. Raises ``DivergenceError`` if one of them ends the run."""
        while len(self._untold) > lag:
            untold = self._untold.popleft()
            refused, lost, scale, *values = untold.numbers.numbers()
            # Under float16, non-finite gradients with a finite loss call for a smaller scale; the images are not to blame.
            searching = self.scale is not None and not lost and scale > 1
            if not refused:
                self.guard.accept()
            elif not searching:
                samples = self.plan.store.split.samples
                self.guard.refuse([samples[i].image.name for whole in untold.images for i in whole])
            position.skipped += bool(refused)
            parts = dict(zip(untold.names, values, strict=True))
            self.hooks.report(replace(untold.report, parts=parts, skipped=position.skipped))

    def _resume(self, optimizer: torch.optim.Optimizer) -> _Position:
        if self.group.rank == 0:
            self.checkpoints.sweep()
        self.group.barrier()
        state = self.checkpoints.load()
        if state is None:
            return _Position()
        if not self.hooks.same(state.values.get("experiment"), (self.hooks.values or {}).get("experiment")):
            raise CheckpointError(
                "A run continues with the experiment that it was started with",
                found=f"the checkpoints in {self.checkpoints.folder} belong to other settings",
                fix="use the same settings, or another --out folder",
            )
        try:
            return self._restored(state, optimizer)
        except torch.OutOfMemoryError:
            raise
        except (LookupError, TypeError, ValueError, RuntimeError, AttributeError, RecursionError) as error:
            # The hash is right, so somebody else wrote it, or it belongs to another version.
            reason = " ".join(str(error).split())[:160]
            raise CheckpointError(
                "A training state holds all that a run needs to continue",
                found=f"the one in {self.checkpoints.folder} does not ({type(error).__name__}: {reason})",
                fix="start again in another --out folder",
            ) from error

    def _restored(self, state: TrainingState, optimizer: torch.optim.Optimizer) -> _Position:
        """Loads a state; raises whatever a state of another origin leads to."""
        tensors, values = state.tensors, state.values
        for name, right in (
            ("pending", type(values["pending"]) is bool),
            ("skipped", type(values["skipped"]) is int and 0 <= values["skipped"] <= state.step),
            ("in_a_row", type(values["in_a_row"]) is int and 0 <= values["in_a_row"] <= state.step),
            ("kept", isinstance(values["kept"], dict)),
            ("epoch", state.epoch <= self.plan.epochs),
            ("batch", state.batch < len(self.plan.batches)),
        ):
            if not right:
                raise ValueError(f"its {name} is {values.get(name, getattr(state, name, None))!r}")
        self.plan.model.load_state_dict(_below("model.", tensors))
        restore_optimizer(optimizer, OptimizerState(_below("optimizer.", tensors), dict(values["optimizer"])))
        self.guard.in_a_row = values["in_a_row"]
        if self.scale is not None:
            self.scale.restore(_below("scale.", tensors))
        if self.plan.average is not None:
            self.plan.average.restore(_below("average.", tensors))
        return _Position(state.step, state.epoch, state.batch, values["kept"], values["skipped"], values["pending"])

    def _save(self, optimizer: torch.optim.Optimizer, position: _Position, *, together: bool = True) -> None:
        """``together``: wait until the writing process is done; False if the others may not be waiting (a signal in validation)."""
        if self.group.rank == 0:
            flat = flatten_optimizer(optimizer)
            tensors = {f"model.{name}": value for name, value in self.plan.model.state_dict().items()}
            tensors |= {f"optimizer.{name}": value for name, value in flat.tensors.items()}
            if self.scale is not None:
                tensors |= {f"scale.{name}": value for name, value in self.scale.tensors().items()}
            if self.plan.average is not None:
                tensors |= {f"average.{name}": value for name, value in self.plan.average.tensors().items()}
            values = {"optimizer": flat.values, "kept": position.kept or {}, "skipped": position.skipped}
            values |= {"in_a_row": self.guard.in_a_row, "pending": position.pending, **(self.hooks.values or {})}
            where = {"step": position.step, "epoch": position.epoch, "batch": position.batch}
            self.checkpoints.save(TrainingState(tensors=tensors, values=values, **where))
        if together:
            self.group.barrier()


def _below(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors whose names begin with ``prefix``, with the prefix removed."""
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _in_steps(batches: Iterator[_Batch], count: int) -> Iterator[list[_Batch]]:
    """Groups of ``count`` batches; the last group holds the rest."""
    while step := list(itertools.islice(batches, count)):
        yield step


def _mix(seed: int, batch: int, rank: int) -> int:
    """The torch seed for one process and batch (counted from the start of training)."""
    return int(np.random.SeedSequence([seed, batch, rank]).generate_state(1)[0])
