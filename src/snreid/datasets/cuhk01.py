"""CUHK01, also called *campus* (Li, Zhao, Wang, ACCV 2012): 971 persons, two cameras, two images on each.

``campus/0001003.png`` is the third image of person 1; images 001 and 002 are from the first camera, 003 and 004 from the second (verified
in torchreid's reader). Camera 1 has the queries and camera 2 the gallery, both images of each person; 485 persons are for training, as in
torchreid. CUHK02 contains these cameras (its pair P1).
"""

import re
from dataclasses import dataclass
from pathlib import Path

from snreid.datasets._files import find_folder, named_images
from snreid.datasets._rules import validated
from snreid.datasets._splits import DrawnSplits, SplitDataSet
from snreid.images.reading import FileImage
from snreid.records import Expected, ReIDData, Sample, Split

SPLITS = DrawnSplits(
    name="cuhk01", persons=971, train=485, sha256="afcbc32aa7aa82880e118cac58e27060896f4eb542d5af6635ccbbac8ca63e50"
)
_NAME = re.compile(r"(?!0000)(?P<person>[0-9]{4})00(?P<image>[1-4])\.png")
_FORM = "PPPPNNN.png (person from 0001, image 001 to 004), as in 0001003.png"


@dataclass(frozen=True, kw_only=True)
class CUHK01(SplitDataSet):
    """CUHK01 on one of ten random splits: 485 persons to train on, 486 to test, 2 cameras."""

    splits = SPLITS
    collection = "cuhk02"
    """Which contains it."""
    home = (
        "the CUHK identification page of Xiaogang Wang's group at the Chinese University of Hong Kong (CUHK01.zip on "
        "request, for research only)"
    )
    expected = (
        Expected("train", 1_940, 485, 2),
        Expected("query", 972, 486, 1),
        Expected("gallery", 972, 486, 1),
    )
    """3,884 images in all."""

    def read(self, root: Path) -> ReIDData:
        """Samples of the split. Raises ``DataError`` for a missing folder, a name of another form, or other persons than the 971."""
        folder = find_folder(root, ("campus", "cuhk01/campus", "CUHK01/campus"), name=self.name, home=self.home)
        samples = [
            Sample(FileImage(path), int(name["person"]), 1 if name["image"] in "12" else 2)
            for path, name in named_images(folder, _NAME, _FORM)
        ]
        train, test = SPLITS.halves(self.split, (sample.person for sample in samples))
        return validated(
            ReIDData(
                self.name,
                Split(tuple(sample for sample in samples if sample.person in train)),
                Split(tuple(sample for sample in samples if sample.person in test and sample.camera == 1)),
                Split(tuple(sample for sample in samples if sample.person in test and sample.camera == 2)),
                split_id=self.split_id,
            )
        )
