"""VIPeR (Gray, Brennan, Tao, PETS 2007): 632 persons, two cameras, one image on each.

``cam_a/000_45.bmp``: person 000 seen at 45 degrees (verified in torchreid's reader; the numbers have gaps). Published results take camera a
as query and camera b as gallery, or average both directions; here camera a is the query.
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
    name="viper", persons=632, train=316, sha256="8899b27c861db254093d8e4d7dc48f96e3907ac9e95e073cff9786b947728bff"
)
_NAME = re.compile(r"(?P<person>[0-9]{3})_[0-9]{1,3}\.(?:bmp|png)")
_FORM = "PPP_ANGLE.bmp, as in 000_45.bmp"


@dataclass(frozen=True, kw_only=True)
class VIPeR(SplitDataSet):
    """VIPeR on one of ten random halves: 316 persons to train on, 316 to test; camera a is the query, camera b the gallery.
    Person 000 of the files is number 1."""

    splits = SPLITS
    home = "the VIPeR page of the computer vision group of UC Santa Cruz (VIPeR.v1.0.zip)"
    expected = (Expected("train", 632, 316, 2), Expected("query", 316, 316, 1), Expected("gallery", 316, 316, 1))

    def read(self, root: Path) -> ReIDData:
        """Samples of the split. Raises ``DataError`` for a missing folder, a name of another form, a person without exactly one image on
        each camera, or other persons than the 632."""
        places = ("", "VIPeR", "viper", "viper/VIPeR", "VIPeR.v1.0")
        base = find_base(root, places, ("cam_a", "cam_b"), name=self.name, home=self.home)
        cameras = [_camera(base / folder, number) for number, folder in ((1, "cam_a"), (2, "cam_b"))]
        if odd := sorted(cameras[0].keys() ^ cameras[1].keys()):
            raise DataError(
                "A person of VIPeR is on both cameras",
                found=f"{len(odd)} on one only in {base}: {shown([f'{person - 1:03d}' for person in odd])}",
                fix="unpack the archive again",
            )
        train, test = SPLITS.halves(self.split, cameras[0])
        training = tuple(camera[person] for person in sorted(train) for camera in cameras)
        query, gallery = (Split(tuple(camera[person] for person in sorted(test))) for camera in cameras)
        return validated(ReIDData(self.name, Split(training), query, gallery, split_id=self.split_id))


def _camera(folder: Path, camera: int) -> dict[int, Sample]:
    """The sample of every person, by number."""
    samples: dict[int, Sample] = {}
    for path, name in named_images(folder, _NAME, _FORM):
        person = int(name["person"]) + 1
        if person in samples:
            raise DataError(
                "A person of VIPeR has one image on each camera",
                found=f"{samples[person].image.name} and {path}",
                fix="remove the one that does not belong there",
            )
        samples[person] = Sample(FileImage(path), person, camera)
    return samples
