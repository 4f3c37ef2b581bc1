"""The one training loop, on plain PyTorch: one process or many, CPU or GPU, float32 or bfloat16.

Everything random in a step is a pure function of (seed, step): batches, augmentation and, by seeding torch before each step, whatever a
layer draws. A resumed run therefore needs the weights, the optimizer's state and the position, and ends with the same bits.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from snreid.errors import CheckpointError, Interrupted
from snreid.losses import Loss
from snreid.records import Split
from snreid.training.checkpoint import CheckpointStore, TrainingState
from snreid.training.distributed import ProcessGroup
from snreid.training.guard import FiniteGuard, StopSignal, stopped
from snreid.training.optim import Optim, OptimizerState, Schedule, flatten_optimizer, restore_optimizer
from snreid.training.parallel import Objective, agree, share_buffers, wrap
from snreid.transforms import Augmentation, Draws, InputFormat, StoredImages
from snreid.views import SecondView, ViewDraws


class Images(Protocol):
    """Where the loop gets pixels: a ``PixelStore``, or several of them as one."""

    @property
    def split(self) -> Split:
        """Names of the images, for messages."""
        ...

    def batches(self, batches: Sequence[NDArray[np.int64]]) -> Iterator[StoredImages]:
        """uint8 images (B, 3, H, W) of each index batch, in order."""
        ...


class Batches(Protocol):
    """Which images make a batch: ``IdentityBatches``, or what an adaptation draws."""

    def __len__(self) -> int:
        """Batches in an epoch."""
        ...

    def epoch(self, epoch: int) -> list[NDArray[np.int64]]:
        """All batches of an epoch, of one length; the same ones whenever it is asked, also after a resume."""
        ...

    def share(self, batch: NDArray[np.int64], rank: int, world: int) -> NDArray[np.int64]:
        """The part of a batch that process ``rank`` of ``world`` trains on."""
        ...


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is trained, on what, how: built objects and values, no folders."""

    model: nn.Module
    """Images -> ``Outputs``; on its device already. All its parameters and buffers are saved with each checkpoint."""
    losses: tuple[Loss, ...]
    store: Images
    """Opened; positions are those of ``persons``."""
    persons: NDArray[np.int64]
    """(N,) what the losses are told of each image: its joint identity."""
    batches: Batches
    augmentation: Augmentation
    input: InputFormat
    optim: Optim
    schedule: Schedule
    epochs: int
    seed: int
    bf16: bool = False
    """Forward pass under bfloat16 autocast; weights, losses and optimizer stay float32."""
    second_view: SecondView | None = None
    """What else the objective sees of each image: the views of a batch are joined, first all first ones. None: nothing."""
    objective: nn.Module | None = None
    """(normalized images, persons) -> (total, weighted parts by name), as ``Objective``; None: ``losses`` of the ``model``'s outputs.
    It trains the parameters of ``model``, and what it remembers from step to step are buffers of ``model``."""


@dataclass(frozen=True, slots=True)
class StepReport:
    """One step, for logs and progress bars."""

    step: int
    epoch: int
    batch: int
    batches: int
    """Batches in an epoch."""
    epochs: int
    rate: float
    """Learning rate of the step."""
    parts: Mapping[str, float]
    """Weighted contribution of each loss."""
    images: int
    """Images of the step over all processes."""
    seconds: float
    """Wall time of the step, data included."""
    waited: float
    """Seconds of it spent waiting for images."""
    skipped: int
    """Steps refused so far because of a non-finite loss or gradient."""


@dataclass(frozen=True, kw_only=True)
class Hooks:
    """What happens around the steps; each may be left out."""

    report: Callable[[StepReport], None] = lambda report: None
    """Called after every step."""
    epoch_start: Callable[[int], None] = lambda epoch: None
    """Called with the epoch (from 0) before its first step, before its batches are asked for, and again when a run resumes inside it; what
    it changes are buffers of the model. SIGTERM interrupts it (one process), and the next start calls it again."""
    epoch_end: Callable[[int, Mapping[str, Any]], Mapping[str, Any]] = lambda epoch, kept: kept
    """Called after every epoch (validation) with what it returned last; its JSON result is kept in the checkpoint."""
    values: Mapping[str, Any] | None = None
    """JSON stored with each checkpoint."""
    same: Callable[[Any, Any], bool] = lambda stored, mine: bool(stored == mine)
    """Whether the ``experiment`` that a checkpoint holds is that of ``values``: of an older version its JSON may lack a field."""


@dataclass
class _Position:
    step: int = 0
    epoch: int = 0
    batch: int = 0
    kept: Mapping[str, Any] | None = None
    skipped: int = 0
    pending: bool = False
    """An epoch is through and ``epoch_end`` has not been called for it."""


@dataclass(frozen=True, slots=True)
class _Batch:
    """This process's share of a batch."""

    images: StoredImages
    draws: Draws
    """Random numbers of its augmentation."""
    second: ViewDraws | None
    """Those of its second view."""
    mine: NDArray[np.int64]
    """Positions of its images in the store."""
    whole: NDArray[np.int64]
    """Positions of the images of all processes."""
    waited: float
    """Seconds until it was there."""


class Loop:
    """Trains a plan to its end, from wherever its checkpoints say it is."""

    def __init__(
        self, plan: Plan, checkpoints: CheckpointStore, *, group: ProcessGroup, hooks: Hooks, save_seconds: float = 60.0
    ) -> None:
        """``save_seconds``: least time between two checkpoints; the last one and the one at SIGTERM are always written."""
        self.plan, self.checkpoints, self.group, self.hooks, self.save_seconds = (
            plan,
            checkpoints,
            group,
            hooks,
            save_seconds,
        )
        self.device = next(plan.model.parameters()).device
        self.guard = FiniteGuard(plan.model)

    def run(self) -> Mapping[str, Any]:
        """Trains until ``plan.epochs`` are done; returns what the last ``epoch_end`` returned.

        Raises ``Interrupted`` after SIGTERM (the current step is saved), ``DivergenceError`` on NaN or infinity,
        ``CheckpointError`` when a checkpoint cannot be read or written.
        """
        optimizer = self.plan.optim.build(self.plan.model)
        position = self._resume(optimizer)
        plan = self.plan
        objective = wrap(plan.objective or Objective(plan.model, plan.losses, bf16=plan.bf16), self.group)
        saved = time.monotonic()
        with StopSignal() as stop:
            self._finish_epoch(position, stop, optimizer)
            while position.epoch < plan.epochs:
                self._start_epoch(position, stop, optimizer)
                for batch in self._batches(position):
                    self._step(objective, optimizer, position, batch)
                    due = time.monotonic() - saved >= self.save_seconds
                    stopping, saving = agree((stop.requested, due), self.group)
                    if stopping or (saving and not position.pending):
                        self._save(optimizer, position)
                        saved = time.monotonic()
                    if stopping:
                        raise stopped()
                self._finish_epoch(position, stop, optimizer)
                due = time.monotonic() - saved >= self.save_seconds
                if agree((due or position.epoch == plan.epochs, False), self.group)[0]:
                    self._save(optimizer, position)
                    saved = time.monotonic()
            if agree((stop.requested, False), self.group)[0]:
                raise stopped()  # the signal came after the last step: what follows training would not answer it
        return position.kept or {}

    def _start_epoch(self, position: _Position, stop: StopSignal, optimizer: torch.optim.Optimizer) -> None:
        try:
            if self.group.world == 1:  # of several, none leaves before all agree to
                stop.interruptible()
            self.hooks.epoch_start(position.epoch)
            stop.deferring = True
        except Interrupted:
            self._save(optimizer, position, together=False)
            raise

    def _finish_epoch(self, position: _Position, stop: StopSignal, optimizer: torch.optim.Optimizer) -> None:
        """Validation and what else follows an epoch; interrupted, it is done again after the resume."""
        if not position.pending:
            return
        try:
            # Nobody leaves the others alone in an exchange on the GPU, where they would wait for the timeout. Those of a validation run
            # over gloo, which tells at once when a process has gone.
            share_buffers(self.plan.model, self.group)
            stop.interruptible()
            kept = self.hooks.epoch_end(position.epoch, position.kept or {})
            stop.deferring = True  # inside, so that no instant lies between the last one that raises and this one
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

    def _step(self, objective: nn.Module, optimizer: torch.optim.Optimizer, position: _Position, share: _Batch) -> None:
        plan, began = self.plan, time.monotonic()
        length = len(plan.batches)
        rate = plan.optim.set_rate(
            optimizer, plan.schedule.factor(position.epoch + position.batch / length, plan.epochs)
        )
        torch.manual_seed(_mix(plan.seed, position.step, self.group.rank))
        self.guard.before()
        total, parts = self._backward(objective, share, torch.from_numpy(plan.persons[share.mine]))
        good = not agree((not self.guard.finite(total), False), self.group)[0]
        if good:
            optimizer.step()
            self.guard.accept()
        else:
            self.guard.refuse([plan.store.split.samples[i].image.name for i in share.whole])
        optimizer.zero_grad(set_to_none=True)
        step, epoch, batch = position.step, position.epoch, position.batch
        position.step += 1
        position.batch = (batch + 1) % length
        position.pending = position.batch == 0
        position.epoch += position.pending
        position.skipped += not good
        self.hooks.report(
            StepReport(
                step=step + 1,
                epoch=epoch,
                batch=batch,
                batches=length,
                epochs=plan.epochs,
                rate=rate,
                parts={name: float(value) for name, value in parts.items()},
                images=len(share.whole),
                seconds=time.monotonic() - began + share.waited,
                waited=share.waited,
                skipped=position.skipped,
            )
        )

    def _backward(self, objective: nn.Module, share: _Batch, persons: Tensor) -> tuple[Tensor, Mapping[str, Tensor]]:
        plan, images = self.plan, share.images.to(self.device)
        draws = share.draws.to(self.device)
        if plan.second_view is not None and share.second is not None:
            views = torch.cat([plan.augmentation(images, draws), plan.second_view(images, share.second)])
            pixels = plan.input.normalize(views)
        else:
            pixels = plan.augmentation(images, draws, plan.input)
        pixels = pixels.contiguous(memory_format=torch.channels_last)
        total, parts = objective(pixels, persons.to(self.device))
        total.backward()
        return total, parts

    def _resume(self, optimizer: torch.optim.Optimizer) -> _Position:
        if self.group.rank == 0:
            self.checkpoints.sweep()
        self.group.barrier()
        state = self.checkpoints.load()
        if state is None:
            return _Position()
        if not self.hooks.same(state.values.get("experiment"), (self.hooks.values or {}).get("experiment")):
            raise CheckpointError(
                "A run goes on only with the experiment it was started with",
                came=f"the checkpoints in {self.checkpoints.folder} belong to other settings",
                repair="use the same settings, or another --out folder",
            )
        tensors = state.tensors
        model = {key.removeprefix("model."): value for key, value in tensors.items() if key.startswith("model.")}
        self.plan.model.load_state_dict(model)
        optimized = {k.removeprefix("optimizer."): v for k, v in tensors.items() if k.startswith("optimizer.")}
        restore_optimizer(optimizer, OptimizerState(optimized, dict(state.values["optimizer"])))
        self.guard.in_a_row = state.values["in_a_row"]
        return _Position(
            state.step, state.epoch, state.batch, state.values["kept"], state.values["skipped"], state.values["pending"]
        )

    def _save(self, optimizer: torch.optim.Optimizer, position: _Position, *, together: bool = True) -> None:
        """``together``: wait until the writing process is done; off where the others may not be waiting (SIGTERM in validation)."""
        if self.group.rank == 0:
            flat = flatten_optimizer(optimizer)
            tensors = {f"model.{name}": value for name, value in self.plan.model.state_dict().items()}
            tensors |= {f"optimizer.{name}": value for name, value in flat.tensors.items()}
            values = {"optimizer": flat.values, "kept": position.kept or {}, "skipped": position.skipped}
            values |= {"in_a_row": self.guard.in_a_row, "pending": position.pending}
            state = TrainingState(
                tensors=tensors,
                step=position.step,
                epoch=position.epoch,
                batch=position.batch,
                values={**values, **(self.hooks.values or {})},
            )
            self.checkpoints.save(state)
        if together:
            self.group.barrier()


def _mix(seed: int, step: int, rank: int) -> int:
    """A torch seed for one step of one process."""
    return int(np.random.SeedSequence([seed, step, rank]).generate_state(1)[0])
