"""Random people, drawn from the written distributions of ``wardrobe``: equal draws give equal people on every machine."""

from dataclasses import replace
from typing import TypeVar

from snreid.synthetic.people import wardrobe
from snreid.synthetic.people.identity import PRINTS, Bag, Fabric, Gait, Garment, Head, Identity, Physique, Print, Shoes
from snreid.synthetic.people.wardrobe import Colour, Weighted
from snreid.synthetic.randomness import Draws

T = TypeVar("T")


def draw_identity(draws: Draws) -> Identity:
    """A random adult. The same ``draws`` give the same person on every machine, independent of other draws."""
    woman = draws.chance("woman", wardrobe.WOMEN)
    bottom = _draw_bottom(draws.below("bottom"), woman)
    physique = _draw_physique(draws.below("physique"), woman)
    outer = _draw_outer(draws.below("outer"))
    rides = outer.kind != "coat" and bottom.kind in ("trousers", "slim", "shorts")
    rides = rides and draws.chance("rides", wardrobe.RIDERS)
    return Identity(
        physique=physique,
        head=_draw_head(draws.below("head"), woman, physique.age),
        top=_draw_top(draws.below("top"), woman, bottom),
        outer=outer,
        bottom=bottom,
        shoes=_draw_shoes(draws.below("shoes"), woman),
        bag=_draw_bag(draws.below("bag")),
        bicycle=_colour(draws, "bicycle", wardrobe.BAG_COLOURS) if rides else None,
        gait=Gait(
            stride=_clipped(draws.bell("stride", 1.0, 0.12), 0.7, 1.3),
            swing=_clipped(draws.bell("swing", 1.0, 0.3), 0.3, 1.8),
            spread=draws.uniform("spread", 0.03, 0.15),
            lean=draws.bell("lean", 0.03, 0.03),
        ),
    )


def _clipped(value: float, low: float = 0.0, high: float = 1.0) -> float:
    return min(max(value, low), high)


def _one_of(draws: Draws, name: str, table: tuple[tuple[T, float], ...]) -> T:
    return draws.pick(name, [value for value, _ in table], [weight for _, weight in table])


def _colour(draws: Draws, name: str, table: Weighted) -> Colour:
    """A slightly varied shade of one of the table's colours, as no two fabrics are the same."""
    shades = wardrobe.COLOURS[_one_of(draws, f"{name} word", table)]
    shade = draws.pick(f"{name} shade", shades)
    factor = draws.uniform(f"{name} brightness", 0.85, 1.15)
    red, green, blue = (
        _clipped(share * factor + draws.uniform(f"{name} tint {index}", -0.02, 0.02), 0.03, 0.96)
        for index, share in enumerate(shade)
    )
    return red, green, blue


def _fabric(draws: Draws, colours: Weighted, patterns: Weighted) -> Fabric:
    return Fabric(
        colour=_colour(draws, "colour", colours),
        second=_colour(draws, "second", wardrobe.ANY_COLOURS if draws.chance("bright", 0.4) else wardrobe.TOP_COLOURS),
        pattern=_one_of(draws, "pattern", patterns),
        period=draws.uniform("period", 0.025, 0.09),
        seed=draws.bits("pattern seed") >> 40,
    )


def _draw_physique(draws: Draws, woman: bool) -> Physique:
    age = draws.uniform("age", *_one_of(draws, "span", wardrobe.AGES))
    heavier = 0.12 * (age - 18) / 62
    return Physique(
        gender=_clipped(draws.bell("gender", 0.95 if woman else 0.05, 0.05)),
        age=age,
        muscle=_clipped(draws.bell("muscle", *wardrobe.MUSCLE), 0.15, 0.8),
        weight=_clipped(draws.bell("weight", wardrobe.WEIGHT[0] + heavier, wardrobe.WEIGHT[1]), 0.08, 0.92),
        height=_clipped(draws.bell("height", *wardrobe.HEIGHT), 0.22, 0.62),
        proportions=_clipped(draws.bell("proportions", *wardrobe.PROPORTIONS), 0.1, 1.0),
        bust=_clipped(draws.bell("bust", 0.42, 0.14)),
        ancestry=(_share(draws, "african"), _share(draws, "asian"), _share(draws, "caucasian")),
    )


def _share(draws: Draws, name: str) -> float:
    return 0.02 + 0.98 * draws.uniform(name) ** 2


def _draw_head(draws: Draws, woman: bool, age: float) -> Head:
    skin, hair = _one_of(draws, "skin", wardrobe.SKINS), _one_of(draws, "hair", wardrobe.HAIR_COLOURS)
    grey = _clipped((age - 45) / 25 * draws.uniform("grey", 0.0, 1.6))
    mixed = [share + grey * (target - share) for share, target in zip(hair, wardrobe.GREY_HAIR, strict=True)]
    factor = draws.uniform("skin brightness", 0.66, 0.82)
    return Head(
        skin=(_clipped(skin[0] * factor), _clipped(skin[1] * factor), _clipped(skin[2] * factor)),
        hair=(mixed[0], mixed[1], mixed[2]),
        style=_one_of(draws, "style", wardrobe.HAIR_WOMEN if woman else wardrobe.HAIR_MEN),
        length=draws.uniform("length"),
        hat=_one_of(draws, "hat", wardrobe.HATS),
        hat_colour=_colour(draws, "hat", wardrobe.OUTER_COLOURS),
        beard=draws.uniform("beard", 0.3, 1.0) if not woman and draws.chance("bearded", wardrobe.BEARD) else 0.0,
        glasses=draws.chance("glasses", wardrobe.GLASSES),
        scarf=_colour(draws, "scarf", wardrobe.ANY_COLOURS) if draws.chance("scarf", wardrobe.SCARF) else None,
    )


def _draw_print(draws: Draws, kind: str) -> Print:
    if not draws.chance("printed", wardrobe.PRINTS.get(kind, 0.0)):
        return Print()
    small = draws.chance("small", 0.35)
    return Print(
        kind=draws.pick("print", PRINTS[1:], (4, 2, 3, 1)),
        size=draws.uniform("size", 0.02, 0.04) if small else draws.uniform("large", 0.07, 0.15),
        across=draws.pick("across", (-0.08, 0.08)) if small else 0.0,
        below=draws.uniform("below", 0.13, 0.17) if small else draws.uniform("lower", 0.16, 0.26),
        back=draws.chance("back", 0.2),
        colours=(
            _colour(draws, "print", wardrobe.ANY_COLOURS if draws.chance("bright", 0.5) else wardrobe.TOP_COLOURS),
            _colour(draws, "print second", wardrobe.ANY_COLOURS),
        ),
        seed=draws.bits("print seed") >> 40,
    )


_SLEEVES = {
    "tee": (0.50, 0.90), "polo": (0.60, 0.90), "shirt": (1.75, 2.0), "longsleeve": (1.85, 2.0), "sweater": (1.9, 2.0),
    "tank": (-0.05, 0.1),
}  # fmt: skip


def _draw_top(draws: Draws, woman: bool, bottom: Garment) -> Garment:
    kind = _one_of(draws, "kind", wardrobe.TOPS_WOMEN if woman else wardrobe.TOPS_MEN)
    if bottom.kind == "dress":
        kind = draws.pick("dress top", ("tee", "tank", "longsleeve"), (5, 3, 3))
    low, high = _SLEEVES[kind]
    short = kind == "shirt" and draws.chance("short sleeves", 0.35)
    own = _fabric(draws, wardrobe.TOP_COLOURS, wardrobe.PATTERNS[kind])
    return Garment(
        kind=kind,
        fabric=bottom.fabric if bottom.kind == "dress" else own,
        loose=_clipped(draws.bell("loose", 0.35 if woman else 0.55, 0.2)),
        length=_clipped(draws.bell("length", -0.02 if woman else 0.0, 0.035), -0.12, 0.10),
        sleeve=draws.uniform("short sleeve", 0.65, 1.0) if short else draws.uniform("sleeve", low, high),
        neck=draws.uniform("deep", 0.05, 0.10) if woman or kind == "tank" else draws.uniform("neck", 0.015, 0.045),
        print=Print() if bottom.kind == "dress" else _draw_print(draws, kind),
    )


def _draw_outer(draws: Draws) -> Garment:
    kind = _one_of(draws, "kind", wardrobe.OUTERS)
    is_open = draws.chance("open", wardrobe.OPEN_FRONT.get(kind, 0.0))
    return Garment(
        kind=kind,
        fabric=_fabric(draws, wardrobe.OUTER_COLOURS, wardrobe.PATTERNS["outer"]),
        loose=_clipped(draws.bell("loose", 0.55, 0.18)),
        length=draws.uniform("length", -0.08, 0.06) if kind != "coat" else draws.uniform("coat", -0.12, 0.25),
        sleeve=0.0 if kind == "gilet" else draws.uniform("sleeve", 1.88, 2.0),
        neck=0.03,
        front=draws.uniform("front", 0.02, 0.075) if is_open else 0.0,
        print=_draw_print(draws, kind) if not is_open else Print(),
    )


def _draw_bottom(draws: Draws, woman: bool) -> Garment:
    kind = _one_of(draws, "kind", wardrobe.BOTTOMS_WOMEN if woman else wardrobe.BOTTOMS_MEN)
    skirt = kind in ("skirt", "long skirt", "dress")
    colours = wardrobe.SKIRT_COLOURS if skirt else wardrobe.BOTTOM_COLOURS
    fabric = _fabric(draws, colours, wardrobe.PATTERNS["skirt" if skirt else "bottom"])
    if not skirt and _one_of(draws, "colour word", colours) == "denim":  # jeans
        fabric = replace(fabric, pattern="denim")
    return Garment(
        kind=kind,
        fabric=fabric,
        loose=_clipped(draws.bell("loose", 0.45, 0.18)),
        length=_clipped(draws.bell("length", 0.0, 0.06 if skirt or kind == "shorts" else 0.02), -0.18, 0.2),
    )


def _draw_shoes(draws: Draws, woman: bool) -> Shoes:
    kind = _one_of(draws, "kind", wardrobe.SHOES_WOMEN if woman else wardrobe.SHOES_MEN)
    colour = _colour(draws, "colour", wardrobe.SHOE_COLOURS)
    white: Colour = (0.85, 0.85, 0.83)
    dark: Colour = (0.10, 0.09, 0.09)
    pale = draws.chance("pale sole", 0.7 if kind == "sneaker" else 0.1)
    return Shoes(
        kind=kind,
        colour=colour,
        sole=white if pale else dark,
        socks=draws.pick("socks", (white, dark, (0.4, 0.4, 0.42), colour), (4, 4, 2, 1)),
    )


def _draw_bag(draws: Draws) -> Bag:
    kind = _one_of(draws, "kind", wardrobe.BAGS)
    plastic: Colour = (0.85, 0.85, 0.84)
    white = kind == "shopping" and draws.chance("white", 0.4)
    return Bag(
        kind=kind,
        colour=plastic if white else _colour(draws, "colour", wardrobe.BAG_COLOURS),
        second=_colour(draws, "second", wardrobe.ANY_COLOURS if draws.chance("bright", 0.3) else wardrobe.BAG_COLOURS),
        size=draws.uniform("size"),
        side=1 if draws.chance("left", 0.5) else -1,
    )
