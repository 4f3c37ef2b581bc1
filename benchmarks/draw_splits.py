"""Draws the random splits that are shipped in ``src/snreid/datasets/splits``: ``python benchmarks/draw_splits.py``.

The same bytes on every machine; a test draws them again. Prints the hashes that the readers hold.
"""

from hashlib import sha256
from pathlib import Path

from snreid.datasets import _splits, cuhk01, grid, ilids, prid2011, viper

if __name__ == "__main__":
    folder = Path(__file__).resolve().parents[1] / "src" / "snreid" / "datasets" / "splits"
    folder.mkdir(exist_ok=True)
    for module in (cuhk01, grid, ilids, prid2011, viper):
        content = _splits.draw(module.SPLITS)
        (folder / f"{module.SPLITS.name}.json").write_bytes(content)
        print(module.SPLITS.name, sha256(content).hexdigest())
