"""What each setting of preset ``mobile`` is worth: short trainings that differ in one thing, scored without any test image.

Each is scored on a fifth of the source's training identities, held out (same cameras), and on a third (``--share``) of the training
identities of the other data set (cameras never seen); for any source but Market-1501 and CUHK03 these are CUHK03's. Runs that are in
``--out`` are taken as they are; the record is written after each.

    python benchmarks/search_recipe.py --root FOLDER --out RUNS --record benchmarks/results/mobile_recipe.json
        [--source market1501] [--only NAME ...] [--seeds 0] [--steps 500] [--group recipe schemes together causality] [--precision bf16]
"""

import argparse
import json
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from snreid.cli.names import dataset_named
from snreid.evaluation import evaluate
from snreid.experiments import recipes
from snreid.experiments.runs import open_run
from snreid.images.loading import PixelStore
from snreid.inference.embedder import features
from snreid.losses import Circle
from snreid.records import Features
from snreid.system.atomic_files import write_json
from snreid.system.provenance import provenance
from snreid.training.log import read_metrics
from snreid.training.training_set import join, validation_split

HELD_OUT, EPOCHS = 0.2, 5
OTHER = {"market1501": "cuhk03-detected", "cuhk03-detected": "market1501"}
COLOUR = "--augmentation.saturation 0.4 --augmentation.hue 0.05 --augmentation.grey 0.1"
PEOPLE = "people:persons=2000,test_persons=0,cameras=240,sites=60"
RECIPE: dict[str, str] = {
    "mobile": "baseline",
    "colour": f"baseline {COLOUR}",
    "grey-0.3": "baseline --augmentation.grey 0.3",
    "no-erasing": "baseline --augmentation.erasing 0",
    "ema": "baseline --ema 0.98",
    "lr-5e-4": "baseline --optimizer.lr 5e-4",
    "lr-1e-3": "baseline --optimizer.lr 1e-3",
    "lr-4e-3": "baseline --optimizer.lr 4e-3",
    "head-lr-1": "baseline --optimizer.head-lr 1",
    "head-lr-10": "baseline --optimizer.head-lr 10",
    "scale-12": "baseline --losses.0.scale 12",
    "scale-30": "baseline --losses.0.scale 30",
    "margin-0.1": "baseline --losses.0.margin 0.1",
    "no-smoothing": "baseline --losses.0.label-smoothing 0",
    "freeze-0": "baseline --freeze-stages 0",
    "freeze-2": "baseline --freeze-stages 2",
    "freeze-1-epoch": "baseline --freeze-epochs 1",
    "8x8": "baseline --sampling.persons 8 --sampling.images 8",
    "32x2": "baseline --sampling.persons 32 --sampling.images 2",
    "last-stride-2": "baseline --model.backbone.last-stride 2",
    "96x48": "baseline --input.height 96 --input.width 48",
    "crop-always": "baseline --augmentation.crop 1 --augmentation.enlarge 1.2",
    "erasing-0.8": "baseline --augmentation.erasing 0.8",
    "decay-5e-4": "baseline --optimizer.weight-decay 5e-4",
    "decay-0.2": "baseline --optimizer.weight-decay 0.2",
    "linear-classifier": "baseline --model.head.classifier linear --losses.0.scale 1",
    "circle": "baseline circle",
    "triplet-as-published": "baseline --losses.1.no-normalize --losses.1.margin None --losses.1.on embedding",
}
"""Name to recipe and flags; each differs from the first in one thing."""
SCHEMES: dict[str, str] = {
    "ibn": "baseline-ibn",
    "in": "baseline-in",
    "in-published-start": "baseline-in --model.scheme.start published",
    "snr-no-loss": "snr-no-loss",
    "snr-published-start": "snr-no-loss --model.scheme.start published",
    "snr-bias-3": "snr-no-loss --model.scheme.start published --model.scheme.gate-bias 3 --model.scheme.min-hidden 12",
    "snr-matched-bias-3": "snr-no-loss --model.scheme.gate-bias 3 --model.scheme.min-hidden 12",
    **{f"snr-stage-{stage}": f"snr-no-loss --model.scheme.stages {stage}" for stage in (1, 2, 3, 4)},
    "snr-ibn": "snr-no-loss --model.scheme.ibn",
    "mixstyle": "mixstyle",
    "efdmix": "efdmix",
    "bin": "baseline-bin",
    "a-sn": "baseline-a-sn",
    "snr-stages-1-to-4": "snr-no-loss --model.scheme.stages 1 2 3 4",
}
TOGETHER: dict[str, str] = {
    "snr-colour": f"snr-no-loss {COLOUR}",
    "snr-ema": "snr-no-loss --ema 0.98",
    "snr-ibn-colour": f"snr-no-loss --model.scheme.ibn {COLOUR}",
    "snr-ibn-ema": "snr-no-loss --model.scheme.ibn --ema 0.98",
    "snr-ibn-colour-ema": f"snr-no-loss --model.scheme.ibn {COLOUR} --ema 0.98",
    "ibn-colour": f"baseline-ibn {COLOUR}",
    "from-people": "snr-no-loss --start people",
    "from-people-lr-1e-3": "snr-no-loss --start people --optimizer.lr 1e-3",
    "from-people-lr-5e-4": "snr-no-loss --start people --optimizer.lr 5e-4",
    "from-people-ema": "snr-no-loss --start people --ema 0.98",
    "from-people-and-people": f"snr-no-loss --start people --source {{source}} {PEOPLE}",
    "and-people": f"snr-no-loss --source {{source}} {PEOPLE}",
}
CAUSALITY: dict[str, str] = {
    "loss-published": "snr",
    "loss-steep": "snr --losses.2.temperature 0.1",
    "loss-centred": "snr --losses.2.temperature 0.1 --losses.2.centre batch_mean",
    "loss-standardized": "snr --losses.2.temperature 0.1 --losses.2.centre batch_norm",
    "loss-standardized-heavy": "snr --losses.2.temperature 0.1 --losses.2.centre batch_norm --losses.2.weight 5",
    "loss-standardized-hardest": "snr --losses.2.temperature 0.1 --losses.2.centre batch_norm --losses.2.pairs hardest",
    "loss-code": "snr --losses.2.form code",
    "loss-code-unit": "snr --losses.2.form code --losses.2.normalize --losses.2.temperature 0.1",
    "loss-heavy": "snr --losses.2.weight 10",
    **{f"loss-{pool}": f"snr --model.scheme.pool {pool}" for pool in ("relu", "gem", "std")},
}
GROUPS = {"recipe": RECIPE, "schemes": SCHEMES, "together": TOGETHER, "causality": CAUSALITY}


def main(arguments: Sequence[str] | None = None) -> None:
    """Trains what is missing and writes the record."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--root", type=Path, default=Path("data"))
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--record", type=Path, required=True)
    parser.add_argument("--source", default="market1501", help="what is trained on, for example people:persons=800")
    parser.add_argument("--share", type=int, default=3, help="every so many-th training identity of the other data set")
    parser.add_argument("--group", nargs="+", choices=list(GROUPS), default=list(GROUPS))
    parser.add_argument("--only", nargs="+", default=[])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--precision", default="float32")
    given = parser.parse_args(arguments)
    known = {name: words for group in GROUPS.values() for name, words in group.items()}
    if unknown := sorted(set(given.only) - set(known)):
        parser.error(f"--only takes names of variants; found {', '.join(unknown)}; use some of {', '.join(known)}")
    for seed in given.seeds:
        for name in given.only or [name for group in given.group for name in GROUPS[group]]:
            row = measured(name, known[name], seed, given)
            print(json.dumps(row), flush=True)
            keep(given.record, row)


def measured(name: str, words: str, seed: int, given: argparse.Namespace) -> dict[str, Any]:
    """One training and its two scores, from disk where they are there."""
    folder: Path = given.out / f"{re.sub('[^A-Za-z0-9]+', '-', given.source)}-{name}-{seed}"
    scored = folder / "search.json"
    if scored.is_file():
        return {**json.loads(scored.read_text(encoding="utf-8")), "losses": losses(folder)}
    recipe, *flags = words.format(source=given.source).split()
    source = [] if "--source" in flags else ["--source", given.source]
    if flags == ["circle"]:  # a loss of another kind is no flag
        recipe, flags = str(with_circle(folder)), []
    else:
        flags += ["--preset", "mobile"]
    how = [*source, "--seed", str(seed), "--precision", given.precision]
    length = ["--epochs", str(EPOCHS), "--batches-per-epoch", str(given.steps // EPOCHS)]
    held = ["--validation.fraction", str(HELD_OUT), "--validation.every", str(EPOCHS)]
    places = ["--root", str(given.root), "--out", str(folder)]
    command = [sys.executable, "-m", "snreid", "train", recipe, *how, *length, *held, *flags, *places]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    held_out = next(line for line in reversed(read_metrics(folder)) if "validation_mAP" in line)
    unseen = on_other(folder, given.root, OTHER.get(given.source, "cuhk03-detected"), given.share)
    record = open_run(folder).record
    row = {
        "name": name,
        "flags": words,
        "source": given.source,
        "share": given.share,
        "seed": seed,
        "steps": given.steps,
        "precision": given.precision,
        "seconds": record["finished"]["seconds"],
        "trained_at": (record["provenance"].get("git") or {}).get("commit"),
        "held_out": {"mAP": held_out["validation_mAP"], "rank1": held_out["validation_rank1"]},
        "unseen": unseen,
        "losses": losses(folder),
    }
    scored.write_text(json.dumps(row), encoding="utf-8")
    return row


def with_circle(folder: Path) -> Path:
    """Writes the preset's Baseline with the circle loss in the place of the triplets, and returns the file."""
    plain = recipes.baseline("mobile")
    # At the published scale of 128 its slope is several times that of the cross-entropy.
    experiment = replace(plain, losses=(plain.losses[0], Circle(weight=0.3, scale=32.0, on="pooled")))
    write_json(path := folder.with_suffix(".json"), experiment.to_json())
    return path


def losses(folder: Path) -> dict[str, list[float]]:
    """Each part of the loss, weighted: its mean over the first and over the last tenth of the steps."""
    lines = [line for line in read_metrics(folder) if "seconds" in line]
    tenth = max(1, len(lines) // 10)
    names = [name for name in lines[0] if name[0].isupper()]
    return {
        name: [round(float(np.mean([line[name] for line in part])), 4) for part in (lines[:tenth], lines[-tenth:])]
        for name in names
    }


def on_other(folder: Path, root: Path, name: str, share: int) -> dict[str, float]:
    """Scores on every ``share``-th training identity of a data set that the run has not seen."""
    run = open_run(folder)
    embedder = run.embedder()
    joined = join([dataset_named(name, root).read(root)])
    images = joined.only(np.flatnonzero(joined.persons % share == 0))
    store = PixelStore(images.split, embedder.input.height, embedder.input.width)
    store.open()
    found = features(embedder, store)
    query, gallery = validation_split(images)
    scores = evaluate(_rows(found, query), _rows(found, gallery), metric=run.experiment.metric)
    return {"mAP": scores.mean_ap, "rank1": scores.rank(1)}


def _rows(found: Features, index: Any) -> Features:
    names = tuple(found.names[i] for i in index)
    return Features(found.embeddings[index], found.persons[index], found.cameras[index], names)


def keep(path: Path, row: dict[str, Any]) -> None:
    """Puts the row into the record, in the place of an earlier one of the same name, source, seed, length and precision."""
    rows = json.loads(path.read_text(encoding="utf-8"))["rows"] if path.is_file() else []
    key = ("name", "source", "seed", "steps", "precision")
    rows = [one for one in rows if any(one[k] != row[k] for k in key)] + [row]
    path.write_text(json.dumps({"rows": rows, "provenance": provenance()}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
