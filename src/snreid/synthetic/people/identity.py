"""A person: body, head, clothes, carried objects, gait. Independent of camera and moment.

Every field can be changed independently (``dataclasses.replace``). ``casting.draw_identity`` draws from ``wardrobe``'s tables.
"""

from dataclasses import dataclass

from snreid.synthetic.limits import check_fields, check_range, check_word
from snreid.synthetic.people.wardrobe import Colour

HAIR_STYLES = ("bald", "buzz", "crop", "short", "swept", "curly", "bob", "long", "tied", "bun")
HATS = ("none", "cap", "beanie", "brim", "hood")
PATTERNS = (
    "plain", "denim", "heather", "knit", "hoops", "stripes", "plaid", "dots", "floral", "camouflage", "blocks", "tie-dye"
)  # fmt: skip
TOPS = ("tee", "polo", "shirt", "longsleeve", "sweater", "tank")
OUTERS = ("none", "jacket", "hoodie", "blazer", "coat", "puffer", "gilet")
BOTTOMS = ("trousers", "slim", "wide", "shorts", "skirt", "long skirt", "dress")
SHOES = ("sneaker", "leather", "boot", "sandal")
BAGS = ("none", "backpack", "shoulder", "crossbody", "handbag", "shopping", "trolley")
PRINTS = ("none", "text", "badge", "picture", "band")
YOUNGEST, OLDEST = 18.0, 90.0
"""Years. There are no children."""
_BLACK: Colour = (0.08, 0.08, 0.08)
_WHITE: Colour = (0.9, 0.9, 0.9)


@dataclass(frozen=True, kw_only=True)
class Physique:
    """The build of an adult. Shares lie between 0 and 1 unless stated otherwise."""

    gender: float = 0.5
    """0 a man's build, 1 a woman's."""
    age: float = 30.0
    """Years, 18 to 90."""
    muscle: float = 0.4
    weight: float = 0.4
    height: float = 0.4
    """Share, not metres, 0.2 to 0.65: 0.4 is a man of 1.79 m or a woman of 1.66 m, and a step of 0.1 is 11 cm."""
    proportions: float = 0.5
    bust: float = 0.4
    ancestry: tuple[float, float, float] = (0.33, 0.33, 0.34)
    """Shares of MakeHuman's three head shapes, as its files call them: african, asian, caucasian."""

    def __post_init__(self) -> None:
        check_fields(self, age=(YOUNGEST, OLDEST), height=(0.2, 0.65))
        check_fields(self, **dict.fromkeys(("gender", "muscle", "weight", "proportions", "bust"), (0.0, 1.0)))
        for share in self.ancestry:
            check_range("Each share of Physique.ancestry", share, 0.0, 1.0)
        check_range("The sum of Physique.ancestry", sum(self.ancestry), 0.01, 3.0)


@dataclass(frozen=True, kw_only=True)
class Fabric:
    """The material of a garment."""

    colour: Colour = _BLACK
    second: Colour = _WHITE
    """Colour of the pattern and the trimmings."""
    pattern: str = "plain"
    """One of ``PATTERNS``."""
    period: float = 0.06
    """Size of the pattern, metres."""
    seed: int = 0
    """Seed of its irregular part."""

    def __post_init__(self) -> None:
        check_fields(self, pattern=PATTERNS, period=(0.005, 0.5))
        for share in (*self.colour, *self.second):
            check_range("A colour's share", share, 0.0, 1.0)


@dataclass(frozen=True, kw_only=True)
class Print:
    """A print or logo on the trunk."""

    kind: str = "none"
    """One of ``PRINTS``."""
    size: float = 0.1
    """Half its width, metres."""
    across: float = 0.0
    """Metres left of the middle."""
    below: float = 0.2
    """Metres below the neck."""
    back: bool = False
    colours: tuple[Colour, Colour] = (_WHITE, _BLACK)
    seed: int = 0

    def __post_init__(self) -> None:
        check_fields(self, kind=PRINTS, size=(0.01, 0.3))


@dataclass(frozen=True, kw_only=True)
class Garment:
    """One piece of clothing; ``kind`` is one of ``TOPS``, ``OUTERS`` or ``BOTTOMS``."""

    kind: str
    fabric: Fabric = Fabric()
    loose: float = 0.5
    """0 close to the body, 1 wide."""
    length: float = 0.0
    """Metres longer than usual."""
    sleeve: float = 1.0
    """Where the sleeves end: 0 shoulder, 1 elbow, 2 wrist."""
    neck: float = 0.04
    """How deep the neckline is cut, metres."""
    front: float = 0.0
    """How far it is open in front, metres; 0 is closed."""
    print: Print = Print()

    def __post_init__(self) -> None:
        check_fields(
            self,
            kind=TOPS + OUTERS + BOTTOMS,
            loose=(0.0, 1.0),
            length=(-0.3, 0.4),
            sleeve=(-0.2, 2.0),
            front=(0.0, 0.2),
        )


@dataclass(frozen=True, kw_only=True)
class Head:
    """Skin, hair, face, hat and scarf."""

    skin: Colour = (0.81, 0.63, 0.50)
    hair: Colour = (0.11, 0.085, 0.07)
    style: str = "short"
    """One of ``HAIR_STYLES``."""
    length: float = 0.5
    """Hair length, 0 to 1 within its style."""
    hat: str = "none"
    """One of ``HATS``."""
    hat_colour: Colour = _BLACK
    beard: float = 0.0
    """0 none to 1 full."""
    glasses: bool = False
    scarf: Colour | None = None

    def __post_init__(self) -> None:
        check_fields(self, style=HAIR_STYLES, hat=HATS, length=(0.0, 1.0), beard=(0.0, 1.0))


@dataclass(frozen=True, kw_only=True)
class Shoes:
    """Footwear."""

    kind: str = "sneaker"
    """One of ``SHOES``."""
    colour: Colour = _BLACK
    sole: Colour = _WHITE
    socks: Colour = _WHITE

    def __post_init__(self) -> None:
        check_fields(self, kind=SHOES)


@dataclass(frozen=True, kw_only=True)
class Bag:
    """A carried bag."""

    kind: str = "none"
    """One of ``BAGS``."""
    colour: Colour = _BLACK
    second: Colour = _WHITE
    size: float = 0.5
    """0 small to 1 large."""
    side: int = 1
    """1 left, -1 right."""

    def __post_init__(self) -> None:
        check_fields(self, kind=BAGS, size=(0.0, 1.0))


@dataclass(frozen=True, kw_only=True)
class Gait:
    """A person's gait."""

    stride: float = 1.0
    swing: float = 1.0
    spread: float = 0.08
    lean: float = 0.03


@dataclass(frozen=True, kw_only=True)
class Identity:
    """A person, complete."""

    physique: Physique = Physique()
    head: Head = Head()
    top: Garment = Garment(kind="tee")
    outer: Garment = Garment(kind="none")
    bottom: Garment = Garment(kind="trousers")
    shoes: Shoes = Shoes()
    bag: Bag = Bag()
    bicycle: Colour | None = None
    """Colour of the bicycle, for riders."""
    gait: Gait = Gait()

    def __post_init__(self) -> None:
        check_word("Identity.top.kind", self.top.kind, TOPS)
        check_word("Identity.outer.kind", self.outer.kind, OUTERS)
        check_word("Identity.bottom.kind", self.bottom.kind, BOTTOMS)

    @property
    def laden(self) -> int:
        """1 left, -1 right, 0 none: the carrying hand."""
        return self.bag.side if self.bag.kind in ("handbag", "shopping", "trolley") else 0
