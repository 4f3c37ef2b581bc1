"""Places where people walk: ground, walls, objects and light; several cameras see one site.

A ``Site`` is a word, a seed and a light. Its geometry is built from them (``scene_arrays``) and cached for the most recent
sites. People walk within a few metres of the middle; everything is a textured parallelogram.
"""

from dataclasses import dataclass
from functools import lru_cache
from math import cos, pi, sin

import numpy as np
from numpy.typing import NDArray

from snreid.synthetic.limits import check_fields, check_range
from snreid.synthetic.people.layouts import LAYOUTS
from snreid.synthetic.people.pieces import Pieces
from snreid.synthetic.randomness import Draws

F32 = NDArray[np.float32]
SITES = tuple(LAYOUTS)
INDOOR = ("mall", "corridor", "shop", "hall", "walkway")
Colour = tuple[float, float, float]


@dataclass(frozen=True, kw_only=True)
class Light:
    """The light of a site, linear. Indoors the sun is the overhead lamps."""

    sun: Colour = (0.3, -0.4, 0.85)
    """Direction of the sun; need not have length 1."""
    sun_colour: Colour = (1.0, 0.95, 0.85)
    sky: Colour = (0.42, 0.46, 0.52)
    """From above, without shadow."""
    ground: Colour = (0.16, 0.15, 0.14)
    """From below."""
    side: Colour = (0.7, -0.6, 0.3)
    """Direction of the brighter half of the sky."""
    side_colour: Colour = (0.15, 0.15, 0.15)

    def __post_init__(self) -> None:
        for name in ("sun_colour", "sky", "ground", "side_colour"):
            for share in getattr(self, name):
                check_range(f"Each share of Light.{name}", share, 0.0, 20.0)
        check_range("The height of Light.sun", self.sun[2], 0.01, 100.0)

    def row(self, cloud: float) -> F32:
        """(18,) for the kernels: direction and colour of the sun, sky, ground, direction and colour of the side. ``cloud``: hidden share
        of the sun."""
        sun, side = np.array(self.sun), np.array(self.side)
        bright, hidden = np.array(self.sun_colour) * (1 - cloud), np.array(self.sun_colour) * cloud
        sky = np.array(self.sky) + 0.25 * hidden
        parts = (sun / np.linalg.norm(sun), bright, sky, self.ground, side / np.linalg.norm(side), self.side_colour)
        return np.concatenate(parts).astype(np.float32)


@dataclass(frozen=True, kw_only=True)
class Site:
    """One place."""

    kind: str = "street"
    """One of ``SITES``."""
    seed: int = 0
    """Seed of the objects and the passers-by."""
    light: Light = Light()

    def __post_init__(self) -> None:
        check_fields(self, kind=SITES)

    @property
    def indoor(self) -> bool:
        """Whether there is a roof."""
        return self.kind in INDOOR

    @property
    def radius(self) -> float:
        """Metres from the middle to the farthest cameras."""
        return {"corridor": 9.0, "shop": 8.0, "mall": 11.0, "hall": 9.0, "walkway": 9.0}.get(self.kind, 14.0)


def draw_site(draws: Draws) -> Site:
    """A random site."""
    kind = draws.pick("kind", SITES, [_HOW_OFTEN[kind] for kind in SITES])
    return Site(kind=kind, seed=draws.bits("seed") >> 20, light=_draw_light(draws.below("light"), kind in INDOOR))


_HOW_OFTEN = {
    "street": 2.6, "campus": 2.4, "plaza": 1.8, "parking": 1.0, "mall": 1.3, "corridor": 1.5, "shop": 0.8, "hall": 1.8,
    "walkway": 1.8,
}  # fmt: skip


def _draw_light(draws: Draws, indoor: bool) -> Light:
    around, up = draws.uniform("around", -pi, pi), draws.uniform("up", 0.45, 1.3)
    aside = draws.uniform("aside", -pi, pi)
    side = (cos(aside), sin(aside), 0.35)
    if indoor:
        warm = draws.bell("lamps", 0.03, 0.05)
        lamps, level = (1 + warm, 1.0, 1 - warm), draws.uniform("level", 0.25, 0.6)
        return Light(
            sun=(0.3 * cos(around), 0.3 * sin(around), 1.0),
            sun_colour=_scaled(lamps, draws.uniform("direct", 0.1, 0.5)),
            sky=_scaled(lamps, level),
            ground=_scaled(lamps, level * draws.uniform("floor", 0.35, 0.7)),
            side=side,
            side_colour=_scaled(lamps, draws.uniform("windows", 0.0, 0.7)),
        )
    if draws.chance("night", 0.07):  # a street lamp above, hardly any sky
        warm, lamp = draws.uniform("lamp tint", -0.05, 0.35), draws.uniform("lamp", 0.4, 1.0)
        dark = _scaled((0.9, 1.0, 1.2), draws.uniform("night sky", 0.04, 0.15))
        return Light(
            sun=(0.5 * cos(around), 0.5 * sin(around), 1.0),
            sun_colour=_scaled((1 + warm, 1.0, 1 - warm), lamp),
            sky=dark,
            ground=_scaled(dark, 0.6),
            side=side,
            side_colour=_scaled((1.0, 0.95, 0.9), draws.uniform("shop windows", 0.0, 0.4)),
        )
    if draws.chance("clear", 0.45):
        sun, sky = draws.uniform("sun", 0.6, 1.4), draws.uniform("sky", 0.28, 0.5)
    else:
        sun, sky = draws.uniform("haze", 0.0, 0.25), draws.uniform("grey sky", 0.5, 0.9)
    return Light(
        sun=(cos(around) * cos(up), sin(around) * cos(up), sin(up)),
        sun_colour=_scaled((1.0, 0.94, 0.82), sun),
        sky=_scaled((0.90, 1.0, 1.12), sky),
        ground=_scaled((1.0, 0.95, 0.88), draws.uniform("bounce", 0.12, 0.3)),
        side=side,
        side_colour=_scaled((1.0, 1.0, 1.0), draws.uniform("brighter half", 0.05, 0.6)),
    )


def _scaled(colour: Colour, factor: float) -> Colour:
    return colour[0] * factor, colour[1] * factor, colour[2] * factor


@dataclass(frozen=True, slots=True)
class SceneArrays:
    """Geometry of a site for the kernels: Q parallelograms, K textures."""

    origin: F32
    """(Q, 3)"""
    edges: F32
    """(Q, 2, 3)"""
    duals: F32
    """(Q, 2, 3): dot products with them give a point's coordinates on a parallelogram."""
    normal: F32
    tiles: F32
    """(Q, 2): how often its texture repeats."""
    texels: F32
    texture: NDArray[np.int32]
    tint: F32
    """(Q, 4)"""
    blockers: NDArray[np.int32]
    """Those that cast shadows."""
    closed: NDArray[np.bool_]
    """(Q,) those whose backs are never visible."""
    textures: NDArray[np.uint8]
    """(K, TEXELS, TEXELS, 4)"""
    means: F32
    """(K, 3) linear."""
    footprints: F32
    """(F, 3): x, y and radius of obstacles."""

    def corners(self) -> F32:
        """(Q, 4, 3)"""
        a, b = self.edges[:, 0], self.edges[:, 1]
        return np.stack([self.origin, self.origin + a, self.origin + b, self.origin + a + b], 1)

    def shadow_reaches(self, sun: F32) -> F32:
        """(B, 4): the part of the ground that each blocker's shadow can reach: x and y, from and to."""
        corners = self.corners()[self.blockers]
        fallen = corners[..., :2] - corners[..., 2:] * (sun[:2] / sun[2])
        return np.concatenate([fallen.min(1) - 0.01, fallen.max(1) + 0.01], 1).astype(np.float32)

    def free(self, x: float, y: float) -> bool:
        """Whether the point is clear of obstacles."""
        away = np.hypot(self.footprints[:, 0] - x, self.footprints[:, 1] - y)
        return bool((away > self.footprints[:, 2] + 0.3).all())

    def sees(self, eye: F32, point: F32) -> bool:
        """Whether nothing opaque lies between two points."""
        way = point - eye
        down = self.normal @ way
        t = ((self.origin - eye) * self.normal).sum(1) / np.where(np.abs(down) < 1e-7, 1e-7, down)
        rest = eye + t[:, None] * way - self.origin
        a, b = (rest * self.duals[:, 0]).sum(1), (rest * self.duals[:, 1]).sum(1)
        hit = (t > 0.02) & (t < 0.985) & (a >= 0) & (a <= 1) & (b >= 0) & (b <= 1)
        for q in np.flatnonzero(hit):
            size = self.textures.shape[1]
            column, row = int(a[q] * self.tiles[q, 0] * size) % size, int((1 - b[q]) * self.tiles[q, 1] * size) % size
            if self.textures[self.texture[q], row, column, 3] >= 128:
                return False
        return True


@lru_cache(maxsize=64)
def scene_arrays(kind: str, seed: int) -> SceneArrays:
    """The geometry of the site of this kind and seed."""
    pieces = Pieces(Draws.of("stage", kind, seed))
    LAYOUTS[kind](pieces)
    origin = np.array([quad.origin for quad in pieces.quads], np.float32)
    edges = np.array([(quad.right, quad.up) for quad in pieces.quads], np.float32)
    normal = np.cross(edges[:, 0], edges[:, 1])
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    lengths = np.linalg.norm(edges, axis=2)
    tiles = np.array([quad.tiles for quad in pieces.quads], np.float32)
    textures = np.stack(pieces.pictures)
    opaque = textures[..., 3:] >= 128
    linear = (textures[..., :3].astype(np.float32) / 255) ** 2.2
    return SceneArrays(
        origin=origin,
        edges=edges,
        duals=np.ascontiguousarray(edges / (lengths**2)[..., None], np.float32),
        normal=np.ascontiguousarray(normal, np.float32),
        tiles=tiles,
        texels=np.ascontiguousarray((lengths / tiles).mean(1) / textures.shape[1], np.float32),
        texture=np.array([quad.picture for quad in pieces.quads], np.int32),
        tint=np.array([(*quad.tint, quad.glow) for quad in pieces.quads], np.float32),
        blockers=np.flatnonzero([quad.blocks for quad in pieces.quads]).astype(np.int32),
        closed=np.array([quad.closed for quad in pieces.quads]),
        textures=textures,
        means=((linear * opaque).sum((1, 2)) / np.maximum(opaque.sum((1, 2)), 1)).astype(np.float32),
        footprints=np.array(pieces.footprints or [(1e3, 1e3, 0.1)], np.float32),
    )
