"""Textures of fabrics and prints, from a colour, a pattern and a seed. Equal values give equal texels everywhere."""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from snreid.synthetic.people.identity import Fabric, Print
from snreid.synthetic.people.wardrobe import COLOURS
from snreid.synthetic.randomness import Draws, hashed

F32 = NDArray[np.float32]
TEXELS = 128
"""Texels per side of a fabric."""
SPAN = 0.48
"""Metres of cloth covered by a fabric's texture before it repeats."""
PRINT_TEXELS = 40
RELIEF = 256


def grain(key: int, rows: int, columns: int) -> F32:
    """(rows, columns) independent numbers in [0, 1)."""
    bits = hashed(np.arange(rows * columns, dtype=np.uint64) + np.uint64(key & 0xFFFFFFFFFFFF))
    return ((bits >> np.uint64(40)).astype(np.float32) / np.float32(1 << 24)).reshape(rows, columns)


def cloud(key: int, size: int, cells: int, tall: float = 1.0) -> F32:
    """(size, size) smooth noise in 0..1 that repeats seamlessly; ``tall`` above 1 stretches it upward."""
    rows, columns = max(2, round(cells / tall)), max(2, cells)
    lattice = grain(key, rows, columns)

    def weights(count: int) -> tuple[NDArray[np.intp], F32]:
        """The cell of each texel, and the eased position within it."""
        place = np.arange(size) * count / size
        low = np.floor(place).astype(np.intp)
        t = (place - low).astype(np.float32)
        return low, t * t * (3 - 2 * t)

    row, down = weights(rows)
    column, right = weights(columns)
    above, below = lattice[row], lattice[(row + 1) % rows]
    mixed = above + (below - above) * down[:, None]
    left, other = mixed[:, column], mixed[:, (column + 1) % columns]
    return np.asarray(left + (other - left) * right)


def fabric_texels(fabric: Fabric) -> NDArray[np.uint8]:
    """(TEXELS, TEXELS, 3) sRGB."""
    n = TEXELS
    first, second = (np.array(colour, np.float32) for colour in (fabric.colour, fabric.second))
    share, down = _pattern(fabric)
    texels = first + (second - first) * share[..., None]
    if fabric.pattern in ("floral", "camouflage", "tie-dye"):
        third = np.array(_third(fabric), np.float32)
        spots = np.clip((cloud(fabric.seed + 77, n, 14) - 0.62) * 9, 0, 1)[..., None]
        texels += (third - texels) * spots
    texels *= down[..., None] * (0.97 + 0.06 * grain(fabric.seed + 5, n, n)[..., None])
    return np.asarray(np.clip(texels * 255 + 0.5, 6, 250), np.uint8)


def _third(fabric: Fabric) -> tuple[float, float, float]:
    draws = Draws.of("third colour", fabric.seed)
    return draws.pick("shade", COLOURS[draws.pick("word", tuple(COLOURS))])


def _pattern(fabric: Fabric) -> tuple[F32, F32]:
    """(share of the second colour, brightness), both (TEXELS, TEXELS)."""
    n, pattern = TEXELS, fabric.pattern
    repeats = max(1, round(SPAN / fabric.period))
    down, across = np.meshgrid(np.arange(n, dtype=np.float32) / n, np.arange(n, dtype=np.float32) / n, indexing="ij")
    none, plain = np.zeros((n, n), np.float32), np.ones((n, n), np.float32)
    if pattern == "denim":
        faded = 0.88 + 0.22 * cloud(fabric.seed, n, 5, 2.5) + 0.10 * cloud(fabric.seed + 1, n, 40, 4)
        return none, faded.astype(np.float32)
    if pattern == "heather":
        return none, 0.90 + 0.20 * cloud(fabric.seed, n, 64)
    if pattern == "knit":
        stitches = np.abs((across * 48 + 0.5 * np.floor(down * 40)) % 1 - 0.5) * 2
        return none, (0.86 + 0.18 * stitches).astype(np.float32)
    if pattern == "hoops":
        return ((down * repeats) % 1 < 0.42).astype(np.float32), plain
    if pattern == "stripes":
        return 0.75 * ((across * repeats * 2) % 1 < 0.28).astype(np.float32), plain
    if pattern == "plaid":
        bars = ((across * repeats) % 1 < 0.42) * 0.5 + ((down * repeats) % 1 < 0.42) * 0.5
        fine = ((across * repeats + 0.7) % 1 < 0.07) | ((down * repeats + 0.7) % 1 < 0.07)
        return bars.astype(np.float32), np.where(fine, np.float32(0.6), plain)
    if pattern == "dots":
        away = ((across * repeats) % 1 - 0.5) ** 2 + ((down * repeats) % 1 - 0.5) ** 2
        return (away < 0.06).astype(np.float32), plain
    if pattern in ("floral", "camouflage", "tie-dye"):
        cells = {"floral": 18, "camouflage": 8, "tie-dye": 4}[pattern]
        return np.clip((cloud(fabric.seed, n, cells) - 0.52) * 12, 0, 1), plain
    return none, plain


def print_texels(design: Print) -> NDArray[np.uint8]:
    """(PRINT_TEXELS, PRINT_TEXELS, 4) sRGB and opacity."""
    n = PRINT_TEXELS
    down, across = np.meshgrid(np.arange(n) / (n - 1) - 0.5, np.arange(n) / (n - 1) - 0.5, indexing="ij")
    one, two = (np.array(colour, np.float32) for colour in design.colours)
    texels = np.zeros((n, n, 4), np.float32)
    texels[..., :3] = one
    if design.kind == "text":
        texels[..., 3] = _letters(design.seed)
    elif design.kind == "badge":
        away = down**2 + across**2
        texels[..., 3] = away < 0.2
        texels[(away < 0.07) | (np.abs(down) < 0.05), :3] = two
    elif design.kind == "picture":
        texels[..., :3] += (two - one) * np.clip((cloud(design.seed, n, 5) - 0.5) * 8, 0, 1)[..., None]
        texels[..., 3] = (np.abs(across) < 0.42) & (np.abs(down) < 0.48)
    elif design.kind == "band":
        texels[..., 3] = np.abs(down) < 0.17
    return np.asarray(np.clip(texels * 255, 0, 255), np.uint8)


def _letters(seed: int) -> F32:
    """Rows of blocks that look like lettering from afar."""
    n, draws = PRINT_TEXELS, Draws.of("letters", seed)
    opaque = np.zeros((n, n), np.float32)
    for line in range(int(draws.uniform("lines", 1, 3.99))):
        height = int(draws.uniform(f"height {line}", 5, 11))
        top, left = int(n / 2 + (line - 1) * 13 - height / 2), 2
        while left < n - 3:
            wide = int(draws.uniform(f"wide {line} {left}", 2, 6))
            opaque[max(top, 0) : top + height, left : left + wide] = 1
            left += wide + 2
    return opaque


@lru_cache(maxsize=1)
def reliefs() -> F32:
    """(3, RELIEF, RELIEF, 3): height and its slopes along u and v of soft folds, quilting and ribs."""
    n = RELIEF
    down, across = np.meshgrid(np.arange(n) / n, np.arange(n) / n, indexing="ij")
    soft = np.zeros((n, n))
    for key, cells, tall, share in ((11, 4, 1.2, 1.0), (12, 7, 1.0, 0.6), (13, 11, 1.8, 0.3)):
        ridge = 1 - np.abs(2 * cloud(key, n, cells, tall) - 1)
        soft += share * ridge * ridge * (3 - 2 * ridge)
    quilted = np.sqrt(np.abs(np.sin(np.pi * (down * 10 + 0.05 * cloud(15, n, 9))))) * 1.6 + 0.25 * cloud(16, n, 40)
    ribbed = 0.35 * np.abs(np.sin(np.pi * across * 64)) + 0.5 * cloud(17, n, 7)
    stacked = []
    for height in (soft, quilted, ribbed):
        height = height - height.mean()
        slopes = (np.roll(height, -1, axis) - np.roll(height, 1, axis) for axis in (1, 0))
        stacked.append(np.stack([height, *(slope * (n / 24) for slope in slopes)], -1))
    return np.asarray(stacked, np.float32)
