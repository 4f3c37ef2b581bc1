"""From an identity and a moment to solids: a skeleton in mid-step, flesh on it, clothes over it.

About forty quadrics a person. Heights are shares of the person's height, widths in metres, after the usual tables of
adult proportions (crotch at 0.48, shoulders at 0.82, head 0.23 m tall).
"""

from math import sqrt
from typing import NamedTuple

from snreid.synthetic.pedestrians.exact import cosine, sine
from snreid.synthetic.pedestrians.identity import Pedestrian, PedestrianGarment, PedestrianHead
from snreid.synthetic.pedestrians.moment import PedestrianMoment
from snreid.synthetic.pedestrians.solids import Point, Solid, ellipsoid, limb, moved, upright
from snreid.synthetic.pedestrians.surface import Colour, Decal, Surface, shaded


class _Joints(NamedTuple):
    """Joints of one side of a body in the body frame, metres."""

    hip: Point
    knee: Point
    ankle: Point
    shoulder: Point
    elbow: Point
    hand: Point
    tilt: float
    """Downward tilt of the foot, as the sine of an angle."""


_Skeleton = tuple[_Joints, _Joints]
"""Left and right."""


def pose(identity: Pedestrian, moment: PedestrianMoment) -> _Skeleton:
    """The skeleton in this moment's step."""
    return _joints(identity, moment, 1), _joints(identity, moment, -1)


def _joints(identity: Pedestrian, moment: PedestrianMoment, side: int) -> _Joints:
    build = identity.build
    tall, leg = build.height, 0.252 * build.height * build.legs
    phase = moment.phase + (0.0 if side > 0 else 0.5)
    swing = moment.stride * sine(phase)
    bend = moment.stride * 1.4 * max(0.0, sine(phase - 0.22)) + 0.008
    hip = (side * 0.078 * build.hips, 2.0 * leg + 0.045, 0.0)
    knee = _hang(hip, swing, side * 0.003, leg)
    ankle = _hang(knee, swing - bend, 0.0, leg)
    carries = identity.bag in ("handbag", "shopping") and side == identity.bag_side
    arm = -moment.stride * (0.25 if carries else 0.9) * sine(phase)
    shoulder = (side * 0.178 * build.shoulders, 0.787 * tall, -0.01)
    elbow = _hang(shoulder, arm - 0.01, side * (0.028 + 0.03 * (build.girth - 1.0)), 0.172 * tall)
    hand = _hang(elbow, arm + 0.02 + max(0.0, arm) * 0.8, side * 0.008, 0.155 * tall)
    return _Joints(hip, knee, ankle, shoulder, elbow, hand, tilt=max(0.0, sine(bend)) * 0.8)


def _hang(top: Point, forward: float, outward: float, length: float) -> Point:
    """The other end of a bone hanging from ``top``, swung forward and outward by angles in turns."""
    out = sine(outward)
    down = sqrt(1.0 - out * out)
    return (top[0] + length * out, top[1] - length * cosine(forward) * down, top[2] + length * sine(forward) * down)


def person_solids(identity: Pedestrian, moment: PedestrianMoment) -> list[Solid]:
    """All solids of a person in the body frame, standing on y = 0."""
    bones = pose(identity, moment)
    solids = [
        *_legs(identity, bones),
        *_torso(identity, bones),
        *_arms(identity, bones),
        *_head(identity.head, identity.build.height, identity.build.head),
        *_bag(identity, bones),
    ]
    sole = min(joints.ankle[1] for joints in bones) - 0.045
    return [moved(solid, (0.0, -sole, 0.0)) for solid in solids]


def _legs(identity: Pedestrian, bones: _Skeleton) -> list[Solid]:
    build, bottom = identity.build, identity.bottom
    fabric = Surface(bottom.colour, bottom.pattern, bottom.second, bottom.period)
    skin = Surface(identity.head.skin)
    thick = build.limbs
    loose = 1.28 if bottom.kind == "wide" else 1.0
    long = bottom.kind in ("trousers", "wide")
    solids = []
    upper = fabric if long or bottom.kind == "shorts" else skin
    lower = fabric if long else skin
    wide = 0.081 * thick * (loose if long else 1.10 if bottom.kind == "shorts" else 0.85)
    narrow = 0.060 * thick * (loose if long else 1.25 if bottom.kind == "shorts" else 0.9)
    calf, ankle_width = (0.058 * thick * loose, 0.05 * loose) if long else (0.053 * thick, 0.036 * thick)
    for joints in bones:
        solids += [
            limb(joints.hip, joints.knee, wide, narrow, upper),
            ellipsoid(joints.knee, (calf, calf, calf * 1.1), lower),
            limb(joints.knee, joints.ankle, calf, ankle_width, lower),
            _shoe(identity, joints.ankle, joints.tilt),
        ]
    if bottom.kind in ("skirt", "long skirt"):
        hem = 0.29 if bottom.kind == "skirt" else 0.12
        solids += _drape(identity, bones, hem, 0.045, fabric)
    return solids


def _drape(identity: Pedestrian, bones: _Skeleton, hem: float, flare: float, cloth: Surface) -> list[Solid]:
    """A skirt or a coat's lower part, from waist to ``hem`` (share of the height), wide enough to step in."""
    tall, thick = identity.build.height, identity.build.limbs
    hips = 0.078 * identity.build.hips + 0.088 * thick
    reach = 0.0
    for (_, top, start), (_, knee, middle), (_, ankle, end), *_ in bones:
        at = middle if hem * tall >= knee else middle + (end - middle) * (knee - hem * tall) / (knee - ankle)
        at = start + (at - start) * min(1.0, (top - hem * tall) / (top - knee))
        reach = max(reach, abs(at) + 0.075 * thick, abs(middle) * 0.9 + 0.07 * thick)
    low = hips + flare
    depth = max(0.72, reach / low)
    return [
        upright(hem * tall, 0.47 * tall, low, hips, depth, cloth),
        # Closes the wide cone; otherwise the view from above would show its inside.
        ellipsoid((0.0, 0.47 * tall, 0.0), (hips, hips * depth, 0.065 * tall), cloth, origin=(0.0, 0.47 * tall)),
    ]


def _shoe(identity: Pedestrian, ankle: Point, tilt: float) -> Solid:
    flat = sqrt(1.0 - tilt * tilt)
    axes = ((1.0, 0.0, 0.0), (0.0, -tilt, flat), (0.0, flat, tilt))
    sole = Decal("box", identity.soles, side=0, at=(0.0, -0.045), size=(0.2, 0.018))
    centre = (ankle[0], ankle[1] - 0.005, ankle[2] + 0.055)
    return ellipsoid(centre, (0.05, 0.135, 0.05), Surface(identity.shoes, decals=(sole,)), axes=axes)


def _front(garment: PedestrianGarment, tall: float, trim: bool) -> tuple[Decal, ...]:
    """Logos of a shirt on chest and back; ``trim`` adds a collar."""
    decals = []
    size = garment.logo_size
    if garment.logo == "wedge":
        decals.append(Decal("wedge", garment.second, at=(0.0, 0.80 * tall), size=(0.09, 0.07)))
    elif garment.logo != "none":
        decals.append(Decal(garment.logo, garment.second, at=(0.0, 0.715 * tall), size=(size, size)))
    if garment.back_logo != "none":
        decals.append(Decal(garment.back_logo, garment.second, side=-1, at=(0.0, 0.73 * tall), size=(size, size)))
    if trim:
        decals.append(Decal("box", shaded(garment.colour, 0.5), at=(0.0, 0.70 * tall), size=(0.006, 0.13 * tall)))
    return tuple(decals)


def _opening(identity: Pedestrian) -> tuple[Decal, ...]:
    """The front of an open or zipped jacket, and its back print."""
    jacket, top, tall = identity.jacket, identity.top, identity.build.height
    decals: list[Decal] = []
    if jacket.kind == "open":
        decals.append(Decal("box", top.colour, at=(0.0, 0.66 * tall), size=(0.062, 0.2 * tall)))
        if top.logo != "none":
            decals.append(Decal(top.logo, top.second, at=(0.0, 0.72 * tall), size=(0.05, 0.05)))
    else:
        decals.append(Decal("wedge", top.colour, at=(0.0, 0.79 * tall), size=(0.06, 0.07)))
        decals.append(Decal("box", jacket.second, at=(0.0, 0.6 * tall), size=(0.010, 0.2 * tall)))
    if jacket.back_logo != "none":
        size = jacket.logo_size
        decals.append(Decal(jacket.back_logo, jacket.second, side=-1, at=(0.0, 0.72 * tall), size=(size, size * 0.8)))
    return tuple(decals)


def _straps(identity: Pedestrian) -> tuple[Decal, ...]:
    """Of a backpack over the front, of a shoulder bag across front and back."""
    tall, side = identity.build.height, float(identity.bag_side)
    if identity.bag == "backpack":
        return tuple(
            Decal("box", identity.bag_colour, at=(x, 0.75 * tall), size=(0.021, 0.1 * tall)) for x in (-0.105, 0.105)
        )
    if identity.bag == "shoulder":
        size = (-0.17 * side, 0.16 * tall)
        return tuple(Decal("strap", identity.bag_colour, side=s, at=(0.0, 0.68 * tall), size=size) for s in (1, -1))
    return ()


def _torso(identity: Pedestrian, bones: _Skeleton) -> list[Solid]:
    build, jacket, top = identity.build, identity.jacket, identity.top
    tall, worn = build.height, jacket.kind != "none"
    outer = jacket if worn else top
    decals = _opening(identity) if worn else _front(top, tall, top.kind == "shirt")
    hem = {"none": 0.50, "open": 0.465, "zipped": 0.475, "coat": 0.30}[jacket.kind] * tall
    cloth = Surface(outer.colour, outer.pattern, outer.second, outer.period, (*decals, *_straps(identity)),
                    (hem, 0.82 * tall))  # fmt: skip
    more = 0.024 if worn else 0.015 if top.kind == "jumper" else 0.008
    waist = 0.128 * build.girth + more
    chest = 0.150 * build.shoulders + 0.02 * (build.girth - 1.0) + more
    hips = 0.152 * build.hips * (0.5 + 0.5 * build.girth) + more
    fabric = Surface(identity.bottom.colour, identity.bottom.pattern, identity.bottom.second, identity.bottom.period)
    solids = [
        upright(0.47 * tall, 0.51 * tall, hips - more, hips - more, 0.68, fabric),
        ellipsoid((0.0, 0.475 * tall, 0.0), (hips - more, (hips - more) * 0.68, 0.06), fabric),
        upright(max(hem, 0.50 * tall), 0.60 * tall, hips, waist, 0.70, cloth),
        upright(0.60 * tall, 0.785 * tall, waist, chest, 0.66, cloth),
        ellipsoid((0.0, 0.775 * tall, -0.005), (0.172 * build.shoulders + more, chest * 0.68, 0.052 * tall), cloth,
                  origin=(0.0, 0.775 * tall)),
        ellipsoid((0.0, 0.806 * tall, -0.02), (0.115 * build.shoulders, 0.062, 0.034 * tall), cloth,
                  origin=(0.0, 0.806 * tall)),
        ellipsoid((0.0, 0.825 * tall, -0.005), (0.058, 0.06, 0.06), Surface(identity.head.skin)),
    ]  # fmt: skip
    if jacket.kind == "coat":
        solids += _drape(identity, bones, hem / tall, 0.035, cloth)
    elif hem < 0.50 * tall:
        solids.append(upright(hem, 0.50 * tall, hips + 0.004, hips, 0.70, cloth))
    if build.girth > 1.08:
        belly = (waist * 0.97, waist * 0.74, 0.115 * tall)
        solids.append(ellipsoid((0.0, 0.60 * tall, 0.022), belly, cloth, origin=(0.0, 0.60 * tall)))
    return solids


def _arms(identity: Pedestrian, bones: _Skeleton) -> list[Solid]:
    build, worn = identity.build, identity.jacket.kind != "none"
    outer = identity.jacket if worn else identity.top
    sleeve = Surface(outer.colour, outer.pattern if outer.pattern != "blocks" else "plain", outer.second, outer.period)
    skin = Surface(identity.head.skin)
    long = worn or identity.top.kind in ("shirt", "jumper")
    short = identity.top.kind == "tee"
    more = 0.012 if worn else 0.0
    upper = sleeve if long or short else skin
    lower = sleeve if long else skin
    wide = 0.054 * build.limbs + more + (0.006 if short and not worn else 0.0)
    narrow = 0.042 * build.limbs + more + (0.008 if short and not worn else 0.0)
    elbow_width = narrow * 0.98 if long else 0.038 * build.limbs
    wrist = 0.034 * build.limbs + more if long else 0.027 * build.limbs
    solids = []
    for joints in bones:
        x, y, z = joints.hand
        solids += [
            ellipsoid(joints.shoulder, (wide * 1.03, wide * 1.03, wide * 1.03), upper),
            limb(joints.shoulder, joints.elbow, wide, narrow, upper),
            ellipsoid(joints.elbow, (elbow_width, elbow_width, elbow_width), lower),
            limb(joints.elbow, joints.hand, elbow_width, wrist, lower),
            ellipsoid((x, y - 0.045, z + 0.01), (0.03, 0.045, 0.075), skin),
        ]
    return solids


def _face(head: PedestrianHead) -> tuple[Decal, ...]:
    dark = shaded(head.skin, 0.35)
    decals = [
        Decal("disc", dark, at=(-0.032, 0.012), size=(0.014, 0.008)),
        Decal("disc", dark, at=(0.032, 0.012), size=(0.014, 0.008)),
        Decal("box", shaded(head.skin, 0.5), at=(0.0, -0.062), size=(0.026, 0.007)),
        Decal("box", shaded(head.skin, 0.78), at=(0.0, -0.02), size=(0.010, 0.02)),
    ]
    if head.beard:
        decals.insert(0, Decal("box", shaded(head.hair, 1.3), at=(0.0, -0.085), size=(0.1, 0.045)))
    if head.glasses:
        frame: Colour = (0.02, 0.02, 0.02)
        decals.append(Decal("box", frame, at=(-0.034, 0.012), size=(0.027, 0.017)))
        decals.append(Decal("box", frame, at=(0.034, 0.012), size=(0.027, 0.017)))
    return tuple(decals)


def _head(head: PedestrianHead, tall: float, scale: float) -> list[Solid]:
    middle = tall - 0.12 * scale
    neck = limb((0.0, 0.80 * tall, -0.02), (0.0, middle - 0.05, 0.0), 0.058, 0.05, Surface(head.skin))
    skull = ellipsoid(
        (0.0, middle, 0.0), (0.078 * scale, 0.098 * scale, 0.118 * scale), Surface(head.skin, decals=_face(head))
    )
    return [neck, skull, *_hair(head, middle, scale), *_hat(head, middle, scale)]


def _hair(head: PedestrianHead, middle: float, scale: float) -> list[Solid]:
    hair = Surface(head.hair)

    def lock(x: float, up: float, forward: float, wide: float, deep: float, high: float) -> Solid:
        """An ellipsoid of hair: its offset from the middle of the head, and its radii."""
        at = (x * scale, middle + up * scale, forward * scale)
        return ellipsoid(at, (wide * scale, deep * scale, high * scale), hair)

    cap = lock(0.0, 0.030, -0.022, 0.086, 0.098, 0.104)
    kinds = {
        "bald": [],
        "short": [cap],
        "afro": [lock(0.0, 0.035, -0.025, 0.125, 0.12, 0.125)],
        "bob": [cap, lock(0.0, -0.025, -0.045, 0.105, 0.075, 0.115)],
        "long": [cap, lock(0.0, -0.02, -0.04, 0.1, 0.075, 0.12), lock(0.0, -0.15, -0.075, 0.105, 0.05, 0.17)],
        "ponytail": [cap, lock(0.0, -0.06, -0.125, 0.032, 0.04, 0.13)],
        "bun": [cap, lock(0.0, 0.09, -0.075, 0.05, 0.05, 0.05)],
    }
    return kinds[head.style]


def _hat(head: PedestrianHead, middle: float, scale: float) -> list[Solid]:
    if head.hat == "none":
        return []
    cloth = Surface(head.hat_colour)
    radii = (0.092 * scale, 0.112 * scale, 0.108 * scale)
    crown = ellipsoid((0.0, middle + 0.035 * scale, -0.008), radii, cloth, cut=(0.005, 1.0))
    if head.hat == "cap":
        return [crown, ellipsoid((0.0, middle + 0.045 * scale, 0.10 * scale), (0.075, 0.085, 0.014), cloth)]
    if head.hat == "brim":
        return [crown, ellipsoid((0.0, middle + 0.045 * scale, 0.0), (0.165, 0.175, 0.014), cloth)]
    return [
        ellipsoid((0.0, middle + 0.035 * scale, -0.012), (radii[0], radii[1], 0.115 * scale), cloth, cut=(-0.01, 1.0))
    ]


def _bag(identity: Pedestrian, bones: _Skeleton) -> list[Solid]:
    tall, side = identity.build.height, identity.bag_side
    if identity.bag == "none":
        return []
    if identity.bag == "backpack":
        trim = (
            Decal("box", identity.bag_trim, side=-1, at=(0.0, -0.06), size=(0.09, 0.012)),
            Decal("box", shaded(identity.bag_colour, 0.6), side=-1, at=(0.0, -0.13), size=(0.09, 0.05)),
        )
        surface = Surface(identity.bag_colour, decals=trim)
        y, z = 0.695 * tall, -0.165 * (0.6 + 0.4 * identity.build.girth)
        body = moved(upright(0.0, 0.34, 0.135, 0.125, 0.62, surface, at=(0.0, z)), (0.0, y - 0.2, 0.0))
        return [
            body._replace(origin=(0.0, -0.2)),
            ellipsoid((0.0, y + 0.14, z), (0.125, 0.078, 0.085), surface, origin=(0.0, 0.14)),
            ellipsoid((0.0, y - 0.2, z), (0.135, 0.084, 0.04), surface, origin=(0.0, -0.2)),
        ]
    flap = (Decal("box", identity.bag_trim, side=0, at=(0.0, 0.03), size=(0.3, 0.012)),)
    surface = Surface(identity.bag_colour, decals=flap)
    if identity.bag == "shoulder":
        place = (side * (0.17 * identity.build.hips + 0.045), 0.50 * tall, -0.02)
        return [ellipsoid(place, (0.06, 0.15, 0.125), surface)]
    x, hand, z = bones[0 if side > 0 else 1].hand
    y = hand - 0.24
    if identity.bag == "handbag":
        return [
            ellipsoid((x, y + 0.01, z), (0.055, 0.145, 0.10), surface),
            limb((x, hand - 0.05, z), (x, y + 0.07, z), 0.02, 0.05, Surface(identity.bag_colour)),
        ]
    return [
        moved(upright(0.0, 0.28, 0.105, 0.06, 1.25, surface, at=(x, z)), (0.0, y - 0.13, 0.0)),
        ellipsoid((x, y - 0.13, z), (0.105, 0.13, 0.03), surface),
    ]
