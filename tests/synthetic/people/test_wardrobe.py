"""The written distributions name what exists."""

from snreid.synthetic.people import wardrobe
from snreid.synthetic.people.identity import BAGS, BOTTOMS, HAIR_STYLES, HATS, OUTERS, PATTERNS, SHOES, TOPS
from snreid.synthetic.people.posture import ACTIONS


def test_every_word_is_known() -> None:
    for table, words in (
        (wardrobe.HAIR_MEN, HAIR_STYLES), (wardrobe.HAIR_WOMEN, HAIR_STYLES), (wardrobe.HATS, HATS),
        (wardrobe.TOPS_MEN, TOPS), (wardrobe.TOPS_WOMEN, TOPS), (wardrobe.OUTERS, OUTERS), (wardrobe.BOTTOMS_MEN, BOTTOMS),
        (wardrobe.BOTTOMS_WOMEN, BOTTOMS), (wardrobe.SHOES_MEN, SHOES), (wardrobe.SHOES_WOMEN, SHOES),
        (wardrobe.BAGS, BAGS), (wardrobe.ACTIONS, ACTIONS),
        *((table, tuple(wardrobe.COLOURS)) for table in (wardrobe.TOP_COLOURS, wardrobe.OUTER_COLOURS,
            wardrobe.BOTTOM_COLOURS, wardrobe.SKIRT_COLOURS, wardrobe.SHOE_COLOURS, wardrobe.BAG_COLOURS)),
        *((table, PATTERNS) for table in wardrobe.PATTERNS.values()),
    ):  # fmt: skip
        assert {word for word, _ in table} <= set(words)
        assert all(weight > 0 for _, weight in table)


def test_only_adults_are_asked_for() -> None:
    assert min(low for (low, _), _ in wardrobe.AGES) >= 18


def test_dark_and_plain_colours_dominate() -> None:
    weights = dict(wardrobe.OUTER_COLOURS)
    assert weights["black"] + weights["grey"] + weights["navy"] > 0.5 * sum(weights.values())
