"""The second view against Pillow, operation by operation, and its random numbers."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance, ImageOps
from torch import Tensor

from snreid.errors import ExperimentError
from snreid.images.second_view import OPERATIONS, SecondView
from snreid.images.transforms import IMAGENET_MEAN, Augmentation

HEIGHT, WIDTH = 40, 24
STILL = SecondView(randaugment=0.0, jitter=0.0, erase=0.0)


def pictures(count: int, *, smooth: bool = False) -> Tensor:
    """uint8 images (count, 3, 40, 24): noise, or slow waves in which a fraction of a pixel makes little difference."""
    random = np.random.default_rng(5)
    if not smooth:
        return torch.from_numpy(random.integers(20, 220, (count, 3, HEIGHT, WIDTH), dtype=np.uint8))
    y, x = np.mgrid[:HEIGHT, :WIDTH] / 12.0
    waves = [
        np.sin(random.uniform(0.5, 1, (3, 1, 1)) * x + random.uniform(0.5, 1, (3, 1, 1)) * y) for _ in range(count)
    ]
    return torch.from_numpy((128 + 100 * np.stack(waves)).astype(np.uint8))


def pillow(images: Tensor, change: Callable[[Image.Image], Image.Image]) -> Tensor:
    changed = [np.asarray(change(Image.fromarray(image.permute(1, 2, 0).numpy()))) for image in images]
    return torch.from_numpy(np.stack(changed)).permute(0, 3, 1, 2) / 255


def affine(*matrix: float) -> Callable[[Image.Image], Image.Image]:
    return lambda image: image.transform(image.size, Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR)


def solarize_add(image: Image.Image) -> Image.Image:
    brighter = np.clip(np.asarray(image).astype(int) + 37, 0, 255).astype(np.uint8)
    return ImageOps.solarize(Image.fromarray(brighter), 128)


COLOURS: dict[str, Callable[[Image.Image], Image.Image]] = {
    "identity": lambda image: image,
    "autocontrast": ImageOps.autocontrast,
    "equalize": ImageOps.equalize,
    "posterize": lambda image: ImageOps.posterize(image, 2),
    "colour": lambda image: ImageEnhance.Color(image).enhance(0.7),
    "contrast": lambda image: ImageEnhance.Contrast(image).enhance(0.7),
    "brightness": lambda image: ImageEnhance.Brightness(image).enhance(0.7),
    "sharpness": lambda image: ImageEnhance.Sharpness(image).enhance(0.7),
    "invert": ImageOps.invert,
    "solarize": lambda image: ImageOps.solarize(image, 256 / 3),
    "solarize_add": solarize_add,
}
MOVES: dict[str, Callable[[float], Callable[[Image.Image], Image.Image]]] = {
    "translate_x": lambda s: affine(1, 0, 0.15 * s * WIDTH, 0, 1, 0),
    "translate_y": lambda s: affine(1, 0, 0, 0, 1, 0.15 * s * HEIGHT),
    "shear_x": lambda s: affine(1, 0.1 * s, -0.1 * s * HEIGHT / 2, 0, 1, 0),
    "shear_y": lambda s: affine(1, 0, 0, 0.1 * s, 1, -0.1 * s * WIDTH / 2),
    "rotate": lambda s: lambda image: image.rotate(10 * s, Image.Resampling.BILINEAR),
}


def test_the_operations_are_the_published_sixteen() -> None:
    assert set(OPERATIONS) == set(COLOURS) | set(MOVES) and len(OPERATIONS) == 16


@pytest.mark.parametrize("name", COLOURS)
def test_colours_are_those_of_pillow(name: str) -> None:
    images = pictures(4)
    images[0, :, :, :12] //= 4  # few levels, a long tail
    images[1] = 77  # nothing to stretch
    found = OPERATIONS[name](images.float() / 255, 1.0)
    # Pillow rounds to whole levels; where it inverts at a threshold both compare whole levels.
    assert float((found - pillow(images, COLOURS[name])).abs().max()) <= 1.6 / 255


@pytest.mark.parametrize("sign", [1.0, -1.0])
@pytest.mark.parametrize("name", MOVES)
def test_moves_are_those_of_pillow_and_go_both_ways(name: str, sign: float) -> None:
    images = pictures(3, smooth=True)
    found = OPERATIONS[name](images.float() / 255, sign)
    expected = pillow(images, MOVES[name](sign))
    inside = OPERATIONS[name](torch.ones(3, 3, HEIGHT, WIDTH), sign) == 1
    inside[:, :, [0, -1]], inside[:, :, :, [0, -1]] = False, False
    assert inside.float().mean() > 0.6
    assert float((found - expected)[inside].abs().max()) <= 2.5 / 255
    # Pillow repeats half a border pixel before it is black.
    assert float((found - expected).abs().mean()) < 0.02
    assert float((found - images / 255).abs().mean()) > 0.01, "something moves"


def test_without_its_changes_the_view_is_the_crop_and_flip_of_the_first() -> None:
    images = pictures(8)
    draws = STILL.draws(0, 1, 2, 8)
    expected = Augmentation(brightness=0.0, contrast=0.0)(images, draws[:, :6])
    torch.testing.assert_close(STILL(images, draws), expected, atol=1e-5, rtol=0)  # two ways to sample the same place


def test_draws_are_a_pure_function_of_their_place_and_not_those_of_the_first_view() -> None:
    view = SecondView(operations=3)
    assert view.draws(0, 1, 2, 8).shape == (8, 23)
    assert torch.equal(view.draws(0, 1, 2, 8), view.draws(0, 1, 2, 8))
    for other in ((1, 1, 2, 8), (0, 2, 2, 8), (0, 1, 3, 8)):
        assert not torch.equal(view.draws(0, 1, 2, 8), view.draws(*other))
    assert not torch.equal(view.draws(0, 1, 2, 8)[:, :6], Augmentation().draws(0, 1, 2, 8))


def test_a_share_of_a_batch_is_changed_as_in_the_whole() -> None:
    images, view = pictures(8), SecondView()
    draws = view.draws(3, 0, 0, 8)
    assert torch.allclose(view(images, draws)[2:5], view(images[2:5], draws[2:5]), atol=1e-6)


def test_each_probability_and_the_number_of_operations_hold() -> None:
    images = pictures(400, smooth=True)[:, :, ::2, ::2].contiguous()
    for changed in (
        SecondView(randaugment=0.5, jitter=0.0, erase=0.0, operations=1),
        SecondView(randaugment=0.0, jitter=0.5, erase=0.0),
        SecondView(randaugment=0.0, jitter=0.0, erase=0.5),
    ):
        draws = changed.draws(0, 0, 0, 400)
        still = SecondView(randaugment=0.0, jitter=0.0, erase=0.0, operations=changed.operations)
        differs = (changed(images, draws) - still(images, draws)).abs().amax((1, 2, 3)) > 1e-6
        identity = 1 / 16 if changed.randaugment else 0
        assert abs(float(differs.float().mean()) - 0.5 * (1 - identity)) < 0.08
    none, still = (SecondView(randaugment=p, operations=0, jitter=0.0, erase=0.0) for p in (1.0, 0.0))
    draws = none.draws(0, 0, 0, 400)
    assert torch.equal(none(images, draws), still(images, draws))


def test_an_erased_rectangle_is_grey_and_of_the_area_that_was_drawn() -> None:
    images = torch.full((300, 3, HEIGHT, WIDTH), 255, dtype=torch.uint8)
    view = SecondView(randaugment=0.0, jitter=0.0, erase=1.0)
    draws = view.draws(0, 0, 0, 300)
    found = view(images, draws)
    grey = (found - torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1)).abs().amax(1) < 1e-6
    for one, draw in zip(grey, draws.tolist(), strict=True):
        rows, columns = one.any(1), one.any(0)
        assert torch.equal(one, rows[:, None] & columns[None, :]), "a rectangle"
        wanted = (0.02 + 0.38 * draw[12]) * HEIGHT * WIDTH
        ratio = 0.3 + (1 / 0.3 - 0.3) * draw[13]
        high, wide = round(math.sqrt(wanted * ratio)), round(math.sqrt(wanted / ratio))
        assert (int(rows.sum()), int(columns.sum())) == (min(high, HEIGHT - 1), min(wide, WIDTH - 1))
    assert len({int(one.any(1).int().argmax()) for one in grey}) > 10


def test_whatever_is_drawn_images_stay_images() -> None:
    images, view = pictures(64), SecondView(randaugment=1.0, jitter=1.0, erase=1.0)
    found = view(images, view.draws(9, 0, 0, 64))
    assert found.shape == images.shape and found.dtype == torch.float32
    assert found.isfinite().all() and float(found.min()) >= 0 and float(found.max()) <= 1


@pytest.mark.parametrize("wrong", [{"erase": 1.5}, {"jitter": -0.1}, {"randaugment": float("nan")}, {"operations": -1}])
def test_settings_that_cannot_be_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ExperimentError, match="probabilities between 0 and 1"):
        SecondView(**wrong)
