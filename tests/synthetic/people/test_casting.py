"""Random people are equal everywhere, adult, and as often as the tables say."""

from snreid.synthetic.people.casting import draw_identity
from snreid.synthetic.people.identity import Identity
from snreid.synthetic.randomness import Draws

MANY = [draw_identity(Draws.of("test", number)) for number in range(400)]


def test_equal_draws_equal_people() -> None:
    assert draw_identity(Draws.of("test", 7)) == MANY[7]
    assert len(set(MANY)) == len(MANY)


def test_a_person_is_known_by_heart() -> None:
    """Labels and people are equal on every machine: these values were written down once."""
    person: Identity = MANY[0]
    assert (person.top.kind, person.outer.kind, person.bottom.kind, person.bag.kind) == (
        "polo",
        "hoodie",
        "shorts",
        "none",
    )


def test_all_are_adults() -> None:
    assert all(18 <= person.physique.age <= 80 for person in MANY)


def test_shares_follow_the_tables() -> None:
    women = sum(person.physique.gender > 0.5 for person in MANY) / len(MANY)
    plain = sum(person.top.fabric.pattern == "plain" for person in MANY) / len(MANY)
    bags = sum(person.bag.kind != "none" for person in MANY) / len(MANY)
    assert 0.42 < women < 0.58 and 0.5 < plain < 0.8 and 0.42 < bags < 0.62
    assert sum(person.top.fabric.pattern in ("tie-dye", "floral", "camouflage") for person in MANY) < 0.08 * len(MANY)


def test_a_dress_is_one_fabric() -> None:
    dressed = [person for person in MANY if person.bottom.kind == "dress"]
    assert dressed and all(person.top.fabric == person.bottom.fabric for person in dressed)
