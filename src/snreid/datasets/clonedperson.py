"""ClonedPerson (Wang, Liang, Liao, CVPR 2022): rendered people in clothes taken from photographs, by RandPerson's authors.

``train``, ``test/query`` and ``test/gallery`` with names such as ``700000_s02_c00_f023389.jpg``: person, scene, camera of the
scene, frame (verified in its README and its own loader). 887,766 images of 5,621 persons in all.
"""

from dataclasses import dataclass
from pathlib import Path

from snreid.datasets._files import find_base
from snreid.datasets._rules import drop_singles, validated
from snreid.datasets.randperson import rendered
from snreid.records import DataSet, Expected, ReIDData


@dataclass(frozen=True, kw_only=True)
class ClonedPerson(DataSet):
    """ClonedPerson as released; ``clonedperson@all`` trains on all of it. Persons and cameras are numbered as in ``RandPerson``."""

    name = "clonedperson"
    home = "https://github.com/Yanan-Wang-cs/ClonedPerson (clonedperson.tar.gz)"
    expected = (Expected("all", 887_766, 5_621),)
    """Of the whole; the counts of the splits are not published."""

    def read(self, root: Path) -> ReIDData:
        """Samples of the three folders; training persons with one image are dropped with a note. Raises ``DataError`` for a
        missing folder or a name of another form."""
        folders = ("train", "test/query", "test/gallery")
        base = find_base(root, ("", "ClonedPerson", "clonedperson"), folders, name=self.name, home=self.home)
        every, query, gallery = (rendered(base / folder) for folder in folders)
        train, dropped = drop_singles(every)
        notes = (f"train: {dropped} persons with one image dropped",) if dropped else ()
        return validated(ReIDData(self.name, train, query, gallery, notes=notes))
