"""Hair, hats and scarves grow where the head is."""

import numpy as np
import pytest

from snreid.synthetic.people.body import Body
from snreid.synthetic.people.headwear import Scalp, hair_layers, hat_layers, scarf_layer
from snreid.synthetic.people.identity import HAIR_STYLES, HATS, Head


@pytest.mark.parametrize("style", HAIR_STYLES)
def test_hair_is_on_the_head_and_not_in_the_face(body: Body, style: str) -> None:
    layers = hair_layers(body, Head(style=style), 0.01)
    assert bool(layers) == (style != "bald")
    scalp = Scalp(body)
    for layer in layers:
        shown = layer.vertices[layer.cover >= 0]
        assert len(shown) and np.abs(shown[:, 0]).max() < 0.25
        face = (np.abs(shown[:, 0]) < 0.02) & (shown[:, 1] < scalp.eye[1]) & (np.abs(shown[:, 2] - scalp.eye[2]) < 0.02)
        assert not face.any()


def test_long_hair_is_longer(body: Body) -> None:
    lowest = []
    for style, length in (("short", 0.5), ("bob", 0.5), ("long", 0.2), ("long", 0.9)):
        layers = hair_layers(body, Head(style=style, length=length), 0.01)
        lowest.append(min(float(layer.vertices[layer.cover >= 0][:, 2].min()) for layer in layers))
    assert lowest == sorted(lowest, reverse=True)


@pytest.mark.parametrize("hat", HATS)
def test_hats_are_on_top(body: Body, hat: str) -> None:
    layers = hat_layers(body, Head(hat=hat))
    assert bool(layers) == (hat != "none")
    if layers:
        assert max(float(layer.vertices[:, 2].max()) for layer in layers) > Scalp(body).top


def test_a_scarf_is_around_the_neck(body: Body) -> None:
    layer = scarf_layer(body, (0.5, 0.1, 0.1))
    assert np.abs(layer.vertices[:, 2].mean() - body.joint("neck01")[2]) < 0.08
