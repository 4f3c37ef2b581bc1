"""Domains: in order, mild within, far apart."""

from dataclasses import fields, replace

import numpy as np
import pytest

from snreid.errors import ExperimentError
from snreid.synthetic.pedestrians import DOMAINS, Domain, Draws, PedestrianPicture, domain_named, draw_pedestrian
from snreid.synthetic.pedestrians.domains import _GAIN_STEP, _LOOK, _OPTICS
from snreid.synthetic.pedestrians.moment import draw_pedestrian_moment


def test_named_and_ordered_by_distance() -> None:
    assert [d.name for d in DOMAINS] == ["noon", "overcast", "dusk", "mall", "station", "garage", "night"]

    def shift(domain: Domain) -> float:
        """Root mean square over the fields of a style, in units of the spread among cameras of one domain."""
        centre, first = domain.centre, DOMAINS[0].centre
        steps = [
            (getattr(centre, name) - getattr(first, name)) / step for name, (step, *_) in {**_LOOK, **_OPTICS}.items()
        ]
        steps += list((np.log2(centre.illuminant) - np.log2(first.illuminant)) / _GAIN_STEP)
        return float(np.sqrt(np.mean(np.square(steps))))

    shifts = [shift(domain) for domain in DOMAINS]
    assert shifts[0] == 0.0
    assert shifts == sorted(shifts) and len(set(shifts)) == len(shifts)


def test_unknown_domain() -> None:
    with pytest.raises(ExperimentError, match=r"'mars'.*noon, overcast"):
        domain_named("mars")
    assert domain_named("dusk").name == "dusk"


def test_cameras_differ_mildly_and_depend_on_the_seed() -> None:
    for domain in DOMAINS:
        cameras = [domain.camera(0, number) for number in range(1, 7)]
        assert len(set(cameras)) == 6
        assert domain.camera(1, 1) != cameras[0] and domain.camera(0, 1) == cameras[0]
        exposures = [camera.exposure for camera in cameras]
        assert np.std(exposures) < 0.5 and abs(np.mean(exposures) - domain.centre.exposure) < 0.4


def test_without_spread_every_camera_is_the_centre() -> None:
    domain = replace(DOMAINS[2], camera_spread=0.0, image_spread=0.0)
    camera = domain.camera(0, 1)
    assert replace(camera, scene=domain.centre.scene) == domain.centre
    assert domain.image(camera, Draws.of(1)) == camera


def test_images_move_light_but_not_optics() -> None:
    camera = DOMAINS[0].camera(0, 1)
    image = DOMAINS[0].image(camera, Draws.of(5))
    moved = {f.name for f in fields(camera) if getattr(camera, f.name) != getattr(image, f.name)}
    assert moved == {"illuminant", "exposure", "gamma", "contrast", "saturation"}


def test_refused() -> None:
    with pytest.raises(ExperimentError, match="at least one wall"):
        replace(DOMAINS[0], walls=())
    with pytest.raises(ExperimentError, match=r"Domain.camera_spread lies between 0.0 and 5.0"):
        replace(DOMAINS[0], camera_spread=-1.0)


def test_channel_statistics_leave_those_of_noon() -> None:
    """Same people, same moments: between domains the images' channel means and deviations move more than within noon."""

    def statistics(domain_index: int, seed: int) -> np.ndarray:
        domain, rows = DOMAINS[domain_index], []
        for number in range(12):
            shot = Draws.of("statistics", number)
            style = domain.image(domain.camera(seed, number % 6 + 1), shot)
            picture = PedestrianPicture(
                identity=draw_pedestrian(shot), style=style, moment=draw_pedestrian_moment(shot, shot)
            ).draw()
            rows.append(np.concatenate([picture.mean(axis=(0, 1)), picture.std(axis=(0, 1))]))
        return np.mean(rows, axis=0)

    noon = statistics(0, 0)
    within = np.linalg.norm(statistics(0, 1) - noon)
    between = [np.linalg.norm(statistics(index, 0) - noon) for index in range(1, len(DOMAINS))]
    assert min(between) > within
    assert between[-1] > 2 * between[0]
