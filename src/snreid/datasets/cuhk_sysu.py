"""CUHK-SYSU, the persons cut out of its frames (Xiao et al., CVPR 2017): 11,934 persons, 34,574 images. A source only.

The release holds whole frames; ``snreid data crop-sysu`` cuts the persons out (``cuhk_sysu_release.py``). Two naming schemes are in use,
and both are read: ``cropped_images/p11422_s16929_1.jpg`` (torchreid, fast-reid and this program) and
``cropped_image/p11422_n01_s16929_hard0.png`` (MetaBIN), both person 11422 in frame 16929. Frames come from hundreds of moving cameras and
from films, so cameras are not known.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from snreid.datasets._files import find_folder, named_samples
from snreid.datasets._rules import drop_singles, validated
from snreid.records import DataSet, Expected, ReIDData, Split

PERSONS, IMAGES = 11_934, 34_574
"""Published counts of the persons cut out by ``annotation/Person.mat``."""
_NAME = re.compile(r"p(?P<person>0*[1-9][0-9]{0,7})_(?:s[0-9]+_[0-9]+|n[0-9]+_s[0-9]+_hard[01])\.(?:jpg|png)")
_FORM = "pPERSON_sFRAME_N.jpg, as in p11422_s16929_1.jpg"
_OUTER = ("CUHK-SYSU", "cuhk-sysu", "cuhksysu", "cuhk_sysu", "CUHK_SYSU")


@dataclass(frozen=True, kw_only=True)
class CUHKSYSU(DataSet):
    """CUHK-SYSU's cropped persons, all for training; cameras are not known."""

    name = "cuhk-sysu"
    home = (
        "the person search page of the Chinese University of Hong Kong, https://github.com/ShuangLI59/person_search (on "
        "request, for research only); then snreid data crop-sysu RELEASE FOLDER"
    )
    expected = (Expected("train", IMAGES, PERSONS),)

    def read(self, root: Path) -> ReIDData:
        """All samples, for training; persons with one image are dropped with a note. Raises ``DataError`` for a missing folder
        or a name of another form."""
        inner = ("cropped_images", "cropped_image")
        places = [*inner, *(f"{outer}/{folder}" for outer in _OUTER for folder in inner)]
        folder = find_folder(root, places, name=self.name, home=self.home)
        train, dropped = drop_singles(Split(named_samples(folder, _NAME, _FORM)))
        notes = (f"{dropped} persons with one image dropped",) if dropped else ()
        return validated(ReIDData(self.name, train, Split(()), Split(()), has_cameras=False, notes=notes))
