"""Who counts for a query: which gallery entries are matches, wrong, or ignored (method.md 6).

For one query, a gallery entry is

* **ignored** when it is junk (person ``JUNK``), when it shows the query's person on the query's camera (unless that camera
  is ``NO_CAMERA``), or when names are known and it bears the query's own name;
* a **match** when it is not ignored and shows the query's person, who is a person (id >= 1: distractors match nobody);
* **wrong** otherwise.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from snreid.records import JUNK, NO_CAMERA, Features

_BLOCK = 1 << 16
"""Gallery labels looked at in one go: bounds memory at any gallery size."""


@dataclass(frozen=True)
class Relevance:
    """The gallery entries that are not simply wrong, for every query. Positions are gallery positions, ascending."""

    query: Features
    gallery: Features
    by_person: dict[int, NDArray[np.int64]]
    """Positions of each query person's entries in the gallery."""
    by_name: dict[int, NDArray[np.int64]]
    """Positions that bear the same name as the query at this position; only for queries that have any."""

    def matches(self, query: int) -> NDArray[np.int64]:
        """(M,) positions of the matches of the query at this position."""
        same = self._same_person(query)
        camera = self.query.cameras[query]
        if camera != NO_CAMERA:
            same = same[self.gallery.cameras[same] != camera]
        twins = self.by_name.get(query)
        return same if twins is None else same[~np.isin(same, twins)]

    def marked(self, query: int) -> NDArray[np.int64]:
        """Positions that are a match or ignored (junk aside): all that is not wrong for this query."""
        same, twins = self._same_person(query), self.by_name.get(query)
        return same if twins is None else np.union1d(same, twins)

    def verdicts(self, query: int, positions: NDArray[np.int64]) -> tuple[str, ...]:
        """``"right"``, ``"wrong"`` or ``"ignored"`` for each gallery position (K,)."""
        right = np.isin(positions, self.matches(query))
        ignored = np.isin(positions, self.marked(query)) | (self.gallery.persons[positions] == JUNK)
        return tuple("right" if r else "ignored" if i else "wrong" for r, i in zip(right, ignored, strict=True))

    def _same_person(self, query: int) -> NDArray[np.int64]:
        return self.by_person.get(int(self.query.persons[query]), np.empty(0, np.int64))


def relevance(query: Features, gallery: Features) -> Relevance:
    """Look up the labels once. Memory: one int64 per gallery entry of a query's person."""
    persons = np.unique(query.persons[query.persons > 0])
    found: list[NDArray[np.int64]] = []
    for start in range(0, len(gallery.persons), _BLOCK):
        labels = gallery.persons[start : start + _BLOCK]
        if len(persons):
            place = np.minimum(np.searchsorted(persons, labels), len(persons) - 1)
            found.append(start + np.flatnonzero(persons[place] == labels))
    positions = np.concatenate(found) if found else np.empty(0, np.int64)
    order = np.argsort(gallery.persons[positions], kind="stable")
    positions = positions[order]
    labels = gallery.persons[positions]
    starts = np.searchsorted(labels, persons, side="left")
    ends = np.searchsorted(labels, persons, side="right")
    by_person = {int(p): positions[s:e] for p, s, e in zip(persons, starts, ends, strict=True)}
    return Relevance(query, gallery, by_person, _same_name(query, gallery))


def _same_name(query: Features, gallery: Features) -> dict[int, NDArray[np.int64]]:
    """For each query, the gallery positions that bear its name."""
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
