"""Maps as pictures: a pixel for each position, lighter for more; gates as histograms of their bins."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from lens_samples import gate, make_lens
from report_samples import read_html
from snreid.figures.lens_maps import RAMP, colours, gates_section, map_uri, maps_section
from snreid.figures.lens_records import BINS, MAPS


def test_the_ramp_goes_from_dark_to_light() -> None:
    luminance = [0.2126 * r + 0.7152 * g + 0.0722 * b for r, g, b in RAMP]
    assert luminance == sorted(luminance) and luminance[-1] > 10 * luminance[0]


def test_a_map_is_a_picture_of_its_positions() -> None:
    values = np.array([[0.0, 1.0], [2.0, 4.0], [3.0, 9.0]], dtype=np.float32)
    uri = map_uri(values, 4.0)
    picture = Image.open(io.BytesIO(base64.b64decode(uri.removeprefix("data:image/png;base64,"))))
    assert picture.size == (2, 3)
    pixels = np.asarray(picture.convert("RGB")).astype(int)
    assert tuple(pixels[0, 0]) == RAMP[0] and tuple(pixels[1, 1]) == tuple(pixels[2, 1]) == RAMP[-1]
    light = pixels @ [0.2126, 0.7152, 0.0722]
    assert light[0, 0] < light[0, 1] < light[1, 0] < light[2, 0] < light[1, 1]
    assert np.abs(pixels[1, 0] - np.array(RAMP[3])).max() <= 3  # the middle of seven colours


@pytest.mark.parametrize("scale", [0.0, 1.0])
def test_a_map_of_zeros_is_dark(scale: float) -> None:
    pixels = np.asarray(colours(np.zeros((3, 2), np.float32), scale).convert("RGB"))
    assert (pixels == RAMP[0]).all()


def test_every_map_stands_there_twice_with_its_mean_and_the_common_scale_once() -> None:
    lens = make_lens()
    page = read_html(maps_section(lens.images).text)
    alts = [image.attributes["alt"] or "" for image in page.all("img")]
    for image in lens.images:
        for stage in image.stages:
            for name in MAPS:
                words = f"Stage {stage.stage}, {name} ("
                found = [alt for alt in alts if alt.startswith(words) and f"of {image.title}:" in alt]
                assert len(found) == 2 and f"mean {stage.maps[name].mean():.2f}" in found[0]
            assert f"{stage.scale:.2f}" in page.text
    assert page.text.count("25\N{NO-BREAK SPACE}% of what was removed is given back") == 2 * 2 * 2
    assert len([p for p in page.all("p") if p.attributes.get("class") == "scale"]) == 4


def test_a_gate_is_a_histogram_with_its_mean() -> None:
    made = gates_section(
        [
            gate(1, "a.png", False),
            gate(2, "a.png", False),
            gate(1, "noon, camera 1", True),
            gate(2, "noon, camera 1", True),
        ],
        "each channel",
    )
    assert made is not None
    page = read_html(made.text)
    assert len(page.all("svg")) == 4 and "It has a value for each channel of an image" in page.text
    first = page.all("svg")[0]
    assert first.attributes["aria-label"] == "a.png, stage 1: mean 0.46, values between 0.25 and 0.55"
    bars = first.all("rect")
    assert len(bars) == 2
    low, high = (float(bar.attributes["height"] or 0) for bar in bars)
    assert low / high == pytest.approx(1 / 3, abs=0.01)
    assert [float(bar.attributes["x"] or 0) for bar in bars] == [8 * 5 + 1, 8 * 10 + 1]
    (mean,) = (line for line in first.all("line") if line.attributes["class"] == "mean")
    assert float(mean.attributes["x1"] or 0) == pytest.approx(0.46 * 8 * BINS)
    assert gates_section([], "") is None
