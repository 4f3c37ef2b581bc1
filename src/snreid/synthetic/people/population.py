"""People, sites, cameras and pictures from a seed and a few numbers: the only place that names draws.

Equal numbers give the same person and the same pixels, in any order and in any process.
"""

from functools import lru_cache

from snreid.synthetic.people.camera import Camera, draw_camera
from snreid.synthetic.people.casting import draw_identity
from snreid.synthetic.people.identity import Identity
from snreid.synthetic.people.moment import draw_moment
from snreid.synthetic.people.render import Picture
from snreid.synthetic.people.site import Site, draw_site, scene_arrays
from snreid.synthetic.randomness import Draws


@lru_cache(maxsize=4096)
def person_of(seed: int, part: str, number: int) -> Identity:
    """Person ``number`` of a part: those of ``"train"``, ``"test"`` and ``"distractor"`` are different people."""
    return draw_identity(Draws.of("rendered person", seed, part, number))


@lru_cache(maxsize=1024)
def site_of(seed: int, number: int) -> Site:
    """Site ``number``, from 1."""
    return draw_site(Draws.of("rendered site", seed, number))


@lru_cache(maxsize=4096)
def camera_of(seed: int, number: int, site: int) -> Camera:
    """Camera ``number``, from 1, at a site."""
    return draw_camera(Draws.of("rendered camera", seed, number, site), site_of(seed, site))


def picture_of(
    *, seed: int, part: str, number: int, site: int, camera: int, shot: int, size: tuple[int, int] = (128, 64)
) -> Picture:
    """One image of a person on a camera of a site."""
    identity, place, seen_by = person_of(seed, part, number), site_of(seed, site), camera_of(seed, camera, site)
    track = Draws.of("rendered track", seed, part, number, camera)
    stage = scene_arrays(place.kind, place.seed)
    moment = draw_moment(seen_by.viewpoint, stage, identity, track, track.below("shot", shot))
    return Picture(identity=identity, site=place, camera=seen_by, moment=moment, size=size)
