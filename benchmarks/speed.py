"""How fast the parts are, each beside what it is held against: ``make bench``.

Competitors take turns inside one loop, so that a busy machine slows them alike: read the ratios. Every row is the median of
its runs after one warm-up, with the spread (half of the interquartile range). Prints a table and writes
``benchmarks/results/speed.json`` with versions, threads and commit.
"""

import argparse
import json
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table as Grid

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests"))

import snreid  # noqa: E402
from reference.snr_five_steps import snr_five_steps  # noqa: E402  (needs the path above)
from snreid.evaluation.evaluate import evaluate  # noqa: E402
from snreid.models.snr import SNR  # noqa: E402
from snreid.records import Features  # noqa: E402

Work = Callable[[], object]
RESNET50 = ((256, 64, 32), (512, 32, 16), (1024, 16, 8), (2048, 16, 8))
"""Stage outputs for 256 x 128 input, last stride 1."""


@dataclass(frozen=True)
class Row:
    """One competitor of one comparison."""

    comparison: str
    name: str
    seconds: float
    spread: float
    ratio: float
    """Seconds over those of the first competitor."""
    runs: int


def race(comparison: str, competitors: Mapping[str, Work], runs: int) -> list[Row]:
    """Let the competitors take turns ``runs`` times after one warm-up round."""
    times: dict[str, list[float]] = {name: [] for name in competitors}
    for turn in range(runs + 1):
        for name, work in competitors.items():
            start = time.perf_counter()
            work()
            if turn:
                times[name].append(time.perf_counter() - start)
    medians = {name: float(np.median(values)) for name, values in times.items()}
    first = next(iter(medians.values()))
    rows = []
    for name, values in times.items():
        low, high = np.quantile(values, [0.25, 0.75])
        rows.append(Row(comparison, name, medians[name], float(high - low) / 2, medians[name] / first, runs))
    return rows


def snr_rows(batch: int, runs: int) -> list[Row]:
    """Four SNR modules on the stage outputs of ResNet-50, float32: the five steps of the paper against the closed form."""
    maps = [torch.randn(batch, *shape, requires_grad=True) for shape in RESNET50]
    modules = [SNR(shape[0]) for shape in RESNET50]
    weights = [(m.gamma, m.beta, *m.gate.parts()) for m in modules]

    def five_steps() -> torch.Tensor:
        results = [snr_five_steps(stage, *w) for stage, w in zip(maps, weights, strict=True)]
        vectors = [r.restored.mean((2, 3)).sum() + r.contaminated.mean((2, 3)).sum() for r in results]
        return torch.stack([r.restored.sum() for r in results] + vectors).sum()

    def closed_form() -> torch.Tensor:
        results = [module.split(stage) for stage, module in zip(maps, modules, strict=True)]
        vectors = [r.restored.sum() + r.contaminated.sum() for r in results]
        return torch.stack([r.maps.sum() for r in results] + vectors).sum()

    def without_gradient(work: Callable[[], torch.Tensor]) -> Work:
        def run() -> object:
            with torch.no_grad():
                return work()

        return run

    label = f"SNR x 4, ResNet-50 stages, batch {batch}"
    forward = {"five steps": without_gradient(five_steps), "closed form": without_gradient(closed_form)}
    both = {"five steps": lambda: five_steps().backward(), "closed form": lambda: closed_form().backward()}
    return race(f"{label}, forward", forward, runs) + race(f"{label}, forward + backward", both, runs)


def evaluation_rows(queries: int, gallery: int, dim: int, runs: int) -> list[Row]:
    """Exact CMC, mAP and mINP against the bare matrix product, the physical limit."""
    random = np.random.default_rng(0)
    persons = max(2, queries // 5)

    def features(count: int, first: int) -> Features:
        vectors = random.standard_normal((count, dim), dtype=np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        labels = (np.arange(count) % persons + 1).astype(np.int64)
        return Features(vectors, labels, random.integers(first, 7, count, dtype=np.int64))

    query, stored = features(queries, 1), features(gallery, 1)

    def product() -> float:
        blocks = range(0, queries, 256)
        return sum(float((query.embeddings[i : i + 256] @ stored.embeddings.T)[0, 0]) for i in blocks)

    work = {"matrix product alone": product, "snreid evaluate": lambda: evaluate(query, stored)}
    return race(f"evaluation, {queries} x {gallery}, {dim}-d", work, runs)


def drawing_rows(images: int, runs: int) -> list[Row]:
    """Drawn pedestrians of 128 x 64: seconds for ``images`` of them, one after the other."""
    samples = snreid.DrawnPedestrians(domain="noon", train_persons=images, test_persons=0).read(HERE).train.samples

    def draw() -> int:
        return sum(sample.image.read().size for sample in samples[:images])

    return race(f"{images} drawn pedestrians, 128 x 64", {"drawn one by one": draw}, runs)


def surroundings() -> dict[str, object]:
    """What a number needs beside it to mean anything later."""
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=HERE, capture_output=True, text=True).stdout.strip()
    return {
        "snreid": snreid.__version__,
        "commit": commit or None,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "threads": torch.get_num_threads(),
        "processor": platform.machine(),
        "system": platform.system(),
    }


def main() -> None:
    """Run everything and show it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5, help="timed runs of each competitor")
    parser.add_argument("--batch", type=int, default=16, help="images in a batch for SNR")
    parser.add_argument("--gallery", type=int, default=15_913, help="gallery size of the evaluation")
    parser.add_argument("--out", type=Path, default=HERE / "results" / "speed.json")
    wanted = parser.parse_args()
    rows = snr_rows(wanted.batch, wanted.runs)
    rows += evaluation_rows(max(10, wanted.gallery // 5), wanted.gallery, 512, wanted.runs)
    rows += drawing_rows(100, wanted.runs)
    grid = Grid("comparison", "what", "seconds", "spread", "ratio", title="Speed (read the ratios)")
    for row in rows:
        grid.add_row(row.comparison, row.name, f"{row.seconds:.4f}", f"{row.spread:.4f}", f"{row.ratio:.2f}")
    Console().print(grid)
    wanted.out.parent.mkdir(parents=True, exist_ok=True)
    record = {"surroundings": surroundings(), "rows": [asdict(row) for row in rows]}
    wanted.out.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
