"""Sites: their light, where one can stand, what one can see."""

import numpy as np
import pytest

from snreid.errors import ExperimentError
from snreid.synthetic.people.site import SITES, Light, Site, draw_site, scene_arrays
from snreid.synthetic.randomness import Draws


def test_sites_are_repeatable_and_of_every_kind() -> None:
    sites = [draw_site(Draws.of("site", number)) for number in range(80)]
    assert sites == [draw_site(Draws.of("site", number)) for number in range(80)]
    assert {site.kind for site in sites} == set(SITES)


def test_impossible_sites_are_refused() -> None:
    with pytest.raises(ExperimentError, match=r"Site.kind"):
        Site(kind="moon")
    with pytest.raises(ExperimentError, match=r"Light.sky"):
        Light(sky=(-1.0, 0, 0))
    with pytest.raises(ExperimentError, match=r"height of Light.sun"):
        Light(sun=(1.0, 0.0, 0.0))


def test_clouds_take_sun_and_give_sky() -> None:
    clear, cloudy = Light().row(0.0), Light().row(0.8)
    assert (cloudy[3:6] < clear[3:6]).all() and (cloudy[6:9] > clear[6:9]).all()
    assert np.linalg.norm(clear[:3]) == pytest.approx(1)


def test_sight_and_room() -> None:
    stage = scene_arrays("parking", 3)
    assert scene_arrays("parking", 3) is stage
    taken = stage.footprints[0]
    assert not stage.free(float(taken[0]), float(taken[1]))
    eye = np.array([0, 0, 3], np.float32)
    assert not stage.sees(eye, np.array([0, 0, -1], np.float32)), "the ground is opaque"
    assert stage.sees(eye, np.array([0.5, 0.5, 2.9], np.float32))


def test_shadows_reach_away_from_the_sun() -> None:
    stage = scene_arrays("street", 1)
    sun = np.array([0.6, 0.0, 0.8], np.float32)
    straight = stage.shadow_reaches(np.array([0, 0, 1], np.float32))
    slanted = stage.shadow_reaches(sun)
    assert (slanted[:, 0] <= straight[:, 0] + 1e-4).all() and (slanted[:, 0] < straight[:, 0] - 0.1).any()
