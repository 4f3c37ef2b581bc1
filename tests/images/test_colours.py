"""Colours and rectangles against the standard library, torchvision and loops."""

import colorsys
import math

import pytest
import torch
from torchvision.transforms.v2 import functional as published

from snreid.images.colours import erased, greyed, of_channels, rectangles, saturated, turn_hue


def pictures(count: int = 4) -> torch.Tensor:
    images = torch.rand(count, 3, 6, 5)
    images[0, :, 0, 0] = 0.5  # grey has no hue
    return images


def test_the_hue_is_turned_as_colorsys_does() -> None:
    images = torch.rand(2, 3, 5, 4, generator=torch.Generator().manual_seed(1))
    images[0, :, 0, 0] = 0.5  # grey has no hue
    turns = torch.tensor([0.07, -0.1])
    found = turn_hue(images, turns)
    for number in range(2):
        for y in range(5):
            for x in range(4):
                hue, saturation, value = colorsys.rgb_to_hsv(*images[number, :, y, x].tolist())
                expected = colorsys.hsv_to_rgb((hue + float(turns[number])) % 1, saturation, value)
                assert found[number, :, y, x].tolist() == pytest.approx(expected, abs=1e-5)


def test_hue_saturation_and_grey_are_those_of_torchvision() -> None:
    images, factors, turns = pictures(), torch.tensor([0.0, 0.5, 1.0, 1.9]), torch.tensor([0.0, 0.5, -0.5, -0.2])
    for number, (factor, turn) in enumerate(zip(factors.tolist(), turns.tolist(), strict=True)):
        one = images[number]
        expected = published.adjust_saturation(one, factor)
        torch.testing.assert_close(saturated(images, factors)[number], expected, atol=1e-6, rtol=0)
        torch.testing.assert_close(turn_hue(images, turns)[number], published.adjust_hue(one, turn), atol=1e-5, rtol=0)
    grey = greyed(images, torch.tensor([True, False, True, False]))
    assert torch.equal(grey[[1, 3]], images[[1, 3]])
    expected = published.rgb_to_grayscale(images[[0, 2]], num_output_channels=3)
    torch.testing.assert_close(grey[[0, 2]], expected, atol=1e-6, rtol=0)


def test_rectangles_have_the_drawn_area_and_ratio_and_fit() -> None:
    height, width, draws = 64, 32, torch.rand(200, 4)
    draws[0], draws[1] = 0, 1 - 1e-6
    for draw, place in zip(
        draws.tolist(), torch.stack(rectangles(draws, height, width, 0.33), 1).tolist(), strict=True
    ):
        top, left, high, wide = place
        area, ratio = (0.02 + 0.31 * draw[0]) * height * width, 0.3 + (1 / 0.3 - 0.3) * draw[1]
        assert high == min(round(math.sqrt(area * ratio)), height - 1)
        assert wide == min(round(math.sqrt(area / ratio)), width - 1)
        assert top == math.floor(draw[2] * (height - high + 1)) and left == math.floor(draw[3] * (width - wide + 1))
        assert 0 <= top <= height - high and 0 <= left <= width - wide


def test_only_the_rectangles_of_the_chosen_are_filled() -> None:
    images, colour = pictures(3), (0.1, 0.2, 0.3)
    places = tuple(
        torch.tensor(numbers) for numbers in ([1.0, 0.0, 2.0], [2.0, 0.0, 1.0], [3.0, 2.0, 4.0], [2.0, 2.0, 4.0])
    )
    found = erased(images, torch.tensor([True, False, True]), places, colour)  # type: ignore[arg-type]
    for number in range(3):
        top, left, high, wide = (int(values[number]) for values in places)
        for y in range(6):
            for x in range(5):
                inside = top <= y < top + high and left <= x < left + wide and number != 1
                assert found[number, :, y, x].tolist() == pytest.approx(
                    colour if inside else images[number, :, y, x].tolist()
                )
    assert of_channels(colour, images.device).flatten().tolist() == pytest.approx(colour)
