"""Exact evaluation against its physical limit, the blockwise matrix product alone.

    python benchmarks/evaluate.py                            # small, under a minute
    python benchmarks/evaluate.py --queries 3368 --gallery 15913 --dimension 2048 --persons 751

Both are run in turn in one process; CPU times, medians over rounds; extra memory as traced by Python, in a run of its own.
The embeddings are random persons' centres plus noise, so that the ranking is neither perfect nor random (``--noise``).
"""

import argparse
import json
import os
import platform
import statistics
import sys
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np

from snreid.evaluation import Block, evaluate
from snreid.records import Features


def embeddings(persons: np.ndarray, options: argparse.Namespace, rng: np.random.Generator) -> np.ndarray:
    """(N, D) float32: a centre per person plus noise, in ``latent`` dimensions, mapped to D, plus a little noise in all D.

    A network's embeddings fill far fewer dimensions than they have; noise in all of them would crowd all similarities
    around one value.
    """
    centres = rng.standard_normal((options.persons + 1, options.latent), dtype=np.float32)
    mapping = rng.standard_normal((options.latent, options.dimension), dtype=np.float32)
    values = np.empty((len(persons), options.dimension), np.float32)
    for start in range(0, len(persons), 4096):
        part = persons[start : start + 4096]
        latent = centres[part] + np.float32(options.noise) * rng.standard_normal(
            (len(part), options.latent), dtype=np.float32
        )
        values[start : start + 4096] = latent @ mapping
        values[start : start + 4096] += rng.standard_normal((len(part), options.dimension), dtype=np.float32)
    return values


def draw(options: argparse.Namespace) -> tuple[Features, Features]:
    """Query and gallery with six cameras; the first of the gallery's images are distractors."""
    rng = np.random.default_rng(options.seed)
    count = options.queries + options.gallery
    persons = rng.integers(1, options.persons + 1, size=count)
    persons[options.queries : options.queries + options.distractors] = 0
    values = embeddings(persons, options, rng)
    cameras = rng.integers(1, 7, size=count)
    cut = slice(0, options.queries), slice(options.queries, None)
    query, gallery = (Features(values[part], persons[part], cameras[part]) for part in cut)
    return query, gallery


def product_alone(query: Features, gallery: Features, block: Block) -> None:
    """The limit: every score computed once, none of them looked at."""
    for start in range(0, len(gallery.persons), block.gallery):
        columns = gallery.embeddings[start : start + block.gallery].T
        for row in range(0, len(query.persons), block.queries):
            query.embeddings[row : row + block.queries] @ columns


def cpu_seconds(work: Callable[[], object]) -> float:
    """CPU time of all threads of this process."""
    start = time.process_time()
    work()
    return time.process_time() - start


def measure(options: argparse.Namespace) -> dict[str, object]:
    """One warm-up, then rounds in turn."""
    query, gallery = draw(options)
    block = Block()
    contenders: dict[str, Callable[[], object]] = {
        "product": lambda: product_alone(query, gallery, block),
        "cosine": lambda: evaluate(query, gallery, metric="cosine"),
        "euclidean": lambda: evaluate(query, gallery, metric="euclidean"),
    }
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for turn in range(options.rounds + 1):
        for name, work in contenders.items():
            seconds = cpu_seconds(work)
            if turn:
                times[name].append(seconds)
    tracemalloc.start()
    scores = evaluate(query, gallery)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    medians = {name: statistics.median(seconds) for name, seconds in times.items()}
    return {
        "subject": "exact evaluation relative to the matrix product alone, CPU time",
        "options": {k: v for k, v in vars(options).items() if k != "out"},
        "cpu_seconds": times,
        "ratio": {name: medians[name] / medians["product"] for name in ("cosine", "euclidean")},
        "extra_memory_mib": peak / 2**20,
        "mAP": scores.mean_ap,
        "rank1": scores.rank(1),
        "versions": {"python": platform.python_version(), "numpy": np.__version__},
        "threads": {name: os.environ.get(name) for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")},
        "cores": os.cpu_count(),
    }


def main() -> None:
    """Read the options, measure, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    sizes = {
        "queries": 1000,
        "gallery": 8000,
        "dimension": 1024,
        "persons": 500,
        "distractors": 1000,
        "latent": 64,
        "rounds": 5,
        "seed": 0,
    }
    for name, value in sizes.items():
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--noise", type=float, default=1.2, help="of the embeddings, in units of the centres")
    parser.add_argument("--out", type=Path, help="write JSON here instead of to the screen")
    options = parser.parse_args()
    text = json.dumps(measure(options), indent=2) + "\n"
    if options.out:
        options.out.write_text(text, encoding="utf-8")
    else:
        sys.stdout.write(text)


if __name__ == "__main__":
    main()
