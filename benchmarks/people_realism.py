"""How near rendered people come to photographs: aggregates of both, side by side, and how well a linear model tells them apart.

python benchmarks/people_realism.py --root DATA [--count 1500] [--out FILE]

The photographs are CUHK03's *training* images (detected boxes); no other image of any data set is opened, and only
aggregates over many images are kept. Rendered people are to come near and yet to differ more from camera to camera:
CUHK03 has a handful of cameras, and what is trained on rendered people must work on any.
"""

import argparse
import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from snreid.cli.names import dataset_named
from snreid.datasets.people import RenderedImage, RenderedPeople
from snreid.records import Sample

F32 = NDArray[np.float32]
RESULT = Path(__file__).parent / "results" / "people_realism.json"
PEOPLE = RenderedPeople(persons=300, test_persons=0, cameras=240, sites=60)
SIZE = (128, 64)
TORSO, LEGS = (slice(28, 60), slice(20, 44)), (slice(70, 108), slice(22, 42))
"""Where clothes are, in a crop of 128 x 64."""
HUES = ("red", "orange", "yellow", "green", "cyan", "blue", "violet", "pink")
LUMA = np.array([0.299, 0.587, 0.114], np.float32)


def main() -> None:
    """Measures both sets, prints the table and writes the record."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--root", type=Path, required=True, help="the folder of the data sets")
    parser.add_argument("--count", type=int, default=1500, help="images of each set")
    parser.add_argument("--out", type=Path, default=RESULT)
    asked = parser.parse_args()
    photographs = chosen(dataset_named("cuhk03-detected", asked.root).read(asked.root).train.samples, asked.count)
    rendered = chosen(PEOPLE.read(asked.root).train.samples, asked.count)
    sets = {"cuhk03": read(photographs), "people": read(rendered)}
    record: dict[str, Any] = {name: aggregates(images) for name, images in sets.items()}
    record["people"] |= standing(rendered[::5])
    people = [*(sample.person for sample in photographs), *(-sample.person for sample in rendered)]
    record["told apart"] = told_apart(sets["cuhk03"], sets["people"], people)
    record["told apart"] |= first_camera_from_second(photographs, sets["cuhk03"])
    record["images of each"] = asked.count
    asked.out.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print(table(record))


def chosen(samples: tuple[Sample, ...], count: int) -> list[Sample]:
    """A sample of ``count``, the same at every call, in the order of the set."""
    places = np.random.default_rng(0).permutation(len(samples))[:count]
    return [samples[place] for place in sorted(places)]


def read(samples: list[Sample]) -> F32:
    """(N, 128, 64, 3), 0 to 1."""
    images = [Image.fromarray(sample.image.read()).resize(SIZE[::-1], Image.Resampling.BILINEAR) for sample in samples]
    return np.stack([np.asarray(image, np.float32) for image in images]) / np.float32(255)


def hue_saturation_value(images: F32) -> tuple[F32, F32, F32]:
    """Hue (0 to 1), saturation (chroma by value) and value of RGB."""
    value, low = images.max(-1), images.min(-1)
    chroma = value - low
    red, green, blue = np.moveaxis(images, -1, 0)
    safe = np.maximum(chroma, 1e-6)
    hue = np.where(
        value == red,
        (green - blue) / safe % 6,
        np.where(value == green, (blue - red) / safe + 2, (red - green) / safe + 4),
    )
    return hue / 6 % 1, chroma / np.maximum(value, 1e-6), value


def laplacian(grey: F32) -> F32:
    """The second differences of (N, H, W), without the border."""
    sides = grey[:, :-2, 1:-1] + grey[:, 2:, 1:-1] + grey[:, 1:-1, :-2] + grey[:, 1:-1, 2:]
    return np.asarray(sides - 4 * grey[:, 1:-1, 1:-1])


def spectrum_slope(grey: F32) -> F32:
    """(N,) slope of log power over log frequency of the middle 64 x 64 pixels: the steeper, the more blurred."""
    window = np.outer(np.hanning(64), np.hanning(64)).astype(np.float32)
    middle = grey[:, 32:96]
    power = np.abs(np.fft.fft2((middle - middle.mean((1, 2), keepdims=True)) * window)) ** 2
    radius = np.hypot(*np.meshgrid(np.fft.fftfreq(64) * 64, np.fft.fftfreq(64) * 64))
    rings = np.stack([power[:, (radius >= low) & (radius < low + 2)].mean(1) for low in range(2, 30, 2)], 1)
    return np.asarray(np.polyfit(np.log(np.arange(3, 31, 2)), np.log(rings + 1e-9).T, 1)[0], np.float32)


def noise_floor(grey: F32) -> F32:
    """(N,) the 10 % quantile over blocks of 8 x 8 of the Laplacian's deviation: grain where nothing is to be seen."""
    edges = laplacian(grey)[:, 3:123, 3:59]
    blocks = edges.reshape(len(edges), 15, 8, 7, 8).std((2, 4))
    return np.asarray(np.quantile(blocks.reshape(len(edges), -1), 0.1, axis=1), np.float32)


def blockiness(grey: F32) -> F32:
    """(N,) steps across the borders of JPEG's blocks by steps elsewhere: 1 without any."""
    steps = np.abs(np.diff(grey, axis=2)).mean(1)
    border = np.arange(steps.shape[1]) % 8 == 7
    return np.asarray(steps[:, border].mean(1) / (steps[:, ~border].mean(1) + 1e-4))


def per_image(images: F32) -> dict[str, F32]:
    """What is measured on every image; the record has the mean, the deviation and three quantiles of each."""
    grey = images @ LUMA
    mean = images.mean((1, 2))
    _, saturation, _ = hue_saturation_value(images)
    return {
        "brightness": grey.mean((1, 2)),
        "warmth (red - blue)": mean[:, 0] - mean[:, 2],
        "greenness (green - red and blue)": mean[:, 1] - (mean[:, 0] + mean[:, 2]) / 2,
        "contrast (deviation of luma)": grey.std((1, 2)),
        "saturation": saturation.mean((1, 2)),
        "black level (1 % quantile)": np.quantile(grey.reshape(len(grey), -1), 0.01, axis=1),
        "white level (99 % quantile)": np.quantile(grey.reshape(len(grey), -1), 0.99, axis=1),
        "dark share (below 0.05)": (grey < 0.05).mean((1, 2)),
        "bright share (above 0.95)": (grey > 0.95).mean((1, 2)),
        "edge energy": np.hypot(np.diff(grey[:, :, :-1], axis=1), np.diff(grey[:, :-1], axis=2)).mean((1, 2)),
        "sharpness (deviation of the Laplacian)": laplacian(grey).std((1, 2)),
        "spectrum slope": spectrum_slope(grey),
        "noise floor": noise_floor(grey),
        "blockiness": blockiness(grey),
        "torso luma": grey[:, *TORSO].mean((1, 2)),
        "legs luma": grey[:, *LEGS].mean((1, 2)),
        "torso saturation": saturation[:, *TORSO].mean((1, 2)),
        "legs saturation": saturation[:, *LEGS].mean((1, 2)),
        "surroundings luma": np.concatenate([grey[:, :, :7], grey[:, :, -7:]], 2).mean((1, 2)),
    }


def aggregates(images: F32) -> dict[str, Any]:
    """All aggregates of (N, 128, 64, 3) by name; numbers, or lists of them."""
    found: dict[str, Any] = {
        "channel means": images.mean((0, 1, 2)).tolist(),
        "channel deviations": images.std((0, 1, 2)).tolist(),
    }
    for name, values in per_image(images).items():
        quantiles = np.quantile(values, (0.1, 0.5, 0.9)).tolist()
        found[name] = {"mean": float(values.mean()), "deviation": float(values.std()), "10/50/90 %": quantiles}
    hue, saturation, value = hue_saturation_value(images)
    for name, box in (("torso", TORSO), ("legs", LEGS)):
        strong = np.where(saturation[:, *box] * value[:, *box] > 0.06, 1.0, 0.0)  # elsewhere hue is noise
        shares = np.histogram((hue[:, *box] + 1 / 16) % 1, 8, (0, 1), weights=strong)[0] / strong.size
        found[f"{name} hues"] = dict(zip((*HUES, "grey"), [*shares.tolist(), float(1 - strong.mean())], strict=True))
        found[f"{name} values (eighths)"] = (np.histogram(value[:, *box], 8, (0, 1))[0] / strong.size).tolist()
    # People are darker than what is around them, and what varies from image to image: the profiles say where they stand.
    grey = images @ LUMA
    for name, plane in (("deviation", grey.std(0)), ("luma", grey.mean(0))):
        found[f"rows' {name} (16)"] = plane[:, 16:48].mean(1).reshape(16, 8).mean(1).tolist()
        found[f"columns' {name} (16)"] = plane[16:112].mean(0).reshape(16, 4).mean(1).tolist()
    return found


def standing(samples: list[Sample]) -> dict[str, Any]:
    """Where rendered people stand in their crops, by their masks: shares of height and width, mean and deviation."""
    pictures = [sample.image.picture() for sample in samples if isinstance(sample.image, RenderedImage)]
    masks = [picture.mask() for picture in pictures]
    seen = [mask for mask in masks if mask.any()]
    rows, columns = ([np.flatnonzero(mask.any(axis)) for mask in seen] for axis in (1, 0))
    found = {
        "top": [row[0] / SIZE[0] for row in rows],
        "bottom": [(row[-1] + 1) / SIZE[0] for row in rows],
        "middle": [(column[0] + column[-1] + 1) / 2 / SIZE[1] for column in columns],
        "share of the crop": [mask.mean() for mask in seen],
    }
    return {f"the person's {k}": {"mean": float(np.mean(v)), "deviation": float(np.std(v))} for k, v in found.items()}


def features(images: F32) -> tuple[F32, list[str]]:
    """(N, D) simple features and their names: histograms of colour and of gradients in three bands, and grain."""
    columns, names = [], []

    def add(name: str, values: F32, edges: list[float]) -> None:
        """A histogram of (N, ...) over the bins between ``edges``."""
        flat = values.reshape(len(values), -1)
        for low, high in pairwise(edges):
            columns.append(((flat >= low) & (flat < high)).mean(1))
            names.append(f"{name} {low:.2f}-{high:.2f}")

    for band, rows in (("head", slice(0, 28)), ("torso", slice(28, 68)), ("legs", slice(68, 128))):
        part = images[:, rows]
        hue, saturation, value = hue_saturation_value(part)
        add(f"{band} hue", np.where(saturation * value > 0.06, hue, -1), np.linspace(0, 1.001, 9).tolist())
        add(f"{band} saturation", saturation, [0, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.6, 1.01])
        add(f"{band} value", value, [0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.98, 1.01])
        grey = part @ LUMA
        down, across = np.diff(grey[:, :, :-1], axis=1), np.diff(grey[:, :-1], axis=2)
        steep = np.hypot(down, across)
        add(f"{band} gradient", steep, [0, 0.005, 0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 2])
        turned = np.where(steep > 0.03, np.arctan2(down, across) % np.pi, -1)
        add(f"{band} direction", turned, np.linspace(0, np.pi + 1e-3, 7).tolist())
    grey = images @ LUMA
    for name, values in (("sharpness", laplacian(grey).std((1, 2))), ("noise floor", noise_floor(grey))):
        columns.append(np.log(values + 1e-4))
        names.append(name)
    columns += [spectrum_slope(grey), blockiness(grey)]
    return np.stack(columns, 1).astype(np.float32), [*names, "spectrum slope", "blockiness"]


def told_apart(one: F32, two: F32, people: list[int]) -> dict[str, Any]:
    """How well a linear model tells the sets apart (AUC over folds without common people), and by what it does."""
    x, names = features(np.concatenate([one, two]))
    y = np.repeat([0, 1], [len(one), len(two)])
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.02, max_iter=2000))
    guessed = cross_val_predict(model, x, y, groups=people, cv=GroupKFold(5), method="predict_proba")[:, 1]
    alone = [roc_auc_score(y, x[:, place]) for place in range(x.shape[1])]
    order = sorted(range(len(names)), key=lambda place: -abs(alone[place] - 0.5))[:20]
    return {
        "AUC (0.5 is perfect)": float(roc_auc_score(y, guessed)),
        "AUC of each feature alone (above 0.5: more in people)": {names[n]: round(float(alone[n]), 3) for n in order},
    }


def first_camera_from_second(samples: list[Sample], images: F32) -> dict[str, float]:
    """The same figure for two cameras of one set: how different photographs of the same people are."""
    one, two = ([n for n, sample in enumerate(samples) if sample.camera == camera] for camera in (1, 2))
    auc = told_apart(images[one], images[two], [samples[n].person for n in one + two])["AUC (0.5 is perfect)"]
    return {"AUC of CUHK03's first cameras against its second ones": auc}


def table(record: dict[str, Any]) -> str:
    """Both sets side by side as text."""

    def shown(value: Any) -> str:
        """Numbers with three digits, joined."""
        if isinstance(value, dict):
            return "; ".join(f"{key} {shown(part)}" for key, part in value.items())
        return " ".join(shown(part) for part in value) if isinstance(value, list) else f"{value:.3f}"

    lines = [
        f"{name}\n    cuhk03  {shown(record['cuhk03'].get(name, []))}\n    people  {shown(found)}"
        for name, found in record["people"].items()
    ]
    return "\n".join([*lines, *(f"{name}\n    {shown(found)}" for name, found in record["told apart"].items())])


if __name__ == "__main__":
    main()
