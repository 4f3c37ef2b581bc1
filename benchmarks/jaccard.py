"""Time and memory of the sparse Jaccard distance, on drawn embeddings of persons with about 17 images each.

python benchmarks/jaccard.py --out benchmarks/results/jaccard.json

Each size runs in a process of its own, so that its peak is its own. ``peak_mb`` is the largest resident memory less what the
process held before; seconds are CPU time; beside it stands what one dense N x N float32 array would take.
"""

import argparse
import json
import multiprocessing
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

IMAGES_OF_A_PERSON = 17
SIZES = ((12_936, 256), (30_000, 256))
"""Images and dimensions: the training set of Market-1501, and about that of MSMT17."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Writes a JSON row for each size."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--k1", type=int, default=30)
    parser.add_argument("--k2", type=int, default=6)
    parser.add_argument("--limit", type=float, default=0.6, help="distances above it are not kept")
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args(arguments)
    processes = multiprocessing.get_context("spawn")
    rows = []
    for images, dimension in SIZES:
        with processes.Pool(1) as pool:
            rows.append(pool.apply(measure, (images, dimension, given.k1, given.k2, given.limit)))
        print(json.dumps(rows[-1]))
    from snreid.system.provenance import provenance

    given.out.write_text(json.dumps({"rows": rows, "provenance": provenance()}, indent=1) + "\n", encoding="utf-8")


def measure(images: int, dimension: int, k1: int, k2: int, limit: float) -> dict[str, Any]:
    """One size: seconds, entries and peak memory."""
    import psutil

    from snreid.evaluation.jaccard import jaccard_distances, k_reciprocal

    random = np.random.default_rng(0)
    centres = random.standard_normal((images // IMAGES_OF_A_PERSON, dimension), dtype=np.float32)
    noise = random.standard_normal((images, dimension), dtype=np.float32)
    embeddings = centres[random.integers(len(centres), size=images)] + np.float32(1.3) * noise
    del noise
    before = psutil.Process().memory_info().rss
    began = time.process_time()
    encodings = k_reciprocal(embeddings, k1=k1, k2=k2)
    encoded = time.process_time()
    distances = jaccard_distances(encodings.rows, encodings.rows, limit=limit)
    done = time.process_time()
    return {
        "images": images,
        "dimension": dimension,
        "k1": k1,
        "k2": k2,
        "limit": limit,
        "threads": int(os.environ.get("OMP_NUM_THREADS", os.cpu_count() or 1)),
        "seconds_encodings": round(encoded - began, 1),
        "seconds_distances": round(done - encoded, 1),
        "entries_of_a_row": round(encodings.rows.nnz / images, 1),
        "distances_of_a_row": round(distances.nnz / images, 1),
        "peak_mb": round((_peak() - before) / 2**20),
        "dense_mb": round(4 * images**2 / 2**20),
    }


def _peak() -> int:
    """Largest resident memory of this process so far, in bytes."""
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024  # kilobytes on Linux


if __name__ == "__main__":
    main()
