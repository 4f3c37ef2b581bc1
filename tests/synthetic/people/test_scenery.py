"""Pictures of surfaces."""

import numpy as np
import pytest

from snreid.synthetic.people.scenery import SURFACES, TEXELS, surface_texels


@pytest.mark.parametrize("kind", SURFACES)
def test_each_surface_is_painted_and_repeatable(kind: str) -> None:
    made = surface_texels(kind, 5)
    assert made.shape == (TEXELS, TEXELS, 4) and made.dtype == np.uint8
    np.testing.assert_array_equal(made, surface_texels(kind, 5))
    assert (made != surface_texels(kind, 6)).any()
    opaque = (made[..., 3] >= 128).mean()
    see_through = kind in ("foliage", "railing", "litter", "bicycle", "car", "lines")
    assert 0.05 < opaque < 1.0 if see_through else opaque == 1.0
