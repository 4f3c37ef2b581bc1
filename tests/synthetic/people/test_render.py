"""Pictures are a pure function of their values, and each value is seen in them."""

from dataclasses import replace

import numpy as np
import pytest

from snreid.errors import ExperimentError
from snreid.synthetic.people.identity import Bag, Fabric, Garment
from snreid.synthetic.people.moment import CropBox, Step
from snreid.synthetic.people.posture import Posture
from snreid.synthetic.people.render import Picture, frame, projected
from snreid.synthetic.people.site import Light, Site


def test_a_picture_repeats_itself(picture: Picture) -> None:
    first = picture.draw()
    assert first.shape == (64, 32, 3) and first.dtype == np.uint8
    replace(picture, site=Site(kind="mall", seed=9)).draw()
    np.testing.assert_array_equal(first, picture.draw())


def _changed(picture: Picture, other: Picture) -> float:
    return float(np.abs(picture.draw().astype(int) - other.draw().astype(int)).mean())


def test_each_part_is_seen(picture: Picture) -> None:
    who, when, how = picture.identity, picture.moment, picture.camera
    red = Garment(kind="tee", fabric=Fabric(colour=(0.8, 0.1, 0.1)))
    for other in (
        replace(picture, identity=replace(who, top=red, outer=Garment(kind="none"))),
        replace(picture, identity=replace(who, bag=Bag(kind="backpack", colour=(0.9, 0.8, 0.1), size=1.0))),
        replace(picture, site=replace(picture.site, light=Light(sky=(0.1, 0.1, 0.3)))),
        replace(picture, site=replace(picture.site, seed=picture.site.seed + 1)),
        replace(picture, camera=replace(how, film=replace(how.film, saturation=0.0))),
        replace(picture, camera=replace(how, viewpoint=replace(how.viewpoint, height=how.viewpoint.height + 1))),
        replace(picture, moment=replace(when, step=replace(when.step, heading=when.step.heading + 2))),
        replace(picture, moment=replace(when, step=replace(when.step, posture=Posture(phase=0.6)))),
        replace(picture, moment=replace(when, box=CropBox(zoom=1.4))),
        replace(picture, moment=replace(when, box=CropBox(cut=0.5))),
        replace(picture, moment=replace(when, seed=when.seed + 1)),
    ):
        assert _changed(picture, other) > 0.2


def test_somebody_in_front_hides_the_person(picture: Picture) -> None:
    view, when = picture.camera.viewpoint, picture.moment
    alone = replace(picture, moment=replace(when, others=()))
    towards = np.array(view.place) - np.array(when.step.place)
    x, y = np.array(when.step.place) + 0.7 * towards / np.linalg.norm(towards)
    crowded = replace(picture, moment=replace(when, others=((1, Step(place=(float(x), float(y)))),)))
    assert _changed(alone, crowded) > 5


def test_the_mask_is_where_the_person_is_seen(picture: Picture) -> None:
    alone = replace(picture, moment=replace(picture.moment, others=(), box=CropBox()))
    mask = alone.mask()
    assert mask.shape == (64, 32) and mask.dtype == bool and 0.1 < mask.mean() < 0.7
    red = Garment(kind="longsleeve", fabric=Fabric(colour=(0.8, 0.05, 0.05)), sleeve=2.0)
    film = replace(alone.camera.film, saturation=1.0)
    dressed = replace(alone.identity, top=red, outer=Garment(kind="none"), bag=Bag())
    warm = replace(alone, identity=dressed, camera=replace(alone.camera, film=film))
    redness = warm.draw()[..., 0].astype(int) - warm.draw()[..., 2]
    assert redness[warm.mask()].mean() > redness[~warm.mask()].mean() + 15


def test_the_same_person_wears_the_same_anywhere(picture: Picture) -> None:
    """Who is apart from how it looks: another site and camera leave the figure alone."""
    from snreid.synthetic.people.figure import figure_of

    other = replace(picture, site=Site(kind="shop", seed=5))
    assert figure_of(other.identity) is figure_of(picture.identity)


@pytest.mark.parametrize("size", [(16, 16), (130, 64), (1024, 512)])
def test_sizes_that_cannot_be_drawn_are_refused(size: tuple[int, int]) -> None:
    with pytest.raises(ExperimentError, match="multiples of 16"):
        Picture(size=size)


def test_the_box_holds_the_person(picture: Picture) -> None:
    from snreid.synthetic.people.figure import figure_of
    from snreid.synthetic.people.render import _posed

    person = _posed(figure_of(picture.identity), picture.moment.step)
    box = CropBox(zoom=1.1, aspect=0.5)
    crop = frame(person, picture.camera.viewpoint, box, picture.size)
    seen = projected(person.world[person.figure.shown], picture.camera.viewpoint, crop)
    assert seen[:, 1].min() > 0 and seen[:, 1].max() < 2 * picture.size[0]
    assert np.ptp(seen[:, 1]) == pytest.approx(2 * picture.size[0] / 1.1, rel=1e-3)


def test_a_phone_is_there_only_where_it_is_used(picture: Picture) -> None:
    from snreid.synthetic.people.figure import figure_of
    from snreid.synthetic.people.render import _posed

    figure = figure_of(replace(picture.identity, bag=Bag()))
    for action, side, there in (("walk", 1, (False, False)), ("phone", 1, (True, False)), ("call", -1, (False, True))):
        world = _posed(figure, Step(posture=Posture(action=action, side=side))).world
        assert tuple(bool(np.ptp(world[phone], axis=0).max() > 0.1) for phone in figure.phones) == there
