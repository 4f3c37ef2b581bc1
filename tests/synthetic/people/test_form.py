"""The tailor's measures on a body."""

import numpy as np

from snreid.synthetic.people.form import Form


def test_heights_are_in_order(form: Form) -> None:
    heights = [form.ground, form.ankle, form.knee, form.crotch, form.hip, form.waist, form.neck]
    assert heights == sorted(heights)


def test_limbs_run_from_their_root(form: Form) -> None:
    wrists, feet = form.hand > 0.4, form.foot > 0.9
    assert np.median(form.along_arm[wrists]) > 1.7 and np.median(form.along_leg[feet]) > 1.8
    upper = (form.arm > 0.9) & (form.along_arm < 1)
    assert np.median(np.linalg.norm(form.points - form.arm_axis, axis=1)[upper]) < 0.1


def test_cloth_hangs_outside_the_body(form: Form) -> None:
    _, radius, _ = form.around_trunk()
    draped = form.draped(form.neck - 0.1, form.hip, 0.1)
    assert (draped >= radius - 1e-6).all() and (draped > radius + 0.005).any()


def test_a_layer_keeps_only_what_is_covered(form: Form) -> None:
    from snreid.synthetic.people.mesh import Look

    cover = (form.points[:, 2] - form.waist).astype(np.float32)
    layer = form.layer(form.points, cover, form.points[:, :2], cover, Look())
    assert 0 < len(layer.vertices) < len(form.points)
    assert layer.faces.max() == len(layer.vertices) - 1
    assert (layer.cover[layer.faces] >= -0.05).any(1).all()
