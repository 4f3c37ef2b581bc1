"""The distributions from which people are drawn: age, build, skin, hair, clothes, colours, carried objects.

They are chosen by hand to resemble crowds in cities of East Asia and Europe, over all seasons. The shares of black,
grey and colour were guided by the histograms of CUHK03's training images (``benchmarks/people_realism.py``), with
more colour than those have; nothing else comes from any data set. A model card prints them, so all of them are defined here
and nowhere else. Each table is a tuple of (value, weight); weights need not sum to 1. Colours are sRGB, 0 to 1.
"""

from typing import TypeAlias

Colour: TypeAlias = tuple[float, float, float]
Weighted: TypeAlias = tuple[tuple[str, float], ...]

WOMEN = 0.5
"""Share of people drawn with a woman's build and wardrobe."""
AGES: tuple[tuple[tuple[float, float], float], ...] = (
    ((18.0, 30.0), 0.46), ((30.0, 45.0), 0.28), ((45.0, 60.0), 0.17), ((60.0, 80.0), 0.09)
)  # fmt: skip
"""Years, uniform within each span."""
WEIGHT, MUSCLE, HEIGHT, PROPORTIONS = (0.40, 0.15), (0.42, 0.10), (0.395, 0.062), (0.55, 0.18)
"""Mean and standard deviation of the shares in ``Physique``; weight rises by 0.12 over the years. The heights are 1.78 m of
men and 1.66 m of women with a standard deviation of 0.07 m."""
SKINS: tuple[tuple[Colour, float], ...] = (
    ((0.93, 0.78, 0.69), 16), ((0.88, 0.71, 0.59), 20), ((0.81, 0.63, 0.50), 18), ((0.72, 0.53, 0.40), 14),
    ((0.58, 0.41, 0.30), 12), ((0.44, 0.30, 0.22), 11), ((0.32, 0.21, 0.16), 9),
)  # fmt: skip
"""From light to dark. Independent of head shape, gender, age and clothes."""
HAIR_COLOURS: tuple[tuple[Colour, float], ...] = (
    ((0.090, 0.085, 0.085), 56), ((0.13, 0.105, 0.090), 24), ((0.19, 0.13, 0.09), 13), ((0.30, 0.20, 0.13), 7),
    ((0.46, 0.35, 0.23), 4), ((0.58, 0.47, 0.32), 3), ((0.36, 0.15, 0.09), 2), ((0.55, 0.30, 0.20), 1),
)  # fmt: skip
GREY_HAIR: Colour = (0.50, 0.49, 0.48)
"""Hair is mixed with it from 45 years on."""
HAIR_MEN: Weighted = (
    ("short", 44), ("crop", 22), ("swept", 12), ("curly", 8), ("buzz", 8), ("bald", 4), ("tied", 1), ("bob", 1),
)  # fmt: skip
HAIR_WOMEN: Weighted = (
    ("long", 32), ("tied", 26), ("bob", 18), ("bun", 11), ("curly", 6), ("short", 4), ("swept", 3),
)  # fmt: skip
HATS: Weighted = (("none", 88), ("cap", 6), ("beanie", 3), ("brim", 2), ("hood", 1))
GLASSES, BEARD, SCARF = 0.24, 0.22, 0.05
"""Shares; the beard of men only."""

COLOURS: dict[str, tuple[Colour, ...]] = {
    "black": ((0.18, 0.18, 0.185), (0.22, 0.22, 0.225), (0.26, 0.26, 0.265)),
    "grey": ((0.28, 0.28, 0.29), (0.34, 0.34, 0.35), (0.43, 0.43, 0.44), (0.60, 0.60, 0.60)),
    "navy": ((0.13, 0.14, 0.19), (0.15, 0.17, 0.24), (0.17, 0.20, 0.30)),
    "white": ((0.84, 0.84, 0.83), (0.89, 0.88, 0.86), (0.78, 0.79, 0.81)),
    "denim": ((0.16, 0.18, 0.23), (0.20, 0.24, 0.31), (0.27, 0.32, 0.41), (0.42, 0.48, 0.57)),
    "blue": ((0.18, 0.32, 0.58), (0.28, 0.45, 0.68), (0.50, 0.64, 0.80), (0.12, 0.24, 0.50)),
    "beige": ((0.76, 0.68, 0.56), (0.67, 0.58, 0.45), (0.84, 0.78, 0.68)),
    "brown": ((0.30, 0.20, 0.14), (0.40, 0.28, 0.19), (0.22, 0.15, 0.11)),
    "olive": ((0.26, 0.28, 0.18), (0.36, 0.37, 0.26), (0.20, 0.25, 0.18)),
    "green": ((0.16, 0.36, 0.24), (0.28, 0.48, 0.34), (0.45, 0.62, 0.48)),
    "red": ((0.62, 0.12, 0.13), (0.74, 0.20, 0.18), (0.50, 0.10, 0.14)),
    "wine": ((0.33, 0.10, 0.14), (0.40, 0.15, 0.20)),
    "pink": ((0.85, 0.62, 0.66), (0.80, 0.45, 0.55), (0.90, 0.75, 0.76)),
    "purple": ((0.36, 0.26, 0.46), (0.55, 0.46, 0.66)),
    "yellow": ((0.85, 0.70, 0.25), (0.88, 0.78, 0.45)),
    "orange": ((0.80, 0.42, 0.16), (0.72, 0.34, 0.14)),
    "teal": ((0.14, 0.36, 0.40), (0.30, 0.55, 0.58)),
}
"""Shades of each colour word; drawn ones vary a little in brightness and tint."""
TOP_COLOURS: Weighted = (
    ("black", 40), ("white", 10), ("grey", 20), ("navy", 10), ("blue", 6), ("beige", 4), ("red", 5), ("olive", 4),
    ("green", 4), ("pink", 4), ("wine", 3), ("brown", 3), ("purple", 2), ("yellow", 2), ("orange", 2), ("teal", 2),
)  # fmt: skip
OUTER_COLOURS: Weighted = (
    ("black", 42), ("grey", 16), ("navy", 13), ("olive", 8), ("beige", 7), ("brown", 6), ("blue", 5), ("white", 3),
    ("red", 3), ("denim", 4), ("wine", 2), ("green", 2), ("pink", 2), ("yellow", 1), ("purple", 1), ("teal", 1),
)  # fmt: skip
BOTTOM_COLOURS: Weighted = (
    ("denim", 30), ("black", 42), ("grey", 16), ("navy", 9), ("beige", 6), ("olive", 3), ("brown", 3), ("white", 2.5),
    ("blue", 1.5), ("red", 0.7), ("green", 0.5), ("pink", 0.6),
)  # fmt: skip
SKIRT_COLOURS: Weighted = (
    ("black", 34), ("grey", 12), ("navy", 12), ("white", 8), ("denim", 8), ("beige", 7), ("red", 5), ("pink", 5),
    ("blue", 5), ("wine", 4), ("green", 4), ("yellow", 3), ("teal", 2), ("purple", 2),
)  # fmt: skip
SHOE_COLOURS: Weighted = (
    ("black", 40), ("white", 24), ("grey", 10), ("brown", 9), ("navy", 5), ("beige", 5), ("red", 3), ("blue", 2),
    ("pink", 1), ("yellow", 0.5),
)  # fmt: skip
BAG_COLOURS: Weighted = (
    ("black", 38), ("grey", 13), ("navy", 11), ("brown", 11), ("beige", 6), ("red", 5), ("blue", 5), ("olive", 4),
    ("white", 3), ("pink", 2), ("green", 2), ("orange", 1), ("purple", 1), ("yellow", 1),
)  # fmt: skip
ANY_COLOURS: Weighted = tuple((name, 1.0) for name in COLOURS)

TOPS_MEN: Weighted = (("tee", 42), ("shirt", 20), ("longsleeve", 14), ("polo", 10), ("sweater", 12), ("tank", 2))
TOPS_WOMEN: Weighted = (("tee", 36), ("shirt", 14), ("longsleeve", 20), ("sweater", 16), ("tank", 10), ("polo", 4))
OUTERS: Weighted = (
    ("none", 50), ("jacket", 17), ("hoodie", 12), ("coat", 7), ("puffer", 6), ("blazer", 6), ("gilet", 2),
)  # fmt: skip
OPEN_FRONT = {"jacket": 0.55, "hoodie": 0.35, "coat": 0.5, "puffer": 0.35, "blazer": 0.7, "gilet": 0.6}
"""How often each is worn open."""
BOTTOMS_MEN: Weighted = (("trousers", 52), ("slim", 22), ("wide", 5), ("shorts", 21))
BOTTOMS_WOMEN: Weighted = (
    ("slim", 36), ("trousers", 18), ("wide", 8), ("shorts", 9), ("skirt", 12), ("long skirt", 4), ("dress", 13),
)  # fmt: skip
SHOES_MEN: Weighted = (("sneaker", 62), ("leather", 26), ("boot", 9), ("sandal", 3))
SHOES_WOMEN: Weighted = (("sneaker", 50), ("leather", 26), ("boot", 15), ("sandal", 9))
BAGS: Weighted = (
    ("none", 48), ("backpack", 22), ("shoulder", 11), ("crossbody", 8), ("handbag", 5), ("shopping", 4), ("trolley", 2),
)  # fmt: skip
PATTERNS: dict[str, Weighted] = {
    "tee": (("plain", 70), ("heather", 8), ("hoops", 12), ("blocks", 5), ("floral", 2), ("dots", 1), ("camouflage", 1),
            ("tie-dye", 0.5)),
    "longsleeve": (("plain", 70), ("heather", 10), ("hoops", 12), ("blocks", 4), ("floral", 3), ("dots", 1)),
    "shirt": (("plain", 52), ("plaid", 24), ("stripes", 15), ("floral", 5), ("dots", 3)),
    "polo": (("plain", 75), ("hoops", 15), ("blocks", 10)),
    "sweater": (("plain", 45), ("knit", 35), ("hoops", 12), ("blocks", 6), ("heather", 8)),
    "tank": (("plain", 76), ("hoops", 10), ("floral", 8), ("stripes", 6)),
    "outer": (("plain", 84), ("heather", 5), ("blocks", 5), ("plaid", 4), ("camouflage", 1.5)),
    "bottom": (("plain", 88), ("heather", 6), ("stripes", 2), ("plaid", 2), ("camouflage", 1.5)),
    "skirt": (("plain", 62), ("floral", 14), ("plaid", 8), ("dots", 6), ("stripes", 5), ("hoops", 4)),
}  # fmt: skip
"""By garment; jeans are always denim."""
PRINTS: dict[str, float] = {
    "tee": 0.40,
    "longsleeve": 0.22,
    "sweater": 0.18,
    "hoodie": 0.32,
    "tank": 0.2,
    "jacket": 0.08,
}
"""How often each has a print or a logo."""
RIDERS = 0.03
"""Share of people who ride a bicycle, of those whose clothes allow it."""
ACTIONS: Weighted = (("walk", 72), ("stand", 11), ("phone", 9), ("pockets", 4), ("call", 2.5), ("hold", 2))
