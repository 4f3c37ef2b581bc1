"""PRID 2011, its single-shot part (Hirzer et al., SCIA 2011): 385 persons on camera a, 749 on camera b, the first 200 on both.

``single_shot/cam_a/person_0001.png``; above 200 the same number on the two cameras means two people (verified in torchreid's and MetaBIN's
readers). 100 of the 200 shared persons are for training. The other 100 are queries on camera a; the gallery is these 100 and persons 201
to 749 of camera b. Persons 201 to 385 of camera a are not used.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from snreid.datasets._files import find_base, named_images
from snreid.datasets._rules import shown, validated
from snreid.datasets._splits import DrawnSplits, SplitDataSet
from snreid.errors import DataError
from snreid.images.reading import FileImage
from snreid.records import Expected, ReIDData, Sample, Split

SPLITS = DrawnSplits(
    name="prid2011", persons=200, train=100, sha256="3f89a1aa27babdc2051b29c6cc38cab6f8230d2f5236cd01170c679b38b5a48c"
)
_NAME = re.compile(r"person_(?P<person>(?!0000)[0-9]{4})\.png")
_FORM = "person_PPPP.png (person from 0001), as in person_0001.png"
_SHARED = 200
_LAST = 749


@dataclass(frozen=True, kw_only=True)
class PRID2011(SplitDataSet):
    """PRID 2011 on one of ten random splits: 100 persons to train on, 100 to test, 649 in the gallery, 2 cameras."""

    splits = SPLITS
    home = "the PRID 11 page of the Institute of Computer Graphics and Vision, TU Graz (prid_2011.zip)"
    expected = (Expected("train", 200, 100, 2), Expected("query", 100, 100, 1), Expected("gallery", 649, 649, 1))

    def read(self, root: Path) -> ReIDData:
        """Samples of the split. Raises ``DataError`` for a missing folder or image, or a name of another form."""
        needed = ("single_shot/cam_a", "single_shot/cam_b")
        places = ("", "prid_2011", "prid2011", "PRID2011", "prid2011/prid_2011")
        base = find_base(root, places, needed, name=self.name, home=self.home)
        a, b = (
            {
                int(name["person"]): Sample(FileImage(path), int(name["person"]), camera)
                for path, name in named_images(base / folder, _NAME, _FORM)
            }
            for camera, folder in enumerate(needed, 1)
        )
        missing = [f"cam_a/person_{n:04d}.png" for n in range(1, _SHARED + 1) if n not in a]
        missing += [f"cam_b/person_{n:04d}.png" for n in range(1, _LAST + 1) if n not in b]
        if missing:
            raise DataError(
                f"PRID 2011 has persons 1 to {_SHARED} on camera a and 1 to {_LAST} on camera b",
                found=f"{len(missing)} missing in {base / 'single_shot'}: {shown(missing)}",
                fix="unpack the archive again",
            )
        train, test = SPLITS.halves(self.split, range(1, _SHARED + 1))
        gallery = [*sorted(test), *range(_SHARED + 1, _LAST + 1)]
        return validated(
            ReIDData(
                self.name,
                Split(tuple(camera[person] for person in sorted(train) for camera in (a, b))),
                Split(tuple(a[person] for person in sorted(test))),
                Split(tuple(b[person] for person in gallery)),
                split_id=self.split_id,
            )
        )
