"""QMUL underGround Re-IDentification, GRID (Loy, Xiang, Gong, CVPR 2009): 250 persons seen twice, 775 seen once, 8 cameras.

``probe/0001_1_25008_169_18_98_246.jpeg``: person 1 on camera 1; ``gallery`` has the other image of each of the 250 and, as
person 0, 775 images of people without a probe image (verified in torchreid's and MetaBIN's readers). 125 persons are for
training; the probe images of the other 125 are the queries, and the gallery is their 125 images and the 775 distractors.

The release has ten partitions of its own in ``features_and_partitions.mat``: ``trainIdxAll`` is a row of ten cells, each a struct whose
third field lists the 125 persons to train on (as torchreid and MetaBIN read it). ``partition="released"`` uses them, for comparison with
results of these programs.
"""

import re
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Literal

import numpy as np
from scipy.io import loadmat

from snreid.datasets._files import find_base, named_samples
from snreid.datasets._rules import shown, validated
from snreid.datasets._splits import DrawnSplits, SplitDataSet
from snreid.errors import DataError, ExperimentError
from snreid.records import DISTRACTOR, Expected, ReIDData, Split

SPLITS = DrawnSplits(
    name="grid", persons=250, train=125, sha256="63bc908757c567f43186cb9e7a6e8afd797ac796f3de2b6173d218dfd96d6336"
)
_NAME = re.compile(r"(?P<person>[0-9]{4})_(?P<camera>[1-8])_[0-9_]+\.(?:jpeg|jpg)")
_FORM = "PPPP_C_*.jpeg (person, 0000 a distractor; camera 1 to 8), as in 0001_1_25008_169_18_98_246.jpeg"


@dataclass(frozen=True, kw_only=True)
class GRID(SplitDataSet):
    """GRID on one of ten random splits: 125 persons to train on, 125 to test among 900 gallery images."""

    splits = SPLITS
    home = "Chen Change Loy's page of the QMUL underGround Re-IDentification data set (underground_reid.zip)"
    expected = (Expected("train", 250, 125), Expected("query", 125, 125), Expected("gallery", 900, 125))
    """The persons of the gallery do not include the 775 distractors."""

    partition: Literal["drawn", "released"] = "drawn"
    """The splits of this program, or those of the release."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.partition not in ("drawn", "released"):
            raise ExperimentError(
                "GRID is parted as drawn or as released", found=repr(self.partition), fix='"drawn" or "released"'
            )

    @property
    def name(self) -> str:
        """The name with its split, as in ``grid-split3`` or ``grid-released3``."""
        return super().name if self.partition == "drawn" else f"grid-released{self.split}"

    @property
    def split_id(self) -> str:
        """As in ``grid/3 (sha256 1a2b3c4d5e6f)``; the hash of a released partition is known once it is read."""
        return super().split_id if self.partition == "drawn" else f"grid/{self.split} of the release"

    def read(self, root: Path) -> ReIDData:
        """Samples of the split. Raises ``DataError`` for a missing folder, a name of another form, or a person without exactly one image
        in each folder."""
        places = ("", "underground_reid", "grid", "GRID", "grid/underground_reid", "GRID/underground_reid")
        base = find_base(root, places, ("probe", "gallery"), name=self.name, home=self.home)
        probe, gallery = (named_samples(base / folder, _NAME, _FORM) for folder in ("probe", "gallery"))
        asked = [sample.person for sample in probe]
        known = [sample.person for sample in gallery if sample.person != DISTRACTOR]
        if sorted(asked) != sorted(known) or len(set(asked)) < len(asked) or DISTRACTOR in asked:
            odd = {
                person
                for person in (*asked, *known)
                if person == DISTRACTOR or (asked.count(person), known.count(person)) != (1, 1)
            }
            raise DataError(
                "A person of GRID is once in probe and once in gallery",
                found=f"{len(odd)} persons are not, in {base}: {shown([f'{person:04d}' for person in sorted(odd)])}",
                fix="unpack the archive again",
            )
        train, test = SPLITS.halves(self.split, asked)
        split_id = self.split_id
        if self.partition == "released":
            train, digest = _released(base / "features_and_partitions.mat", self.split, frozenset(asked))
            test = frozenset(asked) - train
            split_id += f" (sha256 {digest[:12]})"
        rest = sum(sample.person == DISTRACTOR for sample in gallery)
        return validated(
            ReIDData(
                self.name,
                Split(tuple(sample for sample in (*probe, *gallery) if sample.person in train)),
                Split(tuple(sample for sample in probe if sample.person in test)),
                Split(tuple(sample for sample in gallery if sample.person not in train)),
                notes=(f"gallery: {rest} distractors (person 0) kept; they match nobody",),
                split_id=split_id,
            )
        )


def _released(path: Path, split: int, persons: frozenset[int]) -> tuple[frozenset[int], str]:
    """The persons to train on by a partition of the release, and the SHA-256 of its file."""
    try:
        digest = sha256(path.read_bytes()).hexdigest()
        cell = loadmat(path, variable_names=["trainIdxAll"])["trainIdxAll"].ravel()[split]
        numbers = np.asarray(cell[0, 0][2]).ravel().astype(np.int64).tolist()
    except Exception as error:  # on a damaged MATLAB file scipy raises almost anything
        raise _unknown(path, f"{type(error).__name__}: {error}") from None
    train = frozenset(numbers)
    if not train <= persons or len(train) != len(numbers) or len(train) != SPLITS.train:
        raise _unknown(path, f"{len(train & persons)} known persons among {len(numbers)} numbers in partition {split}")
    return train, digest


def _unknown(path: Path, problem: str) -> DataError:
    return DataError(
        f"The partitions of the release are ten lists of {SPLITS.train} of GRID's persons (trainIdxAll)",
        found=f"{path}: {problem}",
        fix="unpack the archive again, or take the splits that come with this program: partition=drawn",
    )
