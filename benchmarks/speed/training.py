"""A training step: presets ``small`` and ``mobile`` on CPU beside the plain loop; on a GPU, ResNet-50 with SNR in bfloat16 and
the loader running.

On CPU the competitors train the same network on the same drawn batches, both through the images' whole way (augmentation, losses,
optimizer): the plain eager loop (contiguous weights, unfused Adam, every loss read in every step), and ``snreid.training.loop.Loop`` as
``snreid train`` runs it, checkpoints aside. For ``mobile`` the plain loop trains timm's network as it is, all of it.
"""

import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from race import Row, Target, Work, above, below, no_gpu, options, race, report, row
from timm.layers import Conv2dSame
from torch import nn
from torch.nn import functional

from snreid.experiments import recipes
from snreid.losses import total_loss
from snreid.models.mobile_conv import MobileConv2d
from snreid.models.schemes import Plain, StageSNR
from snreid.records import Sample, Split
from snreid.system.machine import Precision
from snreid.system.memory import keep_freed_memory
from snreid.training.checkpoint import CheckpointStore
from snreid.training.distributed import ProcessGroup
from snreid.training.loop import Hooks, Loop, Plan, StepReport
from snreid.training.precision import autocast
from snreid.training.sampling import IdentityBatches

PERSONS, IMAGES = 64, 8


class Drawn:
    """Images that are there: noise, uint8. Whatever reads files is the subject of ``loading.py``."""

    def __init__(self, height: int, width: int) -> None:
        self.pixels = torch.randint(0, 256, (PERSONS * IMAGES, 3, height, width), dtype=torch.uint8)
        self.split = Split(tuple(Sample(_Named(i), 1 + i // IMAGES, 1) for i in range(PERSONS * IMAGES)))

    def batches(self, batches: Any) -> Any:
        """The images of each batch."""
        for batch in batches:
            yield self.pixels[torch.from_numpy(batch)]


class _Named:
    def __init__(self, number: int) -> None:
        self.name = str(number)


def plan(preset: str, steps: int, precision: Precision, device: torch.device, *, snr: bool = True) -> Plan:
    """A training of ``steps`` steps in one epoch of a preset, from random weights."""
    experiment = recipes.snr(preset)
    backbone = replace(experiment.model.backbone, weights="random")
    scheme: Any = experiment.model.scheme if snr else Plain()
    torch.manual_seed(0)
    model = replace(experiment.model, backbone=backbone, scheme=scheme).build(PERSONS)
    model.freeze(experiment.freeze_stages)
    persons = np.repeat(np.arange(PERSONS), IMAGES)
    return Plan(
        model=model.to(device).to(memory_format=torch.channels_last),
        losses=experiment.losses if snr else experiment.losses[:2],
        store=Drawn(experiment.input.height, experiment.input.width),  # type: ignore[arg-type]
        persons=persons,
        batches=IdentityBatches(experiment.sampling, persons, np.zeros(len(persons), dtype=np.int64), 0, steps),
        augmentation=experiment.augmentation,
        input=experiment.input,
        optim=experiment.optimizer,
        schedule=replace(experiment.schedule, warmup_epochs=0.5),
        epochs=1,
        seed=0,
        precision=precision,
    )


class Ours:
    """The loop of ``snreid train``, a whole epoch at each call, without a checkpoint."""

    def __init__(self, made: Plan) -> None:
        self.plan, self.alone = made, ProcessGroup(rank=0, world=1, device=torch.device("cpu"))
        self.reports: list[StepReport] = []

    def __call__(self) -> None:
        """Trains the epoch; from the first call on with weights that have been trained."""
        self.reports.clear()
        with tempfile.TemporaryDirectory() as folder:
            loop = _Unsaved(
                self.plan, CheckpointStore(Path(folder)), group=self.alone, hooks=Hooks(report=self.reports.append)
            )
            loop.run()


class _Unsaved(Loop):
    """A loop that writes no checkpoint: its time depends on the disk."""

    def _save(self, *_: Any, **__: Any) -> None:
        return


class PlainLoop:
    """What everybody writes first; ``channels_last``: what those who read on write next."""

    def __init__(self, made: Plan, *, channels_last: bool = False) -> None:
        layout = torch.channels_last if channels_last else torch.contiguous_format
        self.plan, self.layout = made, layout
        self.model: Any = made.model.to(memory_format=layout)  # type: ignore[call-overload]
        self.model.freeze(0)
        for module in self.model.modules():
            if isinstance(module, MobileConv2d):
                module.__class__ = Conv2dSame if module.same else nn.Conv2d
        self.optimizer = torch.optim.Adam(
            [p for p in self.model.parameters() if p.requires_grad],
            lr=2e-3,
            weight_decay=5e-4,
            foreach=False,
            fused=False,
        )

    def __call__(self) -> None:
        """One epoch."""
        made = self.plan
        for batch, images in zip(made.batches.epoch(0), made.store.batches(made.batches.epoch(0)), strict=True):
            pixels = augmented(images.float() / 255)
            mean, std = (torch.tensor(three).view(1, 3, 1, 1) for three in (made.input.mean, made.input.std))
            with autocast(made.precision, "cpu"):
                outputs = self.model(((pixels - mean) / std).contiguous(memory_format=self.layout))
            found = total_loss(made.losses, outputs, torch.from_numpy(made.persons[batch]))
            self.optimizer.zero_grad()
            found.total.backward()
            self.optimizer.step()
            [part.item() for part in found.parts.values()]


def augmented(images: torch.Tensor) -> torch.Tensor:
    """The usual way on batches: one bilinear sampling for crop and flip, then brightness and contrast."""
    count = len(images)
    theta = torch.zeros(count, 2, 3)
    scale = torch.where(torch.rand(count) < 0.5, 1 / 1.125, 1.0)
    theta[:, 0, 0] = scale * torch.where(torch.rand(count) < 0.5, -1.0, 1.0)
    theta[:, 1, 1] = scale
    grid = functional.affine_grid(theta, list(images.shape), align_corners=False)
    moved = functional.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)
    bright = (moved * (0.8 + 0.4 * torch.rand(count, 1, 1, 1))).clamp(0, 1)
    weights = torch.tensor((0.2989, 0.587, 0.114)).view(1, 3, 1, 1)
    grey = (bright * weights).sum(1, keepdim=True).mean((2, 3), keepdim=True)
    return (grey + (bright - grey) * (0.85 + 0.3 * torch.rand(count, 1, 1, 1))).clamp(0, 1)


def on_cpu(steps: int, runs: int) -> tuple[list[Row], list[Target]]:
    """Both loops in every precision that this CPU has units for."""
    cpu = torch.device("cpu")
    half: list[Precision] = ["bf16"] if torch.cpu._is_avx512_bf16_supported() else []
    rows: list[Row] = []
    targets: list[Target] = []
    kinds: list[Precision] = ["float32", *half]
    for precision in kinds:
        name = f"preset small, {steps} steps of 64 images, {precision}"
        pair = {
            "plain loop": PlainLoop(plan("small", steps, precision, cpu)),
            "snreid": Ours(plan("small", steps, precision, cpu)),
        }
        rows += race(name, pair, runs=runs)
        mine = row(rows, name, "snreid")
        note = f"{steps * 64 / mine.cpu:.0f} images per second of one busy core"
        targets.append(
            below(
                f"training step, preset small, CPU, {precision}",
                1.0,
                mine.ratio,
                "the plain eager loop 1.0x",
                note=note,
            )
        )
    mobile_rows, mobile_targets = mobile(steps, runs, kinds)
    return rows + mobile_rows, targets + mobile_targets


def mobile(steps: int, runs: int, kinds: list[Precision]) -> tuple[list[Row], list[Target]]:
    """Baseline of the preset ``mobile`` beside timm's network in channels-last, trained whole in float32."""
    cpu = torch.device("cpu")
    name = f"preset mobile, Baseline, {steps} steps of 64 images"
    competitors: dict[str, Work] = {
        "timm, eager, channels-last, float32": PlainLoop(
            plan("mobile", steps, "float32", cpu, snr=False), channels_last=True
        )
    }
    for precision in kinds:
        competitors[f"snreid, {precision}"] = Ours(plan("mobile", steps, precision, cpu, snr=False))
    rows = race(name, competitors, runs=runs)
    targets = []
    for precision in kinds:
        mine = row(rows, name, f"snreid, {precision}")
        note = f"{steps * 64 / mine.cpu:.0f} images per second of one busy core"
        subject = f"training step, preset mobile, CPU, {precision}, over timm eager"
        targets.append(below(subject, 1 / 1.4, mine.ratio, "timm eager channels-last float32 1.0x", note=note))
    return rows, targets


def on_gpu(steps: int, runs: int) -> tuple[list[Row], list[Target]]:
    """ResNet-50 at 256 x 128, SNR after four stages and Baseline, bfloat16, batches of 64 from the host's memory."""
    if no_gpu():
        return [], [
            above("ResNet-50 SNR training, bf16, one GPU", 4000, None, "device peak", unit=" images/s", note=no_gpu()),
            above("share of matrix work in that step", 40, None, "device peak", unit=" %", note=no_gpu()),
        ]
    device = torch.device("cuda")
    made = {
        "baseline": Ours(plan("paper", steps, "bf16", device, snr=False)),
        "snr": Ours(plan("paper", steps, "bf16", device)),
    }
    assert isinstance(recipes.snr("paper").model.scheme, StageSNR)
    rows = race(f"ResNet-50, {steps} steps of 64 images, bf16", made, runs=runs, cpu=False)
    rate = steps * 64 / rows[1].wall
    share = matrix_share(made["snr"])
    return rows, [
        above("ResNet-50 SNR training, bf16, one GPU", 4000, rate, "device peak", unit=" images/s"),
        above("share of matrix work in that step", 40, share, "device peak", unit=" %"),
    ]


def matrix_share(ours: Ours) -> float:
    """Percent of the device's busy time that is convolutions and matrix products."""
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CUDA]) as seen:
        ours()
        torch.cuda.synchronize()
    words = ("gemm", "conv", "cutlass", "xmma", "nvjet", "dgrad", "wgrad", "fprop")
    times = {event.key.lower(): float(event.self_device_time_total) for event in seen.key_averages()}
    return 100 * sum(time for name, time in times.items() if any(word in name for word in words)) / sum(times.values())


def main() -> None:
    """Measures what this machine can."""
    given = options(__doc__).parse_args()
    steps, runs = (1, 1) if given.quick else (6, given.runs)
    keep_freed_memory()  # as the command snreid does
    began = time.monotonic()
    cpu_rows, cpu_targets = ([], []) if given.gpu else on_cpu(steps, runs)
    gpu_rows, gpu_targets = on_gpu(10 if given.quick else 100, runs)
    report(__file__, given, cpu_rows + gpu_rows, gpu_targets + cpu_targets)
    print(f"{time.monotonic() - began:.0f} s", file=sys.stderr)


if __name__ == "__main__":
    main()
