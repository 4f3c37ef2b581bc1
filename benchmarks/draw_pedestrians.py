"""How fast pedestrians are drawn, on one core: ``OMP_NUM_THREADS=1 python benchmarks/draw_pedestrians.py``.

Prints one JSON object and writes it to ``benchmarks/results/draw_pedestrians.json``. Every domain takes its turn; the
first images of a domain, which paint its cameras' panoramas, are a warm-up and not counted. Seconds are those of the
processor (``process_time``), so a busy machine is not slower, and of the clock.
"""

import json
import os
import platform
import time
from pathlib import Path

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import numpy as np  # noqa: E402  (reads the lines above)

import snreid  # noqa: E402
from snreid.datasets.pedestrians import DrawnPedestrians  # noqa: E402
from snreid.synthetic.pedestrians import DOMAINS  # noqa: E402

IMAGES, WARM_UP, SEED = 240, 24, 0


def measure() -> dict[str, object]:
    """Images per second of each domain and of all, 128 x 64."""
    domains: dict[str, float] = {}
    processor = clock = 0.0
    for domain in DOMAINS:
        data = DrawnPedestrians(domain=domain.name, train_persons=30, test_persons=0, seed=SEED).read(Path())
        samples = data.train.samples
        for sample in samples[:WARM_UP]:
            sample.image.read()
        starts = time.process_time(), time.perf_counter()
        for sample in samples[WARM_UP : WARM_UP + IMAGES]:
            sample.image.read()
        used = time.process_time() - starts[0]
        processor, clock = processor + used, clock + time.perf_counter() - starts[1]
        domains[domain.name] = round(IMAGES / used, 1)
    images = IMAGES * len(DOMAINS)
    return {
        "images_per_second": round(images / processor, 1),
        "images_per_second_by_the_clock": round(images / clock, 1),
        "by_domain": domains,
        "images": images,
        "size": [128, 64],
        "seed": SEED,
        "threads": int(os.environ["OMP_NUM_THREADS"]),
        "snreid": getattr(snreid, "__version__", "unknown"),
        "numpy": np.__version__,
        "python": platform.python_version(),
        "machine": platform.machine(),
    }


def main() -> None:
    """Measure, print, write."""
    text = json.dumps(measure(), indent=2)
    folder = Path(__file__).resolve().parent / "results"
    folder.mkdir(exist_ok=True)
    (folder / "draw_pedestrians.json").write_text(text + "\n", encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
