"""Augmentation against its definition: enlarge, cut, mirror, and colours, pixel by pixel in plain loops."""

from dataclasses import replace
from math import floor

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from snreid.errors import ExperimentError
from snreid.transforms import Augmentation, InputFormat

STILL = Augmentation(crop=0, flip=0, brightness=0, contrast=0)


def enlarged(image: NDArray[np.float64], height: int, width: int) -> NDArray[np.float64]:
    """Bilinear resize of (3, H, W), pixel centres at halves, edges repeated."""
    out = np.zeros((3, height, width))
    for y in range(height):
        for x in range(width):
            top, row = divmod(min(max((y + 0.5) * image.shape[1] / height - 0.5, 0), image.shape[1] - 1), 1)
            left, column = divmod(min(max((x + 0.5) * image.shape[2] / width - 0.5, 0), image.shape[2] - 1), 1)
            t, s = int(top), int(left)
            b, r = min(t + 1, image.shape[1] - 1), min(s + 1, image.shape[2] - 1)
            upper = (1 - column) * image[:, t, s] + column * image[:, t, r]
            lower = (1 - column) * image[:, b, s] + column * image[:, b, r]
            out[:, y, x] = (1 - row) * upper + row * lower
    return out


def moved(image: NDArray[np.float64], draw: list[float], how: Augmentation) -> NDArray[np.float64]:
    _, height, width = image.shape
    if draw[0] < how.crop:
        big = enlarged(image, round(height * how.enlarge), round(width * how.enlarge))
        top = floor(draw[1] * (big.shape[1] - height + 1))
        left = floor(draw[2] * (big.shape[2] - width + 1))
        image = big[:, top : top + height, left : left + width]
    return image[:, :, ::-1] if draw[3] < how.flip else image


def coloured(image: NDArray[np.float64], draw: list[float], how: Augmentation) -> NDArray[np.float64]:
    brightness = 1 - how.brightness + 2 * how.brightness * draw[4]
    contrast = 1 - how.contrast + 2 * how.contrast * draw[5]
    _, height, width = image.shape
    bright = [[[min(max(v * brightness, 0), 1) for v in row] for row in plane] for plane in image]
    total = 0.0
    for y in range(height):
        for x in range(width):
            total += 0.2989 * bright[0][y][x] + 0.587 * bright[1][y][x] + 0.114 * bright[2][y][x]
    grey = total / (height * width)
    return np.array(
        [[[min(max(grey + (v - grey) * contrast, 0), 1) for v in row] for row in plane] for plane in bright]
    )


def some(count: int, height: int, width: int) -> torch.Tensor:
    return torch.randint(0, 256, (count, 3, height, width), dtype=torch.uint8)


@pytest.mark.parametrize(("height", "width", "enlarge"), [(32, 16, 1.125), (16, 24, 1.5)])
def test_a_crop_is_enlarging_and_cutting_and_a_flip_mirrors_it(height: int, width: int, enlarge: float) -> None:
    how = replace(STILL, crop=0.6, flip=0.5, enlarge=enlarge)
    images, draws = some(10, height, width), torch.rand(10, 6)
    draws[0, 1:3] = 0  # the corners of the room
    draws[1, 1:3] = 1 - 1e-6
    draws[:2, 0] = 0
    made = how(images, draws)
    assert made.dtype == torch.float32
    for image, draw, result in zip(images.double().numpy() / 255, draws.tolist(), made.numpy(), strict=True):
        np.testing.assert_allclose(result, moved(image, draw, how), atol=2e-5)


def test_brightness_and_contrast_are_those_of_the_loops() -> None:
    how = replace(STILL, brightness=0.4, contrast=0.3)
    images, draws = some(4, 16, 16), torch.rand(4, 6)
    for image, draw, result in zip(
        images.double().numpy() / 255, draws.tolist(), how(images, draws).numpy(), strict=True
    ):
        np.testing.assert_allclose(result, coloured(image, draw, how), atol=2e-5)


def test_all_of_it_together_is_moving_then_colouring() -> None:
    how = Augmentation()
    images, draws = some(6, 32, 16), torch.rand(6, 6)
    for image, draw, result in zip(
        images.double().numpy() / 255, draws.tolist(), how(images, draws).numpy(), strict=True
    ):
        np.testing.assert_allclose(result, coloured(moved(image, draw, how), draw, how), atol=5e-5)


@pytest.mark.parametrize(("enlarge", "brightness"), [(1.0, 0.2), (1.125, 0.0), (1.125, 0.2), (2.0, 0.2)])
def test_a_cpu_goes_row_by_row_to_what_a_gpu_samples(enlarge: float, brightness: float) -> None:
    how = Augmentation(enlarge=enlarge, brightness=brightness, contrast=brightness)
    images, draws = some(24, 48, 32), how.draws(3, 1, 4, 24)
    sampled = how._jitter(how.move(images.float() / 255, draws), draws)
    for layout in (torch.contiguous_format, torch.channels_last):
        given = images.contiguous(memory_format=layout)
        made = how(given, draws)
        torch.testing.assert_close(made, sampled, atol=5e-5, rtol=0)
        assert made.is_contiguous(memory_format=torch.channels_last) and torch.equal(given, images)
        assert torch.equal(how(given, draws), made)
        form = InputFormat(height=48, width=32)
        torch.testing.assert_close(how(given, draws, form), form.normalize(made), atol=1e-5, rtol=0)


def test_nothing_asked_changes_nothing() -> None:
    images = some(3, 24, 12)
    torch.testing.assert_close(STILL(images, torch.rand(3, 6)), images.float() / 255, atol=5e-6, rtol=0)


def test_values_stay_between_0_and_1() -> None:
    made = Augmentation(brightness=0.9, contrast=0.9)(some(20, 16, 16), torch.rand(20, 6))
    assert made.min() >= 0 and made.max() <= 1


def test_an_image_is_changed_by_its_own_draws_alone() -> None:
    images, draws = some(6, 16, 16), torch.rand(6, 6)
    whole = Augmentation()(images, draws)
    torch.testing.assert_close(Augmentation()(images[2:4], draws[2:4]), whole[2:4])


def test_draws_are_uniform_and_a_function_of_seed_epoch_and_batch() -> None:
    how = Augmentation()
    keys = [(seed, epoch, batch) for seed in (0, 1) for epoch in (0, 1, 2) for batch in (0, 1, 2)]
    drawn = {key: how.draws(*key, 64) for key in keys}
    assert all(torch.equal(values, how.draws(*key, 64)) for key, values in drawn.items())
    assert len({values.numpy().tobytes() for values in drawn.values()}) == len(keys)
    values = torch.cat(list(drawn.values()))
    assert values.shape == (64 * len(keys), 6) and values.dtype == torch.float32
    assert values.min() >= 0 and values.max() < 1
    assert torch.allclose(values.mean(0), torch.full((6,), 0.5), atol=0.05)


@pytest.mark.parametrize("as_bytes", [True, False])
def test_normalization_by_hand(as_bytes: bool) -> None:
    form = InputFormat(height=16, width=16, mean=(0.1, 0.2, 0.3), std=(0.5, 1.0, 2.0))
    images = some(2, 16, 16)
    made = form.normalize(images if as_bytes else images.float() / 255)
    for channel, (mean, std) in enumerate(zip(form.mean, form.std, strict=True)):
        expected = (images[:, channel].double() / 255 - mean) / std
        torch.testing.assert_close(made[:, channel].double(), expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("as_bytes", [True, False])
def test_normalization_is_the_same_to_the_bit_in_both_memory_layouts(as_bytes: bool) -> None:
    form = InputFormat(height=16, width=24)
    images = some(7, 16, 24) if as_bytes else torch.rand(7, 3, 16, 24)
    before = images.clone()
    made = form.normalize(images.contiguous(memory_format=torch.channels_last))
    assert torch.equal(made, form.normalize(images)) and torch.equal(images, before)
    assert made.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("size", [{"height": 15}, {"width": 4096}, {"std": (0.0, 1.0, 1.0)}])
def test_an_impossible_input_is_refused(size: dict[str, object]) -> None:
    with pytest.raises(ExperimentError, match="--input"):
        InputFormat(**size)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "wrong", [{"enlarge": 0.9}, {"crop": 1.1}, {"flip": -0.1}, {"brightness": 1.0}, {"contrast": -1.0}]
)
def test_an_impossible_augmentation_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ExperimentError, match="--augmentation"):
        Augmentation(**wrong)
