"""Four SNR modules on the stage outputs of ResNet-50 (256 x 128 images): the five steps of the paper against the closed form.

Forward, and forward with backward, in both memory layouts. Each module's vectors (the means of F~+ and F~-) are part of the work, as in
training; the gradient of the maps is given, so that nothing but the modules is measured.
"""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from race import Row, Target, above, below, no_gpu, options, peak_of, race, report, row
from torch import Tensor

sys.path.append(str(Path(__file__).resolve().parents[2] / "tests"))

from reference.snr_five_steps import snr_five_steps
from snreid.models.snr import SNR

RESNET50 = ((256, 64, 32), (512, 32, 16), (1024, 16, 8), (2048, 16, 8))
"""Stage outputs for 256 x 128 images, last stride 1."""
SMALL = ((256, 16, 8), (512, 8, 4), (1024, 4, 2), (2048, 4, 2))
LAYOUTS = {"contiguous": torch.contiguous_format, "channels-last": torch.channels_last}
GPU_LAYOUT = "channels-last"
Module = Callable[[SNR, Tensor], tuple[Tensor, ...]]


class Case:
    """Maps, modules and gradients."""

    def __init__(
        self,
        layout: str,
        shapes: Sequence[tuple[int, int, int]],
        batch: int,
        kind: str = "float32",
        device: str = "cpu",
    ) -> None:
        torch.manual_seed(0)
        dtype = getattr(torch, kind)
        place = {"device": device, "dtype": dtype}
        self.modules = [SNR(shape[0]).to(**place) for shape in shapes]
        self.maps, self.slopes = (
            [torch.randn(batch, *s, **place).to(memory_format=LAYOUTS[layout]) for s in shapes] for _ in range(2)
        )
        for maps in self.maps:
            maps.requires_grad_()

    def forward(self, way: Module) -> None:
        """As in inference."""
        with torch.no_grad():
            for module, maps in zip(self.modules, self.maps, strict=True):
                way(module, maps)

    def graphs(self, way: Module) -> list[tuple[Tensor, ...]]:
        """As the forward part of training: all four graphs live until backward begins."""
        return [way(module, maps) for module, maps in zip(self.modules, self.maps, strict=True)]

    def both(self, way: Module) -> None:
        """As in training; the gradients of all maps are kept to the end."""
        made = self.graphs(way)
        ends = [end for stage in made for end in (stage[0], torch.stack([v.sum() for v in stage[1:]]).sum())]
        starts = [s for slope in self.slopes for s in (slope, torch.ones((), dtype=slope.dtype, device=slope.device))]
        torch.autograd.backward(ends, [start.to(end.dtype) for start, end in zip(starts, ends, strict=True)])
        for leaf in (*self.maps, *(p for module in self.modules for p in module.parameters())):
            leaf.grad = None


def five_steps(module: SNR, maps: Tensor) -> tuple[Tensor, ...]:
    """Step by step as published; its vectors are means of maps."""
    steps = snr_five_steps(maps, module.gamma, module.beta, *module.gate.parts(), eps=module.eps)
    return steps.restored, steps.restored.mean((2, 3)), steps.contaminated.mean((2, 3))


def closed_form(module: SNR, maps: Tensor) -> tuple[Tensor, ...]:
    """What the project does."""
    split = module.split(maps)
    return split.maps, split.restored, split.contaminated


WAYS: dict[str, Module] = {"five steps": five_steps, "closed form": closed_form}


def prepared(way: str, *case: Any) -> tuple[str, Case]:
    """For ``peak_of``: what is there before the work begins."""
    torch.set_num_threads(1)
    return way, Case(*case)


def both_once(way: str, case: Case) -> None:
    """For ``peak_of``: one forward and backward."""
    case.both(WAYS[way])


def graphs_once(way: str, case: Case) -> None:
    """For ``peak_of``: what waits for the backward."""
    case.graphs(WAYS[way])


def main() -> None:
    """Measure and report."""
    parser = options(__doc__)
    parser.add_argument("--batch", type=int, default=64, help="images")
    given = parser.parse_args()
    shapes, batch, runs = (SMALL, 4, 1) if given.quick else (RESNET50, given.batch, given.runs)
    rows, targets = ([], []) if given.gpu else _on_cpu(given.quick, shapes, batch, runs)
    targets += _gpu_targets(rows, shapes, given.quick)
    report(__file__, given, rows, targets)


def _on_cpu(
    quick: bool, shapes: Sequence[tuple[int, int, int]], batch: int, runs: int
) -> tuple[list[Row], list[Target]]:
    rows: list[Row] = []
    targets: list[Target] = []
    for layout in LAYOUTS:
        case = Case(layout, shapes, batch)
        label = f"four modules, batch {batch}, {layout}"
        forward = {name: _bound(case.forward, way) for name, way in WAYS.items()}
        rows += race(f"{label}, forward", forward, runs=runs)
        peaks, kept = (
            {} if quick else {n: peak_of(work, n, layout, shapes, batch, prepare=prepared) for n in WAYS}
            for work in (both_once, graphs_once)
        )
        both = {name: _bound(case.both, way) for name, way in WAYS.items()}
        rows += race(f"{label}, forward + backward", both, runs=min(runs, 3), peaks=peaks)
        del case, forward, both
        targets += _targets(rows, label, layout, kept)
    rows += _halves(shapes, batch // 4, runs)
    return rows, targets


def _bound(work: Callable[[Module], None], way: Module) -> Callable[[], None]:
    return lambda: work(way)


def _targets(rows: list[Row], label: str, layout: str, kept: dict[str, float]) -> list[Target]:
    forward, both = (
        1 / row(rows, f"{label}, {part}", "closed form").ratio for part in ("forward", "forward + backward")
    )
    peaks = [row(rows, f"{label}, forward + backward", name).peak_mb for name in ("closed form", "five steps")]
    share = peaks[0] / peaks[1] if peaks[0] is not None and peaks[1] else None
    waiting = kept["closed form"] / kept["five steps"] if kept else None
    held = "five steps 1x; a one-function prototype 5.9x (3.6x forward), contiguous only"
    return [
        above(f"four SNR modules, forward + backward, {layout}", 6, both, held),
        above(f"four SNR modules, forward, {layout}", 4, forward, held),
        below(
            f"four SNR modules, memory kept for backward (outputs included), {layout}",
            0.35,
            waiting,
            "five steps 1x",
            note="what a network's peak grows by: it comes at the end of the forward pass",
        ),
        below(
            f"four SNR modules, memory, all input gradients kept to the end, {layout}",
            0.35,
            share,
            "five steps 1x",
            note="outputs and input gradients, which any form needs, are 576 MB at batch 64 (0.38x)",
        ),
    ]


def _halves(shapes: Sequence[tuple[int, int, int]], batch: int, runs: int) -> list[Row]:
    """bfloat16 on the CPU. The five steps then compute in bfloat16 throughout, which the closed form never does; no target hangs on it."""
    rows = []
    for layout in LAYOUTS:
        case = Case(layout, shapes, batch, "bfloat16")
        both = {name: _bound(case.both, way) for name, way in WAYS.items()}
        rows += race(f"four modules in bfloat16, batch {batch}, {layout}, forward + backward", both, runs=runs)
    return rows


def _gpu_targets(rows: list[Row], shapes: Sequence[tuple[int, int, int]], quick: bool) -> list[Target]:
    """The same on a GPU where there is one; the clock counts."""
    subject, held = "four SNR modules on a GPU in bfloat16, forward + backward", "five steps 1x"
    if no_gpu():
        return [above(subject, 6, None, held, note=no_gpu())]
    case = Case(GPU_LAYOUT, shapes, 64, "bfloat16", "cuda")

    def waited(way: Module) -> Callable[[], None]:
        def work() -> None:
            case.both(way)
            torch.cuda.synchronize()

        return work

    label = f"four modules on a GPU in bfloat16, batch 64, {GPU_LAYOUT}, forward + backward"
    rows += race(label, {name: waited(way) for name, way in WAYS.items()}, runs=2 if quick else 20, cpu=False)
    return [above(subject, 6, 1 / row(rows, label, "closed form").ratio, held)]


if __name__ == "__main__":
    main()
