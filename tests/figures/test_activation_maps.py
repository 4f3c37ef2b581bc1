"""Maps as pictures: a pixel for each position, lighter for more."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from snreid.figures.activation_maps import RAMP, colours, map_uri
from snreid.figures.lens_page import render_lens
from snreid.figures.lens_records import MAPS
from support.lens_samples import make_lens
from support.report_samples import read_html


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
    page = read_html(render_lens(lens)).part("Activation maps")
    alts = [image.attributes["alt"] or "" for image in page.all("img")]
    for image in lens.images:
        for stage in image.stages:
            for name in MAPS:
                words = f"Stage {stage.stage}, {name} ("
                alts_of_map = [alt for alt in alts if alt.startswith(words) and f"of {image.title}:" in alt]
                assert len(alts_of_map) == 2 and f"mean {stage.maps[name].mean():.2f}" in alts_of_map[0]
            assert f"{stage.scale:.2f}" in page.text
    assert page.text.count("25\N{NO-BREAK SPACE}% of what was removed is given back") == 2 * 2 * 2
    assert len([p for p in page.all("p") if p.attributes.get("class") == "scale"]) == 4
