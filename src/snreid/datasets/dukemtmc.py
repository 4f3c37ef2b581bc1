"""DukeMTMC-reID (Ristani et al., ECCV workshops 2016; Zheng et al., ICCV 2017). Its owners withdrew it in 2019.

The pictures were taken outdoors on a campus without informed consent and against the approved protocol. Because published tables contain
results on it, it can be read by users who state that they know this (``withdrawn_ok``).

A name such as ``0001_c2_f0046182.jpg`` means person 1, camera 2, frame 46182. The three folders are those of Market-1501
(``bounding_box_train``, ``query``, ``bounding_box_test``); verified in the readers of torchreid and fast-reid.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from snreid.datasets._files import find_base, named_samples
from snreid.datasets._rules import validated
from snreid.errors import DataError
from snreid.records import DataSet, Expected, ReIDData, Split

_NAME = re.compile(r"(?P<person>0*[1-9][0-9]{0,8})_c(?P<camera>[1-8])_f[0-9]+\.[Jj][Pp][Ee]?[Gg]")
_FORM = "PPPP_cC_fFFFFFFF.jpg (person from 1, camera 1 to 8, frame), as in 0001_c2_f0046182.jpg"
_FOLDERS = ("bounding_box_train", "query", "bounding_box_test")
_WHY = (
    "its owners withdrew it in 2019: people were recorded without informed consent and against the approved protocol "
    "(docs/ethics.md)"
)


@dataclass(frozen=True, kw_only=True)
class DukeMTMC(DataSet):
    """DukeMTMC-reID: 702 persons to train on, 702 to test and 408 more in the gallery, 8 cameras. Withdrawn."""

    name = "dukemtmc"
    home = "there is none any more, because " + _WHY
    expected = (
        Expected("train", 16_522, 702, 8),
        Expected("query", 2_228, 702, 8),
        Expected("gallery", 17_661, 1_110, 8),
    )

    withdrawn_ok: bool = False
    """Read it although it is withdrawn: you have it, know why it was withdrawn, and take responsibility for using it."""

    def read(self, root: Path) -> ReIDData:
        """Samples of the three folders, with a warning among the notes. Raises ``DataError`` without ``withdrawn_ok``, and for a missing
        folder or a name of another form."""
        if not self.withdrawn_ok:
            raise DataError(
                "DukeMTMC-reID is not read unless you say that you know it is withdrawn",
                found=_WHY,
                fix="take another data set; if you need it to compare with published tables: dukemtmc:withdrawn_ok=true "
                "(in Python DukeMTMC(withdrawn_ok=True))",
            )
        places = ("", "DukeMTMC-reID", "dukemtmc-reid", "dukemtmc", "dukemtmc-reid/DukeMTMC-reID")
        base = find_base(root, places, _FOLDERS, name=self.name, home=self.home)
        train, query, gallery = (Split(named_samples(base / folder, _NAME, _FORM)) for folder in _FOLDERS)
        note = f"DukeMTMC-reID is withdrawn: {_WHY}; do not publish its images, and say so beside results"
        return validated(ReIDData(self.name, train, query, gallery, notes=(note,)))
