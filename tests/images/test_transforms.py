"""Augmentation against its definition: enlarge, cut, mirror, and colours, pixel by pixel in plain loops."""

import colorsys
from dataclasses import replace
from math import floor, inf, nan
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from snreid.errors import ExperimentError
from snreid.images.transforms import IMAGENET_MEAN, Augmentation, InputFormat

STILL = Augmentation(crop=0, flip=0, brightness=0, contrast=0)
EVERYTHING = {"saturation": 0.5, "hue": 0.5, "grey": 0.3, "erasing": 0.6}


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


def recoloured(image: NDArray[np.float64], draw: list[float], how: Augmentation) -> NDArray[np.float64]:
    """``draw``: the numbers behind the first 6."""
    factor, turn = 1 - how.saturation + 2 * how.saturation * draw[0], how.hue * (2 * draw[1] - 1)
    made = np.empty_like(image)
    for y in range(image.shape[1]):
        for x in range(image.shape[2]):
            red, green, blue = image[:, y, x]
            grey = 0.2989 * red + 0.587 * green + 0.114 * blue
            hue, saturation, value = colorsys.rgb_to_hsv(
                *(min(max(grey + (v - grey) * factor, 0), 1) for v in (red, green, blue))
            )
            red, green, blue = colorsys.hsv_to_rgb((hue + turn) % 1, saturation, value)
            grey = 0.2989 * red + 0.587 * green + 0.114 * blue
            made[:, y, x] = grey if draw[2] < how.grey else (red, green, blue)
    return made


def erased(
    image: NDArray[np.float64], draw: list[float], how: Augmentation, colour: tuple[float, float, float]
) -> NDArray[np.float64]:
    """``draw``: the numbers behind the first 6."""
    _, height, width = image.shape
    area, ratio = (0.02 + 0.31 * draw[4]) * height * width, 0.3 + (1 / 0.3 - 0.3) * draw[5]
    high, wide = min(round((area * ratio) ** 0.5), height - 1), min(round((area / ratio) ** 0.5), width - 1)
    top, left = floor(draw[6] * (height - high + 1)), floor(draw[7] * (width - wide + 1))
    made = image.copy()
    if draw[3] < how.erasing:
        made[:, top : top + high, left : left + wide] = np.array(colour)[:, None, None]
    return made


def some(count: int, height: int, width: int) -> torch.Tensor:
    return torch.randint(0, 256, (count, 3, height, width), dtype=torch.uint8)


def sampled(
    how: Augmentation, images: torch.Tensor, draws: torch.Tensor, form: InputFormat | None = None
) -> torch.Tensor:
    """What a GPU computes, not normalized."""
    return how._batched(images, draws, IMAGENET_MEAN if form is None else form.mean)


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


@pytest.mark.parametrize("on", [{"saturation": 0.6}, {"hue": 0.3}, {"grey": 0.5}, {"erasing": 0.7}, EVERYTHING])
@pytest.mark.parametrize("base", [STILL, Augmentation()])
def test_the_options_come_after_the_rest_and_are_those_of_the_loops(on: dict[str, float], base: Augmentation) -> None:
    how, form = replace(base, **on), InputFormat(height=32, width=16, mean=(0.1, 0.6, 0.3), std=(0.5, 0.2, 1.0))
    images, draws = some(6, 32, 16), how.draws(1, 2, 3, 6)
    mean, std = (np.array(three)[:, None, None] for three in (form.mean, form.std))
    plain, normal = how(images, draws).numpy(), how(images, draws, form).numpy()
    for number, (image, draw) in enumerate(zip(images.double().numpy() / 255, draws.tolist(), strict=True)):
        expected = recoloured(coloured(moved(image, draw, how), draw, how), draw[6:], how)
        np.testing.assert_allclose(plain[number], erased(expected, draw[6:], how, IMAGENET_MEAN), atol=1e-4)
        expected = (erased(expected, draw[6:], how, form.mean) - mean) / std
        np.testing.assert_allclose(normal[number], expected, atol=5e-4)


def test_the_network_sees_exactly_0_where_something_was_erased() -> None:
    how, form = replace(Augmentation(), erasing=1.0), InputFormat(height=32, width=16)
    images, draws = some(20, 32, 16), how.draws(1, 2, 3, 20)
    for made in (how(images, draws, form), form.normalize(sampled(how, images, draws, form))):
        empty = (made == 0).all(1).flatten(1).float().mean(1)
        assert float(empty.min()) > 0.01 and float(empty.max()) < 0.4


def test_the_first_six_draws_and_all_pixels_are_the_same_without_the_options() -> None:
    before, after = Augmentation(), replace(Augmentation(), **EVERYTHING)
    draws = after.draws(1, 2, 3, 8)
    assert draws.shape == (8, 14) and torch.equal(draws[:, :6], before.draws(1, 2, 3, 8))
    images = some(8, 32, 16)
    assert torch.equal(before(images, draws), before(images, draws[:, :6]))
    values = torch.cat([after.draws(0, epoch, batch, 64)[:, 6:] for epoch in range(6) for batch in range(6)])
    assert values.unique().numel() > 0.99 * values.numel(), "numbers of their own"
    assert torch.allclose(values.mean(0), torch.full((8,), 0.5), atol=0.05)


@pytest.mark.parametrize("on", [{"saturation": 0.6}, {"hue": 0.3}, {"grey": 0.5}, {"erasing": 0.7}, EVERYTHING])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_the_options_are_the_same_on_both_paths(on: dict[str, float], layout: torch.memory_format) -> None:
    how = replace(Augmentation(), **on)
    images, draws = some(24, 48, 32), how.draws(3, 1, 4, 24)
    form = InputFormat(height=48, width=32, mean=(0.1, 0.6, 0.3))
    given = images.contiguous(memory_format=layout)
    torch.testing.assert_close(how(given, draws), sampled(how, images, draws), atol=3e-4, rtol=0)
    expected = form.normalize(sampled(how, images, draws, form))
    torch.testing.assert_close(how(given, draws, form), expected, atol=2e-3, rtol=0)
    assert torch.equal(how(given[3:5], draws[3:5]), how(given, draws)[3:5]), "an image depends on its own draws alone"
    assert how(given, draws).is_contiguous(memory_format=torch.channels_last) and torch.equal(given, images)


def test_grey_and_erasing_happen_as_often_as_they_should() -> None:
    images = some(1, 32, 16).expand(400, 3, 32, 16)
    how = replace(STILL, grey=0.2, erasing=0.6)
    made = how(images, how.draws(0, 0, 0, 400))
    colourless = ((made - made.mean(1, keepdim=True)).abs() < 1e-5).all(1).flatten(1).float().mean(1) > 0.5
    mean = torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1)
    lost = (made - mean).abs().amax(1).flatten(1).lt(1e-6).float().mean(1) > 0.01
    assert abs(float(colourless.float().mean()) - 0.2) < 0.08
    assert abs(float(lost.float().mean()) - 0.6) < 0.1


@pytest.mark.parametrize(("enlarge", "brightness"), [(1.0, 0.2), (1.125, 0.0), (1.125, 0.2), (2.0, 0.2)])
def test_a_cpu_goes_row_by_row_to_what_a_gpu_samples(enlarge: float, brightness: float) -> None:
    how = Augmentation(enlarge=enlarge, brightness=brightness, contrast=brightness)
    images, draws = some(24, 48, 32), how.draws(3, 1, 4, 24)
    expected = sampled(how, images, draws)
    for layout in (torch.contiguous_format, torch.channels_last):
        given = images.contiguous(memory_format=layout)
        made = how(given, draws)
        torch.testing.assert_close(made, expected, atol=5e-5, rtol=0)
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
    "wrong",
    [
        {"enlarge": 0.9},
        {"enlarge": float("nan")},
        {"crop": 1.1},
        {"flip": -0.1},
        {"brightness": 1.0},
        {"contrast": -1.0},
        {"saturation": 1.0},
        {"hue": 0.51},
        {"grey": 1.1},
        {"erasing": -0.1},
    ],
)
def test_an_impossible_augmentation_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ExperimentError, match="--augmentation"):
        Augmentation(**wrong)


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        (Augmentation, {"enlarge": inf}),
        (InputFormat, {"mean": (0.5, nan, 0.5)}),
        (InputFormat, {"mean": (inf, 0.5, 0.5)}),
        (InputFormat, {"std": (nan, 1.0, 1.0)}),
        (InputFormat, {"std": (1.0, inf, 1.0)}),
    ],
)
def test_numbers_that_are_not_finite_are_refused_before_they_reach_an_image(
    kind: type[Augmentation | InputFormat], changes: dict[str, Any]
) -> None:
    with pytest.raises(ExperimentError, match=f"{next(iter(changes))} must be"):
        kind(**changes)
