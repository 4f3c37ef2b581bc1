"""i-LIDS, the 119 persons of QMUL (Zheng, Gong, Xiang, BMVC 2009): 476 images from an airport's arrivals hall.

``Persons/0001001.jpg``: image 001 of person 1 (verified in the readers of torchreid and MetaBIN, which call the folder ``Persons`` and
``images``). Cameras are not known, so the same-camera rule is off. Each of the 60 test persons has one query and one gallery image, sampled
with the split; the images of the other 59 are for training.
"""

import re
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from snreid.datasets._files import find_folder, named_images
from snreid.datasets._rules import validated
from snreid.datasets._splits import DrawnSplits, SplitDataSet, pair_of
from snreid.errors import DataError
from snreid.images.reading import FileImage
from snreid.records import NO_CAMERA, Expected, ReIDData, Sample, Split

SPLITS = DrawnSplits(
    name="ilids",
    persons=119,
    train=59,
    sha256="149ee59e3fa34cd32c1ef6d7d15b5c4abe8139ec43d10b2c07fa8d519a16cb4f",
    images=True,
)
_NAME = re.compile(r"(?!0000)(?P<person>[0-9]{4})(?P<image>[0-9]{3})\.jpg")
_FORM = "PPPPNNN.jpg (person from 0001, image), as in 0001001.jpg"
_IMAGES = 476


@dataclass(frozen=True, kw_only=True)
class ILIDS(SplitDataSet):
    """i-LIDS on one of ten random splits: 59 persons to train on, 60 to test, one query and one gallery image each."""

    splits = SPLITS
    home = "the data page of the computer vision group of Queen Mary University of London (i-LIDS_Pedestrian.tgz)"
    expected = (Expected("query", 60, 60), Expected("gallery", 60, 60))
    """The number of training images depends on the split."""

    def read(self, root: Path) -> ReIDData:
        """Samples of the split. Raises ``DataError`` for a missing folder, a name of another form, or other images than the 476 of 119
        persons, with which the split would choose other images."""
        places = ("i-LIDS_Pedestrian/Persons", "ilids/i-LIDS_Pedestrian/Persons", "QMUL-iLIDS/images", "Persons")
        folder = find_folder(root, places, name=self.name, home=self.home)
        by_person: defaultdict[int, list[Sample]] = defaultdict(list)
        images = named_images(folder, _NAME, _FORM)
        for path, name in images:
            by_person[int(name["person"])].append(Sample(FileImage(path), int(name["person"]), NO_CAMERA))
        single = [person for person, samples in by_person.items() if len(samples) < 2]
        if len(images) != _IMAGES or single:
            raise DataError(
                f"A split of i-LIDS is drawn from its {_IMAGES} images, two or more of a person",
                found=f"{len(images)} images in {folder}, {len(single)} persons with one",
                fix="restore the missing files, or remove those that do not belong there",
            )
        train, test = SPLITS.halves(self.split, by_person)
        query, gallery = [], []
        for person, (first, second) in zip(sorted(test), SPLITS.pairs(self.split), strict=True):
            asks, answers = pair_of(len(by_person[person]), first, second)
            query.append(by_person[person][asks])
            gallery.append(by_person[person][answers])
        training = tuple(sample for person in sorted(train) for sample in by_person[person])
        data = ReIDData(
            self.name,
            Split(training),
            Split(tuple(query)),
            Split(tuple(gallery)),
            has_cameras=False,
            split_id=self.split_id,
        )
        return validated(data)
