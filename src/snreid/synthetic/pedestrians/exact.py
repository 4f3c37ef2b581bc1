"""Sine, power and the like from operations that IEEE 754 rounds correctly: the same to the last bit everywhere.

Libraries' ``sin`` and ``pow`` differ between machines in the last bit, and a last bit can move the edge of a stripe
across a sample. Addition, multiplication, division, square root, floor, comparison and scaling by powers of two cannot
differ. The whole generator uses only these, integer arithmetic, and matrix products of integers below 2**53, which
are exact in float64 in any order of summation; hence the guarantee in ``render.py``.
"""

from math import floor, frexp, ldexp

import numpy as np
from numpy.typing import NDArray

TAU = 6.283185307179586


def sine(turns: float) -> float:
    """Sine of an angle in turns (1 = 360 degrees), error below 1e-15."""
    part = turns - floor(turns + 0.5)
    if part > 0.25:
        part = 0.5 - part
    elif part < -0.25:
        part = -0.5 - part
    x = part * TAU
    square = x * x
    total, term = x, x
    for n in range(3, 21, 2):
        term = -term * square / (n * (n - 1))
        total += term
    return total


def cosine(turns: float) -> float:
    """Cosine of an angle in turns."""
    return sine(turns + 0.25)


def log2(x: float) -> float:
    """Base-2 logarithm of a positive number."""
    mantissa, exponent = frexp(x)
    if mantissa < 0.7071067811865476:
        mantissa, exponent = mantissa * 2.0, exponent - 1
    z = (mantissa - 1.0) / (mantissa + 1.0)
    square, total = z * z, 0.0
    for n in range(27, 0, -2):
        total = total * square + 1.0 / n
    return exponent + 2.0 * z * total / 0.6931471805599453


def exp2(x: float) -> float:
    """Two to the power ``x``."""
    whole = floor(x + 0.5)
    part = (x - whole) * 0.6931471805599453
    total = 1.0
    for n in range(16, 0, -1):
        total = 1.0 + part * total / n
    return ldexp(total, whole)


def power_table(exponent: float, size: int) -> NDArray[np.float64]:
    """(size,) the values ``(i / (size - 1)) ** exponent``, exponent > 0."""
    x = np.arange(1, size, dtype=np.float64) / (size - 1)
    mantissa, whole = np.frexp(x)
    small = mantissa < 0.7071067811865476
    mantissa, whole = np.where(small, mantissa * 2.0, mantissa), np.where(small, whole - 1, whole)
    z = (mantissa - 1.0) / (mantissa + 1.0)
    square, total = z * z, np.zeros_like(z)
    for n in range(19, 0, -2):
        total = total * square + 1.0 / n
    scaled = (whole + 2.0 * z * total / 0.6931471805599453) * exponent
    floors = np.floor(scaled + 0.5)
    part = (scaled - floors) * 0.6931471805599453
    total = np.ones_like(part)
    for n in range(12, 0, -1):
        total = 1.0 + part * total / n
    return np.concatenate([[0.0], np.ldexp(total, floors.astype(np.int32))])


def linear_of(code: float) -> float:
    """Linear light (0 to 1) of an sRGB value (0 to 1)."""
    if code <= 0.04045:
        return code / 12.92
    return exp2(2.4 * log2((code + 0.055) / 1.055))
