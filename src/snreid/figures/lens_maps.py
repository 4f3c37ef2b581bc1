"""The lens's page: activation maps as small pictures of their own resolution, and gates as histograms."""

import base64
import io
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from snreid.figures.lens_records import BINS, GateValues, SeenImage, StageMaps
from snreid.figures.markup import Html, tag
from snreid.figures.page import folded, picture, plain_table, scrolling, section

RAMP = ((0, 0, 14), (46, 18, 96), (112, 30, 112), (186, 52, 88), (236, 104, 46), (250, 176, 44), (252, 250, 206))
"""Colours from 0 to the end of the scale, lighter and lighter, so that they can be told apart in grey too."""
_LEVELS = 128
MEANING = {
    "F": "what the stage gives",
    "F~": "style removed",
    "R+": "given back",
    "R-": "left out",
    "F~+": "passed on",
    "F~-": "for the loss only",
}


def colours(values: NDArray[np.float32], scale: float) -> Image.Image:
    """The values (H, W), 0 to ``scale``, as a picture of H x W pixels in the colours of ``RAMP``; all dark where ``scale`` is 0."""
    share = np.clip(values / scale, 0, 1) if scale > 0 else np.zeros_like(values)
    places = np.linspace(0, 1, len(RAMP))
    steps = np.linspace(0, 1, _LEVELS)
    palette = np.stack([np.interp(steps, places, [one[channel] for one in RAMP]) for channel in range(3)], 1)
    image = Image.fromarray(np.ascontiguousarray(np.round(share * (_LEVELS - 1)).astype(np.uint8)), "L")
    image.putpalette(np.round(palette).astype(np.uint8).tobytes())
    return image


def map_uri(values: NDArray[np.float32], scale: float) -> str:
    """``colours`` as ``data:image/png;base64,...``: one pixel for each position of the map, enlarged by the page."""
    buffer = io.BytesIO()
    colours(values, scale).save(buffer, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def maps_section(images: Sequence[SeenImage]) -> Html:
    """Every image with the maps of its stages."""
    one = next(stage for image in images for stage in image.stages)
    words = "; ".join(f"{name}: {MEANING[name]}" for name in one.maps)
    caption = (
        f"{words}. Each square is one position of the map; its colour is the mean over channels of the absolute value there. All maps of "
        "one image and stage share one scale, which stands beside them; the number under a map is its mean."
    )
    return section("Activation maps", tag("p", caption, class_="caption"), *(_image(image) for image in images))


def _image(image: SeenImage) -> Html:
    few = max(len(stage.maps) for stage in image.stages) <= 2
    rows = [_stage(stage, image.title) for stage in image.stages]
    shown = tag("figure", picture(image.sample, f"Image: {image.title}", 192), class_="tile query")
    layout = "stages few" if few else "stages"
    parts = [tag("h3", image.title), tag("div", shown, tag("div", *rows, class_=layout), class_="example")]
    if any(len(stage.maps) > 1 for stage in image.stages):
        own = [_stage(stage, image.title, own=True) for stage in image.stages]
        words = "Each map on its own scale: to see where, not how much"
        parts.append(folded(words, tag("div", *own, class_=f"{layout} own")))
    return tag("article", *parts)


def _stage(stage: StageMaps, title: str, *, own: bool = False) -> Html:
    height, width = next(iter(stage.maps.values())).shape
    tiles = []
    for name, values in stage.maps.items():
        scale = float(values.max()) if own else stage.scale
        words = f"Stage {stage.stage}, {name} ({MEANING[name]}) of {title}: mean {values.mean():.2f}, largest {values.max():.2f}"
        figure = tag("img", src=map_uri(values, scale), alt=words, width=width, height=height, decoding="async")
        tiles.append(
            tag("li", tag("figure", figure, tag("figcaption", tag("b", name), tag("small", f"{values.mean():.2f}"))))
        )
    facts = [f"{height} x {width} positions"]
    if stage.given_back is not None:
        facts.append(f"{100 * stage.given_back:.0f}\N{NO-BREAK SPACE}% of what was removed is given back")
    heading = tag("h4", f"Stage {stage.stage}", tag("small", ", ".join(facts)))
    bar = None if own else tag("p", "0", tag("span", class_="ramp"), f"{stage.scale:.2f}", class_="scale")
    return tag("div", heading, tag("ol", *tiles, class_="maps"), bar, class_="list")


def gates_section(gates: Sequence[GateValues], each: str) -> Html | None:
    """A table: a row for each image and camera, a column for each stage, in the cells a histogram and the mean."""
    if not gates:
        return None
    stages = sorted({gate.stage for gate in gates})
    found = {(gate.camera, gate.label, gate.stage): gate for gate in gates}
    rows = []
    for camera, label in dict.fromkeys((gate.camera, gate.label) for gate in gates):
        cells = [tag("td", _histogram(found[camera, label, stage])) for stage in stages]
        rows.append(
            tag("tr", tag("th", label, tag("small", "all its images" if camera else "one image"), scope="row"), *cells)
        )
    words = (
        f"The gate a says how much of what was removed is given back: 0 nothing, 1 all of it. It has a value for {each} of an image; a "
        "bar's height is the share of these values between 0 (left) and 1 (right), the line is their mean. Gates that do not differ "
        "between images give back the same share of everything; a narrow hill at 0.5 is where training starts."
    )
    table = plain_table(["", *(f"Stage {stage}" for stage in stages)], rows, class_="gates")
    return section("Gates", tag("p", words, class_="caption"), scrolling(table, "Gate values"))


def _histogram(gate: GateValues) -> Html:
    width, height = 8 * BINS, 29
    tallest = float(gate.histogram.max()) or 1.0
    bars = [
        tag(
            "rect", x=8 * place + 1, y=height - 28 * share / tallest, width=6, height=28 * share / tallest, class_="bar"
        )
        for place, share in enumerate(gate.histogram.tolist())
        if share > 0
    ]
    low, high = gate.span
    words = f"{gate.label}, stage {gate.stage}: mean {gate.mean:.2f}, values between {low:.2f} and {high:.2f}"
    line = tag("line", x1=gate.mean * width, y1=0, x2=gate.mean * width, y2=height, class_="mean")
    base = tag("line", x1=0, y1=height, x2=width, y2=height, class_="axis")
    svg = tag(
        "svg", tag("title", words), *bars, base, line,
        viewBox=f"0 0 {width} {height + 1}", role="img", aria_label=words, class_="histogram",
    )  # fmt: skip
    return tag("div", svg, tag("small", f"mean {gate.mean:.2f}"), class_="gate")
