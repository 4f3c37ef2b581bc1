"""Views and films: each number changes what it says."""

from dataclasses import replace

import numpy as np
import pytest

from snreid.errors import ExperimentError
from snreid.synthetic.people.camera import Film, Viewpoint, blurred, draw_camera
from snreid.synthetic.people.site import SITES, Site, scene_arrays
from snreid.synthetic.randomness import Draws


@pytest.fixture
def light(rng: np.random.Generator) -> np.ndarray:
    return blurred(rng.random((128, 64, 3)).astype(np.float32), 4.0) ** 2


def test_axes_are_a_frame() -> None:
    view = Viewpoint(heading=0.7, pitch=0.3)
    np.testing.assert_allclose(view.axes @ view.axes.T, np.eye(3), atol=1e-6)
    np.testing.assert_allclose(np.cross(view.axes[0], view.axes[1]), view.axes[2], atol=1e-6)
    assert view.axes[2, 2] < 0, "it looks down"


@pytest.mark.parametrize("wrong", [{"height": 0.1}, {"pitch": 2.0}, {"focal": 1.0}, {"view": 9.0}])
def test_impossible_views_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ExperimentError, match="Viewpoint"):
        Viewpoint(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "wrong", [{"exposure": 0.0}, {"quality": 0}, {"noise": 1.0}, {"gamma": 0.0}, {"levels": 2.0}, {"aliased": -1.0}]
)
def test_impossible_films_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ExperimentError, match="Film"):
        Film(**wrong)  # type: ignore[arg-type]


def test_each_number_of_a_film_is_seen(light: np.ndarray) -> None:
    plain = Film(noise=0, blur=0, sharpen=0, quality=95)

    def shown(film: Film, native: float = 500) -> np.ndarray:
        """The picture as fractions."""
        return film.develop(light, native, 1).astype(float)

    base = shown(plain)
    assert shown(replace(plain, exposure=1.5)).mean() > base.mean() + 5
    assert shown(replace(plain, gamma=1.2)).mean() > base.mean() + 3
    assert np.diff(shown(replace(plain, white=(1.2, 1, 0.8))).mean((0, 1))).max() < 0
    assert np.ptp(shown(replace(plain, saturation=0.0)), axis=-1).mean() < 4 < np.ptp(base, axis=-1).mean()
    assert shown(replace(plain, contrast=0.5)).std() > base.std()
    assert shown(replace(plain, lift=0.2)).min() > base.min() + 5
    levelled = shown(replace(plain, levels=1.0))
    assert levelled.max() > base.max() + 5 and levelled.std() > 1.2 * base.std()
    assert np.abs(np.diff(shown(replace(plain, noise=0.05)), axis=0)).mean() > np.abs(np.diff(base, axis=0)).mean() + 2
    edges = [np.abs(np.diff(shown(film, native), axis=0)).mean() for film, native in (
        (plain, 500), (replace(plain, blur=2.0), 500), (plain, 40), (replace(plain, sharpen=2.0), 500))]  # fmt: skip
    assert edges[1] < edges[0] and edges[2] < edges[0] and edges[3] > edges[0]


def test_aliasing_leaves_edges_jagged(rng: np.random.Generator) -> None:
    fine, film = rng.random((128, 64, 3)).astype(np.float32), Film(noise=0, blur=0, sharpen=0, quality=95)
    assert film.develop(fine, 500, 1).std() < replace(film, aliased=1.0).develop(fine, 500, 1).std()


def test_noise_is_a_function_of_its_key(light: np.ndarray) -> None:
    film = Film(noise=0.03)
    np.testing.assert_array_equal(film.develop(light, 200, 5), film.develop(light, 200, 5))
    assert (film.develop(light, 200, 5) != film.develop(light, 200, 6)).any()


@pytest.mark.parametrize("kind", SITES)
def test_random_cameras_stand_free_and_are_repeatable(kind: str) -> None:
    site = Site(kind=kind, seed=2)
    cameras = [draw_camera(Draws.of("camera", kind, number), site) for number in range(4)]
    assert cameras == [draw_camera(Draws.of("camera", kind, number), site) for number in range(4)]
    stage = scene_arrays(kind, 2)
    assert sum(stage.free(*camera.viewpoint.place) for camera in cameras) >= 3
