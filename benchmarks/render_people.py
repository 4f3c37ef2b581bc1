"""How fast people are rendered, on one core: ``OMP_NUM_THREADS=1 python benchmarks/render_people.py``.

Prints one JSON object and writes it to ``benchmarks/results/render_people.json``. Bodies, clothes and places are made on the way, as in
any use; the first pictures, for which kernels are compiled, are a warm-up. Seconds are those of the processor (``process_time``).
"""

import json
import os
import tempfile
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
_FOLDER = tempfile.TemporaryDirectory()
os.environ["SNREID_CACHE"] = _FOLDER.name  # the body shapes are read anew

from snreid.datasets import RenderedPeople  # noqa: E402
from snreid.synthetic.people.assets import body_model  # noqa: E402
from snreid.system.provenance import provenance  # noqa: E402

SETS = ({"cameras": 24, "sites": 8, "persons": 40}, {"cameras": 240, "sites": 60, "persons": 40})
WARM_UP = 24


def main() -> None:
    """Measure, print, write."""
    began = time.process_time()
    body_model()
    seconds = time.process_time() - began
    size = sum(path.stat().st_size for path in Path(_FOLDER.name).rglob("*") if path.is_file())
    rows = []
    for chosen in SETS:
        samples = RenderedPeople(test_persons=0, **chosen).read(Path()).train.samples
        for sample in samples[:WARM_UP]:
            sample.image.read()
        began = time.process_time()
        for sample in samples[WARM_UP:]:
            sample.image.read()
        images = len(samples) - WARM_UP
        rows.append({**chosen, "images": images, "images_per_second": round(images / (time.process_time() - began), 1)})
    shapes = {"seconds": round(seconds, 1), "megabytes": round(size / 1e6, 1)}
    text = json.dumps({"body_shapes": shapes, "rows": rows, "provenance": provenance()}, indent=1)
    (Path(__file__).resolve().parent / "results" / "render_people.json").write_text(text + "\n", encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
