"""The content of the page of the SNR lens. ``snreid.analysis.lens`` makes these records, ``figures/lens_page.py`` renders them."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from snreid.errors import ExperimentError
from snreid.records import Sample

MAPS = ("F", "F~", "R+", "R-", "F~+", "F~-")
"""The maps of one stage, in the order in which they are shown; a scheme without SNR has the first, or the first two."""
BINS = 20
"""Bins of a gate's histogram, from 0 to 1."""


@dataclass(frozen=True, kw_only=True)
class StageMaps:
    """One stage of one image."""

    stage: int
    maps: Mapping[str, NDArray[np.float32]]
    """Activation maps A(X) = mean over channels of |X|, (H, W), >= 0, by the names of ``MAPS`` and in their order."""
    given_back: float | None = None
    """Mean of A(R+) over mean of A(R): the share of what normalization removed that is given back. None without an SNR module."""

    def __post_init__(self) -> None:
        strange = [name for name in self.maps if name not in MAPS]
        shapes = {values.shape for values in self.maps.values()}
        if strange or len(shapes) != 1 or len(min(shapes)) != 2:
            raise ExperimentError(
                f"A stage has maps of one height and width with names among {', '.join(MAPS)}",
                found=f"{', '.join(self.maps) or 'none'} of shapes {sorted(shapes)}",
            )

    @property
    def scale(self) -> float:
        """The largest value of all maps of this stage and image: the upper end of their common scale."""
        return max(float(values.max()) for values in self.maps.values())


@dataclass(frozen=True, kw_only=True)
class SeenImage:
    """An image with its maps."""

    sample: Sample
    title: str
    """Its name on the page."""
    stages: tuple[StageMaps, ...]


@dataclass(frozen=True, kw_only=True)
class GateValues:
    """A gate's values for one image, or for the images of one camera."""

    stage: int
    label: str
    """The image or the camera."""
    camera: bool
    """True for the images of a camera (or of a data set)."""
    mean: float
    histogram: NDArray[np.float64]
    """(``BINS``,) share of the values in each bin from 0 to 1."""

    @property
    def span(self) -> tuple[float, float]:
        """Lower end of the first and upper end of the last bin that has a value."""
        filled = np.flatnonzero(self.histogram)
        return float(filled[0] / BINS), float((filled[-1] + 1) / BINS)


@dataclass(frozen=True, kw_only=True)
class StyleTable:
    """Style distances at one stage (``snreid.analysis.lens.style``)."""

    stage: int
    matrices: Mapping[str, NDArray[np.float64]]
    """(G, G) by the name of the map (F, F~, F~+); on the diagonal the distance of two halves of one set; NaN if it is undefined."""
    summaries: Mapping[str, Mapping[str, float]]
    """For each map the means ``within``, ``across`` and ``halves``; NaN if there is no such pair."""


@dataclass(frozen=True, slots=True)
class NeighbourShare:
    """How often the nearest neighbour among other persons has the same label."""

    share: float
    chance: float
    """The same for a random allowed neighbour: the value for perfectly mixed labels."""


@dataclass(frozen=True, kw_only=True)
class Mixed:
    """Neighbours in one feature space."""

    what: str
    """Such as ``stage 1, F`` or ``embedding``."""
    domain: NeighbourShare | None
    """From the same data set; None if there is only one."""
    camera: NeighbourShare | None
    """From the same camera, among the images of the same data set; None without cameras."""


@dataclass(frozen=True, kw_only=True)
class Cloud:
    """Points of a t-SNE picture."""

    points: NDArray[np.float64]
    """(N, 2)"""
    domains: tuple[str, ...]
    """(N,) data set of each point."""
    cameras: tuple[int, ...]
    """(N,) its camera, or -1."""


@dataclass(frozen=True, kw_only=True)
class Lens:
    """The content of the page."""

    title: str = ""
    run: str = ""
    scheme: str = ""
    trained_on: str = ""
    images: tuple[SeenImage, ...]
    gates: tuple[GateValues, ...] = ()
    gate_words: str = ""
    """What each value of the gate belongs to: ``each channel`` or ``each position``; empty without a gate."""
    data: str = ""
    """The data sets and how many cameras each has, in words."""
    sets: tuple[str, ...] = ()
    """Names of the cameras (or data sets) whose styles are compared."""
    styles: tuple[StyleTable, ...] = ()
    mixed: tuple[Mixed, ...] = ()
    cloud: Cloud | None = None
    notes: tuple[str, ...] = ()
    """Sentences for the reader: which images were used, what is not shown and why."""
    made: str = ""
    """When and by which version, as text; an argument, so that rendering stays pure."""
