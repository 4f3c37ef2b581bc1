"""Textures of walls, grounds and objects, from a word and a key."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from snreid.synthetic.people.textures import cloud, grain
from snreid.synthetic.randomness import Draws

F32 = NDArray[np.float32]
TEXELS = 128
_GREYS = (
    (0.62, 0.60, 0.57), (0.50, 0.49, 0.47), (0.72, 0.70, 0.66), (0.42, 0.42, 0.43), (0.66, 0.61, 0.54), (0.55, 0.52, 0.50)
)  # fmt: skip
_PAINTS = (
    (0.85, 0.85, 0.86), (0.10, 0.10, 0.11), (0.55, 0.56, 0.58), (0.30, 0.31, 0.33), (0.55, 0.10, 0.10), (0.12, 0.20, 0.40),
    (0.70, 0.68, 0.62), (0.16, 0.26, 0.20),
)  # fmt: skip
_SIGNS = (
    (0.75, 0.15, 0.15), (0.12, 0.30, 0.60), (0.85, 0.75, 0.25), (0.15, 0.45, 0.30), (0.9, 0.9, 0.9), (0.12, 0.12, 0.14),
    (0.8, 0.5, 0.2),
)  # fmt: skip
_DOWN, _ACROSS = (
    axis.astype(np.float32)
    for axis in np.meshgrid(np.arange(TEXELS) / TEXELS, np.arange(TEXELS) / TEXELS, indexing="ij")
)


def surface_texels(kind: str, key: int) -> NDArray[np.uint8]:
    """(TEXELS, TEXELS, 4) sRGB and opacity. ``kind`` is one of ``SURFACES``."""
    draws = Draws.of("surface", kind, key)
    made = SURFACES[kind](draws, key & 0xFFFFFF)
    if made.shape[2] == 3:
        made = np.concatenate([made, np.ones((TEXELS, TEXELS, 1), np.float32)], 2)
    made[..., :3] *= 0.96 + 0.08 * grain(key & 0xFFFFFFF, TEXELS, TEXELS)[..., None]
    return np.asarray(np.clip(made * 255, 0, 255), np.uint8)


def _flat(colour: tuple[float, float, float]) -> F32:
    return np.ones((TEXELS, TEXELS, 3), np.float32) * np.array(colour, np.float32)


def _stained(draws: Draws, key: int, colour: tuple[float, float, float], strong: float = 0.18) -> F32:
    stains = cloud(key, TEXELS, 4) * 0.6 + cloud(key + 1, TEXELS, 13) * 0.4
    factor = (1 + strong * 2 * (stains[..., None] - 0.5)) * draws.uniform("shade", 0.75, 1.15)
    return np.asarray(_flat(colour) * factor, np.float32)


def _cut_out(colours: F32, opaque: NDArray[Any]) -> F32:
    """Colours (TEXELS, TEXELS, 3) with the opacity (TEXELS, TEXELS) as their fourth channel."""
    return np.concatenate([colours, opaque[..., None]], 2).astype(np.float32)


def _blocks(key: int, rows: int, columns: int, offset: float, gap: float) -> tuple[NDArray[np.bool_], F32]:
    """(the gaps between the blocks of a wall or pavement, a factor for each block)."""
    row = np.floor(_DOWN * rows)
    across = (_ACROSS * columns + offset * (row % 2)) % columns
    seams = ((across % 1) < gap) | ((_DOWN * rows) % 1 < gap * rows / columns)
    tone = 0.86 + 0.28 * grain(key + 9, rows, columns)
    return seams, tone[row.astype(np.int64), np.floor(across).astype(np.int64)]


def _asphalt(draws: Draws, key: int) -> F32:
    made = _stained(draws, key, draws.pick("grey", ((0.36, 0.36, 0.37), (0.45, 0.45, 0.45), (0.52, 0.51, 0.50))), 0.12)
    return np.asarray(made * (0.85 + 0.30 * grain(key + 3, TEXELS, TEXELS)[..., None]))


def _paving(draws: Draws, key: int) -> F32:
    made = _stained(draws, key, draws.pick("stone", _GREYS), 0.10)
    count = int(draws.uniform("count", 2, 7))
    seams, tone = _blocks(key, count, count, draws.pick("bond", (0.0, 0.5)), 0.05)
    made *= tone[..., None]
    made[seams] *= 0.72
    return made


def _tiles(draws: Draws, key: int) -> F32:
    glazes = ((0.74, 0.72, 0.68), (0.62, 0.60, 0.57), (0.80, 0.79, 0.77), (0.50, 0.47, 0.44))
    made = _stained(draws, key, draws.pick("tile", glazes), 0.05)
    count = int(draws.uniform("count", 2, 5))
    seams, tone = _blocks(key, count, count, 0.0, 0.03)
    made *= (0.5 + 0.5 * tone)[..., None]
    made[seams] *= 0.80
    if draws.chance("chequered", 0.25):
        odd = (np.floor(_DOWN * count) + np.floor(_ACROSS * count)) % 2 > 0
        made[odd] *= draws.uniform("odd", 0.72, 0.92)
    return made


def _brick(draws: Draws, key: int) -> F32:
    clays = ((0.50, 0.28, 0.21), (0.58, 0.42, 0.33), (0.62, 0.58, 0.52), (0.40, 0.24, 0.20))
    made = _stained(draws, key, draws.pick("clay", clays), 0.10)
    seams, tone = _blocks(key, 16, 8, 0.5, 0.07)
    made *= tone[..., None]
    made[seams] = made[seams] * 0.5 + 0.28
    return made


def _plaster(draws: Draws, key: int) -> F32:
    made = _stained(draws, key, draws.pick("paint", (*_GREYS, (0.80, 0.77, 0.70), (0.74, 0.66, 0.55))), 0.12)
    if draws.chance("base", 0.6):
        made[int(TEXELS * 0.8) :] *= draws.uniform("base tone", 0.55, 0.9)
    return made


def _grass(draws: Draws, key: int) -> F32:
    tone = cloud(key, TEXELS, 5) * 0.5 + grain(key + 2, TEXELS, TEXELS) * 0.5
    dry = draws.uniform("dry", 0.0, 0.6)
    colour = np.array([0.33 + 0.17 * dry, 0.37 + 0.02 * dry, 0.22 + 0.06 * dry], np.float32)
    made = colour * (0.55 + 0.9 * tone[..., None])
    if draws.chance("leaves", 0.4):
        fallen = grain(key + 4, TEXELS // 2, TEXELS // 2).repeat(2, 0).repeat(2, 1) > 0.80
        tone = 0.6 + 0.7 * grain(key + 5, TEXELS, TEXELS)[fallen][:, None]
        made[fallen] = np.array([0.44, 0.33, 0.24], np.float32) * tone
    return np.asarray(made, np.float32)


def _facade(draws: Draws, key: int) -> F32:
    made = _brick(draws, key) if draws.chance("brick", 0.4) else _plaster(draws, key)
    columns = int(draws.uniform("columns", 1, 4))
    across, down = (_ACROSS * columns) % 1, (_DOWN * 2) % 1
    inside = (across > 0.22) & (across < 0.80) & (down > 0.2) & (down < 0.72)
    glass = draws.uniform("glass", 0.06, 0.30) * (0.7 + 0.6 * cloud(key + 8, TEXELS, 6))
    made[inside] = glass[inside][:, None] * np.array([0.95, 1.0, 1.08], np.float32)
    frame = inside & ~(((_ACROSS * columns * 2) % 1 > 0.06) & (down > 0.23) & (down < 0.69))
    made[frame] = draws.uniform("frame", 0.3, 0.9)
    return made


def _shopfront(draws: Draws, key: int) -> F32:
    made = _flat(draws.pick("frame", ((0.16, 0.16, 0.17), (0.35, 0.33, 0.31), (0.70, 0.69, 0.67))))
    glass = (_DOWN > 0.24) & (_DOWN < 0.93) & ((_ACROSS * 3) % 1 > 0.05)
    goods = grain(key + 6, 10, 14)[(np.floor(_DOWN * 10)).astype(np.int64), np.floor(_ACROSS * 14).astype(np.int64)]
    shown = (cloud(key, TEXELS, 7)[glass] ** 2 * goods[glass])[:, None]
    made[glass] = 0.10 + 0.5 * shown * np.array([1.0, 0.95, 0.85], np.float32)
    sign = (_DOWN > 0.04) & (_DOWN < 0.20)
    made[sign] = draws.pick("sign", _SIGNS)
    letters = sign & (_DOWN > 0.08) & (_DOWN < 0.16) & (_ACROSS > 0.2) & (_ACROSS < 0.8) & ((_ACROSS * 17) % 1 > 0.4)
    made[letters] = draws.pick("letters", ((0.95, 0.95, 0.95), (0.1, 0.1, 0.1), (0.9, 0.8, 0.3)))
    return made


def _window(draws: Draws, key: int) -> F32:
    """Tall panes with daylight behind: sky, outdoor plants and objects, and frames."""
    horizon = draws.uniform("horizon", 0.25, 0.6) + 0.25 * (cloud(key, TEXELS, 6)[:1] - 0.5)
    sky = np.array(draws.pick("sky", ((0.93, 0.95, 0.97), (0.80, 0.87, 0.95), (0.90, 0.88, 0.84))), np.float32)
    outside = draws.pick("outside", ((0.30, 0.38, 0.22), (0.55, 0.54, 0.52), (0.42, 0.44, 0.40), (0.62, 0.58, 0.52)))
    seen = np.array(outside, np.float32) * (0.5 + 0.9 * cloud(key + 2, TEXELS, 12)[..., None])
    made = np.where((horizon > _DOWN)[..., None], sky, seen).astype(np.float32)
    columns, bar = int(draws.uniform("columns", 1, 5)), draws.uniform("bar", 0.03, 0.09)
    rail = np.abs(_DOWN - draws.uniform("rail", 0.3, 0.7)) < 0.015
    made[((_ACROSS * columns) % 1 < bar * columns) | (_DOWN < 0.03) | rail] = draws.uniform("frame", 0.08, 0.5)
    return made


def _panel(draws: Draws, key: int) -> F32:
    """A painted wall: another tone below, perhaps a coloured band, seams of boards."""
    tints = (
        (0.86, 0.85, 0.82), (0.78, 0.82, 0.80), (0.80, 0.76, 0.66), (0.62, 0.68, 0.74), (0.74, 0.58, 0.46),
        (0.55, 0.62, 0.52),
    )  # fmt: skip
    made = _stained(draws, key, draws.pick("paint", tints), 0.06)
    made[draws.uniform("dado", 0.55, 0.95) < _DOWN] *= draws.uniform("below", 0.45, 0.95)
    if draws.chance("band", 0.35):
        band = np.abs(_DOWN - draws.uniform("at", 0.3, 0.7)) < draws.uniform("half", 0.02, 0.08)
        made[band] = draws.pick("colour", _SIGNS)
    if draws.chance("boards", 0.5):
        made[(_ACROSS * int(draws.uniform("count", 2, 6))) % 1 < 0.03] *= 0.7
    return made


def _concrete(draws: Draws, key: int) -> F32:
    made = _stained(draws, key, draws.pick("grey", _GREYS), 0.22)
    streaks = cloud(key + 5, TEXELS, 24, 0.15)[..., None]
    return np.asarray(made * (0.88 + 0.2 * streaks), np.float32)


def _carpet(draws: Draws, key: int) -> F32:
    wools = ((0.25, 0.27, 0.33), (0.38, 0.24, 0.22), (0.34, 0.35, 0.32), (0.46, 0.40, 0.33), (0.22, 0.30, 0.30))
    made = _stained(draws, key, draws.pick("wool", wools), 0.08)
    return np.asarray(made * (0.8 + 0.4 * grain(key + 3, TEXELS, TEXELS)[..., None]), np.float32)


def _door(draws: Draws, key: int) -> F32:
    made = _stained(draws, key, draws.pick("paint", (*_PAINTS, (0.35, 0.24, 0.16))), 0.06)
    made[(_ACROSS < 0.05) | (_ACROSS > 0.95) | (_DOWN < 0.04) | (np.abs(_ACROSS - 0.5) < 0.012)] *= 0.5
    if draws.chance("glazed", 0.6):
        pane = (_DOWN > 0.1) & (_DOWN < 0.85) & (np.abs(np.abs(_ACROSS - 0.5) - 0.25) < 0.17)
        made[pane] = 0.10 + 0.15 * cloud(key + 1, TEXELS, 5)[pane][:, None]
    return made


def _poster(draws: Draws, key: int) -> F32:
    made = _flat(draws.pick("paper", _SIGNS))
    for index in range(int(draws.uniform("parts", 3, 9))):
        part = draws.below("part", index)
        x, y = int(part.uniform("x", 0, 100)), int(part.uniform("y", 0, 110))
        wide, high = int(part.uniform("w", 10, 70)), int(part.uniform("h", 4, 40))
        made[y : y + high, x : x + wide] = part.pick("ink", (*_SIGNS, *_PAINTS))
    made[(_ACROSS < 0.03) | (_ACROSS > 0.97) | (_DOWN < 0.03) | (_DOWN > 0.97)] = 0.85
    return made


def _foliage(draws: Draws, key: int) -> F32:
    tone = cloud(key, TEXELS, 9) * 0.35 + cloud(key + 1, TEXELS, 30) * 0.35 + grain(key + 3, TEXELS, TEXELS) * 0.3
    colour = (0.48, 0.36, 0.16) if draws.chance("autumn", 0.2) else (0.24, 0.36, 0.14)
    made = np.array(colour, np.float32) * draws.uniform("light", 0.7, 1.3) * (0.25 + 1.4 * tone[..., None] ** 1.3)
    round_ = 1.15 - 2.0 * np.hypot(_ACROSS - 0.5, _DOWN - 0.5)
    opaque = (round_ + 0.9 * (cloud(key + 2, TEXELS, 8) - 0.5) + 0.5 * (cloud(key + 7, TEXELS, 24) - 0.5)) > 0.28
    return _cut_out(made, opaque)


def _hedge(draws: Draws, key: int) -> F32:
    tone = cloud(key, TEXELS, 10) * 0.4 + cloud(key + 1, TEXELS, 34) * 0.3 + grain(key + 3, TEXELS, TEXELS) * 0.3
    return np.asarray(np.array([0.24, 0.36, 0.16], np.float32) * (0.2 + 1.5 * tone[..., None] ** 1.4), np.float32)


def _bark(draws: Draws, key: int) -> F32:
    return np.asarray(_flat((0.30, 0.25, 0.20)) * (0.6 + 0.8 * cloud(key, TEXELS, 20, 0.25)[..., None]))


def _metal(draws: Draws, key: int) -> F32:
    return _stained(draws, key, draws.pick("paint", _PAINTS), 0.06)


def _wood(draws: Draws, key: int) -> F32:
    made = _flat((0.45, 0.33, 0.22)) * (0.7 + 0.6 * cloud(key, TEXELS, 4, 0.15)[..., None])
    made[(_DOWN * 5) % 1 < 0.1] *= 0.4
    return np.asarray(made)


def _railing(draws: Draws, key: int) -> F32:
    count = int(draws.uniform("bars", 6, 15))
    opaque = ((_ACROSS * count) % 1 < 0.22) | (_DOWN < 0.07) | ((_DOWN > 0.88) & (_DOWN < 0.94))
    return _cut_out(_stained(draws, key, draws.pick("paint", _PAINTS), 0.05), opaque)


def _shelves(draws: Draws, key: int) -> F32:
    rows, columns = 5, 18
    level, item = np.floor(_DOWN * rows).astype(np.int64), np.floor(_ACROSS * columns).astype(np.int64)
    colours = np.array((*_SIGNS, *_PAINTS), np.float32)
    chosen = (grain(key + 1, rows, columns) * len(colours)).astype(np.int64)
    made = colours[chosen[level, item]] * (0.55 + 0.5 * grain(key + 2, rows, columns)[level, item][..., None])
    high = 0.30 + 0.5 * grain(key + 4, rows, columns)[level, item]
    made[(_DOWN * rows) % 1 < 1 - high] = 0.10
    made[(_DOWN * rows) % 1 > 0.93] = 0.75
    return made


def _litter(draws: Draws, key: int) -> F32:
    near = np.hypot(_ACROSS - 0.5, _DOWN - 0.5) < 0.5 * cloud(key + 1, TEXELS, 5) + 0.2
    made = np.array([0.42, 0.33, 0.25], np.float32) * (0.5 + cloud(key + 2, TEXELS, 30)[..., None])
    return _cut_out(made, near & (cloud(key, TEXELS, 40) > 0.70))


def _lines(draws: Draws, key: int) -> F32:
    return _cut_out(_stained(draws, key, (0.80, 0.79, 0.75), 0.10), cloud(key + 2, TEXELS, 20) > 0.18)


def _bicycle(draws: Draws, key: int) -> F32:
    image = Image.new("L", (256, 256), 0)
    pen = ImageDraw.Draw(image)
    wheel, rear, front, low = 58, (64, 190), (192, 190), 190
    for x, y in (rear, front):
        pen.ellipse((x - wheel, y - wheel, x + wheel, y + wheel), outline=255, width=6)
        for angle in range(0, 180, 30):
            dx, dy = wheel * np.cos(np.radians(angle)), wheel * np.sin(np.radians(angle))
            pen.line((x - dx, y - dy, x + dx, y + dy), fill=110, width=1)
    crank, seat, head = (118, low), (98, 84), (176, 92)
    for line in ((rear, crank), (crank, seat), (rear, (100, 100)), (crank, head), ((101, 104), head), (head, front)):
        pen.line((*line[0], *line[1]), fill=255, width=7)
    pen.line((84, 80, 116, 80), fill=255, width=9)
    pen.line((160, 66, 188, 62), fill=255, width=6)
    pen.line((*head, 180, 64), fill=255, width=6)
    opaque = np.asarray(image.resize((TEXELS, TEXELS), Image.Resampling.BOX), np.float32) / 255 > 0.35
    made = _flat(draws.pick("paint", _PAINTS)) * 0.8
    made[_DOWN > 0.62] *= 0.45
    return _cut_out(made, opaque)


def _car(draws: Draws, key: int) -> F32:
    """The side of a car, 4.4 m by 1.5 m."""
    image = Image.new("RGB", (256, 256), (0, 0, 0))
    mask = Image.new("L", (256, 256), 0)
    paint = tuple(int(255 * share) for share in draws.pick("paint", _PAINTS))
    van = draws.chance("van", 0.25)
    roof = [(40, 8), (210, 8)] if van else [(78, 14), (168, 10)]
    body = [(6, 214), (4, 130), (20 if van else 40, 100), *roof, (222 if van else 212, 100), (250, 124), (252, 214)]
    ImageDraw.Draw(mask).polygon(body, fill=255)
    pen = ImageDraw.Draw(image)
    pen.rectangle((0, 0, 256, 256), fill=paint)
    pen.polygon([(52, 104), (84, 28), (122, 26), (122, 104)], fill=(26, 29, 33))
    pen.polygon([(130, 104), (130, 26), (164, 24), (200, 104)], fill=(26, 29, 33))
    dark = tuple(int(0.55 * share) for share in paint)
    pen.line((126, 20, 126, 205), fill=dark, width=2)
    pen.rectangle((0, 196, 256, 220), fill=dark)
    pen.rectangle((243, 128, 256, 146), fill=(235, 230, 210))
    pen.rectangle((0, 128, 9, 146), fill=(150, 20, 20))
    for x in (58, 200):
        pen.ellipse((x - 27, 162, x + 27, 250), fill=(15, 15, 16))
        pen.ellipse((x - 15, 184, x + 15, 228), fill=(130, 130, 134))
        ImageDraw.Draw(mask).ellipse((x - 27, 162, x + 27, 250), fill=255)
    made = np.asarray(image.resize((TEXELS, TEXELS), Image.Resampling.BOX), np.float32) / 255
    opaque = np.asarray(mask.resize((TEXELS, TEXELS), Image.Resampling.BOX), np.float32) / 255
    return _cut_out(made * (1.08 - 0.25 * _DOWN[..., None]), opaque)


SURFACES: dict[str, Callable[[Draws, int], F32]] = {
    "asphalt": _asphalt, "paving": _paving, "tiles": _tiles, "brick": _brick, "plaster": _plaster, "grass": _grass,
    "facade": _facade, "shopfront": _shopfront, "door": _door, "poster": _poster, "foliage": _foliage, "hedge": _hedge,
    "bark": _bark, "metal": _metal, "wood": _wood, "railing": _railing, "shelves": _shelves, "litter": _litter,
    "lines": _lines, "bicycle": _bicycle, "car": _car, "window": _window, "panel": _panel, "concrete": _concrete,
    "carpet": _carpet,
}  # fmt: skip
"""All textures, by name."""
