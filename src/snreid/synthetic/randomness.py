"""Random numbers that are the same on every machine and in every version of every library.

A draw is the SplitMix64 finalizer (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014) of a key:
the numbers and words that name the draw, as in ``Draws(seed, "person", 7).uniform("girth", 0.8, 1.3)``. Draws have no
stream and no position, so adding, removing or reordering draws changes no other draw. Only integer operations
and one exact division by a power of two are used; nothing depends on NumPy's distribution methods.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T")
_MASK = (1 << 64) - 1
_GOLDEN = 0x9E3779B97F4A7C15


def _mix(value: int) -> int:
    """SplitMix64's finalizer on one 64-bit integer."""
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & _MASK
    return value ^ (value >> 31)


@lru_cache(maxsize=4096)
def _word(text: str) -> int:
    """FNV-1a of the UTF-8 bytes, 64 bits."""
    value = 0xCBF29CE484222325
    for byte in text.encode():
        value = ((value ^ byte) * 0x100000001B3) & _MASK
    return value


def _fold(state: int, key: int | str) -> int:
    number = _word(key) if isinstance(key, str) else key & _MASK
    return _mix(((state + _GOLDEN) ^ _mix((number + _GOLDEN) & _MASK)) & _MASK)


def key_of(*keys: int | str) -> int:
    """One 64-bit key from numbers and words; their order matters."""
    state = 0
    for key in keys:
        state = _fold(state, key)
    return state


@dataclass(frozen=True, slots=True)
class Draws:
    """Named draws below one key. Each name gives one value, always the same."""

    key: int

    @classmethod
    def of(cls, *keys: int | str) -> "Draws":
        """The draws under these numbers and words."""
        return cls(key_of(*keys))

    def bits(self, name: int | str) -> int:
        """64 random bits."""
        return _fold(self.key, name)

    def below(self, name: int | str, *keys: int | str) -> "Draws":
        """The draws of a part, independent of all draws here."""
        return Draws(key_of(self.key, name, *keys))

    def uniform(self, name: int | str, low: float = 0.0, high: float = 1.0) -> float:
        """A number in [low, high)."""
        return low + (high - low) * ((self.bits(name) >> 11) / 9007199254740992.0)

    def bell(self, name: int | str, mean: float = 0.0, spread: float = 1.0) -> float:
        """Roughly normal with this standard deviation, never beyond 3.5 of it: four 16-bit uniforms summed."""
        bits = self.bits(name)
        total = (bits & 0xFFFF) + (bits >> 16 & 0xFFFF) + (bits >> 32 & 0xFFFF) + (bits >> 48)
        return mean + spread * (total - 131070) / 65536.0 * 1.7320508075688772

    def chance(self, name: int | str, probability: float) -> bool:
        """True with this probability (0 to 1)."""
        return self.uniform(name) < probability

    def pick(self, name: int | str, options: Sequence[T], weights: Sequence[float] | None = None) -> T:
        """One of the options, with probabilities proportional to ``weights`` (all equal when left out)."""
        if weights is None:
            return options[int(self.uniform(name) * len(options))]
        # Added one by one: from Python 3.12 on, sum() rounds differently.
        total = 0.0
        for weight in weights:
            total += weight
        point = self.uniform(name) * total
        for option, weight in zip(options, weights, strict=True):
            point -= weight
            if point < 0:
                return option
        return options[-1]


def hashed(keys: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """SplitMix64's finalizer on every element: 64 random bits for each key, any shape."""
    value = keys + np.uint64(_GOLDEN)
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))


def bell_integers(key: int, count: int) -> NDArray[np.int32]:
    """(count,) integers, roughly normal with mean 0 and standard deviation 147.8: four bytes summed, less 510."""
    words = hashed(np.arange((count + 1) // 2, dtype=np.uint64) + np.uint64(key))
    quads = (
        words.view(np.uint32)[:count] if np.little_endian else words.byteswap().view(">u4")[:count].astype(np.uint32)
    )
    even = (quads & np.uint32(0x00FF00FF)) + (quads >> np.uint32(8) & np.uint32(0x00FF00FF))
    return ((even & np.uint32(0xFFFF)) + (even >> np.uint32(16))).astype(np.int32) - 510
