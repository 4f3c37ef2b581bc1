"""Relevance for a query: which gallery entries are matches, wrong, or ignored (method.md 6).

For one query, a gallery entry is

* **ignored** when it is junk (person ``JUNK``), when it shows the query's person on the query's camera (unless that camera
    is ``NO_CAMERA``), or when names are known and it has the query's own name;
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
    by_name: dict[int, NDArray[np.int64]]
    """Positions with the same name as the query at this position; only for queries that have any."""

    def matches(self, query: int) -> NDArray[np.int64]:
        """(M,) positions of the matches of the query at this position."""
        pairs = self.pairs(np.array([query]))
        return pairs.position[pairs.match]

    def marked(self, query: int) -> NDArray[np.int64]:
        """Positions that are a match or ignored (junk left out): all that are not wrong for this query."""
        return self.pairs(np.array([query])).position

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
        camera = self.query.cameras[queries][row]
        pairs = Pairs(row, position, (camera == NO_CAMERA) | (self.gallery.cameras[position] != camera))
        return self._with_twins(queries, pairs) if self.by_name else pairs

    def verdicts(self, query: int, positions: NDArray[np.int64]) -> tuple[str, ...]:
        """``"right"``, ``"wrong"`` or ``"ignored"`` for each gallery position (K,)."""
        pairs = self.pairs(np.array([query]))
        right = np.isin(positions, pairs.position[pairs.match])
        ignored = np.isin(positions, pairs.position) | (self.gallery.persons[positions] == JUNK)
        return tuple("right" if r else "ignored" if i else "wrong" for r, i in zip(right, ignored, strict=True))

    def _with_twins(self, queries: NDArray[np.int64], pairs: Pairs) -> Pairs:
        """The pairs plus those with equal names, which are ignored whoever they show."""
        twins = [self.by_name.get(query, np.empty(0, np.int64)) for query in queries.tolist()]
        row = np.concatenate([pairs.row, np.repeat(np.arange(len(queries)), [len(some) for some in twins])])
        position = np.concatenate([pairs.position, *twins])
        match = np.concatenate([pairs.match, np.zeros(len(row) - len(pairs.row), np.bool_)])
        order = np.lexsort((match, position, row))  # of a pair listed twice the ignored one comes first
        row, position, match = row[order], position[order], match[order]
        once = np.ones(len(row), np.bool_)
        once[1:] = (row[1:] != row[:-1]) | (position[1:] != position[:-1])
        return Pairs(row[once], position[once], match[once])


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
    return Relevance(query, gallery, positions, first, last - first, _same_name(query, gallery))


def _same_name(query: Features, gallery: Features) -> dict[int, NDArray[np.int64]]:
    """For each query, the gallery positions with its name."""
    if not query.names or not gallery.names:
        return {}
    wanted: dict[str, list[int]] = {}
    for index, name in enumerate(query.names):
        wanted.setdefault(name, []).append(index)
    twins: dict[int, list[int]] = {}
    for position, name in enumerate(gallery.names):
        for index in wanted.get(name, ()):
            twins.setdefault(index, []).append(position)
    return {index: np.array(positions, dtype=np.int64) for index, positions in twins.items()}
