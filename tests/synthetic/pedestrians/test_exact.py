"""The exact functions against the library's, which may differ in the last bits only."""

import math
import re
from pathlib import Path

import numpy as np
import pytest

import snreid.synthetic.pedestrians
from snreid.synthetic.pedestrians.exact import cosine, exp2, linear_of, log2, power_table, sine


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


def test_nothing_else_computes_what_machines_disagree_about() -> None:
    """The promise of equal pixels stands on this: no transcendental of a library, no sums in a library's order."""
    words = (
        r"np\.(sin|cos|tan|arctan2?|exp2?|log2?|log10|power|tanh|hypot|cbrt|dot|einsum|inner|vdot|convolve|interp|fft)\b"
        r"|math\.(sin|cos|tan|atan2?|exp|log2?|pow|hypot)\b|import (sin|cos|exp|log|pow)\b|[\w)\]] ?\*\*|\.mean\(|np\.random|import random"
    )
    folder = Path(snreid.synthetic.pedestrians.__file__).parent
    for path in sorted(folder.glob("*.py")):
        code = re.sub(r'""".*?"""|#.*', "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
        found = [line.strip() for line in code.splitlines() if re.search(words, line)]
        assert not found, f"{path.name}: {found}"
        # Matrix products only of whole numbers, in the one file that says why they are exact.
        assert path.name == "film.py" or not re.search(r"\w @ \w", code), path.name
