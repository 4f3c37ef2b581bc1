"""Relevance for a query: which gallery entries are matches, wrong, or ignored (method.md 6).

For one query, a gallery entry is

* **ignored** when it is junk (person ``JUNK``), or shows the query's person on the query's camera. Where one of the two cameras is unknown
    (``NO_CAMERA``), the entry of the same person that has the query's own name is ignored instead: it is the query's image;
* a **match** when it is not ignored and shows the query's person. Person 0 is a person like any other: the distractors that a data set's
    reader declares match nobody because no query bears their number;
* **wrong** otherwise.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from snreid.records import JUNK, NO_CAMERA, Features

_BLOCK = 1 << 16
"""Gallery labels scanned at once: bounds memory at any gallery size."""


@dataclass(frozen=True)
class Pairs:
    """Query and gallery entry of each pair that is not simply wrong, junk left out; row by row."""

    row: NDArray[np.int64]
    """(K,) ascending: position of the query in the requested list."""
    position: NDArray[np.int64]
    """(K,) gallery positions, ascending inside a row."""
    match: NDArray[np.bool_]
    """(K,) whether the entry is a match; otherwise it is ignored."""


@dataclass(frozen=True)
class Relevance:
    """The gallery entries that are not simply wrong, for every query. Positions are gallery positions, ascending."""

    query: Features
    gallery: Features
    positions: NDArray[np.int64]
    """Of all entries that show a query's person, person by person."""
    first: NDArray[np.int64]
    """(Q,) index in ``positions`` where the entries of each query's person begin."""
    count: NDArray[np.int64]
    """(Q,) number of these entries."""
    names: tuple[NDArray[np.int64], NDArray[np.int64]] | None
    """A number for each name of the queries (Q,) and of the gallery (G,), equal for equal names; -1 for a name that no query has. None if
    names decide nothing."""

    def matches(self, query: int) -> NDArray[np.int64]:
        """(M,) positions of the matches of the query at this position."""
        pairs = self.pairs(np.array([query]))
        return pairs.position[pairs.match]

    def entries(self, query: int) -> NDArray[np.int64]:
        """(K,) positions of all entries that show the person of the query at this position, ignored ones included."""
        return self.positions[self.first[query] : self.first[query] + self.count[query]]

    def pairs(self, queries: NDArray[np.int64]) -> Pairs:
        """All pairs of the queries at these positions, whose rows are their positions in ``queries``."""
        count = self.count[queries]
        row = np.repeat(np.arange(len(queries)), count)
        # Number of a pair inside its row, added to the start of the row's entries.
        inside = np.arange(len(row)) - np.repeat(np.cumsum(count) - count, count)
        position = self.positions[self.first[queries][row] + inside]
        camera, other = self.query.cameras[queries][row], self.gallery.cameras[position]
        match = (camera == NO_CAMERA) | (other != camera)
        if self.names is not None:
            query_name, gallery_name = self.names
            unknown = (camera == NO_CAMERA) | (other == NO_CAMERA)
            match &= ~(unknown & (query_name[queries][row] == gallery_name[position]))
        return Pairs(row, position, match)

    def verdicts(self, query: int, positions: NDArray[np.int64]) -> tuple[str, ...]:
        """``"right"``, ``"wrong"`` or ``"ignored"`` for each gallery position (K,)."""
        pairs = self.pairs(np.array([query]))
        right = np.isin(positions, pairs.position[pairs.match])
        ignored = np.isin(positions, pairs.position) | (self.gallery.persons[positions] == JUNK)
        return tuple("right" if r else "ignored" if i else "wrong" for r, i in zip(right, ignored, strict=True))


def relevance(query: Features, gallery: Features) -> Relevance:
    """Look up the labels once. Memory: one int64 per gallery entry of a query's person."""
    persons = np.unique(query.persons[query.persons != JUNK])
    parts: list[NDArray[np.int64]] = []
    for start in range(0, len(gallery.persons), _BLOCK):
        labels = gallery.persons[start : start + _BLOCK]
        if len(persons):
            place = np.minimum(np.searchsorted(persons, labels), len(persons) - 1)
            parts.append(start + np.flatnonzero(persons[place] == labels))
    positions = np.concatenate(parts) if parts else np.empty(0, np.int64)
    order = np.argsort(gallery.persons[positions], kind="stable")
    positions = positions[order]
    labels = gallery.persons[positions]
    first = np.searchsorted(labels, query.persons, side="left")
    last = np.searchsorted(labels, query.persons, side="right")
    return Relevance(query, gallery, positions, first, last - first, _numbered(query, gallery))


def _numbered(query: Features, gallery: Features) -> tuple[NDArray[np.int64], NDArray[np.int64]] | None:
    """``Relevance.names``."""
    cameras_known = (query.cameras != NO_CAMERA).all() and (gallery.cameras != NO_CAMERA).all()
    if cameras_known or not query.names or not gallery.names:
        return None
    numbers = {name: number for number, name in enumerate(query.names)}
    of_query = np.array([numbers[name] for name in query.names], dtype=np.int64)
    return of_query, np.array([numbers.get(name, -1) for name in gallery.names], dtype=np.int64)
