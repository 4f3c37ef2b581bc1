"""The objects at roofed sites: malls, corridors, shops, halls and covered ways."""

from math import pi

from snreid.synthetic.people.pieces import Pieces, furniture


def mall(pieces: Pieces) -> None:
    """A mall: shop windows all around, pillars, stands."""
    pieces.ground(0, 0, 60, 60, pieces.picture("tiles"), pieces.draws.uniform("tile", 2.0, 4.0))
    glow = pieces.draws.uniform("glow", 0.3, 1.0)
    pieces.ring(13, ("shopfront", "shopfront", "plaster", "tiles", "window"), 4.5, glow=glow)
    for draws, x, y in pieces.scattered("pillar", 1, 4, (4, 9)):
        pieces.post(x, y, draws.uniform("thick", 0.5, 0.9), 4.5, pieces.picture("tiles", 1))
    for draws, x, y in pieces.scattered("stand", 0, 4, (3.5, 9)):
        poster = pieces.picture("poster", int(draws.uniform("v", 0, 3)))
        pieces.upright(x, y, draws.uniform("turn", 0, pi), 0.8, 1.7, poster)
        pieces.footprints.append((x, y, 0.5))
    furniture(pieces, posts=1, benches=3, bikes=0, rails=3, bins=2)


def corridor(pieces: Pieces) -> None:
    """A corridor: two walls with doors and notices; its ends may open to daylight."""
    pieces.ground(0, 0, 60, 60, pieces.picture("tiles"), pieces.draws.uniform("tile", 1.6, 3.2))
    wide = pieces.draws.uniform("wide", 3.0, 5.0)
    wall = pieces.picture(pieces.draws.pick("wall", ("plaster", "tiles", "brick", "panel")), 2)
    for side in (-1, 1):
        pieces.upright(0, side * (wide + 5.0), 0.0, 60, 4.0, wall, 3.0)
        for index in range(-5, 6):
            draws = pieces.draws.below("panel", side, index)
            kind = draws.pick("kind", ("none", "poster", "door", "shopfront"), (3, 3, 2, 1))
            if kind != "none":
                high = {"poster": 1.4, "door": 2.2, "shopfront": 2.8}[kind]
                pieces.upright(
                    index * 3.4, side * (wide + 4.94), 0.0, draws.uniform("w", 1.0, 2.6), high,
                    pieces.picture(kind, int(draws.uniform("v", 0, 3))), z=0.8 if kind == "poster" else 0.0, glow=0.3,
                )  # fmt: skip
    for end in (-1, 1):  # one end or both may open to daylight
        bright = pieces.draws.chance(f"window {end}", 0.6)
        kind, glow = ("window", pieces.draws.uniform(f"day {end}", 0.6, 2.5)) if bright else ("shopfront", 0.4)
        pieces.upright(end * 16, 0, pi / 2, 40, 4.0, pieces.picture(kind, 3), 4.0, glow=glow)
    pieces.ground(0, wide * 0.6, 60, 0.35, pieces.picture("lines"), 0.6, z=0.006)
    furniture(pieces, posts=1, benches=2, bikes=0, rails=2, bins=1)


def shop(pieces: Pieces) -> None:
    """A shop: rows of shelves."""
    pieces.ground(0, 0, 60, 60, pieces.picture("tiles"), pieces.draws.uniform("tile", 1.2, 2.6))
    for row in (-6.0, -3.6, 3.6, 6.0):
        for index in range(-3, 4):
            draws = pieces.draws.below("shelf", str(row), index)
            if draws.chance("there", 0.8):
                goods = pieces.picture("shelves", int(draws.uniform("v", 0, 4)))
                size = (2.6, 0.7, draws.uniform("h", 1.3, 2.1))
                pieces.box(index * 3.0, row, 0.0, size, goods, pieces.picture("metal"), None)
    pieces.ring(12, ("shelves", "plaster", "shopfront"), 3.5, glow=0.3)
    furniture(pieces, posts=1, benches=0, bikes=0, rails=1, bins=2)


def hall(pieces: Pieces) -> None:
    """An entrance hall: glass doors and tall windows with daylight behind, pillars, notices, queues."""
    floor = pieces.picture(pieces.draws.pick("floor", ("tiles", "concrete", "carpet", "paving")))
    pieces.ground(0, 0, 60, 60, floor, pieces.draws.uniform("tile", 1.6, 4.0))
    day, high = pieces.draws.uniform("day", 0.4, 2.2), pieces.draws.uniform("high", 3.2, 5.5)
    pieces.ring(11, ("window", "window", "panel", "plaster", "shopfront"), high, glow=day)
    for draws, x, y in pieces.scattered("pillar", 0, 3, (3.5, 8)):
        pieces.post(x, y, draws.uniform("thick", 0.35, 0.8), 5.0, pieces.picture("concrete", 1))
    for draws, x, y in pieces.scattered("desk", 0, 3, (3.5, 8)):
        size = (draws.uniform("w", 1.2, 3.0), 0.7, draws.uniform("h", 0.8, 1.2))
        pieces.box(x, y, draws.uniform("turn", 0, pi), size, pieces.picture("panel", 1), pieces.picture("wood"))
    _notices(pieces, 3)
    furniture(pieces, posts=3, benches=3, bikes=0, rails=3, bins=2)


def walkway(pieces: Pieces) -> None:
    """A covered way: a wall on one side; on the other pillars, a parapet or railing, and the bright outdoors."""
    floor = pieces.picture(pieces.draws.pick("floor", ("tiles", "concrete", "paving", "asphalt")))
    pieces.ground(0, 0, 70, 70, floor, pieces.draws.uniform("tile", 1.2, 3.0))
    wide, day = pieces.draws.uniform("wide", 4.0, 7.0), pieces.draws.uniform("day", 0.4, 1.8)
    wall = pieces.picture(pieces.draws.pick("wall", ("panel", "plaster", "brick", "concrete", "tiles")), 2)
    pieces.upright(0, -wide, 0.0, 70, 4.0, wall, 3.0)
    for index in range(-4, 5):
        draws = pieces.draws.below("bay", index)
        pieces.post(index * 4.2, wide, draws.uniform("thick", 0.3, 0.5), 4.0, pieces.picture("concrete", 1))
        kind = draws.pick("kind", ("none", "poster", "door", "window"), (3, 3, 2, 2))
        if kind != "none":
            high, glow = {"poster": 1.3, "door": 2.2, "window": 1.6}[kind], day if kind == "window" else 0.1
            picture = pieces.picture(kind, int(draws.uniform("v", 0, 3)))
            low = 0.0 if kind == "door" else 0.9
            broad = draws.uniform("w", 0.9, 2.6)
            pieces.upright(index * 4.2, -wide + 0.06, 0.0, broad, high, picture, z=low, glow=glow)
    edge = pieces.draws.pick("edge", ("railing", "concrete", "none"))
    if edge != "none":
        pieces.upright(0, wide, 0.0, 70, 1.05, pieces.picture(edge, 2), 1.4, blocks=True)
    outside = pieces.picture(pieces.draws.pick("outside", ("grass", "asphalt", "paving")), 3)
    pieces.ground(0, wide + 20.2, 90, 40, outside, 2.5, z=0.01, glow=day)
    for index in range(-3, 4):
        draws = pieces.draws.below("far", index)
        kind = draws.pick("kind", ("hedge", "facade", "facade", "foliage", "plaster"))
        size = (draws.uniform("w", 6, 12), draws.uniform("h", 2.5, 9.0))
        picture = pieces.picture(kind, int(draws.uniform("v", 0, 2)))
        pieces.upright(index * 8.0, wide + draws.uniform("away", 8, 16), 0.0, *size, picture, 4.0, glow=day)
    _notices(pieces, 1)
    furniture(pieces, posts=1, benches=2, bikes=1, rails=0, bins=2)


def _notices(pieces: Pieces, most: int) -> None:
    """Free-standing boards and roll-up posters."""
    for draws, x, y in pieces.scattered("notice", 0, most, (3.5, 8)):
        picture = pieces.picture("poster", int(draws.uniform("v", 0, 3)))
        pieces.upright(x, y, draws.uniform("turn", 0, pi), draws.uniform("w", 0.6, 1.6), 1.8, picture)
        pieces.footprints.append((x, y, 0.6))
