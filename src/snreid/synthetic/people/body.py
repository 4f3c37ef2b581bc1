"""A body: from a physique to vertices and joints, and from a posture to bone transforms.

Shapes are multilinear: each of MPFB2's shapes is the product of the variations in its name, and a value between two
variations mixes them. At rest a person has arms half raised, faces -y, with the feet at the lowest point.
"""

from dataclasses import dataclass
from functools import lru_cache
from math import cos, exp, pi, sin

import numpy as np
from numpy.typing import NDArray

from snreid.synthetic.people.assets import COLUMNS, VARIATIONS, BodyModel
from snreid.synthetic.people.identity import OLDEST, Physique
from snreid.synthetic.people.kernels import pose_bones
from snreid.synthetic.people.posture import Posture

F32 = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Body:
    """One person's body at rest."""

    model: BodyModel
    vertices: F32
    """(V, 3)"""
    joints: F32
    """(B + 2, 3)"""

    def joint(self, name: str) -> F32:
        """Start of a bone."""
        return np.asarray(self.joints[self.model.bone(name)])

    @property
    def eyes(self) -> F32:
        """(2, 3) left and right."""
        return self.joints[-2:]


def shape_body(model: BodyModel, physique: Physique) -> Body:
    """The body of this physique."""
    values = dict.fromkeys(COLUMNS, 0.0)
    total = sum(physique.ancestry)
    values.update(zip(VARIATIONS["ancestry"], (share / total for share in physique.ancestry), strict=True))
    years = min(max((physique.age - 25.0) / (OLDEST - 25.0), 0.0), 1.0)
    shares = {name: getattr(physique, name) for name in ("gender", "muscle", "weight", "height", "bust")}
    for name, share in {**shares, "age": years, "proportions": 1.0 - physique.proportions}.items():
        words = VARIATIONS[name]
        place = share * (len(words) - 1)
        for index, word in enumerate(words):
            values[word] = max(0.0, 1.0 - abs(place - index))
    present = np.array([values[column] for column in COLUMNS])
    factors = np.where(model.mask > 0, present, 1.0).prod(1)
    used = np.flatnonzero(factors > 1e-4)
    chosen = factors[used].astype(np.float32)
    vertices = model.template.copy()
    for number, factor in zip(used, chosen, strict=True):
        vertices += model.shapes[number] * factor
    joints = model.joints + np.tensordot(chosen, model.joint_shapes[used], 1)
    return Body(model, vertices, joints.astype(np.float32))


@dataclass(frozen=True, slots=True)
class Regions:
    """Share of each vertex that belongs to a limb, (V,) each, from the skin weights."""

    arm: F32
    hand: F32
    leg: F32
    foot: F32
    head: F32


_REGIONS = {
    "arm": ("upperarm", "lowerarm", "wrist", "finger"),
    "hand": ("wrist", "finger"),
    "leg": ("upperleg", "lowerleg", "foot"),
    "foot": ("foot",),
    "head": ("head", "neck02", "neck03"),
}


@lru_cache(maxsize=4)
def regions(model: BodyModel) -> Regions:
    """The limbs of the mesh; the same for every body."""
    shares = {}
    for region, starts in _REGIONS.items():
        belongs = np.array([str(bone).startswith(starts) for bone in model.bones], np.float32)
        shares[region] = (belongs[model.influences] * model.weights).sum(1)
    return Regions(**shares)


def turn(axis: int, angle: float) -> NDArray[np.float64]:
    """The rotation matrix about x (0), y (1) or z (2)."""
    c, s = cos(angle), sin(angle)
    matrix = np.eye(3)
    one, two = ((1, 2), (2, 0), (0, 1))[axis]
    matrix[one, one] = matrix[two, two] = c
    matrix[one, two], matrix[two, one] = -s, s
    return matrix


def turn_between(start: NDArray[np.floating], end: NDArray[np.floating]) -> NDArray[np.float64]:
    """The smallest rotation from one direction to the other."""
    a = start / np.linalg.norm(start)
    b = end / np.linalg.norm(end)
    v = (a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0])
    k = np.array([[0.0, -v[2], v[1]], [v[2], 0.0, -v[0]], [-v[1], v[0], 0.0]])
    return np.asarray(np.eye(3) + k + k @ k / (1.0 + float(a @ b) + 1e-9))


def bone_moves(body: Body, posture: Posture) -> F32:
    """(B + 2, 3, 4): the transform of each bone for points of the body at rest.

    After the skeleton's bones: one that hangs from the loaded hand and one that follows the body as a whole.
    """
    model = body.model
    turns = np.tile(np.eye(3, dtype=np.float32), (len(model.bones), 1, 1))
    for name, matrix in {**_trunk(posture), **_legs(body, posture), **_arms(body, posture)}.items():
        turns[model.bone(name)] = matrix
    moves = np.zeros((len(model.bones) + 2, 3, 4), np.float32)
    pose_bones(model.parents, body.joints, turns, moves[:-2])
    side = "R" if posture.laden < 0 else "L"
    wrist = body.joint(f"wrist.{side}")
    hung = moves[model.bone(f"wrist.{side}")]
    sway = turn(0, 0.12 * posture.stride * sin(2 * pi * posture.phase)).astype(np.float32)
    moves[-2, :, :3] = sway
    moves[-2, :, 3] = hung[:, :3] @ wrist + hung[:, 3] - sway @ wrist
    moves[-1, :, :3] = np.eye(3)
    return moves


def _trunk(posture: Posture) -> dict[str, NDArray[np.float64]]:
    sway = 0.09 * posture.stride * (posture.action != "ride") * sin(2 * pi * posture.phase + pi / 2)
    left, down = posture.head
    looks = 0.35 if posture.action == "phone" else 0.0
    return {
        "root": turn(2, sway) @ turn(0, posture.lean * 0.4),
        "spine04": turn(0, posture.lean * 0.4),
        "spine02": turn(2, -1.9 * sway) @ turn(0, posture.lean * 0.5),
        "neck01": turn(2, left * 0.5) @ turn(0, (down + looks) * 0.5 - posture.lean * 0.7),
        "head": turn(2, left * 0.5) @ turn(0, (down + looks) * 0.5),
        "clavicle.L": turn(1, 0.10),
        "clavicle.R": turn(1, -0.10),
    }


def _legs(body: Body, posture: Posture) -> dict[str, NDArray[np.float64]]:
    """Joint angles of the gait over one step, as curves through published values from gait laboratories (degrees)."""
    turns = {}
    for side, sign, start in (("L", 1.0, 0.0), ("R", -1.0, 0.5)):
        p = (posture.phase + start) % 1.0
        hip = 9.0 + 19.0 * cos(2 * pi * (p + 0.07))
        knee = 5.0 + 13.0 * _bump(p, 0.14, 0.08) + 54.0 * _bump(p, 0.72, 0.11)
        ankle = 9.0 * _bump(p, 0.42, 0.12) - 20.0 * _bump(p, 0.64, 0.07) + 2.0
        scale = posture.stride
        if posture.action == "ride":  # feet turn on pedals
            hip, knee, ankle, scale = 62.0 + 20.0 * cos(2 * pi * p), 76.0 + 36.0 * cos(2 * pi * (p - 0.06)), 5.0, 1.0
        hip, knee, ankle = (pi / 180 * scale * angle for angle in (hip, knee, ankle))
        leg = body.joint(f"foot.{side}") - body.joint(f"upperleg01.{side}")
        together = turn_between(leg, np.array([sign * 0.03, 0.0, -1.0]))
        turns[f"upperleg01.{side}"] = turn(0, -hip - posture.lean * 0.4) @ together
        turns[f"lowerleg01.{side}"] = turn(0, knee)
        turns[f"foot.{side}"] = turn(2, sign * 0.06) @ turn(0, -ankle)
    return turns


def _bump(p: float, middle: float, width: float) -> float:
    away = min(abs(p - middle), 1.0 - abs(p - middle)) / width
    return exp(-away * away)


def _arms(body: Body, posture: Posture) -> dict[str, NDArray[np.float64]]:
    turns: dict[str, NDArray[np.float64]] = {}
    for side, sign, start in (("L", 1, 0.5), ("R", -1, 0.0)):
        swing = 0.36 * cos(2 * pi * (posture.phase + start)) * posture.stride * posture.swing
        bend, inward = 0.22 + 0.5 * max(0.0, swing), 0.0
        if posture.action == "ride":
            swing, bend, inward = 0.85, 0.80, -0.02
        elif sign == posture.laden:
            swing, bend = swing * 0.25, 0.08
        elif sign == posture.side or posture.action == "hold":
            swing, bend, inward = _BUSY.get(posture.action, (swing, bend, inward))
        upper = turn(0, -swing) @ turn_between(
            body.joint(f"lowerarm01.{side}") - body.joint(f"upperarm01.{side}"),
            np.array([sign * (posture.spread + 0.04), 0.0, -1.0]),
        )
        rest = body.joint(f"wrist.{side}") - body.joint(f"lowerarm01.{side}")
        wanted = turn(0, -swing) @ np.array([sign * (0.03 - inward), -sin(bend), -cos(bend)])
        turns[f"upperarm01.{side}"] = upper
        turns[f"lowerarm01.{side}"] = turn_between(rest, upper.T @ wanted)
        grips = sign == posture.laden or posture.action in ("hold", "phone", "ride")
        turns.update(_fingers(body, side, 1.5 if grips else 0.8))
    return turns


_BUSY = {
    "phone": (0.35, 1.75, 0.30), "call": (0.55, 2.45, 0.10), "hold": (0.25, 1.45, 0.55), "pockets": (-0.28, 0.62, 0.05)
}  # fmt: skip
"""Of the active arm: how far the upper arm is raised, the elbow bent, the hand drawn in."""


def _fingers(body: Body, side: str, curl: float) -> dict[str, NDArray[np.float64]]:
    """The fingers bent towards the palm."""
    across = body.joint(f"finger5-1.{side}") - body.joint(f"finger2-1.{side}")
    across = across / np.linalg.norm(across)
    along = body.joint(f"finger3-2.{side}") - body.joint(f"finger3-1.{side}")
    thumb = body.joint(f"finger1-3.{side}") - body.joint(f"finger2-1.{side}")
    sense = 1.0 if float(thumb @ np.cross(across, along)) > 0 else -1.0
    x, y, z = across
    k = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    turns = {}
    for joint, share in (("1", 0.5), ("2", 0.8), ("3", 0.5)):
        angle = share * curl * sense
        matrix = np.eye(3) + sin(angle) * k + (1.0 - cos(angle)) * k @ k
        turns.update({f"finger{finger}-{joint}.{side}": matrix for finger in "2345"})
    return turns
