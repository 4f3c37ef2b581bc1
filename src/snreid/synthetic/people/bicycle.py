"""A bicycle for riders, built below the body at rest so that the saddle meets it."""

import numpy as np

from snreid.synthetic.people.form import Form
from snreid.synthetic.people.mesh import F32, HARD, Layer, Look, rounded_box, solid, tube
from snreid.synthetic.people.wardrobe import Colour

_WHEEL = 0.335
"""Metres, its radius."""
_DARK: Colour = (0.07, 0.07, 0.075)


def bicycle_layers(form: Form, colour: Colour) -> list[Layer]:
    """Wheels, frame, saddle and handlebar."""
    bone = len(form.body.model.bones) + 1  # follows the whole body and no limb: see `body.bone_moves`
    y, high = form.middle + 0.03, form.crotch + 0.02
    low = high - 0.92  # the ground
    rear, front, crank = _at(y + 0.30, low + _WHEEL), _at(y - 0.76, low + _WHEEL), _at(y - 0.16, low + 0.29)
    head, bar, under = _at(y - 0.58, high), _at(y - 0.56, high + 0.16), _at(y + 0.02, high - 0.12)
    layers = []
    for hub in (rear, front):
        layers.append(_tubed(_circle(hub, _WHEEL), 0.017, _DARK, bone))
        layers += [_tubed(np.stack([hub - spoke, hub + spoke]), 0.004, (0.4, 0.4, 0.42), bone) for spoke in _spokes()]
    ends = ((crank, (under, head)), (under, (head,)), (rear, (crank, under)), (head, (front, bar)))
    layers += [_tubed(np.linspace(start, end, 3), 0.017, colour, bone) for start, to in ends for end in to]
    bends = np.array([[-0.27, 0.06, 0], [-0.13, 0, 0], [0.13, 0, 0], [0.27, 0.06, 0]], np.float32)
    layers.append(_tubed(bar + bends, 0.014, _DARK, bone))
    saddle = rounded_box((0.0, y, high - 0.03), (0.075, 0.13, 0.03), 0.7)
    return [*layers, solid(*saddle, Look(surface=HARD, colour=_DARK, gloss=0.1), bone)]


def _at(y: float, z: float) -> F32:
    """A point in the bicycle's plane."""
    return np.array([0.0, y, z], np.float32)


def _circle(hub: F32, radius: float) -> F32:
    angle = np.linspace(0, 2 * np.pi, 25)
    return np.asarray(hub + np.stack([0 * angle, radius * np.cos(angle), radius * np.sin(angle)], 1), np.float32)


def _spokes() -> list[F32]:
    angles = np.linspace(0, np.pi, 6, endpoint=False)
    return [np.array([0, _WHEEL * np.cos(angle), _WHEEL * np.sin(angle)], np.float32) for angle in angles]


def _tubed(path: F32, radius: float, colour: Colour, bone: int) -> Layer:
    return solid(*tube(path, np.full(len(path), radius), 5), Look(surface=HARD, colour=colour, gloss=0.12), bone)
