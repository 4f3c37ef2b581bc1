"""What the SNR modules of trained runs do to images: how far their gates are open, and how alike the vectors of their loss are.

python benchmarks/gates.py RUN... --target market1501 --root FOLDER --out benchmarks/results/gates.json
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from snreid.cli.names import dataset_named
from snreid.experiments.runs import open_run
from snreid.experiments.scoring import read_targets
from snreid.images.loading import PixelStore
from snreid.models.snr import SNR
from snreid.records import Split
from snreid.system.provenance import provenance

IMAGES = 256


def main(arguments: Sequence[str] | None = None) -> None:
    """Writes a JSON row for each run and module."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("run", nargs="+", type=Path)
    parser.add_argument("--target", required=True, help="the data set whose query images are looked at")
    parser.add_argument("--root", type=Path, default=Path("data"))
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args(arguments)
    torch.set_num_threads(1)
    (data,) = read_targets([dataset_named(given.target)], given.root)
    samples = data.query.samples
    chosen = Split(tuple(samples[i * len(samples) // IMAGES] for i in range(min(IMAGES, len(samples)))))
    rows = [row for folder in given.run for row in gate_rows(folder, chosen)]
    for row in rows:
        print(json.dumps(row))
    given.out.write_text(
        json.dumps({"target": given.target, "images": IMAGES, "rows": rows, "provenance": provenance()}, indent=1)
        + "\n"
    )


def gate_rows(folder: Path, split: Split) -> list[dict[str, Any]]:
    """Per module: mean of the gate a, and the mean cosine of f~+ between images of different people (1: the loss sees no difference)."""
    run = open_run(folder)
    embedder = run.embedder(device="cpu", bf16=False)
    store = PixelStore(split, embedder.input.height, embedder.input.width)
    store.open()
    seen: dict[str, tuple[Tensor, Tensor]] = {}

    def look(name: str, module: SNR) -> None:
        """Keep the gate and f~+ of whatever the module sees."""

        def before(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            """Compute both anew from the module's input, the long way."""
            removed = inputs[0].float().mean((2, 3)) - module.beta
            gate = module.gate(removed)
            seen[name] = gate, module.beta + gate * removed

        module.register_forward_pre_hook(before)

    for name, module in embedder.model.named_modules():
        if isinstance(module, SNR):
            look(name, module)
    for images in store.batches([torch.arange(len(split)).numpy()]):
        embedder(images)
    different = torch.from_numpy(split.persons[:, None] != split.persons[None, :])
    rows = []
    for name, (gate, vectors) in seen.items():
        unit = nn.functional.normalize(vectors, dim=1)
        rows.append(
            {
                "run": f"{folder.parent.name}/{folder.name}",
                "module": name,
                "gate": round(float(gate.mean()), 3),
                "cosine": round(float((unit @ unit.T)[different].mean()), 3),
            }
        )
    return rows


if __name__ == "__main__":
    main()
