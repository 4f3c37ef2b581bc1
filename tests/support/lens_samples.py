"""A small, complete lens from made-up numbers."""

from typing import Any

import numpy as np

from snreid.figures.lens_records import (
    BINS,
    MAPS,
    Cloud,
    GateValues,
    Lens,
    Mixed,
    NeighbourShare,
    SeenImage,
    StageMaps,
    StyleTable,
)
from snreid.records import Sample
from support.report_samples import Patch

SETS = ("noon, camera 1", "noon, camera 2", "night, camera 1")


def stage_maps(stage: int, names: tuple[str, ...] = MAPS, seed: int = 0) -> StageMaps:
    """Random maps of 4 x 2 positions."""
    rng = np.random.default_rng([seed, stage])
    maps = {name: rng.random((4, 2), dtype=np.float32) for name in names}
    return StageMaps(stage=stage, maps=maps, given_back=0.25 if "R+" in names else None)


def gate(stage: int, label: str, camera: bool) -> GateValues:
    """A gate with two filled bins, 0.25 to 0.3 and 0.5 to 0.55."""
    histogram = np.zeros(BINS)
    histogram[[5, 10]] = 0.25, 0.75
    return GateValues(stage=stage, label=label, camera=camera, mean=0.46, histogram=histogram)


def style(stage: int, names: tuple[str, ...] = ("F", "F~", "F~+")) -> StyleTable:
    """F: 2 within, 6 across; each further map half of the one before."""
    matrix = np.array([[0.1, 2.0, 5.0], [2.0, 0.3, 7.0], [5.0, 7.0, np.nan]])
    matrices = {name: matrix / 2**place for place, name in enumerate(names)}
    means = {name: {"within": 2 / 2**p, "across": 6 / 2**p, "halves": 0.2 / 2**p} for p, name in enumerate(names)}
    return StyleTable(stage=stage, matrices=matrices, summaries=means)


def make_lens(title: str = "SNR lens: snr-0", **changes: Any) -> Lens:
    """Two images, two stages, three cameras."""
    images = tuple(
        SeenImage(
            sample=Sample(Patch(name, number, 1), number, 1),
            title=name,
            stages=(stage_maps(1), stage_maps(2, seed=number)),
        )
        for number, name in enumerate((f"a of {title}.png", "b.png"), start=1)
    )
    values: dict[str, Any] = {
        "title": title,
        "run": "runs/snr-0 (snr, seed 0)",
        "scheme": "SNR on resnet18",
        "trained_on": "noon",
        "images": images,
        "gates": tuple(gate(s, name, camera) for name, camera in (("b.png", False), (SETS[0], True)) for s in (1, 2)),
        "gate_words": "each channel",
        "data": "noon (2 cameras), night (1 camera)",
        "sets": SETS,
        "styles": (style(1), style(2), style(3, ("F",))),
        "mixed": (
            Mixed(what="stage 1, F", domain=NeighbourShare(1.0, 0.5), camera=None),
            Mixed(what="embedding", domain=NeighbourShare(0.8, 0.5), camera=NeighbourShare(0.4, 0.3)),
        ),
        "cloud": Cloud(
            points=np.random.default_rng(0).normal(size=(9, 2)),
            domains=("noon",) * 6 + ("night",) * 3,
            cameras=(1, 1, 1, 2, 2, 2, 1, 1, 1),
        ),
        "notes": ("A note.",),
        "made": "today",
    }
    return Lens(**(values | changes))
