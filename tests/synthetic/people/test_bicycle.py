"""A bicycle stands below its rider."""

import numpy as np

from snreid.synthetic.people.bicycle import bicycle_layers
from snreid.synthetic.people.body import bone_moves
from snreid.synthetic.people.form import Form
from snreid.synthetic.people.posture import Posture


def test_it_is_as_large_as_a_bicycle_and_follows_no_limb(form: Form) -> None:
    layers = bicycle_layers(form, (0.5, 0.1, 0.1))
    points = np.concatenate([layer.vertices for layer in layers])
    assert 1.6 < np.ptp(points[:, 1]) < 1.9 and 0.9 < np.ptp(points[:, 2]) < 1.2 and np.ptp(points[:, 0]) < 0.65
    bone = len(form.body.model.bones) + 1
    assert all((layer.influences == bone).all() for layer in layers)
    np.testing.assert_array_equal(bone_moves(form.body, Posture(action="ride"))[bone], np.eye(3, 4))


def test_feet_are_near_the_pedals_and_hands_near_the_bar(form: Form) -> None:
    body, bar = form.body, form.crotch + 0.18
    for phase in (0.0, 0.3, 0.6):
        moves = bone_moves(body, Posture(action="ride", phase=phase, lean=0.33))
        places = {}
        for joint in ("foot.L", "foot.R", "wrist.L", "wrist.R"):
            bone = body.model.bone(joint)
            places[joint] = moves[bone, :, :3] @ body.joints[bone] + moves[bone, :, 3]
        for side in "LR":
            assert form.crotch - 0.85 < places[f"foot.{side}"][2] < form.crotch - 0.25
            assert abs(places[f"wrist.{side}"][2] - bar) < 0.2 and places[f"wrist.{side}"][1] < form.middle - 0.3
