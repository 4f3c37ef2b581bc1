"""The parts of a figure: layers of triangles with the attributes for the shading kernel."""

from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from snreid.synthetic.people.assets import BodyModel

F32 = NDArray[np.float32]
I32 = NDArray[np.int32]

SKIN, CLOTH, HAIR, HARD = 0.0, 1.0, 2.0, 3.0
"""Kinds of surface, by the shading kernel's numbers."""
SOFT, QUILTED, RIBBED = 0.0, 1.0, 2.0
"""Kinds of relief."""


@dataclass(frozen=True, kw_only=True)
class Look:
    """Shading of a layer: a row of the kernel's table, in this order."""

    surface: float = CLOTH
    texture: int = -1
    """Number of the figure's texture; -1 takes ``colour``."""
    folds: float = 0.0
    """Strength of the wrinkles."""
    relief: float = SOFT
    gloss: float = 0.0
    hem: float = 0.0
    """Width of the seam along a cut edge, metres."""
    fray: float = 0.0
    """How ragged a cut edge is, metres."""
    colour: tuple[float, float, float] = (0.5, 0.5, 0.5)

    def row(self) -> list[float]:
        """The numbers for the kernel."""
        return [
            self.surface, float(self.texture), self.folds, self.relief, self.gloss, self.hem, self.fray, *self.colour
        ]  # fmt: skip


@dataclass(kw_only=True)
class Layer:
    """One surface. Arrays have a row for each of its vertices."""

    vertices: F32
    faces: I32
    look: Look
    influences: I32
    weights: F32
    cover: F32
    """Metres from the cut edge, below 0 where there is no cloth."""
    uv: F32
    """(N, 2) metres around and up the cloth."""
    place: F32
    """(N, 4): x and z on the body at rest, 1 in front or 0 behind, share of arm."""
    crease: F32
    """(N,) how much the cloth is compressed here."""
    decals: list[list[float]] = field(default_factory=list)


def solid(vertices: F32, faces: I32, look: Look, bone: int) -> Layer:
    """A layer of a rigid object that moves with one bone."""
    count = len(vertices)
    weights, place = np.zeros((count, 4), np.float32), np.zeros((count, 4), np.float32)
    weights[:, 0] = 1.0
    place[:, :2] = vertices[:, [0, 2]]
    return Layer(
        vertices=vertices.astype(np.float32),
        faces=faces,
        look=look,
        influences=np.full((count, 4), bone, np.int32),
        weights=weights,
        cover=np.ones(count, np.float32),
        uv=vertices[:, [0, 2]].astype(np.float32),
        place=place,
        crease=np.full(count, 0.5, np.float32),
    )


def compact(faces: I32) -> tuple[I32, I32]:
    """The vertices that triangles use, ascending, and the triangles with numbers of these."""
    used, inverse = np.unique(faces, return_inverse=True)
    return used, inverse.reshape(faces.shape).astype(np.int32)


def grid_faces(rows: int, columns: int, closed: bool = True) -> I32:
    """Triangles between the points of a grid (rows, columns); ``closed`` joins the last column to the first."""
    last = columns if closed else columns - 1
    row, column = np.meshgrid(np.arange(rows - 1), np.arange(last), indexing="ij")
    a = row * columns + column
    b = row * columns + (column + 1) % columns
    both = [np.stack([a, b, b + columns], -1), np.stack([a, b + columns, a + columns], -1)]
    return np.concatenate([part.reshape(-1, 3) for part in both]).astype(np.int32)


def rounded_box(
    centre: tuple[float, float, float], half: tuple[float, float, float], square: float = 0.35
) -> tuple[F32, I32]:
    """A box with round edges: ``square`` 1 is an ellipsoid, near 0 a box."""
    rows, columns = 13, 20
    up = np.linspace(-np.pi / 2, np.pi / 2, rows)[:, None]
    around = np.linspace(-np.pi, np.pi, columns, endpoint=False)[None]

    def bent(value: NDArray[np.float64]) -> NDArray[np.float64]:
        """A squared-off cosine or sine."""
        return np.sign(value) * np.abs(value) ** square

    points = np.stack(
        [
            bent(np.cos(up)) * bent(np.cos(around)) * half[0] + centre[0],
            bent(np.cos(up)) * bent(np.sin(around)) * half[1] + centre[1],
            bent(np.sin(up)) * half[2] + centre[2] + 0 * around,
        ],
        -1,
    )
    return points.reshape(-1, 3).astype(np.float32), grid_faces(rows, columns)


def tube(path: NDArray[np.floating], radius: NDArray[np.floating], sides: int = 8) -> tuple[F32, I32]:
    """A tube along ``path`` (N, 3) of ``radius`` (N,)."""
    along = np.gradient(path, axis=0)
    along /= np.linalg.norm(along, axis=1, keepdims=True) + 1e-9
    helper = np.where(np.abs(along[:, 2:]) < 0.9, np.array([[0.0, 0.0, 1.0]]), np.array([[1.0, 0.0, 0.0]]))
    first = np.cross(along, helper)
    first /= np.linalg.norm(first, axis=1, keepdims=True) + 1e-9
    second = np.cross(along, first)
    angle = np.linspace(0, 2 * np.pi, sides, endpoint=False)[None, :, None]
    points = path[:, None] + radius[:, None, None] * (np.cos(angle) * first[:, None] + np.sin(angle) * second[:, None])
    return points.reshape(-1, 3).astype(np.float32), grid_faces(len(path), sides)


def collar_ring(
    centre: NDArray[np.floating], rows: list[tuple[float, float]], radii: tuple[float, float], gap: float
) -> tuple[F32, I32]:
    """A collar around the neck: each row is (metres outward, metres up); ``gap`` radians stay open in front."""
    columns = 22
    around = np.linspace(-np.pi + gap / 2, np.pi - gap / 2, columns)
    points = []
    for out, up in rows:
        dip = 0.35 * up * np.clip(np.abs(around) - 2.0, 0, None)  # lower towards the opening
        points.append(
            np.stack(
                [
                    centre[0] + np.sin(around) * (radii[0] + out),
                    centre[1] + np.cos(around) * (radii[1] + out),
                    centre[2] + up - dip - 0.025 * np.clip(-np.cos(around), 0, 1),
                ],
                -1,
            )
        )
    return np.concatenate(points).astype(np.float32), grid_faces(len(rows), columns, closed=False)


@dataclass(frozen=True, slots=True)
class Selection:
    """The part of the body model from which a layer is made."""

    ids: I32
    faces: I32
    edges: I32
    """(E, 2) pairs of neighbours, both ways."""
    degree: F32


@lru_cache(maxsize=16)
def select(model: BodyModel, part: str) -> Selection:
    """One mesh group with its own numbering; the same for every body."""
    ids, local = compact(getattr(model, part))
    # The first half of the triangles are quads' corners 0 1 2, the second half 0 2 3 (``assets``). Their diagonals do not
    # connect neighbours: smoothing along them would pull every other vertex up.
    one, two = local[: len(local) // 2], local[len(local) // 2 :]
    sides = np.concatenate([one[:, [0, 1]], one[:, [1, 2]], two[:, [1, 2]], two[:, [2, 0]]])
    edges = np.unique(np.concatenate([sides, sides[:, ::-1]]), axis=0).astype(np.int32)
    degree = np.bincount(edges[:, 0], minlength=len(ids)).astype(np.float32)
    return Selection(ids.astype(np.int32), local, edges, degree)


def smoothed(points: F32, selection: Selection, rounds: int, share: float = 0.6) -> F32:
    """Points moved towards the mean of their neighbours, ``rounds`` times."""
    start, end = selection.edges[:, 0], selection.edges[:, 1]
    for _ in range(rounds):
        mean = np.stack([np.bincount(start, points[end, axis], len(points)) for axis in range(3)], 1)
        points = ((1 - share) * points + share * mean / selection.degree[:, None]).astype(np.float32)
    return points


def ramp(value: NDArray[np.floating], low: float, high: float) -> NDArray[np.floating]:
    """A smooth step from 0 at ``low`` to 1 at ``high``."""
    t = np.clip((value - low) / (high - low), 0.0, 1.0)
    return np.asarray(t * t * (3.0 - 2.0 * t))


def bell(value: NDArray[np.floating], middle: float, width: float) -> NDArray[np.floating]:
    """1 at ``middle``, falling to 0 on both sides."""
    return np.asarray(np.exp(-(((value - middle) / width) ** 2)))
