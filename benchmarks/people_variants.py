"""Sets of rendered people that each lack one thing, to learn what it is worth on photographs.

    python benchmarks/people_variants.py --out FOLDER [--only NAME ...]
    python benchmarks/search_recipe.py --root DATA --source FOLDER/NAME --only mobile --share 1 --steps 1000 --out RUNS --record FILE

The first command writes each set as a folder in Market-1501's format. The second trains Baseline of preset ``mobile`` on one of them and
scores it on CUHK03's *training* people, the one development set of rendered people.
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from snreid.datasets.market_writer import write_market_format
from snreid.datasets.people import RenderedImage, RenderedPeople
from snreid.records import ReIDData, Split
from snreid.synthetic.people.camera import Film
from snreid.synthetic.people.identity import Bag, Garment, Print
from snreid.synthetic.people.moment import CropBox
from snreid.synthetic.people.posture import Posture
from snreid.synthetic.people.render import Picture
from snreid.synthetic.people.site import Light

Change = Callable[[Picture], Picture]
WHOLE = RenderedPeople(persons=1000, test_persons=0, cameras=240, sites=60)
"""18,000 images, as in all sets but those of another number of people."""


def alone(picture: Picture) -> Picture:
    """Without passers-by."""
    return replace(picture, moment=replace(picture.moment, others=()))


def one_film(picture: Picture) -> Picture:
    """All cameras with the same film."""
    return replace(picture, camera=replace(picture.camera, film=Film()))


def one_light(picture: Picture) -> Picture:
    """All places under the same light."""
    light = replace(picture.site, light=Light())
    return replace(picture, site=light, moment=replace(picture.moment, cloud=0.0))


def tight_box(picture: Picture) -> Picture:
    """Boxes without the detector's deviations."""
    return replace(picture, moment=replace(picture.moment, box=CropBox()))


def one_posture(picture: Picture) -> Picture:
    """Everybody in one step of the same walk."""
    step = replace(picture.moment.step, posture=Posture())
    return replace(picture, moment=replace(picture.moment, step=step))


def plain(picture: Picture) -> Picture:
    """Clothes without patterns and prints."""
    who = picture.identity
    return replace(
        picture, identity=replace(who, top=_plain(who.top), outer=_plain(who.outer), bottom=_plain(who.bottom))
    )


def _plain(garment: Garment) -> Garment:
    return replace(garment, fabric=replace(garment.fabric, pattern="plain"), print=Print())


def empty_handed(picture: Picture) -> Picture:
    """Nobody carries or rides anything."""
    return replace(picture, identity=replace(picture.identity, bag=Bag(kind="none"), bicycle=None))


CHANGES: dict[str, Change] = {
    "alone": alone,
    "one-film": one_film,
    "one-light": one_light,
    "tight-box": tight_box,
    "one-posture": one_posture,
    "plain": plain,
    "empty-handed": empty_handed,
}
SETS: dict[str, RenderedPeople] = {
    "whole": WHOLE,
    "12-cameras": replace(WHOLE, cameras=12, sites=3),
    "one-site-each": replace(WHOLE, cameras=240, sites=60, cameras_per_person=1, images_per_camera=18),
    "250-people": replace(WHOLE, persons=250, images_per_camera=12, cameras_per_person=6),
    "4000-people": replace(WHOLE, persons=4000),
}


@dataclass(frozen=True, slots=True)
class ChangedImage:
    """A rendered image with one change."""

    image: RenderedImage
    change: str

    @property
    def name(self) -> str:
        """The image's own, after the change's."""
        return f"{self.change}/{self.image.name}"

    def read(self) -> NDArray[np.uint8]:
        """Render the image: (H, W, 3), RGB, uint8."""
        return CHANGES[self.change](self.image.picture()).draw()

    def stamp(self) -> str:
        """What decides the pixels."""
        return f"{self.change} {self.image.stamp()}"


def data_of(name: str) -> ReIDData:
    """The labels of a set, with images that are rendered when they are read."""
    if name in SETS:
        return SETS[name].read(Path())
    whole = WHOLE.read(Path())
    samples = (replace(sample, image=ChangedImage(_rendered(sample.image), name)) for sample in whole.train.samples)
    return replace(whole, train=Split(tuple(samples)))


def _rendered(image: object) -> RenderedImage:
    assert isinstance(image, RenderedImage)
    return image


def main() -> None:
    """Writes the sets that are not there yet."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--only", nargs="+", choices=[*SETS, *CHANGES], default=[*SETS, *CHANGES])
    asked = parser.parse_args()
    for name in asked.only:
        if (asked.out / name).exists():
            continue
        began = time.process_time()
        count = write_market_format(data_of(name), asked.out / name)
        print(f"{name}: {count} images, {count / (time.process_time() - began):.0f} a second of one core", flush=True)


if __name__ == "__main__":
    main()
