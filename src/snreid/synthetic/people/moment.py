"""One instant: the person's place, heading and limbs, the people nearby, and the detector's crop."""

from dataclasses import dataclass
from math import atan2, cos, pi, sin

import numpy as np

from snreid.synthetic.limits import check_fields
from snreid.synthetic.people import wardrobe
from snreid.synthetic.people.camera import Viewpoint
from snreid.synthetic.people.identity import Identity
from snreid.synthetic.people.posture import Posture
from snreid.synthetic.people.site import SceneArrays
from snreid.synthetic.randomness import Draws

CROWD = 12
"""Different passers-by at one site."""
_CROWDED, _MANY = 0.42, 0.35
"""Share of images with another person near the box, and of those with a second one."""
_TRIES = 24


@dataclass(frozen=True, kw_only=True)
class Step:
    """A person's place and heading."""

    place: tuple[float, float] = (0.0, 0.0)
    heading: float = 0.0
    """Direction faced: 0 along -y, a quarter turn along x."""
    posture: Posture = Posture()


@dataclass(frozen=True, kw_only=True)
class CropBox:
    """Deviation of the detector's box from the tightest one. The positions of people in random crops
    approximate the profiles of CUHK03's training images: narrow boxes that often lack the feet."""

    shift: tuple[float, float] = (0.0, 0.0)
    """Shares of its width and height: right and down."""
    zoom: float = 1.06
    """Its height, relative to the person's."""
    aspect: float = 0.42
    """Its width, relative to its height; widened if the person is wider."""
    cut: float = 1.0
    """Share of the person, from the head, that is inside: below 1 the legs are missing."""

    def __post_init__(self) -> None:
        check_fields(self, zoom=(0.5, 3.0), aspect=(0.15, 2.0), cut=(0.2, 1.0))


@dataclass(frozen=True, kw_only=True)
class Moment:
    """Everything that changes from image to image. Every field can be set independently."""

    step: Step = Step()
    others: tuple[tuple[int, Step], ...] = ()
    """Passers-by: the number in the site's crowd, and the place."""
    box: CropBox = CropBox()
    cloud: float = 0.0
    """Share of the sun that is hidden."""
    seed: int = 0
    """Seed of the sensor's noise."""

    def __post_init__(self) -> None:
        check_fields(self, cloud=(0.0, 1.0))


def draw_moment(view: Viewpoint, stage: SceneArrays, who: Identity, track: Draws, shot: Draws) -> Moment:
    """A random moment in front of a camera. ``track`` is shared by the shots of one person on one camera."""
    place = _place(view, stage, shot)
    towards = atan2(view.place[1] - place[1], view.place[0] - place[0]) + pi / 2  # heading that faces the camera
    ways = (0.0, pi, pi / 2, -pi / 2, pi / 4, -pi / 4, 3 * pi / 4, -3 * pi / 4)
    way = track.pick("way", ways, (3, 3, 2, 2, 1, 1, 1, 1))
    turned = shot.pick("turned", (0.0, pi / 2, -pi / 2, pi), (7, 1, 1, 0.6))
    heading = towards + way + turned + track.bell("bend", 0.0, 0.2) + shot.bell("heading", 0.0, 0.25)
    action = shot.pick("action", [word for word, _ in wardrobe.ACTIONS], [weight for _, weight in wardrobe.ACTIONS])
    action = action if who.bicycle is None else "ride"
    clear = shot.chance("mostly clear", 0.8)
    return Moment(
        step=Step(place=place, heading=heading, posture=_posture(who, action, shot)),
        others=_others(view, stage, place, shot) if shot.chance("crowded", _CROWDED) else (),
        box=_box(shot.below("box")),
        cloud=shot.uniform("cloud", 0.0, 0.25) if clear else shot.uniform("clouded", 0.3, 0.95),
        seed=shot.bits("noise") >> 16,
    )


def _place(view: Viewpoint, stage: SceneArrays, draws: Draws) -> tuple[float, float]:
    """A free place in view with little in between; the last attempt is accepted as it is."""
    eye, nearest = view.eye, 3.0 + 0.4 * view.height
    farthest = max(nearest + 2.0, min(18.0, view.focal / 42))
    for index in range(_TRIES):
        away = draws.uniform(f"away {index}", nearest, farthest)
        aside = draws.uniform(f"aside {index}", -0.8, 0.8) * view.view * away
        c, s = cos(view.heading), sin(view.heading)
        x, y = view.place[0] + c * away + s * aside, view.place[1] + s * away - c * aside
        if max(abs(x), abs(y)) > 13 or not stage.free(x, y):
            continue
        if all(stage.sees(eye, np.array([x, y, z], np.float32)) for z in (1.65, 1.3, 0.85)):
            sides = (-0.3,) if draws.chance(f"partly hidden {index}", 0.3) else (-0.3, 0.3)
            if all(stage.sees(eye, np.array([x + s * side, y - c * side, 1.1], np.float32)) for side in sides):
                break
    return x, y


def _posture(who: Identity, action: str, draws: Draws) -> Posture:
    gait, leaning = who.gait, 0.30 if action == "ride" else 0.0
    standing = action == "stand" or (action in ("phone", "call", "hold") and draws.chance("stops", 0.4))
    walks = min(max(gait.stride * draws.uniform("pace", 0.75, 1.15), 0.1), 1.5)
    return Posture(
        action=action,
        phase=draws.uniform("phase"),
        stride=draws.uniform("still", 0.0, 0.12) if standing else walks,
        swing=gait.swing,
        spread=gait.spread + draws.uniform("spread", -0.02, 0.04),
        lean=min(max(gait.lean + leaning + draws.bell("lean", 0.0, 0.025), -0.1), 0.5),
        head=(draws.bell("head", 0.0, 0.28), draws.bell("nod", 0.06, 0.10)),
        side=1 if draws.chance("left", 0.5) else -1,
        laden=who.laden,
    )


def _box(draws: Draws) -> CropBox:
    kind = draws.uniform("cut off")
    cut = draws.uniform("cut", 0.45, 0.85) if kind < 0.07 else draws.uniform("feet", 0.84, 1.0) if kind < 0.5 else 1.0
    loose = draws.chance("loose", 0.15)
    return CropBox(
        shift=(draws.bell("right", 0.0, 0.08 if loose else 0.04), draws.bell("down", 0.0, 0.03 if loose else 0.012)),
        zoom=min(max(draws.bell("zoom", 1.18 if loose else 1.05, 0.06 if loose else 0.03), 0.92), 1.45),
        aspect=min(max(draws.bell("aspect", 0.45 if loose else 0.40, 0.05), 0.30), 0.65),
        cut=cut,
    )


def _others(
    view: Viewpoint, stage: SceneArrays, place: tuple[float, float], draws: Draws
) -> tuple[tuple[int, Step], ...]:
    """One or two passers-by, mostly behind or beside the person."""
    others = []
    for index in range(2 if draws.chance("many", _MANY) else 1):
        other = draws.below("other", index)
        c, s = cos(view.heading), sin(view.heading)
        behind = other.pick("behind", (other.uniform("far", 0.6, 5.0), other.uniform("near", -1.3, -0.5)), (0.8, 0.2))
        side = 1 if other.chance("left", 0.5) else -1
        aside = side * other.uniform("aside", 0.36, 0.8) * (1.0 + 0.12 * max(behind, 0.0))
        x, y = place[0] + c * behind + s * aside, place[1] + s * behind - c * aside
        if stage.free(x, y):
            posture = _posture(Identity(), "walk", other)
            step = Step(place=(x, y), heading=other.uniform("heading", -pi, pi), posture=posture)
            others.append((int(other.uniform("who", 0, CROWD)), step))
    return tuple(others)
