"""Who people are depends on their draws only, and they differ."""

from dataclasses import replace

import pytest

from snreid.errors import ExperimentError
from snreid.synthetic.pedestrians.identity import (
    BAGS,
    BOTTOMS,
    JACKETS,
    TOPS,
    Build,
    Pedestrian,
    PedestrianGarment,
    PedestrianHead,
    draw_pedestrian,
)
from snreid.synthetic.randomness import Draws


def test_the_same_draws_give_the_same_person() -> None:
    assert draw_pedestrian(Draws.of(3)) == draw_pedestrian(Draws.of(3))
    people = {draw_pedestrian(Draws.of("people", n)) for n in range(300)}
    assert len(people) == 300


def test_everything_there_is_gets_worn() -> None:
    people = [draw_pedestrian(Draws.of("people", n)) for n in range(400)]
    assert {p.top.kind for p in people} == set(TOPS)
    assert {p.jacket.kind for p in people} == set(JACKETS)
    assert {p.bottom.kind for p in people} == set(BOTTOMS)
    assert {p.bag for p in people} == set(BAGS)


def test_some_people_dress_alike() -> None:
    """Two people of one wardrobe wear the same colour to the last bit; colour alone must not tell people apart."""
    tops = [draw_pedestrian(Draws.of("people", n)).top.colour for n in range(200)]
    assert 20 < len(tops) - len(set(tops)) < 100


def test_colours_are_albedos() -> None:
    for number in range(100):
        person = draw_pedestrian(Draws.of("people", number))
        for part in (person.top, person.jacket, person.bottom):
            assert all(0.0 <= c <= 0.9 for c in (*part.colour, *part.second))
        assert all(0.0 <= c <= 1.0 for c in (*person.head.skin, *person.shoes, *person.bag_colour))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Build(height=3.0), r"Build.height lies between 1.0 and 2.2. Found: 3.0"),
        (lambda: Build(girth=0.1), "Build.girth"),
        (lambda: PedestrianHead(style="mohawk"), "PedestrianHead.style is one of bald.*'mohawk'"),
        (lambda: PedestrianHead(hat="crown"), "PedestrianHead.hat"),
        (lambda: PedestrianGarment(kind="cape"), "PedestrianGarment.kind"),
        (lambda: PedestrianGarment(kind="tee", pattern="paisley"), "PedestrianGarment.pattern"),
        (lambda: PedestrianGarment(kind="tee", logo="star"), "PedestrianGarment.logo"),
        (lambda: PedestrianGarment(kind="tee", period=0.0), "PedestrianGarment.period"),
        (lambda: Pedestrian(top=PedestrianGarment(kind="skirt")), "Pedestrian.top.kind"),
        (lambda: Pedestrian(bag="chest"), "Pedestrian.bag"),
    ],
)
def test_what_cannot_be_drawn_is_refused(make: object, message: str) -> None:
    with pytest.raises(ExperimentError, match=message):
        make()  # type: ignore[operator]


def test_fields_turn_by_themselves() -> None:
    person = draw_pedestrian(Draws.of(1))
    taller = replace(person, build=replace(person.build, height=1.9))
    assert taller.top == person.top and taller.build.height == 1.9
