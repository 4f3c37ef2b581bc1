"""Makes the packaged run ``people`` from a finished training on rendered people, with its card.

    snreid train RECIPE --preset mobile --source people:persons=8000,... --epochs N --out RUN
    snreid evaluate RUN --target market1501 cuhk03-detected pku.csv
    python benchmarks/package_people.py RUN

Writes ``src/snreid/experiments/packaged_runs/people``: weights in float16, ``experiment.json``, ``self_test.npz`` and ``card.md``.
The card's scores are those in ``RUN/evaluation``; its distributions are the tables of ``snreid.synthetic.people.wardrobe``.
"""

import argparse
import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snreid.datasets.people import RenderedPeople
from snreid.experiments.packaged import HOME, WEIGHTS
from snreid.experiments.publishing import package
from snreid.experiments.runs import Run, open_run
from snreid.synthetic.people import wardrobe
from snreid.system.atomic_files import write_text

SELF_TEST = RenderedPeople(
    persons=4, test_persons=0, cameras=4, sites=2, cameras_per_person=2, images_per_camera=1, seed=2026
)
"""People of the self-test, whom no training has seen."""
LARGEST = 8_000_000
"""Bytes of the weights, at most."""


def main() -> None:
    """Packages the run that is named, and prints what was written."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("run", type=Path, help="folder of a finished run, scored on its targets")
    parser.add_argument("--out", type=Path, default=HOME / "people")
    asked = parser.parse_args()
    run = open_run(asked.run)
    kinds = {source.name for source in run.experiment.sources}
    if kinds != {"people"}:
        parser.error(f"the packaged run is trained on rendered people alone; found {', '.join(sorted(kinds))}")
    package(run, rendered(run), asked.out)
    size = (asked.out / WEIGHTS).stat().st_size
    if size > LARGEST:
        parser.error(f"the weights have at most {LARGEST:,} bytes; found {size:,}; take a smaller trunk")
    write_text(asked.out / "card.md", card(run, asked.out))
    print(f"{asked.out}: {size / 1e6:.1f} MB of weights")


def rendered(run: Run) -> NDArray[np.uint8]:
    """The images of the self-test, (8, 3, H, W), RGB."""
    height, width = run.experiment.input.height, run.experiment.input.width
    if (height, width) != (128, 64):
        raise SystemExit(f"self-test images are rendered at 128 x 64; the run has {height} x {width}")
    images = [sample.image.read() for sample in SELF_TEST.read(Path()).train.samples]
    return np.stack(images).transpose(0, 3, 1, 2)


def card(run: Run, folder: Path) -> str:
    """The card, in Markdown."""
    record, training = run.record, run.record["training"]
    source = run.experiment.sources[0]
    git = record["provenance"].get("git") or {}
    digest = hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest()
    backbone, size = run.experiment.model.backbone.name, run.experiment.input
    return "\n".join(
        [
            "# Model card: people",
            "",
            "Embeds images of persons for re-identification. It was trained on rendered people alone; no photograph of a person",
            "was used in training, except by the ImageNet weights it starts from. Light, film and boxes of the renderer were set by",
            "aggregates (colour, edges, noise) of CUHK03's training images.",
            "",
            f"- **Network**: {backbone}, recipe {run.experiment.recipe}, {size.height} x {size.width} pixels,"
            f" {training['parameters']:,} parameters in training, weights in float16.",
            f"- **Start**: {start(training)}.",
            f"- **Data**: `{source}`; {training['images']:,} images of {training['persons']:,} people, made from MakeHuman's CC0 shapes.",
            f"- **Length**: {run.experiment.epochs} epochs, {record['finished']['seconds'] / 3600:.1f} hours"
            f" ({training['device']}, {training['precision']}).",
            f"- **Program**: snreid {record['provenance']['versions']['snreid']}, commit {git.get('commit', 'unknown')}.",
            f"- **SHA-256 of the weights**: {digest}.",
            "- **Licence**: Apache-2.0, as snreid.",
            "",
            "## Purpose and limits",
            "",
            "A start for cameras of which you have no labelled images: to rank a gallery, to be adapted",
            "(`snreid adapt people --images FOLDER`), to compare with; and for those of which you have, to be",
            "trained further (`snreid train snr-plus`). A rank list is a list of candidates. Measure on your own cameras before",
            "anything depends on it. The model must not be used to identify people, to follow them without a lawful basis, or for",
            "decisions that no human checks (docs/ethics.md).",
            "",
            "## Scores",
            "",
            "On people and cameras it has never seen, in percent, with 95 % intervals:",
            "",
            "| test | mAP | rank-1 |",
            "|---|---|---|",
            *(f"| {one['target']} | {percent(one, 'mAP')} | {percent(one, 'rank1')} |" for one in scores(run.folder)),
            "",
            "## Who is in the data",
            "",
            "Nobody who exists. Adults alone. Every property is drawn from a table written by hand, independent of the others unless",
            "it says so. Nobody has shown that the model treats all people alike.",
            "",
            *distributions(),
            "",
        ]
    )  # fmt: skip


def start(training: dict[str, Any]) -> str:
    """What the training began with."""
    imagenet = "EfficientNet-Lite weights of ImageNet (Tan and Le; Google, Apache-2.0)"
    if (before := training.get("start")) is None:
        return f"{imagenet}, SHA-256 {training['weights']}"
    return f"the run {before['run']} before it, SHA-256 {before['sha256']}, which began with {imagenet}"


def scores(folder: Path) -> Iterable[dict[str, Any]]:
    """The stored results of a run, by target."""
    for path in sorted((folder / "evaluation").glob("*.json")):
        yield json.loads(path.read_text(encoding="utf-8"))


def percent(result: dict[str, Any], name: str) -> str:
    """``34.1 [32.9, 35.2]``"""
    low, high = result[f"{name}_interval"]
    return f"{100 * result[name]:.1f} [{100 * low:.1f}, {100 * high:.1f}]"


def distributions() -> Iterable[str]:
    """One line a table of the wardrobe."""
    yield f"- women {100 * wardrobe.WOMEN:.0f} %, men {100 * (1 - wardrobe.WOMEN):.0f} % (build and wardrobe)"
    yield "- age in years: " + shares((f"{low:.0f} to {high:.0f}", weight) for (low, high), weight in wardrobe.AGES)
    yield "- skin, from light to dark (sRGB): " + shares((rgb(colour), weight) for colour, weight in wardrobe.SKINS)
    yield "- hair colour (sRGB), mixed with grey from 45 years on: " + shares(
        (rgb(colour), weight) for colour, weight in wardrobe.HAIR_COLOURS
    )
    tables = {
        "hair of men": wardrobe.HAIR_MEN,
        "hair of women": wardrobe.HAIR_WOMEN,
        "hats": wardrobe.HATS,
        "tops of men": wardrobe.TOPS_MEN,
        "tops of women": wardrobe.TOPS_WOMEN,
        "outer garments": wardrobe.OUTERS,
        "trousers and skirts of men": wardrobe.BOTTOMS_MEN,
        "trousers and skirts of women": wardrobe.BOTTOMS_WOMEN,
        "shoes of men": wardrobe.SHOES_MEN,
        "shoes of women": wardrobe.SHOES_WOMEN,
        "bags": wardrobe.BAGS,
        "colours of tops": wardrobe.TOP_COLOURS,
        "colours of outer garments": wardrobe.OUTER_COLOURS,
        "colours of trousers": wardrobe.BOTTOM_COLOURS,
    }
    for name, table in tables.items():
        yield f"- {name}: {shares(table)}"
    yield f"- glasses {100 * wardrobe.GLASSES:.0f}, beards of men {100 * wardrobe.BEARD:.0f}, scarves {100 * wardrobe.SCARF:.0f}"


def shares(table: Iterable[tuple[str, float]]) -> str:
    """Words with their shares of the whole."""
    rows = list(table)
    whole = sum(weight for _, weight in rows)
    return ", ".join(f"{word} {100 * weight / whole:.0f} %" for word, weight in rows)


def rgb(colour: tuple[float, float, float]) -> str:
    """``#EDC7B0``"""
    return "#" + "".join(f"{round(255 * share):02X}" for share in colour)


if __name__ == "__main__":
    main()
