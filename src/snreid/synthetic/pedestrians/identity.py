"""The person: build, skin, hair, garments, shoes, bag. Independent of camera, light and moment.

Colours are linear light. Clothes come from a handful of muted, correlated palettes, and about every third person
is dressed from the wardrobe of a small group, so that colour alone seldom distinguishes people.
"""

from dataclasses import dataclass, fields

from snreid.synthetic.limits import check_fields, check_word
from snreid.synthetic.pedestrians.surface import PATTERNS, Colour, colour, shaded
from snreid.synthetic.randomness import Draws

HAIR_STYLES = ("bald", "short", "afro", "bob", "long", "ponytail", "bun")
HATS = ("none", "cap", "beanie", "brim")
TOPS = ("shirt", "tee", "sleeveless", "jumper")
JACKETS = ("none", "open", "zipped", "coat")
BOTTOMS = ("trousers", "wide", "shorts", "skirt", "long skirt")
LOGOS = ("none", "box", "disc", "ring", "bars", "zigzag", "wedge")
BAGS = ("none", "backpack", "shoulder", "handbag", "shopping")


@dataclass(frozen=True, kw_only=True)
class Build:
    """Proportions of a body; 1 is average except where a unit is given."""

    height: float = 1.72
    """Metres, 1.0 to 2.2."""
    girth: float = 1.0
    """Width of waist and belly."""
    shoulders: float = 1.0
    hips: float = 1.0
    legs: float = 1.0
    """Length of the legs within the height."""
    limbs: float = 1.0
    """Thickness of arms and legs."""
    head: float = 1.0

    def __post_init__(self) -> None:
        check_fields(self, height=(1.0, 2.2), **{part.name: (0.6, 1.7) for part in fields(self)[1:]})


@dataclass(frozen=True, kw_only=True)
class PedestrianHead:
    """Skin, hair, face and hat."""

    skin: Colour = (0.5, 0.28, 0.18)
    hair: Colour = (0.02, 0.015, 0.01)
    style: str = "short"
    """One of ``HAIR_STYLES``."""
    beard: bool = False
    glasses: bool = False
    hat: str = "none"
    """One of ``HATS``."""
    hat_colour: Colour = (0.1, 0.1, 0.1)

    def __post_init__(self) -> None:
        check_fields(self, style=HAIR_STYLES, hat=HATS)


@dataclass(frozen=True, kw_only=True)
class PedestrianGarment:
    """One piece of clothing. ``kind`` is one of ``TOPS``, ``JACKETS`` or ``BOTTOMS``, whichever it is used as."""

    kind: str
    colour: Colour = (0.1, 0.1, 0.1)
    pattern: str = "plain"
    """One of ``PATTERNS``."""
    second: Colour = (0.5, 0.5, 0.5)
    """Colour of the pattern, the logo and the trimmings."""
    period: float = 0.08
    """Size of the pattern, metres."""
    logo: str = "none"
    """One of ``LOGOS``: on the front."""
    back_logo: str = "none"
    """One of ``LOGOS``: on the back."""
    logo_size: float = 0.06
    """Half its width, metres."""

    def __post_init__(self) -> None:
        check_fields(
            self,
            kind=TOPS + JACKETS + BOTTOMS,
            pattern=PATTERNS,
            logo=LOGOS,
            back_logo=LOGOS,
            period=(0.01, 1.0),
            logo_size=(0.01, 0.3),
        )


@dataclass(frozen=True, kw_only=True)
class Pedestrian:
    """A person, complete. Every field can be replaced independently (``dataclasses.replace``)."""

    build: Build = Build()
    head: PedestrianHead = PedestrianHead()
    top: PedestrianGarment = PedestrianGarment(kind="shirt")
    jacket: PedestrianGarment = PedestrianGarment(kind="none")
    bottom: PedestrianGarment = PedestrianGarment(kind="trousers")
    shoes: Colour = (0.05, 0.05, 0.05)
    soles: Colour = (0.4, 0.4, 0.4)
    bag: str = "none"
    """One of ``BAGS``."""
    bag_colour: Colour = (0.05, 0.05, 0.06)
    bag_trim: Colour = (0.3, 0.3, 0.3)
    bag_side: int = 1
    """1 or -1: the shoulder or hand that carries it."""

    def __post_init__(self) -> None:
        check_fields(self, bag=BAGS)
        check_word("Pedestrian.top.kind", self.top.kind, TOPS)
        check_word("Pedestrian.jacket.kind", self.jacket.kind, JACKETS)
        check_word("Pedestrian.bottom.kind", self.bottom.kind, BOTTOMS)


_SKINS = tuple(map(colour, ("f0cdb4", "e3b594", "d09a75", "b27b54", "8a5a3a", "64402a", "47301f")))
_HAIRS = tuple(map(colour, ("14110f", "241a14", "3b2719", "5a3d24", "8a6a42", "b8a27a", "8d8a86", "6b2f1c")))
_DARK = tuple(map(colour, ("17171a", "1f2024", "26272c", "1c2233", "22283a", "2b2a2a", "33343a")))
_GREY = tuple(map(colour, ("4a4b4f", "5c5d60", "74757a", "8c8d90", "a6a6a8", "55606b")))
_LIGHT = tuple(map(colour, ("e6e6e4", "d8d6d0", "cfc8ba", "dcd3c4", "c3cad2", "e2d9dc")))
_EARTH = tuple(map(colour, ("5b4632", "6f5a40", "8a7654", "4c4a33", "5a5f43", "70653c", "3f3026")))
_COOL = tuple(map(colour, ("2c3e5c", "3a5274", "4d6a8c", "2f4f52", "41635a", "2b3a6b", "6d86a3")))
_WARM = tuple(map(colour, ("6e2a2c", "8a3a34", "9a5236", "7a3350", "a8763a", "8f2f2a", "b58a8c")))
_VIVID = tuple(map(colour, ("b3262b", "1f57a8", "d9a520", "2b7d46", "d06a1e", "7a3a8c", "2a8f9a")))
_DENIM = tuple(map(colour, ("27303f", "33425a", "45597a", "5d7496", "1e2430", "7f93ad")))

_Palettes = tuple[tuple[Colour, ...], ...]
# For each style of dress: its frequency, the palettes of tops and jackets, and those of bottoms.
_MANNERS: tuple[tuple[float, _Palettes, _Palettes], ...] = (
    (0.30, (_DARK, _GREY, _COOL), (_DARK, _DENIM)),
    (0.22, (_LIGHT, _GREY, _COOL, _WARM), (_DENIM, _DARK, _EARTH)),
    (0.16, (_EARTH, _LIGHT, _WARM), (_EARTH, _DENIM, _DARK)),
    (0.14, (_VIVID, _DARK, _LIGHT), (_DARK, _GREY, _DENIM)),
    (0.10, (_LIGHT,), (_DARK, _EARTH, _LIGHT)),
    (0.08, (_COOL, _WARM, _VIVID), (_LIGHT, _EARTH, _GREY)),
)
_GROUPS = 24
"""Wardrobes that several people share; about a third of the people dress from one."""


def draw_pedestrian(draws: Draws) -> Pedestrian:
    """A random person. The same ``draws`` give the same person, independent of other draws."""
    shared = draws.chance("shares a wardrobe", 0.35)
    wardrobe = Draws.of("wardrobe", int(draws.uniform("which wardrobe", 0, _GROUPS))) if shared else draws
    female = draws.chance("female", 0.5)
    _, tops, bottoms = wardrobe.pick("manner", _MANNERS, [manner[0] for manner in _MANNERS])
    return Pedestrian(
        build=_draw_build(draws, female),
        head=_draw_head(draws, female),
        top=_draw_top(draws, _tinted(wardrobe, "top", tops)),
        jacket=_draw_jacket(draws, _tinted(wardrobe, "jacket", (_DARK, _DARK, *tops))),
        bottom=_draw_bottom(draws, _tinted(wardrobe, "bottom", bottoms), female),
        shoes=_tinted(draws, "shoes", (_DARK, _DARK, _EARTH, _LIGHT, _VIVID)),
        soles=_tinted(draws, "soles", (_LIGHT, _DARK, _GREY)),
        bag=draws.pick("bag", BAGS, (0.42, 0.24, 0.16, 0.11, 0.07)),
        bag_colour=_tinted(draws, "bag colour", (_DARK, _DARK, _GREY, _EARTH, _COOL, _VIVID)),
        bag_trim=_tinted(draws, "bag trim", (_GREY, _LIGHT, _DARK, _VIVID)),
        bag_side=1 if draws.chance("bag on the left", 0.5) else -1,
    )


def _tinted(draws: Draws, name: str, palettes: _Palettes) -> Colour:
    """A slightly varied colour of one of the palettes, as no two fabrics are the same."""
    base = draws.pick(f"{name} colour", draws.pick(f"{name} palette", palettes))
    factor = draws.uniform(f"{name} brightness", 0.8, 1.25)
    grey = 0.3 * base[0] + 0.55 * base[1] + 0.15 * base[2]
    red, green, blue = (
        min((share + 0.22 * (grey - share)) * factor * draws.uniform(f"{name} tint {channel}", 0.93, 1.07), 0.9)
        for channel, share in enumerate(base)
    )
    return red, green, blue


def _draw_build(draws: Draws, female: bool) -> Build:
    lean = -0.04 if female else 0.04
    return Build(
        height=draws.bell("height", 1.66 if female else 1.77, 0.065),
        girth=min(max(draws.bell("girth", 1.0, 0.13), 0.8), 1.45),
        shoulders=draws.bell("shoulders", 1.0 + lean, 0.05),
        hips=draws.bell("hips", 1.0 - lean, 0.06),
        legs=draws.bell("legs", 1.0, 0.03),
        limbs=min(max(draws.bell("limbs", 1.0, 0.1), 0.75), 1.35),
        head=draws.bell("head", 1.0, 0.04),
    )


def _draw_head(draws: Draws, female: bool) -> PedestrianHead:
    weights = (0.02, 0.14, 0.06, 0.22, 0.28, 0.18, 0.10) if female else (0.13, 0.72, 0.06, 0.03, 0.03, 0.02, 0.01)
    skin = draws.pick("skin", _SKINS, (4, 5, 4, 3, 2, 2, 1))
    return PedestrianHead(
        skin=shaded(skin, draws.uniform("skin brightness", 0.9, 1.1)),
        hair=draws.pick("hair", _HAIRS, (7, 5, 4, 2, 1.5, 1, 1.2, 0.7)),
        style=draws.pick("hair style", HAIR_STYLES, weights),
        beard=not female and draws.chance("beard", 0.25),
        glasses=draws.chance("glasses", 0.22),
        hat=draws.pick("hat", HATS, (0.80, 0.10, 0.06, 0.04)),
        hat_colour=_tinted(draws, "hat", (_DARK, _GREY, _LIGHT, _VIVID)),
    )


def _draw_top(draws: Draws, base: Colour) -> PedestrianGarment:
    return PedestrianGarment(
        kind=draws.pick("top", TOPS, (0.34, 0.38, 0.08, 0.20)),
        colour=base,
        pattern=draws.pick("top pattern", PATTERNS, (0.50, 0.12, 0.06, 0.06, 0.07, 0.05, 0.10, 0.04)),
        second=_tinted(draws, "top second", (_DARK, _GREY, _LIGHT, _COOL, _WARM, _VIVID)),
        period=draws.uniform("top period", 0.05, 0.14),
        logo=draws.pick("logo", LOGOS, (0.45, 0.12, 0.10, 0.07, 0.13, 0.07, 0.06)),
        back_logo=draws.pick("back logo", LOGOS, (0.74, 0.06, 0.05, 0.04, 0.06, 0.03, 0.02)),
        logo_size=draws.uniform("logo size", 0.045, 0.11),
    )


def _draw_jacket(draws: Draws, base: Colour) -> PedestrianGarment:
    return PedestrianGarment(
        kind=draws.pick("jacket", JACKETS, (0.56, 0.20, 0.16, 0.08)),
        colour=base,
        pattern=draws.pick("jacket pattern", ("plain", "blocks", "hoops", "plaid"), (0.80, 0.12, 0.03, 0.05)),
        second=_tinted(draws, "jacket second", (_DARK, _GREY, _LIGHT, _VIVID)),
        period=draws.uniform("jacket period", 0.06, 0.14),
        back_logo=draws.pick("jacket back", LOGOS, (0.76, 0.06, 0.05, 0.03, 0.07, 0.03, 0.0)),
        logo_size=draws.uniform("jacket logo size", 0.05, 0.12),
    )


def _draw_bottom(draws: Draws, base: Colour, female: bool) -> PedestrianGarment:
    weights = (0.42, 0.10, 0.16, 0.20, 0.12) if female else (0.62, 0.14, 0.24, 0.0, 0.0)
    return PedestrianGarment(
        kind=draws.pick("bottom", BOTTOMS, weights),
        colour=base,
        pattern=draws.pick("bottom pattern", ("plain", "stripes", "plaid", "camouflage"), (0.86, 0.05, 0.05, 0.04)),
        second=_tinted(draws, "bottom second", (_DARK, _GREY, _LIGHT)),
        period=draws.uniform("bottom period", 0.07, 0.16),
    )
