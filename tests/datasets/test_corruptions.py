"""Corruptions: pure, deterministic, worse from severity to severity, and each its own formula, computed the long way."""

from io import BytesIO
from itertools import pairwise

import numpy as np
import pytest
from PIL import Image

from snreid.datasets import corruptions
from snreid.datasets.corruptions import (
    BLUR,
    CAST,
    KINDS,
    PHOTONS,
    QUALITY,
    READ_NOISE,
    SEVERITIES,
    SHRINK,
    STOPS,
    corrupt,
)
from snreid.errors import ExperimentError
from snreid.images.reading import resize

EVERY = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture
def picture(rng: np.random.Generator) -> np.ndarray:
    """Soft shapes of several colours, as in a photograph; 96 x 48."""
    small = rng.integers(30, 226, (12, 6, 3), dtype=np.uint8)
    return resize(small, 96, 48)


@EVERY
def test_same_input_same_pixels_and_the_input_is_not_touched(kind: corruptions.Kind, picture: np.ndarray) -> None:
    before = picture.copy()
    first, again = corrupt(picture, kind, 3, "a.jpg"), corrupt(picture, kind, 3, "a.jpg")
    assert np.array_equal(first, again) and np.array_equal(picture, before)
    assert first.shape == picture.shape and first.dtype == np.uint8
    assert not np.array_equal(first, picture)


@EVERY
def test_every_severity_is_worse_than_the_one_before(kind: corruptions.Kind, picture: np.ndarray) -> None:
    wide = picture.astype(float)
    far = [np.abs(corrupt(picture, kind, s, "a.jpg") - wide).mean() for s in SEVERITIES]
    assert all(a < b for a, b in pairwise(far)), far


@pytest.mark.parametrize(("kind", "drawn"), [("dark", True), ("colour-cast", True), ("blur", False), ("jpeg", False)])
def test_only_noise_and_cast_depend_on_the_name(kind: corruptions.Kind, drawn: bool, picture: np.ndarray) -> None:
    assert np.array_equal(corrupt(picture, kind, 2, "a"), corrupt(picture, kind, 2, "b")) != drawn


@EVERY
@pytest.mark.parametrize("shape", [(1, 1, 3), (3, 2, 3), (37, 91, 3)])
def test_images_of_any_size(kind: corruptions.Kind, shape: tuple[int, ...], rng: np.random.Generator) -> None:
    for severity in (1, 5):
        assert corrupt(rng.integers(0, 256, shape, dtype=np.uint8), kind, severity, "").shape == shape


def test_a_name_that_is_no_text_draws_too(picture: np.ndarray) -> None:
    assert corrupt(picture, "dark", 1, "caf\udce9.jpg").shape == picture.shape


def test_dark_is_fewer_stops_and_its_noise_is_that_of_the_photons() -> None:
    grey = np.full((300, 300, 3), 186, np.uint8)
    light = (186 / 255) ** 2.2
    for severity in (1, 3):
        found = (corrupt(grey, "dark", severity, "x") / 255.0) ** 2.2
        wanted = light / 2 ** STOPS[severity - 1]
        assert found.mean() == pytest.approx(wanted, rel=0.02)
        assert found.std() == pytest.approx(np.sqrt(wanted / PHOTONS + READ_NOISE**2), rel=0.05)


def test_dark_severities_share_their_noise(picture: np.ndarray) -> None:
    """Pixels that come out too bright at one severity do so at the next."""
    grey = np.full((64, 64, 3), 200, np.uint8)
    one, two = (corrupt(grey, "dark", s, "x").astype(float).ravel() for s in (1, 2))
    assert np.corrcoef(one, two)[0, 1] > 0.95


def test_blur_is_a_gaussian_pixel_by_pixel(rng: np.random.Generator) -> None:
    pixels = rng.integers(0, 256, (25, 11, 3), dtype=np.uint8)
    sigma = BLUR[3] * 25
    radius = int(np.ceil(3 * sigma))
    weights = {k: np.exp(-0.5 * (k / sigma) ** 2) for k in range(-radius, radius + 1)}
    total = sum(weights.values())
    found = corrupt(pixels, "blur", 4, "")
    for y, x in ((0, 0), (12, 5), (24, 10), (3, 9)):
        value = sum(
            weights[i] * weights[j] / total**2 * pixels[min(max(y + i, 0), 24), min(max(x + j, 0), 10)].astype(float)
            for i in weights
            for j in weights
        )
        np.testing.assert_allclose(found[y, x], value, atol=0.51)


def test_low_resolution_goes_through_the_small_image(picture: np.ndarray) -> None:
    height, width = round(96 / SHRINK[4]), round(48 / SHRINK[4])
    small = Image.fromarray(picture).resize((width, height), Image.Resampling.BILINEAR)
    wanted = np.asarray(small.resize((48, 96), Image.Resampling.BILINEAR))
    assert np.array_equal(corrupt(picture, "low-resolution", 5, ""), wanted)


def test_jpeg_is_that_of_another_encoder(picture: np.ndarray) -> None:
    buffer = BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=QUALITY[0], subsampling="4:2:0")
    wanted = np.asarray(Image.open(buffer)).astype(int)
    found = corrupt(picture, "jpeg", 1, "")
    # Encoders round coefficients differently; a rounding that tips over is a whole step of the quantization.
    assert np.abs(found - wanted).mean() < 0.3 * np.abs(found - picture.astype(int)).mean()


def test_a_cast_changes_channels_by_whole_factors_of_light_and_keeps_their_mean_of_logarithms() -> None:
    grey = np.full((4, 4, 3), 120, np.uint8)
    angles = set()
    for key in "abcdefgh":
        found = corrupt(grey, "colour-cast", 3, key)
        assert np.array_equal(found, np.broadcast_to(found[0, 0], found.shape))
        stops = 2.2 * np.log2(found[0, 0] / 120)
        assert stops.mean() == pytest.approx(0, abs=0.02)
        # |d|^2 of three cosines 120 degrees apart is 3/2, whatever the angle.
        assert np.sqrt((stops**2).sum() / 1.5) == pytest.approx(CAST[2], abs=0.03)
        angles.add(int(stops.argmax()))
    assert len(angles) > 1, "another name, another colour"


@pytest.mark.parametrize(
    ("kind", "severity", "message"),
    [("fog", 3, "one of dark, blur.*'fog'"), ("dark", 0, "1 .mild. to 5.*Found: 0"), ("dark", 6, "Found: 6")],
)
def test_what_is_not_known_is_refused(kind: corruptions.Kind, severity: int, message: str, picture: np.ndarray) -> None:
    with pytest.raises(ExperimentError, match=message):
        corrupt(picture, kind, severity, "")
