"""Training logs: ``metrics.jsonl`` for programs, TensorBoard where it is installed, and a progress line for people."""

import contextlib
import json
import math
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, SupportsFloat

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn

from snreid.system.atomic_files import naming, write_text

METRICS_FILE = "metrics.jsonl"
TENSORBOARD_FOLDER = "tensorboard"

_LARGEST = 1e15
"""Also excludes NaN, which some JSON has."""

Metric = SupportsFloat | str
"""A number, a tensor with one element, or a word."""


@dataclass(frozen=True, slots=True)
class StepReport:
    """One step, for logs and progress bars."""

    step: int
    epoch: int
    """From 0."""
    rate: float
    """Learning rate of the step."""
    parts: Mapping[str, float]
    """Weighted contribution of each loss, averaged over the batches of the step."""
    images: int
    """Images of the step over all processes."""
    seconds: float
    """Wall time of the step, data included."""
    waited: float
    """Seconds of the step spent waiting for images."""
    skipped: int
    """Steps skipped so far because of a non-finite loss or gradient."""


class MetricsLog:
    """Appends one JSON object per line to ``metrics.jsonl`` in ``folder``, each with its ``step``.

    Each line is flushed to the operating system at once, so it survives a killed process. NaN and infinity become
    null, because JSON has neither. With ``tensorboard``, numbers also go to TensorBoard (folder ``tensorboard``) if
    the package is installed.
    """

    def __init__(self, folder: Path, *, tensorboard: bool = True) -> None:
        self._folder, self._tensorboard = folder, tensorboard
        self._board: Any = None

    def start(self, step: int = 0) -> None:
        """Opens the log for a run that has done ``step`` steps; drops lines of later steps and a torn last line.

        Those were written after the checkpoint that the run resumes from, and will be written again.
        """
        kept = [line for line in read_metrics(self._folder) if line["step"] <= step]
        write_text(self._folder / METRICS_FILE, "".join(json.dumps(line) + "\n" for line in kept))
        if self._tensorboard:
            self._board = _board(self._folder / TENSORBOARD_FOLDER, step + 1)

    def write(self, step: int, values: Mapping[str, Metric]) -> None:
        """Appends ``{"step": step, **values}``. ``step`` counts optimizer steps from the start of training."""
        plain = {name: _plain(value) for name, value in values.items()}
        path = self._folder / METRICS_FILE
        with naming(path), path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step, **plain}) + "\n")
        if self._board is not None:
            for name, value in plain.items():
                if isinstance(value, float):
                    self._board.add_scalar(name, value, step)

    def close(self) -> None:
        """Flushes TensorBoard. The JSON lines need no closing."""
        if self._board is not None:
            self._board.close()
            self._board = None

    def __enter__(self) -> "MetricsLog":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        # TensorBoard fails again here if its folder is gone or the disk is full; only the first error is worth reporting.
        with contextlib.suppress(OSError) if kind else contextlib.nullcontext():
            self.close()


def read_metrics(folder: Path) -> list[dict[str, Any]]:
    """Reads the lines of ``metrics.jsonl`` in order; empty if there is no file. Skips lines that are not an object with
    a step: a killed run may leave its last line torn."""
    try:
        lines = (folder / METRICS_FILE).read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return []
    records = []
    for line in lines:
        with contextlib.suppress(ValueError, RecursionError):
            record = json.loads(line)
            if isinstance(record, dict) and type(record.get("step")) is int:
                records.append(record)
    return records


def number_in(line: Mapping[str, Any], name: str) -> float:
    """A number of a line; 0 if the line has none of that name."""
    value: Any = line.get(name)
    return float(value) if type(value) in (int, float) and abs(value) < _LARGEST else 0.0


def skipped_text(folder: Path) -> str:
    """A sentence about the steps of a run that were skipped (``FiniteGuard``); "" if there were none."""
    lines = [line for line in read_metrics(folder) if number_in(line, "skipped")]
    if not lines:
        return ""
    return (
        f"{lines[-1]['skipped']:.0f} of {lines[-1]['step']} steps were skipped, because their loss or gradient was not finite. If they "
        "are many, start again with a lower learning rate (--optimizer.lr, of MAR --lr)."
    )


def waited_text(folder: Path) -> str:
    """A sentence about the share of the training time spent waiting for images; "" if no step recorded it."""
    lines = [line for line in read_metrics(folder) if "waited" in line]
    seconds, waited = (sum(number_in(line, name) for line in lines) for name in ("seconds", "waited"))
    if not lines or seconds <= 0:
        return ""
    return f"{waited / seconds:.1%} of {duration_text(seconds)} of training were spent waiting for images."


def _plain(value: Metric) -> float | str | None:
    if isinstance(value, str):
        return value
    number = float(value)
    return number if math.isfinite(number) else None


def _board(folder: Path, purge_step: int) -> Any:
    """A TensorBoard writer that hides earlier entries from ``purge_step`` on; None if TensorBoard is not installed."""
    try:
        from torch.utils.tensorboard import SummaryWriter  # optional extra, and slow to import: only here
    except ImportError:
        return None
    return SummaryWriter(log_dir=str(folder), purge_step=purge_step)


class ProgressLine:
    """Shows how far training is: a live bar on a terminal, one plain line every ``every`` seconds anywhere else.

    Loss parts may be tensors; they become numbers only when they are shown, so that not every step waits for the GPU.
    """

    def __init__(
        self,
        console: Console,
        *,
        total_steps: int,
        epochs: int,
        every: float = 10.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``console``: where to; ``total_steps``, ``epochs``: of the whole training; ``clock``: seconds."""
        self._console, self._total, self._epochs, self._clock = console, total_steps, epochs, clock
        self._every = 0.2 if console.is_terminal else every
        self._bar: Progress | None = None
        self._task = TaskID(0)
        self._began = self._shown = clock()
        self._first_step = 0
        self._recent: deque[tuple[float, int, float]] = deque([(self._began, 0, 0.0)])
        self._images, self._waited = 0, 0.0

    def start(self, step: int = 0) -> None:
        """Starts the clock at ``step`` steps already done (more than 0 after a resume)."""
        self._first_step, self._images, self._waited = step, 0, 0.0
        self._began = self._shown = self._clock()
        self._recent = deque([(self._began, 0, 0.0)])
        if self._console.is_terminal:
            self._bar = Progress(
                TextColumn("{task.fields[where]}"),
                BarColumn(bar_width=24),
                MofNCompleteColumn(),
                TextColumn("{task.fields[text]}"),
                console=self._console,
            )
            self._task = self._bar.add_task("train", total=self._total, completed=step, where="", text="")
            self._bar.start()

    def update(
        self, step: int, *, epoch: int, images: int, parts: Mapping[str, SupportsFloat], waited: float = 0.0
    ) -> None:
        """Shows that ``step`` steps are done in ``epoch`` (from 0). ``images``, ``waited`` (seconds spent waiting for
        images) and the loss parts are those of the last step."""
        now = self._clock()
        self._images += images
        self._waited += waited
        self._recent.append((now, self._images, self._waited))
        while len(self._recent) > 2 and now - self._recent[0][0] > 30.0:
            self._recent.popleft()
        if now - self._shown < self._every and step < self._total:
            return
        self._shown = now
        began, since, waited_before = self._recent[0]
        seconds = now - began
        left = (now - self._began) / max(1, step - self._first_step) * (self._total - step)
        where = f"epoch {min(epoch + 1, self._epochs)}/{self._epochs}"
        rate = (self._images - since) / seconds if seconds > 0 else 0.0
        waiting = min(1.0, (self._waited - waited_before) / seconds) if seconds > 0 else 0.0
        text = f"{loss_text(parts)}  {rate:.0f} images/s, {waiting:.0%} waiting for them  {duration_text(left)} left"
        if self._bar is not None:
            self._bar.update(self._task, completed=step, where=where, text=text)
        else:
            self._console.out(f"{where}  step {step}/{self._total}  {text}", highlight=False)

    def close(self) -> None:
        """Leaves the terminal as it was."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def __enter__(self) -> "ProgressLine":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def follow(log: MetricsLog, bar: ProgressLine) -> Callable[[StepReport], None]:
    """A ``Hooks.report`` that shows each step on ``bar`` and writes it to ``log``. For the first process only."""

    def report(step: StepReport) -> None:
        """Reports one step."""
        bar.update(step.step, epoch=step.epoch, images=step.images, parts=step.parts, waited=step.waited)
        values = {name: getattr(step, name) for name in ("epoch", "rate", "seconds", "waited", "skipped")}
        log.write(step.step, {**values, **step.parts})

    return report


def loss_text(parts: Mapping[str, SupportsFloat]) -> str:
    """``loss 5.12 (CrossEntropy 4.60, Triplet 0.52)``; the parts are weighted, so they add up to the first number."""
    numbers = {name: float(value) for name, value in parts.items()}
    inside = ", ".join(f"{name} {number:.2f}" for name, number in numbers.items())
    return f"loss {sum(numbers.values()):.2f} ({inside})"


def duration_text(seconds: float) -> str:
    """``0:07``, ``12:05`` or ``3:00:09``."""
    minutes, rest = divmod(max(0, round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
