"""Draw one picture of a person, a place, a camera and a moment: a pure function of its values.

The place is ray traced inside the box at twice the size, people are drawn over it with the same depth (so a railing or
a car hides whatever is behind it), everything is lit by one light, and the camera develops the result. Values cached between
pictures (figures, stages) are functions of their keys alone.
"""

from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from snreid.synthetic.limits import check_size
from snreid.synthetic.people.body import bone_moves, turn
from snreid.synthetic.people.camera import Camera, Viewpoint
from snreid.synthetic.people.casting import draw_identity
from snreid.synthetic.people.figure import COVER, Figure, figure_of
from snreid.synthetic.people.identity import Identity
from snreid.synthetic.people.kernels import (
    FAR,
    bounds_of,
    fill_depth,
    fill_triangles,
    project_points,
    skin_vertices,
    vertex_normals,
)  # fmt: skip
from snreid.synthetic.people.moment import CropBox, Moment, Step
from snreid.synthetic.people.shading import SHADOW_SIZE, shade_person
from snreid.synthetic.people.site import SceneArrays, Site, scene_arrays
from snreid.synthetic.people.textures import SPAN, reliefs
from snreid.synthetic.people.tracing import shade_scene, trace_quads
from snreid.synthetic.randomness import Draws

F32 = NDArray[np.float32]


_PASSERS = 80
"""Passers-by at all sites; fewer than the cached figures."""
_PHONING = ("phone", "call")
"""Actions with a phone in the hand."""
_FAINT = 0.05
"""A weaker sun casts no shadow."""


@dataclass(frozen=True, kw_only=True)
class Picture:
    """All values that determine the pixels."""

    identity: Identity = field(default_factory=Identity)
    site: Site = field(default_factory=Site)
    camera: Camera = field(default_factory=Camera)
    moment: Moment = field(default_factory=Moment)
    size: tuple[int, int] = (128, 64)
    """Height and width, multiples of 16 from 32 to 512."""

    def __post_init__(self) -> None:
        check_size(self.size)

    def draw(self) -> NDArray[np.uint8]:
        """(height, width, 3) RGB."""
        canvas, people = self._filled()
        stage, light = scene_arrays(self.site.kind, self.site.seed), self.site.light.row(self.moment.cloud)
        shadows = _shadow_maps(people if light[3:6].sum() > _FAINT else [], light[:3])
        canvas.light_scene(stage, light, shadows, np.array([person.place for person in people], np.float32))
        for who, person in enumerate(people):
            canvas.light_person(person, who, light, shadows, _sunlit(stage, person, light[:3]))
        native = canvas.crop[3] * 2 * self.size[0] * self.camera.viewpoint.focal
        return self.camera.film.develop(canvas.rgb, float(native), self.moment.seed)

    def mask(self) -> NDArray[np.bool_]:
        """(height, width): pixels of which the person covers at least half."""
        owner = self._filled()[0].owner
        height, width = self.size
        return np.asarray((owner == 0).reshape(height, 2, width, 2).mean((1, 3)) >= 0.5)

    def _filled(self) -> tuple["_Canvas", list["_Person"]]:
        """The unlit pixels and the people; the first is the person, the others are passers-by."""
        view = self.camera.viewpoint
        people = [_posed(figure_of(self.identity), self.moment.step)]
        people += [_posed(passer_by(self.site.seed, number), step) for number, step in self.moment.others]
        canvas = _Canvas(self.size, view, frame(people[0], view, self.moment.box, self.size))
        canvas.trace(scene_arrays(self.site.kind, self.site.seed))
        for who, person in enumerate(people):
            canvas.fill(person, who)
        return canvas, people


def passer_by(site: int, number: int) -> Figure:
    """One of a site's passers-by. All sites share the same few people, so that their figures can be cached."""
    return figure_of(draw_identity(Draws.of("passer-by", (site + number) % _PASSERS)))


@dataclass(frozen=True, slots=True)
class _Person:
    """A figure in the world."""

    figure: Figure
    world: F32
    normals: F32
    place: tuple[float, float]


def _posed(figure: Figure, step: Step) -> _Person:
    moves = bone_moves(figure.body, step.posture)
    heading = turn(2, step.heading).astype(np.float32)
    moves = np.ascontiguousarray(np.einsum("ij,bjk->bik", heading, moves), np.float32)
    world = np.empty_like(figure.vertices)
    skin_vertices(figure.vertices, figure.influences, figure.weights, moves, world)
    for phone, side in zip(figure.phones, (1, -1), strict=True):
        if step.posture.action not in _PHONING or side != step.posture.side or side == step.posture.laden:
            world[phone] = world[phone[0]]  # a degenerate triangle is not drawn
    world += np.array([*step.place, -float(world[figure.shown, 2].min())], np.float32)
    normals = np.empty_like(world)
    vertex_normals(world, figure.faces, normals)
    return _Person(figure, world, normals, step.place)


_WHOLE = np.array([0.0, 0.0, 1.0, 1.0], np.float32)
"""A crop whose pixels are tangents."""


def projected(points: F32, view: Viewpoint, crop: F32) -> F32:
    """(N, 3): column and row of the crop's fine pixels, and depth, of points in the world."""
    out = np.empty_like(points)
    project_points(points, view.eye, view.axes, crop, out)
    return out


def frame(person: _Person, view: Viewpoint, box: CropBox, size: tuple[int, int]) -> F32:
    """(4,): tangents of the box's left and upper edge, and the steps of one of its fine pixels."""
    left, top, right, bottom = bounds_of(projected(person.world, view, _WHOLE), person.figure.shown)
    high = (bottom - top) * box.zoom
    wide = max(high * box.aspect, (right - left) * 0.88)
    trunk = float(projected(np.array([[*person.place, 1.2]], np.float32), view, _WHOLE)[0, 0])
    across = 0.5 * trunk + 0.25 * (left + right)  # detectors weight the trunk more than a swinging arm
    middle = (across + box.shift[0] * wide, (top + bottom) / 2 + box.shift[1] * high)
    start = middle[1] - high / 2
    high, wide = high * box.cut, wide * (0.2 + 0.8 * box.cut)  # a detector narrows the box of half a person
    return np.array([middle[0] - wide / 2, start, wide / (2 * size[1]), high / (2 * size[0])], np.float32)


@lru_cache(maxsize=1)
def _linear() -> F32:
    return np.asarray((np.arange(256) / 255) ** 2.2, np.float32)


class _Canvas:
    """The picture at twice the size: light, depth, and the owner of each pixel."""

    def __init__(self, size: tuple[int, int], view: Viewpoint, crop: F32) -> None:
        height, width = 2 * size[0], 2 * size[1]
        self.view, self.crop = view, crop
        self.eye, self.axes = view.eye, view.axes
        self.rgb = np.zeros((height, width, 3), np.float32)
        self.depth = np.full((height, width), FAR, np.float32)
        self.surface = np.full((height, width), -1, np.int32)
        self.spot = np.zeros((height, width, 2), np.float32)
        self.owner = np.full((height, width), -1, np.int32)
        self.face = np.zeros((height, width), np.int32)
        self.share = np.zeros((height, width, 2), np.float32)

    def trace(self, stage: SceneArrays) -> None:
        """Fill depth and surfaces of the place."""
        trace_quads(
            self.eye, self.axes, self.crop, self._boxes(stage), stage.origin, stage.duals, stage.normal, stage.tiles,
            stage.texture, stage.textures, self.depth, self.surface, self.spot,
        )  # fmt: skip

    def _boxes(self, stage: SceneArrays) -> NDArray[np.int32]:
        """(Q, 4): the columns and rows that each parallelogram can cover, from, to; all if it extends behind the camera."""
        height, width = self.depth.shape
        seen = projected(stage.corners().reshape(-1, 3), self.view, self.crop).reshape(-1, 4, 3)
        ahead = seen[..., 2] > 0.2
        away = stage.closed & (((self.eye - stage.origin) * stage.normal).sum(1) < 0)
        low, high = np.floor(seen[..., :2].min(1)), np.ceil(seen[..., :2].max(1))
        whole = np.logical_not(ahead.all(1))[:, None]
        low = np.where(whole, 0, np.clip(low, 0, [width, height]))
        high = np.where(whole, [width, height], np.clip(high, 0, [width, height]))
        high = np.where((ahead.any(1) & ~away)[:, None], high, 0)
        return np.concatenate([low, high], 1).astype(np.int32)

    def fill(self, person: _Person, who: int) -> None:
        """Draw a person's triangles where they are nearest."""
        figure = person.figure
        points = projected(person.world, self.view, self.crop)
        cover = np.ascontiguousarray(figure.values[:, COVER])
        fill_triangles(points, figure.faces, cover, figure.fray, who, self.depth, self.owner, self.face, self.share)

    def light_scene(self, stage: SceneArrays, light: F32, shadows: tuple[F32, F32, F32], feet: F32) -> None:
        """Light the place."""
        reaches = stage.shadow_reaches(light[:3])
        shade_scene(
            self.rgb, self.owner, self.depth, self.surface, self.spot, self.eye, self.axes, self.crop, light,
            stage.blockers, reaches, stage.origin, stage.duals, stage.normal, stage.tiles, stage.texture, stage.textures,
            stage.means, stage.tint, stage.texels, _linear(), *shadows, feet,
        )  # fmt: skip

    def light_person(self, person: _Person, who: int, light: F32, shadows: tuple[F32, F32, F32], sunlit: float) -> None:
        """Light a person."""
        figure = person.figure
        away = float(np.linalg.norm(person.world[0] - self.eye))
        shade_person(
            self.rgb, self.depth, self.owner, self.face, self.share, who, figure.faces, figure.layer, person.world,
            person.normals, figure.values, figure.looks, figure.textures, figure.prints, figure.decals, figure.face,
            reliefs(), _linear(), light, self.eye, *shadows, sunlit, 0.1 / away / float(self.crop[3]), SPAN,
        )  # fmt: skip


def _shadow_maps(people: list[_Person], sun: F32) -> tuple[F32, F32, F32]:
    """(depth from the sun (P, S, S), the sun's axes (P, 3, 3), corner and scale (P, 3))."""
    right = np.cross(sun, np.array([0.0, 0.0, 1.0]))
    right = np.array([1.0, 0.0, 0.0]) if np.linalg.norm(right) < 1e-3 else right / np.linalg.norm(right)
    basis = np.stack([right, np.cross(sun, right), -sun]).astype(np.float32)
    maps = np.full((len(people), SHADOW_SIZE, SHADOW_SIZE), FAR, np.float32)
    corners = np.zeros((len(people), 3), np.float32)
    for index, person in enumerate(people):
        seen = person.world @ basis.T
        cover = np.ascontiguousarray(person.figure.values[:, COVER])
        left, top, farthest, lowest = bounds_of(seen, person.figure.shown)
        scale = (SHADOW_SIZE - 6) / max(farthest - left, lowest - top)
        corners[index] = (left - 3 / scale, top - 3 / scale, scale)
        seen[:, :2] = (seen[:, :2] - corners[index, :2]) * corners[index, 2]
        fill_depth(seen, person.figure.faces, cover, maps[index])
    return maps, np.repeat(basis[None], len(people), 0), corners


def _sunlit(stage: SceneArrays, person: _Person, sun: F32) -> float:
    """Share of the sun that reaches a person past the site's objects."""
    points = (np.array([*person.place, z], np.float32) for z in (0.7, 1.5))
    return sum(stage.sees(point + sun * 40, point) for point in points) / 2
