"""Fabrics, prints and reliefs."""

import numpy as np
import pytest

from snreid.synthetic.people.identity import PATTERNS, PRINTS, Fabric, Print
from snreid.synthetic.people.textures import TEXELS, cloud, fabric_texels, grain, print_texels, reliefs


@pytest.mark.parametrize("pattern", PATTERNS)
def test_fabrics_keep_their_colour_and_repeat(pattern: str) -> None:
    fabric = Fabric(pattern=pattern, colour=(0.2, 0.3, 0.6), second=(0.25, 0.35, 0.6), seed=4)
    texels = fabric_texels(fabric)
    assert texels.shape == (TEXELS, TEXELS, 3) and texels.dtype == np.uint8
    np.testing.assert_array_equal(texels, fabric_texels(fabric))
    assert np.abs(np.median(texels, axis=(0, 1)) / 255 - [0.2, 0.3, 0.6]).max() < 0.12


def test_patterns_differ() -> None:
    pictures = {fabric_texels(Fabric(pattern=pattern)).tobytes() for pattern in PATTERNS}
    assert len(pictures) == len(PATTERNS) - 1, "blocks are plain cloth in two colours"


@pytest.mark.parametrize("kind", PRINTS)
def test_prints_are_opaque_where_they_are(kind: str) -> None:
    opaque = print_texels(Print(kind=kind, seed=3))[..., 3]
    assert (opaque.max() == 0) == (kind == "none") and opaque.mean() < 250


def test_clouds_have_no_seam_and_grain_is_even() -> None:
    field = cloud(3, 64, 6)
    assert field.min() >= 0 and field.max() <= 1
    assert np.abs(field[0] - field[-1]).max() < 0.35 and np.abs(field[:, 0] - field[:, -1]).max() < 0.35
    assert abs(grain(5, 100, 100).mean() - 0.5) < 0.01


def test_slopes_are_those_of_the_height() -> None:
    relief = reliefs()[0]
    slope = (np.roll(relief[..., 0], -1, 1) - np.roll(relief[..., 0], 1, 1)) * relief.shape[0] / 24
    np.testing.assert_allclose(relief[..., 1], slope, atol=1e-4)
