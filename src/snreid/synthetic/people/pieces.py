"""The parts of places: grounds, walls, boxes, trees, cars, street furniture."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import cos, pi, sin

import numpy as np
from numpy.typing import NDArray

from snreid.synthetic.people.scenery import surface_texels
from snreid.synthetic.randomness import Draws

Point = tuple[float, float, float]
_WHITE: Point = (1.0, 1.0, 1.0)
_TILES = {"facade": 4.0, "shopfront": 3.6, "brick": 1.4, "plaster": 4.0, "hedge": 2.0, "tiles": 2.4}
"""Metres after which the texture of a wall repeats, if not 3."""


@dataclass(frozen=True, slots=True)
class Quad:
    """A textured parallelogram: one corner and two perpendicular edges."""

    origin: Point
    right: Point
    up: Point
    picture: int
    tiles: tuple[float, float]
    tint: Point
    glow: float
    blocks: bool
    """Whether it casts a shadow."""
    closed: bool
    """Whether its back is never visible, as in a box."""


class Pieces:
    """Collects the parallelograms of a site, their textures, and the obstacles."""

    def __init__(self, draws: Draws) -> None:
        self.draws = draws
        self.quads: list[Quad] = []
        self.pictures: list[NDArray[np.uint8]] = []
        self.footprints: list[tuple[float, float, float]] = []
        self._numbers: dict[tuple[str, int], int] = {}
        self.floor = draws.uniform("floor", 0.35, 0.85)
        """Brightness of the ground relative to its textures: worn by feet, it is seldom as bright as the walls."""

    def picture(self, kind: str, variant: int = 0) -> int:
        """The number of a texture; each kind has a few variants at a site."""
        key = (kind, variant)
        if key not in self._numbers:
            self._numbers[key] = len(self.pictures)
            self.pictures.append(surface_texels(kind, self.draws.bits(f"{kind} {variant}") >> 30))
        return self._numbers[key]

    def quad(
        self, origin: Point, right: Point, up: Point, picture: int, tile: float | None = None, *, tint: Point = _WHITE,
        glow: float = 0.0, blocks: bool = False, closed: bool = False,
    ) -> None:  # fmt: skip
        """A parallelogram; its texture repeats every ``tile`` metres, or covers it once."""
        wide, high = (sum(share * share for share in edge) ** 0.5 for edge in (right, up))
        tiles = (1.0, 1.0) if tile is None else (max(wide / tile, 0.05), max(high / tile, 0.05))
        self.quads.append(Quad(origin, right, up, picture, tiles, tint, glow, blocks, closed))

    def ground(
        self, x: float, y: float, wide: float, deep: float, picture: int, tile: float, z: float = 0.0, glow: float = 0.0
    ) -> None:  # fmt: skip
        """A piece of ground around (x, y)."""
        tint = (self.floor, self.floor, self.floor)
        self.quad(
            (x - wide / 2, y - deep / 2, z), (wide, 0.0, 0.0), (0.0, deep, 0.0), picture, tile, tint=tint, glow=glow
        )

    def upright(
        self, x: float, y: float, turn: float, wide: float, high: float, picture: int, tile: float | None = None, *,
        z: float = 0.0, glow: float = 0.0, tint: Point = _WHITE, blocks: bool = False, closed: bool = False,
    ) -> None:  # fmt: skip
        """A flat object upright on the ground with its middle at (x, y)."""
        c, s = cos(turn), sin(turn)
        self.quad(
            (x - c * wide / 2, y - s * wide / 2, z), (c * wide, s * wide, 0.0), (0.0, 0.0, high), picture, tile,
            tint=tint, glow=glow, blocks=blocks, closed=closed,
        )  # fmt: skip

    def box(
        self, x: float, y: float, turn: float, size: Point, sides: int, top: int, tile: float | None = 1.0, *,
        z: float = 0.0, tint: Point = _WHITE, blocks: bool = True,
    ) -> None:  # fmt: skip
        """A box of ``size`` (wide, deep, high), an obstacle."""
        wide, deep, high = size
        c, s = cos(turn), sin(turn)
        for across, back, length, angle in (
            (0.0, -deep / 2, wide, 0.0), (0.0, deep / 2, wide, pi), (-wide / 2, 0.0, deep, -pi / 2), (wide / 2, 0.0, deep, pi / 2)
        ):  # fmt: skip
            self.upright(
                x + c * across - s * back, y + s * across + c * back, turn + angle, length, high, sides, tile, z=z,
                tint=tint, blocks=blocks, closed=True,
            )  # fmt: skip
        corner = (x - c * wide / 2 + s * deep / 2, y - s * wide / 2 - c * deep / 2, z + high)
        edges = (c * wide, s * wide, 0.0), (-s * deep, c * deep, 0.0)
        self.quad(corner, *edges, top, tile, tint=tint, blocks=blocks, closed=True)
        self.footprints += [
            (x + c * share * wide / 2, y + s * share * wide / 2, deep / 2 + 0.1)
            for share in np.linspace(-0.9, 0.9, max(1, int(2 * wide / max(deep, 0.3))))
        ]

    def post(self, x: float, y: float, thick: float, high: float, picture: int) -> None:
        """A post or pillar."""
        self.box(x, y, 0.4, (thick, thick, high), picture, picture, 0.6)

    def tree(self, x: float, y: float, name: str) -> None:
        """A trunk with a crown of crossing textures."""
        draws = self.draws.below("tree", name)
        thick, high = draws.uniform("thick", 0.18, 0.45), draws.uniform("high", 2.0, 3.2)
        bark = self.picture("bark")
        self.box(x, y, draws.uniform("turn", 0, pi), (thick, thick, high + 0.6), bark, bark, 0.8)
        crown = draws.uniform("crown", 2.5, 5.0)
        for index in range(3):
            leaves = self.picture("foliage", index % 2)
            self.upright(x, y, index * pi / 3, crown, crown * 0.9, leaves, z=max(high * 0.9, 2.1), blocks=True)

    def car(self, x: float, y: float, turn: float, name: str) -> None:
        """A car: two sides, ends, bonnet and roof."""
        draws = self.draws.below("car", name)
        variant = int(draws.uniform("variant", 0, 4))
        side, c, s = self.picture("car", variant), cos(turn), sin(turn)
        red, green, blue = (float(share) / 255 for share in self.pictures[side][70, 64, :3])
        paint = (red, green, blue)
        for aside in (-0.85, 0.85):
            self.upright(x - s * aside, y + c * aside, turn, 4.4, 1.5, side, blocks=True)
        white = self.picture("metal", 9)
        for end in (-2.1, 2.1):
            self.upright(x + c * end, y + s * end, turn + pi / 2, 1.7, 0.55, white, z=0.25, tint=paint, blocks=True)
        for start, length, level in ((-2.1, 4.2, 0.82), (-0.9, 1.7, 1.42)):
            corner = (x + c * start + s * 0.85, y + s * start - c * 0.85, level)
            self.quad(corner, (c * length, s * length, 0.0), (-s * 1.7, c * 1.7, 0.0), white, tint=paint, blocks=True)
        self.footprints += [(x + c * share, y + s * share, 1.0) for share in (-1.6, -0.5, 0.5, 1.6)]

    def spread(self, name: str, low: int, high: int) -> list[Draws]:
        """Draws for a random number of objects."""
        count = int(self.draws.uniform(f"{name} count", low, high + 0.999))
        return [self.draws.below(name, index) for index in range(count)]

    def scattered(
        self, name: str, low: int, high: int, between: tuple[float, float]
    ) -> Iterator[tuple[Draws, float, float]]:
        """Draws and places for a random number of objects, between two distances from the middle."""
        for draws in self.spread(name, low, high):
            angle, away = draws.uniform("angle", -pi, pi), draws.uniform("away", *between)
            yield draws, away * cos(angle), away * sin(angle)

    def ring(self, radius: float, kinds: tuple[str, ...], high: float, *, glow: float = 0.0) -> None:
        """Walls all around, in pieces that vary a little in distance and in kind."""
        count = 10
        for index in range(count):
            draws = self.draws.below("ring", index)
            angle = 2 * pi * (index + draws.uniform("at", -0.2, 0.2)) / count
            away = radius * draws.uniform("away", 0.85, 1.3)
            kind = draws.pick("kind", kinds)
            wide = 2.4 * pi * away / count
            picture = self.picture(kind, int(draws.uniform("variant", 0, 2)))
            tile = _TILES.get(kind, 3.0)
            tall = {"hedge": 1.8, "shopfront": 3.4}.get(kind, high)
            tilt = angle + pi / 2 + draws.bell("tilt", 0.0, 0.12)
            x, y = away * cos(angle), away * sin(angle)
            shade = draws.uniform("shade", 0.9, 1.9)
            bright = glow if kind in ("shopfront", "window") else 0.0
            self.upright(x, y, tilt, wide, tall, picture, tile, glow=bright, tint=(shade, shade, shade), blocks=True)
            for extra in range(int(draws.uniform("extras", 0, 2.5))):
                self._on_wall(draws.below("extra", extra), x, y, tilt, wide, angle)

    def _on_wall(self, draws: Draws, x: float, y: float, tilt: float, wide: float, angle: float) -> None:
        along = draws.uniform("along", -0.35, 0.35) * wide
        place = (x + cos(tilt) * along - 0.06 * cos(angle), y + sin(tilt) * along - 0.06 * sin(angle))
        if draws.chance("door", 0.5):
            picture = self.picture("door", int(draws.uniform("v", 0, 2)))
            self.upright(*place, tilt, draws.uniform("w", 1.0, 2.2), 2.2, picture)
        else:
            picture = self.picture("poster", int(draws.uniform("v", 0, 3)))
            self.upright(*place, tilt, draws.uniform("w", 0.7, 2.5), draws.uniform("h", 0.8, 1.8), picture, z=0.7)


def furniture(pieces: Pieces, *, posts: int, benches: int, bikes: int, rails: int, bins: int) -> None:
    """Posts, benches, bicycles, railings and bins, at most this many of each."""
    for draws, x, y in pieces.scattered("post", 0, posts, (2.5, 9)):
        high = draws.pick("high", (1.0, 1.1, 3.2))
        pieces.post(x, y, draws.uniform("thick", 0.08, 0.2), high, pieces.picture("metal"))
    for draws, x, y in pieces.scattered("bench", 0, benches, (3.5, 10)):
        wood = pieces.picture("wood")
        pieces.box(x, y, draws.uniform("turn", 0, pi), (1.7, 0.5, 0.12), wood, wood, z=0.36)
    for draws, x, y in pieces.scattered("bikes", 0, bikes, (4.0, 10)):
        turn = draws.uniform("turn", 0, pi)
        for index in range(int(draws.uniform("row", 1, 5))):
            bike = pieces.picture("bicycle", index % 3)
            px, py = x - 0.6 * index * sin(turn), y + 0.6 * index * cos(turn)
            pieces.upright(px, py, turn + draws.bell(f"lean {index}", 0, 0.15), 1.75, 1.2, bike, blocks=True)
            pieces.footprints.append((px, py, 0.7))
    for draws, x, y in pieces.scattered("rail", 0, rails, (3.0, 10)):
        turn, wide = draws.uniform("turn", 0, pi), draws.uniform("wide", 2.0, 6.0)
        pieces.upright(x, y, turn, wide, 1.05, pieces.picture("railing"), 1.4, blocks=True)
    for draws, x, y in pieces.scattered("bin", 0, bins, (3.0, 9)):
        metal = pieces.picture("metal", 1)
        pieces.box(x, y, draws.uniform("turn", 0, pi), (0.5, 0.5, 0.95), metal, metal)
