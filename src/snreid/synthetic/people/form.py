"""The tailor's form: one body's stocking, measured along arms, legs and trunk, from which all clothes are cut."""

from dataclasses import dataclass

import numpy as np

from snreid.synthetic.people.body import Body, regions
from snreid.synthetic.people.kernels import vertex_normals
from snreid.synthetic.people.mesh import F32, Layer, Look, Selection, compact, select

_BINS = 36


@dataclass(frozen=True, slots=True)
class Form:
    """Arrays have a row for each vertex of the stocking (``assets.PARTS``' shell), on the body at rest."""

    body: Body
    shell: Selection
    points: F32
    normals: F32
    arm: F32
    """Share of arm, of leg, of foot, of hand."""
    leg: F32
    foot: F32
    hand: F32
    along_arm: F32
    """0 at the shoulder, 1 at the elbow, 2 at the wrist."""
    around_arm: F32
    arm_axis: F32
    """The nearest point of the arm's axis."""
    along_leg: F32
    """0 at the hip, 1 at the knee, 2 at the ankle."""
    leg_axis: F32
    neck: float
    """Heights in metres on the body at rest."""
    waist: float
    hip: float
    crotch: float
    knee: float
    ankle: float
    ground: float
    middle: float
    """y of the trunk's axis."""

    def layer(self, points: F32, cover: F32, uv: F32, crease: F32, look: Look) -> Layer:
        """A layer of this stocking without the vertices that have no cloth."""
        used, faces = compact(self.shell.faces[(cover[self.shell.faces] >= -0.05).any(1)])
        ids, model = self.shell.ids[used], self.body.model
        rest = self.points[used]
        front = (rest[:, 1] < self.middle).astype(np.float32)
        return Layer(
            vertices=points[used].astype(np.float32),
            faces=faces,
            look=look,
            influences=model.influences[ids],
            weights=model.weights[ids],
            cover=cover[used].astype(np.float32),
            uv=uv[used].astype(np.float32),
            place=np.stack([rest[:, 0], rest[:, 2], front, self.arm[used]], 1).astype(np.float32),
            crease=crease[used].astype(np.float32),
        )

    def around_trunk(self) -> tuple[F32, F32, F32]:
        """(outward direction (N, 2), radius, angle: 0 in front, increasing to the person's left)."""
        out = self.points[:, :2] - np.array([0.0, self.middle], np.float32)
        radius = np.linalg.norm(out, axis=1) + np.float32(1e-6)
        return out / radius[:, None], radius, np.arctan2(out[:, 0], -out[:, 1]).astype(np.float32)

    def draped(self, top: float, hem: float, steep: float) -> F32:
        """The trunk's radius of draped cloth: it falls from every bulge, ``steep`` metres inward per metre."""
        _, radius, angle = self.around_trunk()
        levels = 28
        place = (top - self.points[:, 2]) / (top - hem + 0.12) * (levels - 1)
        level = np.clip(np.rint(place), 0, levels - 1).astype(np.int64)
        column = ((angle + np.pi) / (2 * np.pi) * _BINS).astype(np.int64) % _BINS
        trunk = (self.arm < 0.25) & (self.points[:, 2] < top + 0.02) & (self.leg < 0.9)
        table = np.zeros((levels, _BINS), np.float32)
        np.maximum.at(table, (level[trunk], column[trunk]), radius[trunk])
        fall = steep * (top - hem + 0.12) / (levels - 1)
        for row in range(1, levels):
            table[row] = np.maximum(table[row], table[row - 1] - fall)
        for _ in range(2):
            table[:] = (np.roll(table, 1, 1) + 2 * table + np.roll(table, -1, 1)) / 4
            table[1:-1] = (table[:-2] + 2 * table[1:-1] + table[2:]) / 4
        # Below the crotch the thighs follow the trunk, or a long hem would alternate between them.
        hung = (self.arm < 0.25) & (self.points[:, 2] < top + 0.02)
        return np.where(hung, np.maximum(table[level, column], radius), radius).astype(np.float32)


def measure(body: Body) -> Form:
    """The form of a body."""
    shell = select(body.model, "shell")
    points = body.vertices[shell.ids]
    normals = np.empty_like(points)
    vertex_normals(points, shell.faces, normals)
    limb = regions(body.model)
    arm, leg, foot, hand = (part[shell.ids] for part in (limb.arm, limb.leg, limb.foot, limb.hand))
    along_arm, around_arm, arm_axis = _limb(body, points, "upperarm01", "lowerarm01", "wrist")
    along_leg, _, leg_axis = _limb(body, points, "upperleg01", "lowerleg01", "foot")
    middle = np.abs(points[:, 0]) < 0.012
    low = middle & (arm < 0.1) & (leg > 0.2)
    hip = float(body.joint("upperleg01.L")[2])
    neck, pelvis = float(body.joint("neck01")[2]), float(body.joint("spine05")[2])
    return Form(
        body=body, shell=shell, points=points, normals=normals, arm=arm, leg=leg, foot=foot, hand=hand,
        along_arm=along_arm, around_arm=around_arm, arm_axis=arm_axis, along_leg=along_leg, leg_axis=leg_axis,
        neck=neck, waist=pelvis + 0.2 * (neck - pelvis), hip=hip,
        crotch=float(points[low, 2].min()) if low.any() else hip - 0.08,
        knee=float(body.joint("lowerleg01.L")[2]), ankle=float(body.joint("foot.L")[2]),
        ground=float(body.vertices[select(body.model, "body").ids, 2].min()),
        middle=float(body.joint("spine03")[1]),
    )  # fmt: skip


def _limb(body: Body, points: F32, first: str, second: str, third: str) -> tuple[F32, F32, F32]:
    """(0 to 2 along a limb, angle around it, nearest point of its axis), each vertex for its own side of the body."""
    along, around, axis = np.zeros(len(points), np.float32), np.zeros(len(points), np.float32), np.zeros_like(points)
    for side, chosen in (("L", points[:, 0] > 0), ("R", points[:, 0] <= 0)):
        a, b, c = (body.joint(f"{bone}.{side}") for bone in (first, second, third))
        upper, lower = (points - a) @ (b - a) / ((b - a) @ (b - a)), (points - b) @ (c - b) / ((c - b) @ (c - b))
        above = lower < 0
        t = np.where(above, np.minimum(upper, 1.0), 1.0 + lower)
        near = np.where(above[:, None], a + upper[:, None] * (b - a), b + lower[:, None] * (c - b))
        off = points - near
        along, axis = np.where(chosen, t, along), np.where(chosen[:, None], near, axis)
        around = np.where(chosen, np.arctan2(off[:, 0] * (1 if side == "L" else -1), -off[:, 1]), around)
    return along.astype(np.float32), around.astype(np.float32), axis.astype(np.float32)
