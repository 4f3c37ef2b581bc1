"""QMUL underGround Re-IDentification, GRID (Loy, Xiang, Gong, CVPR 2009): 250 persons seen twice, 775 seen once, 8 cameras.

``probe/0001_1_25008_169_18_98_246.jpeg``: person 1 on camera 1; ``gallery`` has the other image of each of the 250 and, as
person 0, 775 images of people who have no probe (verified in torchreid's and MetaBIN's readers). 125 persons are for
training; of the other 125 the probe images ask, and the gallery is their 125 images and the 775 distractors.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from snreid.datasets._files import find_base, named_images
from snreid.datasets._rules import shown, validated
from snreid.datasets._splits import DrawnSplits, SplitDataSet
from snreid.errors import DataError
from snreid.images import FileImage
from snreid.records import DISTRACTOR, Expected, ReIDData, Sample, Split

SPLITS = DrawnSplits(
    name="grid", persons=250, train=125, sha256="63bc908757c567f43186cb9e7a6e8afd797ac796f3de2b6173d218dfd96d6336"
)
_NAME = re.compile(r"(?P<person>[0-9]{4})_(?P<camera>[1-8])_[0-9_]+\.(?:jpeg|jpg)")
_FORM = "PPPP_C_*.jpeg (person, 0000 a distractor; camera 1 to 8), as in 0001_1_25008_169_18_98_246.jpeg"


@dataclass(frozen=True, kw_only=True)
class GRID(SplitDataSet):
    """GRID on one of ten random splits: 125 persons to train on, 125 to test among 900 gallery images.

    Looked for in the data folder itself and in its folders ``underground_reid``, ``grid``, ``GRID``,
    ``grid/underground_reid``, ``GRID/underground_reid``.
    """

    @property
    def splits(self) -> DrawnSplits:
        """The ten splits."""
        return SPLITS

    @property
    def home(self) -> str:
        """Where to find the data set, in words."""
        return "Chen Change Loy's page of the QMUL underGround Re-IDentification data set (underground_reid.zip)"

    @property
    def expected(self) -> tuple[Expected, ...]:
        """Published counts; persons of the gallery without the 775 distractors."""
        return (Expected("train", 250, 125), Expected("query", 125, 125), Expected("gallery", 900, 125))

    def read(self, root: Path) -> ReIDData:
        """Samples of the split. Raises ``DataError`` for a missing folder, a name of another form, or a person that is not
        once in each folder."""
        places = ("", "underground_reid", "grid", "GRID", "grid/underground_reid", "GRID/underground_reid")
        base = find_base(root, places, ("probe", "gallery"), name=self.name, home=self.home)
        probe, gallery = (
            [
                Sample(FileImage(path), int(name["person"]), int(name["camera"]))
                for path, name in named_images(base / folder, _NAME, _FORM)
            ]
            for folder in ("probe", "gallery")
        )
        asked = [sample.person for sample in probe]
        known = [sample.person for sample in gallery if sample.person != DISTRACTOR]
        if sorted(asked) != sorted(known) or len(set(asked)) < len(asked) or DISTRACTOR in asked:
            odd = {
                one for one in (*asked, *known) if one == DISTRACTOR or (asked.count(one), known.count(one)) != (1, 1)
            }
            raise DataError(
                "a person of GRID is once in probe and once in gallery",
                came=f"{len(odd)} persons are not, in {base}: {shown([f'{one:04d}' for one in sorted(odd)])}",
                repair="unpack the archive again",
            )
        train, test = SPLITS.halves(self.split, asked)
        rest = sum(sample.person == DISTRACTOR for sample in gallery)
        return validated(
            ReIDData(
                self.name,
                Split(tuple(sample for sample in (*probe, *gallery) if sample.person in train)),
                Split(tuple(sample for sample in probe if sample.person in test)),
                Split(tuple(sample for sample in gallery if sample.person not in train)),
                notes=(f"gallery: {rest} distractors (person 0) kept; they match nobody",),
                split_id=self.split_id,
            )
        )
