"""What SNR adds to ResNet-50: a training step and inference of Baseline, of SNR and of SNR by its five steps.

Channels-last, 256 x 128 images, float32 on the CPU, with the losses and the optimizer of the recipes' paper preset (random weights); in
bfloat16 autocast on a GPU where there is one.

One round differs from the next by several percent on a machine that others use too, which is more than what is asked for. So it takes a
hundred rounds in turn to tell (``--runs 50``); and there is a second judge, a clock around the modules and SNR's loss, in steps of their
own: what it counts and what it is a share of are slowed alike. Both are held against the target.
"""

import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from race import Row, Target, below, no_gpu, options, race, report, row
from torch import Tensor

sys.path.append(str(Path(__file__).resolve().parents[2] / "tests"))

from reference.snr_five_steps import snr_five_steps
from snreid.experiments.experiment import Experiment
from snreid.experiments.recipes import baseline, snr
from snreid.losses.causality import DualCausality
from snreid.models.backbone import Backbone
from snreid.models.reid import ReIDModel
from snreid.models.snr import SNR, SNRMeans, SNRSplit
from snreid.outputs import Outputs
from snreid.system.memory import keep_freed_memory
from snreid.training.parallel import Objective

PERSONS = 751
HELD_TRAINING = "Baseline 1x"
HELD_INFERENCE = "Baseline 1x; five steps 1.13x, closed form in torch operators 1.075x, one function 1.027x"


class FiveSteps(SNR):
    """SNR the long way, with the same parameters."""

    def forward(self, maps: Tensor) -> Tensor:
        """F~+ alone."""
        return snr_five_steps(maps, self.gamma, self.beta, *self.gate.parts(), eps=self.eps).restored

    def split(self, maps: Tensor) -> SNRSplit:
        """F~+ and the means of the three maps."""
        steps = snr_five_steps(maps, self.gamma, self.beta, *self.gate.parts(), eps=self.eps)
        vectors = (part.mean((2, 3)).float() for part in (steps.normalized, steps.restored, steps.contaminated))
        return SNRSplit(steps.restored, *vectors)


class Clock:
    """Seconds spent in what runs between ``start`` and ``stop``."""

    def __init__(self) -> None:
        self.total, self._began = 0.0, 0.0

    def start(self) -> None:
        self._began = time.perf_counter()

    def stop(self) -> None:
        self.total += time.perf_counter() - self._began


CLOCK = Clock()


class _Backward(torch.autograd.Function):
    """Passes tensors on, and calls something when all of their gradients have come by."""

    @staticmethod
    def forward(ctx: Any, call: Callable[[], None], *given: Tensor) -> tuple[Tensor, ...]:
        ctx.call = call
        return tuple(one.view_as(one) for one in given)

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor | None, ...]:
        ctx.call()
        return None, *slopes


def marked(call: Callable[[], None], tensor: Tensor) -> Tensor:
    """The tensor, with a call when its gradient comes by."""
    found: Tensor = _Backward.apply(call, tensor)[0]
    return found


@contextmanager
def clocked() -> Iterator[None]:
    """The clock around what SNR's modules and its loss do, forward and backward. On the classes themselves: of a subclass of SNR a model
    would take no short way."""
    forward, split, means, loss = SNR.forward, SNR.split, SNR.means, DualCausality.__call__

    def timed(work: Callable[[SNR, Tensor], Any], module: SNR, maps: Tensor) -> Any:
        """What it gives, by the clock; also when its gradient has gone through."""
        maps = marked(CLOCK.stop, maps)
        CLOCK.start()
        found = work(module, maps)
        CLOCK.stop()
        return found

    def timed_forward(self: SNR, maps: Tensor) -> Tensor:
        """F~+ alone."""
        return timed(forward, self, maps)

    def timed_split(self: SNR, maps: Tensor) -> SNRSplit:
        """F~+ and the vectors of the loss."""
        found = timed(split, self, maps)
        return replace(found, maps=marked(CLOCK.start, found.maps))

    def timed_means(self: SNR, maps: Tensor) -> SNRMeans:
        """What the head pools, and the vectors of the loss."""
        found = timed(means, self, maps)
        return replace(found, restored=marked(CLOCK.start, found.restored))

    def timed_loss(self: DualCausality, outputs: Outputs, persons: Tensor) -> Tensor:
        """L_SNR."""
        vectors = [one for stage in outputs.stages for one in (stage.restored, stage.contaminated)]
        seen = iter(_Backward.apply(CLOCK.stop, *vectors))
        stages = tuple(replace(stage, restored=next(seen), contaminated=next(seen)) for stage in outputs.stages)
        CLOCK.start()
        found = loss(self, replace(outputs, stages=stages), persons)
        CLOCK.stop()
        return marked(CLOCK.start, found)

    SNR.forward, SNR.split, SNR.means = timed_forward, timed_split, timed_means  # type: ignore[method-assign]
    DualCausality.__call__ = timed_loss  # type: ignore[method-assign]
    try:
        yield
    finally:
        SNR.forward, SNR.split, SNR.means = forward, split, means  # type: ignore[method-assign]
        DualCausality.__call__ = loss  # type: ignore[method-assign]


class Network:
    """One competitor: a model of a recipe, its objective and optimizer, and a batch that all share."""

    def __init__(
        self, experiment: Experiment, batch: Tensor, *, kind: type[SNR] | None = None, bf16: bool = False
    ) -> None:
        torch.manual_seed(0)
        backbone = experiment.model.backbone
        self.model: ReIDModel = replace(
            experiment.model, backbone=Backbone(name=backbone.name, channels=backbone.channels)
        ).build(PERSONS)
        if kind is not None:
            self.become(kind)
        self.batch, self.bf16 = batch, bf16
        self.model.to(batch.device, memory_format=torch.channels_last)
        self.persons = torch.arange(len(batch), device=batch.device) // 4
        self.objective = Objective(self.model, experiment.losses, precision="bf16" if bf16 else "float32")
        self.optimizer = experiment.optimizer.build(self.model)

    def become(self, kind: type[SNR]) -> None:
        """Modules of another class, with the same parameters."""
        for module in self.model.after.values():
            module.__class__ = kind

    def own(self, work: Callable[[], None], times: int) -> float:
        """Time of ``work`` over that of all of it but SNR's, by the clock around that; the median."""
        found = []
        with clocked():
            for _ in range(times):
                CLOCK.total = 0.0
                began = time.perf_counter()
                work()
                whole = time.perf_counter() - began
                found.append(whole / (whole - CLOCK.total))
        return statistics.median(found)

    def train(self) -> None:
        """One step."""
        self.model.train()
        total, _ = self.objective(self.batch, self.persons)
        total.backward()
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self._wait()

    def embed(self) -> None:
        """Inference of the batch."""
        self.model.eval()
        with torch.inference_mode(), torch.autocast(self.batch.device.type, torch.bfloat16, enabled=self.bf16):
            self.model.embed(self.batch)
        self._wait()

    def _wait(self) -> None:
        if self.batch.device.type == "cuda":
            torch.cuda.synchronize()


def main() -> None:
    """Measure and report."""
    parser = options(__doc__)
    parser.add_argument("--batch", type=int, default=16, help="images in a batch on the CPU")
    parser.add_argument("--preset", default="paper", choices=("paper", "small"), help="whose backbone and image size")
    given = parser.parse_args()
    keep_freed_memory()  # as the command snreid does
    size, runs = (4, 1) if given.quick else (given.batch, given.runs)
    preset = "small" if given.quick else given.preset
    rows, targets = ([], []) if given.gpu else _on_cpu(preset, size, runs)
    targets += _on_gpu(rows, preset)
    report(__file__, given, rows, targets)


def _on_cpu(preset: str, size: int, runs: int) -> tuple[list[Row], list[Target]]:
    networks = _networks(preset, size, "cpu", bf16=False)
    labels = [f"{what}, {preset}, batch {size}, CPU, float32" for what in ("training step", "inference")]
    # Many rounds where percents are asked for; the five steps, which are far from both, and the clock, whose rounds agree, need few.
    some = min(runs, 5)
    pair = {name: networks[name] for name in ("Baseline", "SNR")}
    rows = race(labels[0], {name: network.train for name, network in pair.items()}, runs=2 * runs)
    rows += race(labels[1], {name: network.embed for name, network in pair.items()}, runs=3 * runs)
    few = {name: networks[name] for name in ("Baseline", "SNR in five steps")}
    rows += race(f"{labels[0]}, few rounds", {name: network.train for name, network in few.items()}, runs=-(-some // 2))
    rows += race(f"{labels[1]}, few rounds", {name: network.embed for name, network in few.items()}, runs=some)
    clocked = networks["SNR"]
    own = {
        "training step": (1.03, HELD_TRAINING, clocked.own(clocked.train, 4 * some)),
        "inference": (1.025, HELD_INFERENCE, clocked.own(clocked.embed, 8 * some)),
    }
    targets = []
    for label, (what, (limit, held, by_clock)) in zip(labels, own.items(), strict=True):
        name, raced = f"SNR in ResNet-50 over Baseline, {what}, CPU", row(rows, label, "SNR")
        span = "" if raced.low is None else f", 95 % interval {raced.low:.3f} to {raced.high:.3f}"
        if raced.low is not None and raced.high is not None and raced.low <= limit < raced.high:
            span += ", which reaches beyond the limit"
        targets += [
            below(f"{name}: whole steps in turn", limit, raced.ratio, held, note=f"{raced.runs} rounds{span}"),
            below(f"{name}: a clock within the steps", limit, by_clock, held),
        ]
    return rows, targets


def _networks(preset: str, size: int, device: str, *, bf16: bool) -> dict[str, Network]:
    sides = baseline(preset).input
    torch.manual_seed(1)
    images = torch.randn(size, 3, sides.height, sides.width, device=device).contiguous(
        memory_format=torch.channels_last
    )
    return {
        "Baseline": Network(baseline(preset), images, bf16=bf16),
        "SNR": Network(snr(preset), images, bf16=bf16),
        "SNR in five steps": Network(snr(preset), images, kind=FiveSteps, bf16=bf16),
    }


def _on_gpu(rows: list[Row], preset: str) -> list[Target]:
    """The same on a GPU in bfloat16, batch 64, by the clock."""
    subjects = {
        "training step": ("SNR in ResNet-50 over Baseline, training step, GPU in bfloat16", 1.04, HELD_TRAINING),
        "inference": ("SNR in ResNet-50 over Baseline, inference, GPU in bfloat16", 1.025, HELD_INFERENCE),
    }
    if no_gpu():
        return [below(name, limit, None, held, note=no_gpu()) for name, limit, held in subjects.values()]
    networks = _networks(preset, 64, "cuda", bf16=True)
    targets = []
    for what, (name, limit, held) in subjects.items():
        label = f"{what}, {preset}, batch 64, GPU, bfloat16"
        work: dict[str, Callable[[], None]] = {
            key: network.train if what == "training step" else network.embed for key, network in networks.items()
        }
        rows += race(label, work, runs=20, cpu=False)
        targets.append(below(name, limit, row(rows, label, "SNR").ratio, held))
    return targets


if __name__ == "__main__":
    main()
