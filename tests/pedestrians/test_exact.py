"""The exact functions against the library's, which may differ in the last bits only."""

import math

import numpy as np
import pytest

from snreid.pedestrians.exact import cosine, exp2, linear_of, log2, power_table, sine


@pytest.mark.parametrize("turns", [-3.3, -0.5, -0.26, -0.1, 0.0, 1e-9, 0.125, 0.25, 0.3, 0.5, 0.74, 0.99, 7.2])
def test_sine_and_cosine(turns: float) -> None:
    assert sine(turns) == pytest.approx(math.sin(2 * math.pi * turns), abs=2e-14)
    assert cosine(turns) == pytest.approx(math.cos(2 * math.pi * turns), abs=2e-14)


@pytest.mark.parametrize("x", [1e-6, 0.2, 0.70710678, 1.0, 1.5, 3.0, 12345.6])
def test_logarithm_and_exponential(x: float) -> None:
    assert log2(x) == pytest.approx(math.log2(x), abs=1e-14, rel=1e-14)
    assert exp2(log2(x)) == pytest.approx(x, rel=1e-13)


@pytest.mark.parametrize("exponent", [0.4, 1.0, 2.2])
def test_power_table(exponent: float) -> None:
    np.testing.assert_allclose(power_table(exponent, 1025), np.linspace(0, 1, 1025) ** exponent, atol=1e-9)


def test_linear_light_is_the_srgb_curve() -> None:
    assert linear_of(0.0) == 0.0
    assert linear_of(1.0) == pytest.approx(1.0)
    assert linear_of(0.5) == pytest.approx(((0.5 + 0.055) / 1.055) ** 2.4)
