"""PersonX, the subset with six backgrounds for re-identification (Sun and Zheng, CVPR 2019): rendered people.

``subset1/bounding_box_train/0001_c3_*.jpg`` and the other two folders of Market-1501; a name begins with person and camera, and the cameras
are 3, 4, 8, 10, 11 and 12 (verified in OpenUnReID's reader, which uses no more of the name).
"""

import re
from dataclasses import dataclass
from pathlib import Path

from snreid.datasets._files import find_base, named_samples
from snreid.datasets._rules import validated
from snreid.records import DataSet, Expected, ReIDData, Split

_NAME = re.compile(r"(?P<person>0*[1-9][0-9]{0,7})_c(?P<camera>0*[1-9][0-9]?)(?![0-9]).*\.(?:jpg|png)")
_FORM = "PPPP_cC*.jpg (person and camera from 1), as in 0001_c3_0001.jpg"
_FOLDERS = ("bounding_box_train", "query", "bounding_box_test")


@dataclass(frozen=True, kw_only=True)
class PersonX(DataSet):
    """PersonX: 410 rendered persons to train on, 856 to test, 6 cameras."""

    name = "personx"
    home = "https://github.com/sxzrt/Instructions-of-the-PersonX-dataset ('a more challenging subset')"
    expected = (
        Expected("train", 9_840, 410, 6),
        Expected("query", 5_136, 856, 6),
        Expected("gallery", 30_816, 856, 6),
    )

    def read(self, root: Path) -> ReIDData:
        """Samples of the three folders. Raises ``DataError`` for a missing folder or a name of another form."""
        places = ("personx/subset1", "PersonX/subset1", "personx", "PersonX", "PersonX_v1", "subset1")
        base = find_base(root, places, _FOLDERS, name=self.name, home=self.home)
        train, query, gallery = (Split(named_samples(base / folder, _NAME, _FORM)) for folder in _FOLDERS)
        return validated(ReIDData(self.name, train, query, gallery))
