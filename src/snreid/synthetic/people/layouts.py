"""The objects at each kind of site. People walk around the middle; walls surround the place at some distance."""

from collections.abc import Callable
from math import pi

from snreid.synthetic.people.interiors import corridor, hall, mall, shop, walkway
from snreid.synthetic.people.pieces import Pieces, furniture


def _street(pieces: Pieces) -> None:
    paving, road = pieces.picture("paving"), pieces.picture("asphalt")
    pieces.ground(0, 0, 70, 70, paving, pieces.draws.uniform("tile", 1.2, 2.6))
    edge = pieces.draws.uniform("kerb", 2.0, 5.0)
    pieces.ground(0, edge + 4.5, 70, 8.5, road, 3.0, z=0.006)
    pieces.quad((-35, edge, 0.0), (70, 0, 0), (0, 0.18, 0.10), pieces.picture("paving", 1), 1.0)
    lines = pieces.picture("lines")
    for index in range(-6, 7):
        pieces.ground(index * 5.0, edge + 4.5, 2.4, 0.14, lines, 2.4, z=0.012)
    if pieces.draws.chance("crossing", 0.4):
        at = pieces.draws.uniform("at", -4, 4)
        for index in range(7):
            pieces.ground(at, edge + 1.2 + 1.1 * index, 3.5, 0.55, lines, 2.4, z=0.013)
    pieces.ring(15, ("facade", "facade", "shopfront", "plaster", "brick"), 7.0, glow=0.15)
    for draws in pieces.spread("car", 1, 5):
        lane = edge + draws.pick("lane", (1.4, 7.2))
        pieces.car(draws.uniform("x", -14, 14), lane, draws.bell("turn", 0.0, 0.03), str(draws.key))
    for index, draws in enumerate(pieces.spread("tree", 0, 4)):
        pieces.tree(draws.uniform("x", -12, 12), edge - 0.8, str(index))
    furniture(pieces, posts=4, benches=1, bikes=2, rails=2, bins=1)


def _campus(pieces: Pieces) -> None:
    pieces.ground(0, 0, 80, 80, pieces.picture("grass"), 2.2)
    path = pieces.picture(pieces.draws.pick("path", ("asphalt", "paving")))
    pieces.ground(0, 0, 80, pieces.draws.uniform("wide", 2.5, 5.0), path, 2.0, z=0.006)
    if pieces.draws.chance("second path", 0.6):
        at, wide = pieces.draws.uniform("at", -6, 6), pieces.draws.uniform("wide2", 2.0, 4.0)
        pieces.ground(at, 0, wide, 80, path, 2.0, z=0.005)
    for draws, x, y in pieces.scattered("leaves", 0, 7, (0, 8)):
        wide, deep = draws.uniform("w", 1.5, 5), draws.uniform("d", 1.5, 5)
        pieces.ground(x, y, wide, deep, pieces.picture("litter"), 6.0, z=0.012)
    pieces.ring(20, ("facade", "hedge", "hedge", "brick"), 6.0)
    for index, (_, x, y) in enumerate(pieces.scattered("tree", 3, 9, (3.5, 14))):
        pieces.tree(x, y, str(index))
    for draws, x, y in pieces.scattered("hedge", 1, 4, (4, 10)):
        hedge = pieces.picture("hedge")
        size = (draws.uniform("w", 2, 6), draws.uniform("d", 0.6, 1.2), draws.uniform("h", 0.5, 1.3))
        pieces.box(x, y, draws.uniform("turn", 0, pi), size, hedge, hedge, 1.2)
    furniture(pieces, posts=2, benches=3, bikes=3, rails=1, bins=1)


def _plaza(pieces: Pieces) -> None:
    pieces.ground(0, 0, 80, 80, pieces.picture("paving"), pieces.draws.uniform("tile", 1.5, 3.5))
    band = pieces.picture("paving", 1)
    for index in range(4):
        pieces.ground(0, -9 + 6 * index, 80, 0.6, band, 1.2, z=0.006)
    pieces.ring(17, ("facade", "shopfront", "plaster", "brick", "hedge"), 8.0, glow=0.2)
    for draws, x, y in pieces.scattered("planter", 1, 4, (4, 10)):
        stone, green, turn = pieces.picture("plaster", 1), pieces.picture("hedge"), draws.uniform("turn", 0, pi)
        pieces.box(x, y, turn, (2.0, 1.0, 0.5), stone, stone)
        pieces.box(x, y, turn, (1.8, 0.8, draws.uniform("h", 0.3, 0.9)), green, green, 1.2, z=0.5)
    for index, (_, x, y) in enumerate(pieces.scattered("tree", 0, 4, (4, 12))):
        pieces.tree(x, y, str(index))
    furniture(pieces, posts=6, benches=4, bikes=2, rails=3, bins=2)


def _parking(pieces: Pieces) -> None:
    pieces.ground(0, 0, 80, 80, pieces.picture("asphalt"), 3.0)
    for row in (-7.5, 7.5):
        for index in range(-5, 6):
            pieces.ground(index * 2.6, row, 0.12, 5.0, pieces.picture("lines"), 2.0, z=0.008)
            if pieces.draws.chance(f"taken {row} {index}", 0.6):
                turn = pi / 2 + pieces.draws.bell(f"turn {row} {index}", 0, 0.03)
                pieces.car(index * 2.6 + 1.3, row, turn, f"{row} {index}")
    pieces.ring(20, ("brick", "plaster", "hedge", "facade"), 6.0)
    furniture(pieces, posts=3, benches=0, bikes=1, rails=2, bins=1)


LAYOUTS: dict[str, Callable[[Pieces], None]] = {
    "street": _street, "campus": _campus, "plaza": _plaza, "parking": _parking, "mall": mall, "corridor": corridor,
    "shop": shop, "hall": hall, "walkway": walkway,
}  # fmt: skip
"""The kinds of site, by name."""
