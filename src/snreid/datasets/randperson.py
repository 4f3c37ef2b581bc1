"""RandPerson (Wang, Liao, Shao, ACM MM 2020): people rendered by a game engine, the published subset. A source only.

``randperson_subset/000000_s00_c00_f000264.jpg``: person 0, scene 0, camera 0 of the scene, frame 264 (verified in its
README and in QAConv's reader). 11 scenes with 19 cameras.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from snreid.datasets._files import find_folder, named_images
from snreid.datasets._rules import drop_singles, validated
from snreid.images.reading import FileImage
from snreid.records import DataSet, Expected, ReIDData, Sample, Split

_NAME = re.compile(r"(?P<person>[0-9]{1,8})_s(?P<scene>[0-9]{1,2})_c(?P<camera>[0-9]{1,2})_f[0-9]+\.(?:jpg|png)")
_FORM = "PPPPPP_sSS_cCC_fFFFFFF.jpg (person, scene, camera, frame), as in 000000_s00_c00_f000264.jpg"


@dataclass(frozen=True, kw_only=True)
class RandPerson(DataSet):
    """RandPerson's subset of 132,145 images, all for training: 8,000 rendered persons, 19 cameras.
    Person 000000 of the files is number 1; camera c of scene s is number 100 s + c + 1."""

    name = "randperson"
    home = "https://github.com/VideoObjectSearch/RandPerson (the subset used in the paper)"
    expected = (Expected("train", 132_145, 8_000, 19),)

    def read(self, root: Path) -> ReIDData:
        """All samples, for training; persons with one image are dropped with a note. Raises ``DataError`` for a missing
        folder or a name of another form."""
        places = (
            "randperson_subset",
            "RandPerson/randperson_subset",
            "randperson/randperson_subset",
            "randperson/images/subset",
        )
        folder = find_folder(root, places, name=self.name, home=self.home)
        train, dropped = drop_singles(rendered(folder))
        notes = (f"{dropped} persons with one image dropped",) if dropped else ()
        return validated(ReIDData(self.name, train, Split(()), Split(()), notes=notes))


def rendered(folder: Path) -> Split:
    """The images of a folder in the form that RandPerson and ClonedPerson share. Raises ``DataError`` for other names."""
    return Split(
        tuple(
            Sample(FileImage(path), int(name["person"]) + 1, 100 * int(name["scene"]) + int(name["camera"]) + 1)
            for path, name in named_images(folder, _NAME, _FORM)
        )
    )
