"""What counts as an image in Python, and what is refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from snreid.errors import DataError
from snreid.images.reading import FileImage
from snreid.inference.inputs import image_sources
from snreid.records import ImageSource

PIXELS = np.random.default_rng(0).integers(0, 256, (12, 6, 3)).astype(np.uint8)
TENSOR = torch.from_numpy(PIXELS).movedim(2, 0)


def _read(sources: list[ImageSource]) -> list[Any]:
    return [source.read() for source in sources]


@pytest.mark.parametrize(
    "image",
    [PIXELS, PIXELS[None], Image.fromarray(PIXELS), TENSOR, TENSOR[None], TENSOR / 255, (TENSOR / 255).double()],
    ids=["array", "batch of arrays", "PIL", "tensor", "batch of tensors", "floats", "doubles"],
)
def test_every_form_gives_the_same_pixels(image: Any) -> None:
    (whole,), (listed,) = _read(image_sources(image)), _read(image_sources([image]))
    np.testing.assert_array_equal(whole, PIXELS)
    np.testing.assert_array_equal(listed, PIXELS)


def test_paths_and_folders_are_files_in_order_and_mix_with_the_rest(tmp_path: Path) -> None:
    for name in ("b.png", "a.png", "in/c.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.fromarray(PIXELS).save(tmp_path / name)
    sources = image_sources([str(tmp_path / "b.png"), tmp_path, PIXELS])
    assert [source.name for source in sources[:-1]] == [
        str(tmp_path / n) for n in ("b.png", "a.png", "b.png", "in/c.png")
    ]
    assert all(np.array_equal(pixels, PIXELS) for pixels in _read(sources))
    assert [source.name for source in image_sources(str(tmp_path / "b.png"))] == [str(tmp_path / "b.png")]


def test_images_of_data_sets_are_images(tmp_path: Path) -> None:
    Image.fromarray(PIXELS).save(tmp_path / "a.png")
    file = FileImage(str(tmp_path / "a.png"))
    assert image_sources(file) == image_sources([file]) == [file]
    assert [len(image_sources(boxed, boxes=[[0, 0, 2, 2]])) for boxed in (file, [file])] == [1, 1]


def test_boxes_are_rounded_and_clipped() -> None:
    boxes = [[1.4, 2.6, 3.5, 8], [-5, -5, 2, 2], [4, 10, 99, 99]]
    crops = _read(image_sources(PIXELS, boxes=boxes))
    for crop, expected in zip(crops, (PIXELS[3:8, 1:4], PIXELS[:2, :2], PIXELS[10:, 4:]), strict=True):
        np.testing.assert_array_equal(crop, expected)
    assert image_sources(PIXELS, boxes=np.zeros((0, 4))) == image_sources(PIXELS, boxes=[]) == []


@pytest.mark.parametrize(
    ("image", "boxes", "words"),
    [
        (PIXELS / 255, None, r"uint8, RGB.*float64"),
        (PIXELS[..., 0], None, r"shape \(12, 6\)"),
        (np.moveaxis(PIXELS, 2, 0), None, r"shape \(3, 12, 6\).*torch.from_numpy"),
        (PIXELS[:0], None, r"shape \(0, 6, 3\)"),
        (TENSOR.float(), None, r"values 0 to 255.*divided by 255 and not normalized"),
        (TENSOR / 255 - 1, None, "not normalized"),
        (TENSOR.movedim(0, 2), None, r"shape \(12, 6, 3\).*tensor\.movedim\(-1, -3\)"),
        (np.array(["a.jpg", "b.jpg"]), None, r"paths as a list: array\.tolist"),
        (np.array([Path("a.jpg")]), None, r"paths as a list: array\.tolist"),
        (PIXELS, "abc", "rows .left, top, right, bottom.*'abc'"),
        (PIXELS, [[1, 2], [3]], "rows .left, top, right, bottom"),
        (TENSOR / 0, None, "between 0 and 1"),
        ([PIXELS, 3], None, "image 2 is of type int"),
        (None, None, "the input is of type NoneType"),
        ([PIXELS, PIXELS], [[0, 0, 1, 1]], "one image. Found: 2 images"),
        (PIXELS, [[0, 0, 1]], "rows .left, top, right, bottom"),
        (PIXELS, [[0, 0, float("nan"), 1]], "NaN"),
        (PIXELS, [[0, 0, 2, 2], [3, 3, 3, 9]], "box 1 is"),
        (PIXELS, [[100, 0, 120, 5]], "6 x 12 pixels"),
    ],
)
def test_anything_else_is_refused(image: Any, boxes: Any, words: str) -> None:
    with pytest.raises(DataError, match=words):
        image_sources(image, boxes)
