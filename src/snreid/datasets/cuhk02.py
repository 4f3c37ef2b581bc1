"""CUHK02 (Li and Wang, CVPR 2013): 1,816 persons on five pairs of cameras, two images on each. A source only.

``P1/cam2/0004_*.png``: pair 1 to 5, camera 1 or 2 of the pair, and a name that begins with the person within the pair and ``_``
(torchreid's reader uses no more of it). The pairs have 971, 306, 107, 193 and 239 persons; P1 is CUHK01. Protocols of domain generalization
do not score on it, so all images are for training.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from snreid.datasets._files import find_base, named_images
from snreid.datasets._rules import validated
from snreid.images.reading import FileImage
from snreid.records import DataSet, Expected, ReIDData, Sample, Split

_NAME = re.compile(r"(?P<person>0*[1-9][0-9]{0,3})_.*\.png")
_FORM = "PERSON_*.png (person within the pair, from 1), as in 0001_01.png"
_PAIRS = ("P1", "P2", "P3", "P4", "P5")
_PAIR = 10_000
"""Person 7 of pair 2 is number 20007."""


@dataclass(frozen=True, kw_only=True)
class CUHK02(DataSet):
    """CUHK02, all of it for training: 1,816 persons, 10 cameras."""

    name = "cuhk02"
    home = (
        "the CUHK identification page of Xiaogang Wang's group at the Chinese University of Hong Kong (CUHK02 on request, "
        "for research only)"
    )
    expected = (Expected("train", 7_264, 1_816, 10),)

    def read(self, root: Path) -> ReIDData:
        """All samples, for training. Raises ``DataError`` for a missing folder, a name of another form, or a person with one image."""
        places = ("", "Dataset", "cuhk02", "CUHK02", "cuhk02/Dataset", "CUHK02/Dataset")
        base = find_base(root, places, _PAIRS, name=self.name, home=self.home)
        samples = [
            Sample(FileImage(path), pair * _PAIR + int(name["person"]), 2 * (pair - 1) + camera)
            for pair in range(1, 6)
            for camera in (1, 2)
            for path, name in named_images(base / f"P{pair}" / f"cam{camera}", _NAME, _FORM)
        ]
        return validated(ReIDData(self.name, Split(tuple(samples)), Split(()), Split(())))
