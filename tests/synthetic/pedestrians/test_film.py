"""Film: each knob does what it is called after, and the compression is JPEG's."""

from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from snreid.synthetic.pedestrians.film import (
    _coded,
    _enlarge,
    _filtered,
    _shrink,
    _steps,
    _transform,
    expose,
    sensor_size,
)
from snreid.synthetic.pedestrians.style import Style

CLEAN = Style(noise=0.0, jpeg=100)


def _light(seed: int = 0) -> NDArray[np.float32]:
    """(3, 128, 64) coarse blocks of light."""
    blocks = np.random.default_rng(seed).uniform(0.02, 0.8, (3, 16, 8))
    return np.repeat(np.repeat(blocks, 8, axis=1), 8, axis=2).astype(np.float32)


def test_grey_stays_grey_and_follows_srgb() -> None:
    light = np.full((3, 32, 32), 0.3, dtype=np.float32)
    pixels = expose(light, CLEAN, 0)
    linear = 0.3 * 0.82
    wanted = 255 * (1.055 * linear ** (1 / 2.4) - 0.055)
    assert pixels.shape == (32, 32, 3) and pixels.dtype == np.uint8
    np.testing.assert_allclose(pixels, wanted, atol=1.0)


def test_one_stop_doubles_the_light() -> None:
    light = _light() * 0.4
    np.testing.assert_allclose(
        expose(light, replace(CLEAN, exposure=1.0), 0).astype(int), expose(light * 2, CLEAN, 0).astype(int), atol=1
    )


def test_illuminant_gains_channels() -> None:
    warm = expose(_light(), replace(CLEAN, illuminant=(1.3, 1.0, 0.6)), 0).astype(int)
    plain = expose(_light(), CLEAN, 0).astype(int)
    assert (warm[..., 0] >= plain[..., 0]).all() and (warm[..., 2] <= plain[..., 2]).all()
    assert (warm[..., 1] == plain[..., 1]).all()


def test_saturation_zero_is_grey() -> None:
    grey = expose(_light(), replace(CLEAN, saturation=0.0), 0).astype(int)
    assert np.ptp(grey, axis=2).max() == 0
    strong, plain = (expose(_light(), replace(CLEAN, saturation=s), 0).astype(int) for s in (1.6, 1.0))
    assert np.ptp(strong, axis=2).mean() > 1.2 * np.ptp(plain, axis=2).mean()


def test_gamma_contrast_haze_and_vignetting() -> None:
    plain = expose(_light(), CLEAN, 0).astype(float)
    assert expose(_light(), replace(CLEAN, gamma=1.5), 0).mean() < plain.mean() - 5
    assert expose(_light(), replace(CLEAN, contrast=0.6), 0).std() < 0.75 * plain.std()
    hazy = expose(_light(), replace(CLEAN, haze=0.3), 0)
    assert hazy.min() > plain.min() + 20
    dark = expose(_light(), replace(CLEAN, vignetting=0.6), 0)
    assert dark[0, 0].mean() < plain[0, 0].mean() - 5 and abs(dark[64, 32].mean() - plain[64, 32].mean()) < 3


def _edges(pixels: NDArray[np.uint8]) -> float:
    return float(np.abs(np.diff(pixels.astype(float), axis=0)).max(axis=0).mean())


def test_sharpness_and_resolution_change_edges() -> None:
    plain = _edges(expose(_light(), CLEAN, 0))
    assert _edges(expose(_light(), replace(CLEAN, sharpness=0.4), 0)) < 0.8 * plain
    assert _edges(expose(_light(), replace(CLEAN, sharpness=2.0), 0)) > 1.05 * plain
    assert _edges(expose(_light(), replace(CLEAN, resolution=0.3), 0)) < 0.7 * plain
    assert sensor_size(128, replace(CLEAN, resolution=0.3)) == 38


def test_filters_keep_the_mean() -> None:
    light = np.full((3, 128, 64), 0.3, dtype=np.float32)
    for style in (replace(CLEAN, sharpness=0.3), replace(CLEAN, resolution=0.37), replace(CLEAN, sharpness=2.5)):
        np.testing.assert_allclose(expose(light, style, 0), expose(light, CLEAN, 0), atol=1)


def test_noise_has_its_standard_deviation() -> None:
    light = np.full((3, 128, 64), 0.3, dtype=np.float32)
    noisy = expose(light, replace(CLEAN, noise=8.0), 5).astype(float)
    assert noisy.std(axis=(0, 1)) == pytest.approx([8.0] * 3, rel=0.06)
    assert noisy.mean() == pytest.approx(expose(light, CLEAN, 0).mean(), abs=0.4)
    assert not np.array_equal(noisy, expose(light, replace(CLEAN, noise=8.0), 6))


@pytest.mark.parametrize("quality", [20, 50, 85])
def test_compression_looses_what_jpeg_looses(quality: int) -> None:
    """Against Pillow's libjpeg at the same quality: as far from the original, and close to each other."""
    noise = np.random.default_rng(1).normal(0, 0.03, (3, 128, 64))
    light = (_light() * 0.6 + noise).clip(0).astype(np.float32)
    original = expose(light, CLEAN, 0)
    ours = expose(light, replace(CLEAN, jpeg=quality), 0).astype(float)
    buffer = BytesIO()
    Image.fromarray(original).save(buffer, "JPEG", quality=quality, subsampling=2)
    theirs = np.asarray(Image.open(BytesIO(buffer.getvalue()))).astype(float)
    loss = np.abs(theirs - original).mean()
    assert np.abs(ours - original).mean() == pytest.approx(loss, rel=0.25)
    # Chroma is enlarged by repetition here and smoothly there; brightness has to agree.
    assert np.abs(ours.mean(axis=2) - theirs.mean(axis=2)).mean() < 0.5 * loss


def test_filters_are_exact() -> None:
    """Against whole-number arithmetic: no rounding anywhere, so no order of summation can matter."""
    planes = np.random.default_rng(0).integers(0, 16380, (3, 128, 64)).astype(np.float64)
    for rows, columns in (
        (_shrink(128, 80, 1.3), _shrink(64, 40, 1.3)),
        (_enlarge(128, 128, 1.0), _enlarge(64, 64, 1.0)),
    ):
        whole = [m.astype(np.int64) for m in (planes, rows, columns)]
        assert all((w == m).all() for w, m in zip(whole, (planes, rows, columns), strict=True))
        twin = np.einsum("ym,cyx,xn->cmn", whole[1], whole[0], whole[2]) >> 28
        np.testing.assert_array_equal(_filtered(planes, rows, columns), twin)


def test_the_block_transform_is_exact() -> None:
    plane = np.random.default_rng(0).integers(-2048, 2048, (32, 16)).astype(np.float64)
    down, across = _transform(32).astype(np.int64), _transform(16).astype(np.int64)
    steps = _steps(40, False, 32, 16)
    products = down @ plane.astype(np.int64) @ across.T
    kept = np.floor(products / (8192.0 * 8192.0 * 16) / steps + 0.5) * steps
    back = down.T @ kept.astype(np.int64) @ across
    np.testing.assert_array_equal(_coded(plane, 40, False), np.floor(back * (16 / (8192.0 * 8192.0)) + 0.5))
