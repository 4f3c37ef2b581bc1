"""Hair, hats and scarves: caps grown from the scalp with ragged edges, strands that fall, rolls and brims."""

import numpy as np
from numpy.typing import NDArray

from snreid.synthetic.people.body import Body, regions
from snreid.synthetic.people.identity import Head
from snreid.synthetic.people.mesh import F32, HAIR, RIBBED, Layer, Look, compact, ramp, rounded_box, select, solid, tube
from snreid.synthetic.people.textures import cloud

_VOLUME = {
    "buzz": 0.004, "crop": 0.012, "short": 0.020, "swept": 0.026, "curly": 0.050, "bob": 0.022, "long": 0.018,
    "tied": 0.010, "bun": 0.012,
}  # fmt: skip
"""Metres of hair over the scalp."""


class Scalp:
    """The head's vertices around the centre of the skull."""

    def __init__(self, body: Body) -> None:
        chosen = select(body.model, "body")
        self.body = body
        self.ids, self.faces = chosen.ids, chosen.faces
        self.points = body.vertices[chosen.ids]
        self.head = regions(body.model).head[chosen.ids]
        self.eye = body.eyes.mean(0)
        skull = self.points[self.head > 0.9]
        self.top = float(skull[:, 2].max())
        self.back = float(skull[skull[:, 2] > self.eye[2], 1].max())
        self.size = (self.top - float(self.eye[2])) / 0.11
        self.centre = np.array([0.0, (self.eye[1] + self.back) / 2 + 0.01, self.eye[2] + 0.02 * self.size], np.float32)
        out = self.points - self.centre
        self.out = out / (np.linalg.norm(out, axis=1, keepdims=True) + 1e-6)
        self.angle = np.abs(np.arctan2(out[:, 0], -out[:, 1]))
        self.bone = body.model.bone("head")

    def cap(self, cover: NDArray[np.floating], thick: NDArray[np.floating], look: Look) -> Layer:
        """A layer over the part of the head where ``cover`` is positive, ``thick`` metres away from it."""
        cover = np.where(self.head > 0.6, cover, -1.0).astype(np.float32)
        used, faces = compact(self.faces[(cover[self.faces] >= -0.03).any(1)])
        points = (self.points + self.out * thick[:, None])[used]
        around = np.arctan2(self.out[used, 0], -self.out[used, 1])
        layer = solid(points, faces, look, self.bone)
        layer.cover = cover[used]
        layer.uv = np.stack([around * 0.1, points[:, 2]], 1).astype(np.float32)
        return layer


def hair_layers(body: Body, head: Head, thick: float) -> list[Layer]:
    """The hair of a style; nothing for a bald head. ``thick``: metres of clothes that long hair falls over."""
    if head.style == "bald":
        return []
    scalp = Scalp(body)
    size, eye = scalp.size, float(scalp.eye[2])
    look = Look(surface=HAIR, colour=head.hair, folds=2.2 if head.style == "curly" else 0.8, gloss=0.025, fray=0.016)
    falls = head.style in ("bob", "long")
    forehead = eye + ((0.036 if falls and head.length > 0.6 else 0.050) + 0.010 * head.length) * size
    temple = eye - (0.05 if falls else 0.0) * size
    nape = eye - (0.10 if falls or head.style == "curly" else 0.055 + 0.02 * head.length) * size
    corner = 0.007 * size * np.exp(-(((scalp.angle - 0.85) / 0.25) ** 2)) * (not falls)
    line = np.where(scalp.angle < 1.1, forehead + corner, forehead + (temple - forehead) * ramp(scalp.angle, 1.1, 1.6))
    line = np.where(scalp.angle > 1.75, temple + (nape - temple) * ramp(scalp.angle, 1.75, 2.3), line)
    across = np.arctan2(scalp.out[:, 0], -scalp.out[:, 1])
    line = line + 0.006 * size * np.sin(across * 4 + 40 * head.length)
    line = line + 0.004 * size * np.sin(across * 11 + 90 * head.length)
    cover = scalp.points[:, 2] - line
    volume = _VOLUME[head.style] * (0.75 + 0.5 * head.length) * size
    grow = ramp(cover, -0.012, 0.035) * volume
    upward = np.clip(scalp.out[:, 2], 0, 1)
    grow *= _tufts(scalp.points, head) * (1 + 0.45 * upward * (head.style in ("short", "swept")))
    if head.style == "swept":  # combed to one side, higher in front
        aside = np.clip(scalp.out[:, 0] * (1 if head.length > 0.5 else -1), -0.6, 1)
        grow *= 1 + 0.5 * aside * ramp(-scalp.out[:, 1], -0.2, 0.8)
    if head.style in ("crop", "buzz", "short", "swept"):  # shorter at the sides
        grow *= 0.55 + 0.45 * ramp(scalp.points[:, 2], eye + 0.02, eye + 0.08 * size)
    if head.hat != "none":
        grow = np.minimum(grow, 0.008)
    layers = [scalp.cap(cover, grow + 0.0015, look)]
    if falls:
        layers.append(_falling(body, scalp, head, look, thick))
    if head.style == "tied":
        layers.append(_tail(scalp, head, look))
    if head.style == "bun":
        high = 0.02 + 0.08 * head.length
        centre = (0.0, scalp.back + 0.016, eye + high * size)
        layers.append(solid(*rounded_box(centre, (0.042, 0.036, 0.040), 0.9), look, scalp.bone))
    return layers


def _tufts(points: F32, head: Head) -> F32:
    """Uneven hair: a factor for each vertex from smooth noise over the head."""
    field = cloud(int(head.length * 1e6) + 3, 64, 9 if head.style == "curly" else 6)
    row = ((points[:, 2] + points[:, 1] * 0.5) * 160).astype(np.int64) % 64
    column = ((points[:, 0] + points[:, 1] * 0.7) * 160).astype(np.int64) % 64
    return np.asarray(0.62 + 0.76 * field[row, column], np.float32)


def _falling(body: Body, scalp: Scalp, head: Head, look: Look, thick: float) -> Layer:
    """Long hair from MakeHuman's hair, cut to length, open in front of the face."""
    chosen = select(body.model, "hair")
    points = body.vertices[chosen.ids].copy()
    size, eye = scalp.size, float(scalp.eye[2])
    fall = (0.10 + 0.07 * head.length) if head.style == "bob" else (0.20 + 0.26 * head.length)
    points = (points - scalp.centre) * np.array([0.95, 0.98, 1.0]) + scalp.centre + np.array([0, 0.008, 0.008])
    below = np.clip(eye - points[:, 2], 0, 1)
    points[:, 1] += (0.030 + thick) * ramp(below, 0.06, 0.20) * np.sign(points[:, 1] - scalp.centre[1] + 0.04)
    cover = np.minimum(
        points[:, 2] - (eye - fall * size),
        np.where(points[:, 1] < scalp.eye[1] + 0.055, points[:, 2] - eye - 0.07, 1.0),
    )
    layer = solid(points.astype(np.float32), chosen.faces, look, scalp.bone)
    shoulders = points[:, 2] < eye - 0.17 * size
    layer.influences[shoulders] = body.model.influences[chosen.ids[shoulders]]
    layer.weights[shoulders] = body.model.weights[chosen.ids[shoulders]]
    layer.cover = cover.astype(np.float32)
    layer.uv = np.stack([np.arctan2(points[:, 0], points[:, 1]) * 0.1, points[:, 2]], 1).astype(np.float32)
    return layer


def _tail(scalp: Scalp, head: Head, look: Look) -> Layer:
    """A ponytail: a tube that leaves the head and falls."""
    length = (0.14 + 0.20 * head.length) * scalp.size
    t = np.linspace(0, 1, 9)
    start = np.array([0.0, scalp.back - 0.004, scalp.eye[2] + (0.01 + 0.05 * head.length) * scalp.size])
    path = start + np.stack(
        [0 * t, 0.055 * np.sin(np.pi * np.minimum(t * 1.3, 1.0) * 0.7), 0.02 * t - length * t**1.2], -1
    )
    return solid(*tube(path, 0.010 + 0.024 * np.sin(np.pi * np.clip(t * 0.85 + 0.12, 0, 1)), 9), look, scalp.bone)


def hat_layers(body: Body, head: Head) -> list[Layer]:
    """Cap, beanie, brimmed hat, or a hood that is up."""
    if head.hat == "none":
        return []
    scalp = Scalp(body)
    size, eye = scalp.size, float(scalp.eye[2])
    look = Look(colour=head.hat_colour, folds=0.2, relief=RIBBED if head.hat == "beanie" else 0.0, hem=0.012)
    low = {"cap": 0.052, "beanie": 0.040, "brim": 0.058, "hood": -0.13}[head.hat] * size
    cover = scalp.points[:, 2] - eye - low
    if head.hat == "hood":
        cover = np.where(scalp.angle < 1.25, np.minimum(cover, scalp.points[:, 2] - eye - 0.075), cover)
    if head.hat in ("beanie", "brim"):
        cover = cover + 0.03 * ramp(scalp.angle, 1.2, 2.4)
    away = {"cap": 0.026, "beanie": 0.024, "brim": 0.030, "hood": 0.040}[head.hat]
    layers = [scalp.cap(cover, np.full(len(cover), away), look)]
    front = float(scalp.eye[1])
    if head.hat == "cap":
        vertices, faces = rounded_box((0.0, front - 0.055, eye + 0.060 * size), (0.076, 0.075, 0.007), 0.7)
        vertices[:, 2] -= 0.35 * np.clip(front - 0.01 - vertices[:, 1], 0, 1) ** 1.2
        layers.append(solid(vertices, faces, look, scalp.bone))
    if head.hat == "brim":
        brim = rounded_box((0.0, float(scalp.centre[1]), eye + 0.062 * size), (0.15, 0.165, 0.006), 0.9)
        layers.append(solid(*brim, look, scalp.bone))
    return layers


def scarf_layer(body: Body, colour: tuple[float, float, float]) -> Layer:
    """A scarf rolled around the neck."""
    around = np.linspace(-np.pi, np.pi, 24)
    base = body.joint("neck01")
    path = np.stack(
        [np.sin(around) * 0.075, base[1] - 0.012 + np.cos(around) * 0.078, base[2] + 0.045 + 0.016 * np.cos(around)], -1
    )
    rolled = tube(path, np.full(len(around), 0.030), 8)
    return solid(*rolled, Look(colour=colour, folds=0.9), body.model.bone("neck01"))
