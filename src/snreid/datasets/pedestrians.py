"""The built-in data set: pedestrians drawn by a program (``snreid.synthetic.pedestrians``), without licence and real persons.

Several cameras of one domain see people of that domain. The split follows Market-1501: training and test people are disjoint, each query is
one image of a person on a camera, and the gallery has the person's other images.
"""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from snreid.datasets._made import made_split, require_counts, some_cameras
from snreid.datasets._rules import unfit_name
from snreid.errors import ExperimentError
from snreid.records import DataSet, ReIDData, Sample
from snreid.synthetic import pedestrians
from snreid.synthetic.pedestrians import (
    Draws,
    Pedestrian,
    PedestrianPicture,
    domain_named,
    draw_pedestrian,
    draw_pedestrian_moment,
)
from snreid.system.provenance import program


@dataclass(frozen=True, slots=True)
class DrawnImage:
    """An image that is drawn when it is read. Its fields are few and small, and equal fields give equal pixels."""

    domain: str
    """The domain of camera and light."""
    people: str
    """Name of the population, usually the domain's."""
    part: str
    """``"train"``, ``"test"`` or ``"distractor"``, which have no people in common."""
    number: int
    """Number of the person within the part, from 1."""
    label: int
    """Label of the person in its data set, shown in the name."""
    camera: int
    """From 1."""
    shot: int
    """Number of the person's image on this camera, from 1."""
    seed: int
    size: tuple[int, int]
    """Height and width."""

    @property
    def name(self) -> str:
        """As in ``noon/0007_c2_03~noon-train7-s0-128x64``: domain, person, camera and shot, and after the ``~`` all else that decides the
        pixels, so that equal names mean equal pictures. Distractors count from ``d0001``."""
        person = f"d{self.number:04d}" if self.part == "distractor" else f"{self.label:04d}"
        drawn = f"{self.people}-{self.part}{self.number}-s{self.seed}-{self.size[0]}x{self.size[1]}"
        return f"{self.domain}/{person}_c{self.camera}_{self.shot:02d}~{drawn}"

    def picture(self) -> PedestrianPicture:
        """Everything that decides the pixels, to inspect, or to change by ``dataclasses.replace``."""
        domain = domain_named(self.domain)
        track = Draws.of("track", self.seed, self.domain, self.people, self.part, self.number, self.camera)
        shot = track.below("shot", self.shot)
        return PedestrianPicture(
            identity=_identity(self.seed, self.people, self.part, self.number),
            style=domain.image(domain.camera(self.seed, self.camera), shot),
            moment=draw_pedestrian_moment(track, shot),
            size=self.size,
        )

    def read(self) -> NDArray[np.uint8]:
        """Draw the image: (H, W, 3), RGB, uint8."""
        return self.picture().draw()

    def stamp(self) -> str:
        """Name and hash of the drawing program: equal stamps mean equal pixels."""
        return f"{self.name} drawn by {program(pedestrians.__file__)}"


@lru_cache(maxsize=4096)
def _identity(seed: int, people: str, part: str, number: int) -> Pedestrian:
    return draw_pedestrian(Draws.of("person", seed, people, part, number))


@dataclass(frozen=True, kw_only=True)
class DrawnPedestrians(DataSet):
    """One domain's cameras and people. Equal fields give equal labels and pixels on every machine."""

    home = "Drawn by this program; there is nothing to download."

    domain: str = "noon"
    """One of the names in ``snreid.synthetic.pedestrians.DOMAINS``: noon, overcast, dusk, mall, station, garage, night."""
    train_persons: int = 200
    """People to train on."""
    test_persons: int = 100
    """People to test on, none of them among those to train on."""
    cameras: int = 6
    """Cameras of the domain, at least 2 if there are people to test on."""
    cameras_per_person: int = 4
    """Number of cameras that see a person."""
    images_per_camera: int = 3
    """Images of a person on each camera that sees it. For a test person, one of them is the query."""
    distractors: int = 0
    """Images of strangers in the gallery that match nobody (label 0, as in Market-1501)."""
    people: str = ""
    """Draw another domain's people in this domain's light: the same people in other styles, to measure the effect of style alone. Any word
    names a population; empty: the domain's own."""
    seed: int = 0
    """Another seed gives other people and other cameras."""
    height: int = 128
    """Pixels, a multiple of 32 up to 512; the width is half of it."""

    def __post_init__(self) -> None:
        domain_named(self.domain)
        require_counts(vars(self), "drawn pedestrians")
        if problem := unfit_name(self.name):
            raise ExperimentError(
                "people of drawn pedestrians is a word that can be part of a file's name",
                found=f"{self.people!r}: {problem}" if len(self.people) < 80 else problem,
                fix="use letters and digits",
            )

    @property
    def name(self) -> str:
        """The domain's name; with another domain's people, both names."""
        return self.domain if self._population == self.domain else f"{self.domain} ({self._population}'s people)"

    @property
    def collection(self) -> str:
        """The domain, whose light other people and other seeds share."""
        return self.domain

    @property
    def _population(self) -> str:
        return self.people or self.domain

    def read(self, root: Path) -> ReIDData:
        """Samples with labels; nothing is opened or drawn, and ``root`` is ignored."""
        return made_split(
            self.name,
            self._sample,
            self._cameras_of,
            train=self.train_persons,
            test=self.test_persons,
            distractors=self.distractors,
            images=self.images_per_camera,
        )

    def _cameras_of(self, part: str, number: int) -> list[int]:
        """The cameras that see a person, ascending."""
        draws = Draws.of("cameras", self.seed, self.domain, self._population, part, number)
        return some_cameras(draws, self.cameras, self.cameras_per_person)

    def _sample(self, part: str, number: int, label: int, camera: int, shot: int) -> Sample:
        image = DrawnImage(
            domain=self.domain,
            people=self._population,
            part=part,
            number=number,
            label=label,
            camera=camera,
            shot=shot,
            seed=self.seed,
            size=(self.height, self.height // 2),
        )
        return Sample(image, label, camera)
