"""Clothes cut from the tailor's form: shells at a distance from the body that drape from it, collars, hoods, skirts."""

import numpy as np

from snreid.synthetic.people.form import Form
from snreid.synthetic.people.identity import Garment
from snreid.synthetic.people.mesh import (
    F32,
    HARD,
    I32,
    QUILTED,
    RIBBED,
    SOFT,
    Layer,
    Look,
    bell,
    collar_ring,
    grid_faces,
    ramp,
    select,
    smoothed,
    solid,
    tube,
)  # fmt: skip

_OFF = {
    "tee": 0.006, "polo": 0.007, "shirt": 0.008, "longsleeve": 0.006, "sweater": 0.011, "tank": 0.005, "jacket": 0.020,
    "hoodie": 0.018, "blazer": 0.018, "coat": 0.024, "puffer": 0.040, "gilet": 0.030,
}  # fmt: skip
"""Metres between body and cloth."""
_LEGS = {"slim": (0.0, 0.0), "trousers": (0.070, 0.025), "wide": (0.100, 0.04), "shorts": (0.095, 0.03)}
"""Least radius of a leg, and what a loose one has more, metres."""


def upper_layers(
    form: Form, garment: Garment, texture: int, *, under: float = 0.0, tucked: bool = False, window: float | None = None
) -> list[Layer]:
    """A top or an outer garment with its fabric's texture: trunk and sleeves, collar, hood, a coat's skirt.

    ``under``: metres of cloth below it. ``tucked``: into the waistband. ``window``: worn below another garment that is open this far (0:
    closed), so only the visible part is made.
    """
    off = _OFF[garment.kind] + under
    hem = hem_height(form, garment, tucked)
    points = _upper_points(form, garment, off, hem)
    cover = _upper_cover(form, garment, hem)
    if window is not None:
        strip = window * 1.9 + 0.03 - np.abs(form.points[:, 0]) if window > 0 else np.full(len(points), -1.0)
        strip = np.where(form.points[:, 1] < form.middle, strip, -1.0)
        inside = np.maximum(strip, form.points[:, 2] - form.neck + 0.06)
        cover = np.asarray(np.minimum(cover, np.where(form.arm > 0.3, -1.0, inside)), np.float32)
    arm = form.arm > 0.5
    _, _, angle = form.around_trunk()
    uv = np.stack(
        [np.where(arm, form.around_arm * 0.07, angle * 0.16), np.where(arm, -form.along_arm * 0.28, form.points[:, 2])], 1
    )  # fmt: skip
    t = form.along_arm
    sleeve = bell(t, 1.0, 0.3) + 0.8 * bell(t, 1.85, 0.25) + 0.5 * bell(t, 0.0, 0.3)
    trunk = 0.35 + 0.9 * bell(form.points[:, 2], form.waist - 0.02, 0.10) + 0.5 * bell(form.points[:, 2], hem, 0.08)
    crease = np.where(arm, 0.3 + sleeve, trunk)
    relief = {"puffer": QUILTED, "gilet": QUILTED, "sweater": RIBBED}.get(garment.kind, SOFT)
    look = Look(
        texture=texture,
        relief=relief,
        folds=0.8 if relief == QUILTED else (0.30 if relief == RIBBED else 0.55 + 0.5 * garment.loose),
        gloss=0.07 if relief == QUILTED else 0.0,
        hem=0.035 if garment.kind in ("hoodie", "sweater", "puffer", "jacket") else 0.012,
    )
    layers = [form.layer(points, cover, uv.astype(np.float32), crease, look)]
    if garment.kind == "coat":
        layers.append(skirt_layer(form, garment, texture, hem + 0.04, coat_end(form, garment), under + 0.03))
    return layers + _collars(form, garment, texture, off)


def hem_height(form: Form, garment: Garment, tucked: bool) -> float:
    """Height of the hem of a top or outer garment on the body at rest; a coat continues as a skirt."""
    if tucked:
        return form.waist - 0.03
    usual = {"coat": form.waist - 0.02, "blazer": form.hip - 0.05, "tank": form.hip + 0.03}.get(garment.kind, form.hip)
    if garment.kind == "coat":
        return usual
    return max(usual - garment.length - 0.01, form.crotch - 0.02)


def coat_end(form: Form, garment: Garment) -> float:
    """Height of a coat's hem."""
    return form.knee + 0.16 - garment.length


def _upper_points(form: Form, garment: Garment, off: float, hem: float) -> F32:
    """The shell moved outward: draped around the trunk, wide around the arms."""
    top = float(form.body.joint("clavicle.L")[2]) - 0.05
    out, radius, _ = form.around_trunk()
    hung = form.draped(top, hem, 0.35 - 0.27 * garment.loose)
    wide = np.maximum(radius, radius + (hung - radius) * (0.35 + 0.65 * garment.loose)) + off
    wide += (0.016 + 0.018 * garment.loose) * ramp(-form.points[:, 2], -form.waist, -hem + 0.02)
    trunk = form.points.copy()
    trunk[:, :2] = np.array([0.0, form.middle]) + out * wide[:, None]
    near = form.points + form.normals * off
    share = (ramp(top + 0.02 - form.points[:, 2], 0.0, 0.10) * (1 - form.arm))[:, None]
    points = near * (1 - share) + trunk * share
    spoke = form.points - form.arm_axis
    thick = np.linalg.norm(spoke, axis=1) + 1e-6
    sleeve = (0.074 - 0.018 * form.along_arm) * (0.72 + 0.38 * garment.loose) + 0.6 * off
    tubed = form.arm_axis + spoke / thick[:, None] * np.maximum(thick + off, sleeve)[:, None]
    share = (form.arm * ramp(form.along_arm, 0.12, 0.5) * (1 - form.hand))[:, None]
    points = (points * (1 - share) + tubed * share).astype(np.float32)
    return np.asarray(smoothed(points, form.shell, 3) + form.normals * np.float32(0.003), np.float32)


def _upper_cover(form: Form, garment: Garment, hem: float) -> F32:
    """Metres from the nearest cut edge: hem, cuffs, neckline, open front."""
    x, y, z = form.points.T
    body = z - hem + 5 * np.clip(form.arm * 2 - 0.5, 0, 1)
    cuffs = (garment.sleeve - form.along_arm * np.clip(form.arm * 2, 0, 1)) * 0.3 + np.clip(1 - form.arm * 5, 0, 1)
    cover = np.where(form.hand > 0.9, -1.0, np.minimum(body, cuffs))
    front = y < form.middle
    line = form.neck + 0.035 - garment.neck * front * ramp(form.middle - y, 0.0, 0.08) - np.abs(x) * 0.08
    if garment.kind == "blazer":
        line = line - np.where(front, np.clip(0.26 - np.abs(x) * 3.4, 0, 9), 0)
    cover = np.minimum(cover, line - z + 5 * np.clip(np.abs(x) - 0.12, 0, 0.2))
    if garment.kind == "tank":
        cover = np.minimum(cover, 0.10 - np.abs(x) + 0.8 * np.clip(form.neck - 0.10 - z, 0, 1))
    if garment.front > 0:
        wide = garment.front * (1 + 0.9 * np.clip((form.neck - z) / 0.5, -0.5, 1))
        cover = np.where(front & (form.arm < 0.3), np.minimum(cover, np.abs(x) - wide), cover)
    return np.asarray(cover, np.float32)


def _collars(form: Form, garment: Garment, texture: int, off: float) -> list[Layer]:
    bone = form.body.model.bone("spine01")
    base = form.body.joint("neck01")
    around = form.points[(np.abs(form.points[:, 2] - form.neck - 0.02) < 0.03) & (np.abs(form.points[:, 0]) < 0.12)]
    radii = (0.058, 0.062) if len(around) < 4 else (float(np.abs(around[:, 0]).max()) * 0.9, 0.066)
    radii = (min(max(radii[0], 0.055), 0.08) + off * 0.5, radii[1] + off * 0.5)
    centre = np.array([0.0, base[1] - 0.012, form.neck + 0.015])
    gap = 0.5 if garment.front > 0 else 0.25
    shape = {
        "shirt": [(0.004, 0.030), (0.014, 0.036), (0.034, -0.010)],
        "polo": [(0.004, 0.026), (0.014, 0.030), (0.032, -0.008)],
        "jacket": [(0.022, -0.02), (0.016, 0.030), (0.022, 0.045)],
        "puffer": [(0.030, -0.02), (0.030, 0.040), (0.020, 0.065)],
        "gilet": [(0.028, -0.02), (0.028, 0.035), (0.020, 0.055)],
        "blazer": [(0.008, 0.026), (0.018, 0.030), (0.048, -0.020)],
        "coat": [(0.010, 0.030), (0.022, 0.038), (0.056, -0.024)],
        "sweater": [(0.018, -0.03), (0.012, 0.012), (0.014, 0.020)],
    }.get(garment.kind)
    layers = []
    if shape is not None:
        vertices, faces = collar_ring(centre, shape, radii, gap if garment.kind != "sweater" else 0.0)
        layers.append(solid(vertices, faces, Look(texture=texture, folds=0.1, gloss=0.0), bone))
    if garment.kind == "hoodie":
        layers.append(_hood_down(centre, radii, texture, bone))
    return layers


def _hood_down(centre: F32, radii: tuple[float, float], texture: int, bone: int) -> Layer:
    """A hood that lies on the back: a roll around the neck, thick behind."""
    around = np.linspace(-2.6, 2.6, 22)
    behind = (1 + np.cos(around)) / 2
    path = np.stack(
        [
            np.sin(around) * (radii[0] + 0.030),
            centre[1] + np.cos(around) * (radii[1] + 0.02) + 0.03 * behind,
            centre[2] + 0.005 - 0.03 * behind,
        ],
        -1,
    )
    vertices, faces = tube(path, 0.018 + 0.042 * behind**1.5, 10)
    return solid(vertices, faces, Look(texture=texture, folds=0.5), bone)


def leg_layers(form: Form, garment: Garment, texture: int, top: float, *, waistband: bool) -> list[Layer]:
    """Trousers and shorts: tubes around the legs that hang from thigh to hem, made only below ``top``, since cloth hidden
    by other clothes could pierce them. ``waistband``: the top is tucked in."""
    end = leg_end(form, garment)
    slim = garment.kind == "slim"
    off = 0.004 + 0.004 * garment.loose if slim else 0.008 + 0.010 * garment.loose
    usual, more = _LEGS[garment.kind]
    spoke = form.points - form.leg_axis
    thick = np.linalg.norm(spoke, axis=1) + 1e-6
    hung = np.maximum(thick + off, (usual + more * garment.loose) * ramp(form.hip - form.points[:, 2], 0.02, 0.30))
    share = (form.leg * ramp(form.hip - form.points[:, 2], 0.0, 0.12) * (form.foot < 0.8))[:, None]
    points = form.points + form.normals * off
    points = points * (1 - share) + (form.leg_axis + spoke / thick[:, None] * hung[:, None]) * share
    z = form.points[:, 2]
    bound = ramp(z, form.waist - 0.08, form.waist) * 0.006
    if not waistband:
        bound = -ramp(z, top - 0.08, top - 0.03) * (off + 0.004)
    points = points + form.normals * bound[:, None]
    cover = np.minimum(top - z, z - end)
    cover = np.where(form.arm > 0.2, -1.0, cover).astype(np.float32)
    angle = np.arctan2(spoke[:, 0] * np.sign(form.points[:, 0] + 1e-9), -spoke[:, 1])
    t = form.along_leg
    crease = 0.30 + 0.9 * bell(t, 1.0, 0.16) + 0.7 * bell(t, 0.05, 0.25) + (1.1 if slim else 0.9) * bell(t, 1.9, 0.22)
    look = Look(texture=texture, folds=0.50 + 0.45 * garment.loose, hem=0.012, gloss=0.0)
    uv = np.stack([angle * 0.09, z], 1).astype(np.float32)
    return [form.layer(smoothed(points.astype(np.float32), form.shell, 2), cover, uv, crease, look)]


def leg_end(form: Form, garment: Garment) -> float:
    """Height of the hem of trousers or shorts on the body at rest."""
    if garment.kind == "shorts":
        return form.knee + 0.05 - garment.length
    return form.ankle - 0.025 - min(garment.length, 0.03)


def skirt_layer(form: Form, garment: Garment, texture: int, top: float, end: float, off: float) -> Layer:
    """A skirt, or the lower part of a dress or a coat, from MakeHuman's skirt; its weights let the legs move it."""
    model = form.body.model
    chosen = select(model, "skirt")
    points = form.body.vertices[chosen.ids].copy()
    fall = np.clip(form.hip + 0.12 - points[:, 2], 0, 1)
    flare = 1.0 + off * 5 + (0.35 * garment.loose - 0.16) * fall
    angle = np.arctan2(points[:, 0], -(points[:, 1] - form.middle))
    flare = flare + 0.035 * np.sin(angle * 11 + garment.fabric.seed % 7) * np.clip(fall * 2.5, 0, 1) * garment.loose
    points[:, 0] *= flare
    points[:, 1] = form.middle + (points[:, 1] - form.middle) * flare
    cover = np.minimum(points[:, 2] - end, top - points[:, 2])
    if garment.kind == "coat" and garment.front > 0:
        cover = np.where(points[:, 1] < form.middle, np.minimum(cover, np.abs(points[:, 0]) - garment.front), cover)
    place = np.stack([points[:, 0], points[:, 2], (points[:, 1] < form.middle).astype(np.float32), 0 * points[:, 0]], 1)
    return Layer(
        vertices=points.astype(np.float32),
        faces=chosen.faces,
        look=Look(texture=texture, folds=0.50 + 0.4 * garment.loose, hem=0.012, gloss=0.0),
        influences=model.influences[chosen.ids],
        weights=model.weights[chosen.ids],
        cover=cover.astype(np.float32),
        uv=np.stack([angle * 0.16, points[:, 2]], 1).astype(np.float32),
        place=place.astype(np.float32),
        crease=(0.4 + 0.6 * fall).astype(np.float32),
    )


def skirt_end(form: Form, garment: Garment) -> float:
    """Height of a skirt's or dress's hem on the body at rest."""
    if garment.kind == "long skirt":
        return form.ankle + 0.14 - garment.length
    return form.knee + 0.10 - garment.length


def tights_layer(form: Form, colour: tuple[float, float, float], top: float) -> Layer:
    """Tights or leggings below a skirt, close to the skin."""
    z = form.points[:, 2]
    cover = np.where(form.arm > 0.2, -1.0, np.minimum(top - z, z - form.ankle + 0.05)).astype(np.float32)
    uv = form.points[:, [0, 2]]
    points = form.points + form.normals * np.float32(0.001)
    return form.layer(points, cover, uv, np.zeros(len(z), np.float32), Look(colour=colour, gloss=0.01))


def shoe_layers(
    form: Form, kind: str, colour: tuple[float, float, float], sole: tuple[float, float, float]
) -> list[Layer]:
    """A pair of shoes: lofts along the feet with a sole of its own colour; a boot's shaft is cut from the stocking."""
    layers = []
    for side, sign in (("L", 1.0), ("R", -1.0)):
        chosen = (form.foot > 0.6) & (form.points[:, 0] * sign > 0)
        vertices, faces = _shoe(form.points[chosen], form, kind)
        look = Look(surface=HARD, colour=colour, gloss=0.22 if kind in ("leather", "boot") else 0.06)
        layer = solid(vertices, faces, look, form.body.model.bone(f"foot.{side}"))
        thick = 0.030 if kind == "sneaker" else 0.016
        layer.decals.append([0, -9, 9, form.ground - 0.1, form.ground + thick, 0, *sole, 1.0, 0])
        if kind == "sneaker":
            light = tuple(min(1.0, share * 0.5 + 0.45) for share in colour)
            layer.decals.append([0, -9, 9, form.ground + 0.055, form.ground + 0.07, 0, *light, 0.55, 0])
        layers.append(layer)
    if kind == "boot":
        z = form.points[:, 2]
        cover = np.where(form.arm > 0.2, -1.0, form.ankle + 0.14 - z).astype(np.float32)
        points = form.points + form.normals * np.float32(0.012)
        crease = bell(form.along_leg, 1.95, 0.15)
        look = Look(surface=HARD, colour=colour, gloss=0.2, folds=0.3, hem=0.012)
        layers.append(form.layer(points, cover, form.points[:, [0, 2]], crease, look))
    return layers


def _shoe(foot: F32, form: Form, kind: str) -> tuple[F32, I32]:
    """A loft through stations from heel to toe: widths and heights of a shoe around this foot."""
    low = foot[foot[:, 2] < form.ground + 0.05]
    low = low if len(low) > 8 else foot
    middle = low[:, :2].mean(0)
    _, _, axes = np.linalg.svd(low[:, :2] - middle, full_matrices=False)
    along = axes[0] * (1.0 if axes[0][1] < 0 else -1.0)  # forward is -y
    across = np.array([-along[1], along[0]])
    reach, side = (low[:, :2] - middle) @ along, (low[:, :2] - middle) @ across
    heel, toe = reach.min() - 0.012, reach.max() + 0.022
    half = (side.max() - side.min()) / 2 + 0.006
    s = np.array([0.0, 0.03, 0.1, 0.2, 0.3, 0.42, 0.55, 0.68, 0.8, 0.9, 0.97, 1.0])
    width = np.array([0.30, 0.52, 0.68, 0.72, 0.72, 0.76, 0.86, 0.98, 1.0, 0.86, 0.58, 0.30])
    height = np.array([0.060, 0.085, 0.100, 0.104, 0.100, 0.088, 0.074, 0.062, 0.055, 0.048, 0.040, 0.026])
    if kind in ("leather", "sandal"):
        width, height = width * 0.94, height * (0.86 if kind == "leather" else 0.5)
    around = np.linspace(0, 2 * np.pi, 14, endpoint=False)
    wide, high = np.cos(around), np.sin(around)
    wide = np.sign(wide) * np.abs(wide) ** 0.55
    up = np.clip(0.35 + 0.65 * np.sign(high) * np.abs(high) ** 0.8, 0.0, 1.0)
    offset = (side.max() + side.min()) / 2
    place = middle + (heel + s * (toe - heel))[:, None] * along
    points = np.zeros((len(s), len(around), 3), np.float32)
    flat = place[:, None] + (offset + width[:, None] * half * wide[None])[..., None] * across
    points[..., :2] = flat
    points[..., 2] = form.ground - 0.016 + up[None] * (height[:, None] + 0.016)

    return points.reshape(-1, 3), grid_faces(len(s), len(around))
