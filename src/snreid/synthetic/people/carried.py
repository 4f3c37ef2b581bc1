"""Bags and other carried objects. Straps are painted on the clothes below them as decals."""

import numpy as np

from snreid.synthetic.people.form import Form
from snreid.synthetic.people.identity import Bag
from snreid.synthetic.people.mesh import HARD, Layer, Look, rounded_box, solid, tube

_Decal = list[float]
_Load = tuple[list[Layer], list[_Decal]]
"""The objects, and the straps over the clothes."""


def load(form: Form, bag: Bag, thick: float) -> _Load:
    """The layers and straps that a bag adds to a figure. ``thick``: metres of clothes over the body."""
    make = {
        "backpack": _backpack, "shoulder": _shoulder, "crossbody": _crossbody, "handbag": _handbag,
        "shopping": _shopping, "trolley": _trolley,
    }.get(bag.kind)  # fmt: skip
    return ([], []) if make is None else make(form, bag, thick)


def phones(form: Form) -> list[Layer]:
    """A phone in the left and one in the right palm; a moment shows the one in use (``render``)."""
    layers = []
    for side in "LR":
        names = ("wrist", "finger1-3", "finger2-1", "finger3-1", "finger5-1")
        wrist, thumb, index, middle, little = (form.body.joint(f"{name}.{side}") for name in names)
        along = _unit(middle - wrist)
        across = _unit(np.cross(along, np.cross(little - index, along)))
        inward = np.cross(across, along)
        inward *= 1.0 if float((thumb - index) @ inward) > 0 else -1.0
        box, faces = rounded_box((0.0, 0.0, 0.0), (0.038, 0.007, 0.078), 0.25)
        palm = middle + 0.02 * along + 0.035 * inward
        vertices = (box @ np.stack([across, inward, along]) + palm).astype(np.float32)
        look = Look(surface=HARD, colour=(0.07, 0.07, 0.08), gloss=0.3)
        layers.append(solid(vertices, faces, look, form.body.model.bone(f"wrist.{side}")))
    return layers


def _unit(vector: np.ndarray) -> np.ndarray:
    return np.asarray(vector / np.linalg.norm(vector))


def _look(bag: Bag, second: bool = False, gloss: float = 0.03) -> Look:
    return Look(colour=bag.second if second else bag.colour, folds=0.35, gloss=gloss)


def _strap(kind: float, a: float, b: float, c: float, bag: Bag) -> _Decal:
    """Kinds 2 and 3 of ``shading.painted``: a slanted line, or two upright ones."""
    shade = tuple(0.8 * share for share in bag.colour)
    return [kind, a, b, c, 0.0, 0.0, *shade, 1.0, 0.0]


def _backpack(form: Form, bag: Bag, thick: float) -> _Load:
    bone = form.body.model.bone("spine02")
    height = float(form.body.joint("spine02")[2])
    chosen = (np.abs(form.points[:, 0]) < 0.1) & (np.abs(form.points[:, 2] - height) < 0.08)
    back = float(form.points[chosen, 1].max()) + thick
    half = (0.12 + 0.04 * bag.size, 0.05 + 0.05 * bag.size, 0.17 + 0.07 * bag.size)
    middle = form.neck - 0.06 - half[2]
    vertices, faces = rounded_box((0.0, back + half[1] * 0.9, middle), half, 0.42)
    vertices[:, 0] *= 1.0 - 0.25 * np.clip((vertices[:, 2] - middle) / half[2], 0, 1)
    body = solid(vertices, faces, _look(bag), bone)
    body.decals.append([0, -9, 9, middle + half[2] * 0.55, middle + half[2] * 0.62, 0, *bag.second, 0.8, 0])
    pocket = rounded_box(
        (0.0, back + half[1] * 1.75, middle - half[2] * 0.38), (half[0] * 0.75, half[1] * 0.4, half[2] * 0.45), 0.4
    )
    layers = [body, solid(*pocket, _look(bag, second=bag.size > 0.6), bone)]
    return layers, [_strap(3, 0.095, 0.024, form.neck - 0.32, bag)]


def _side(form: Form, height: float) -> float:
    chosen = (form.arm < 0.2) & (np.abs(form.points[:, 2] - height) < 0.08)
    return float(np.abs(form.points[chosen, 0]).max()) if chosen.any() else 0.17


def _shoulder(form: Form, bag: Bag, thick: float) -> _Load:
    half = (0.045, 0.12 + 0.06 * bag.size, 0.10 + 0.05 * bag.size)
    x = bag.side * (_side(form, form.waist) + thick + half[0] * 0.8)
    box = rounded_box((x, 0.03 + form.middle, form.waist + 0.03), half, 0.45)
    layer = solid(*box, _look(bag, gloss=0.06), form.body.model.bone("spine04"))
    return [layer], [_strap(4, bag.side * 0.128, 0.017, form.waist + 0.06, bag)]


def _crossbody(form: Form, bag: Bag, thick: float) -> _Load:
    half = (0.04, 0.09 + 0.07 * bag.size, 0.07 + 0.06 * bag.size)
    x = bag.side * (_side(form, form.hip) + thick + half[0] * 0.8)
    box = rounded_box((x, 0.01 + form.middle, form.hip + 0.03), half, 0.4)
    layer = solid(*box, _look(bag, gloss=0.1), form.body.model.bone("spine05"))
    return [layer], [_strap(2, -bag.side * 1.75, form.neck - 0.22, 0.035, bag)]


def _hung(form: Form, bag: Bag) -> tuple[np.ndarray, int]:
    """(the carrying wrist, the bone that hangs from it)."""
    return form.body.joint(f"wrist.{'L' if bag.side > 0 else 'R'}"), len(form.body.model.bones)


def _loop(wrist: np.ndarray, wide: float, drop: float, bone: int, colour: tuple[float, float, float]) -> Layer:
    t = np.linspace(0, np.pi, 9)
    path = np.stack(
        [0 * t + wrist[0], wrist[1] - 0.02 + wide * np.cos(t), wrist[2] - 0.09 - drop + drop * np.sin(t)], -1
    )
    return solid(*tube(path, np.full(len(t), 0.008), 5), Look(surface=HARD, colour=colour), bone)


def _handbag(form: Form, bag: Bag, thick: float) -> _Load:
    wrist, bone = _hung(form, bag)
    half = (0.05 + 0.03 * bag.size, 0.13 + 0.06 * bag.size, 0.10 + 0.05 * bag.size)
    box = rounded_box((wrist[0], wrist[1] - 0.02, wrist[2] - 0.20 - half[2]), half, 0.35)
    return [solid(*box, _look(bag, gloss=0.08), bone), _loop(wrist, half[1] * 0.5, 0.13, bone, bag.colour)], []


def _shopping(form: Form, bag: Bag, thick: float) -> _Load:
    wrist, bone = _hung(form, bag)
    half = (0.05 + 0.04 * bag.size, 0.11 + 0.07 * bag.size, 0.14 + 0.06 * bag.size)
    vertices, faces = rounded_box((wrist[0], wrist[1] - 0.02, wrist[2] - 0.15 - half[2]), half, 0.5)
    up = np.clip((vertices[:, 2] - wrist[2] + 0.15 + half[2]) / half[2], -1, 1)
    vertices[:, 1] = wrist[1] - 0.02 + (vertices[:, 1] - wrist[1] + 0.02) * (0.85 - 0.25 * up)
    layer = solid(vertices, faces, Look(colour=bag.colour, folds=0.9, gloss=0.06), bone)
    middle = float(wrist[2]) - 0.15 - half[2]
    layer.decals.append([0, -9, 9, middle - 0.05, middle + 0.04, 0, *bag.second, 0.9, 0])
    return [layer, _loop(wrist, half[1] * 0.4, 0.09, bone, bag.colour)], []


def _trolley(form: Form, bag: Bag, thick: float) -> _Load:
    """A suitcase pulled behind; its handle meets the hand and its wheels the ground when the arm hangs."""
    wrist, bone = _hung(form, bag)
    half = (0.11 + 0.04 * bag.size, 0.18 + 0.05 * bag.size, 0.24 + 0.08 * bag.size)
    low, behind = form.ground - wrist[2] + 0.06, 0.42
    box, faces = rounded_box((0.0, 0.0, half[2]), (half[1], half[0], half[2]), 0.25)
    lean = 0.45
    x, y, z = box.T
    tilted = np.stack([x, y * np.cos(lean) - z * np.sin(lean), y * np.sin(lean) + z * np.cos(lean)], 1)
    # The arm at rest is half raised: a walking wrist is lower by about 0.22 m, so the case is moved up by that.
    base = np.array([wrist[0], wrist[1] + behind + half[2] * 0.4, wrist[2] + low + 0.20])
    top = base + np.array([0.0, -2 * half[2] * np.sin(lean), 2 * half[2] * np.cos(lean)])
    hand = np.asarray(wrist) + np.array([0.0, 0.0, -0.09])
    layers = [solid((tilted + base).astype(np.float32), faces, _look(bag, gloss=0.25), bone)]
    for aside in (-0.05, 0.05):
        bar = tube(np.linspace(top, hand, 4) + np.array([aside, 0.0, 0.0]), np.full(4, 0.008), 5)
        layers.append(solid(*bar, Look(surface=HARD, colour=(0.5, 0.5, 0.52), gloss=0.3), bone))
    return layers, []
