"""Images inside a page and pictures of many images: size, proportions, missing ones."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from snreid.figures.pictures import Hit, data_uri, fit, search_picture
from snreid.figures.report_page import Report


@pytest.mark.parametrize(
    ("size", "shown"), [((128, 64), (128, 64)), ((320, 160), (160, 80)), ((2000, 10), (160, 1)), ((40, 400), (16, 160))]
)
def test_images_keep_their_proportions_and_are_never_enlarged(size: tuple[int, int], shown: tuple[int, int]) -> None:
    image = fit(np.zeros((*size, 3), np.uint8), 160)
    assert (image.height, image.width) == shown


def test_a_data_uri_is_the_image() -> None:
    pixels = np.tile(np.array([200, 40, 90], np.uint8), (64, 32, 1))
    head, _, body = data_uri(pixels).partition(",")
    assert head == "data:image/jpeg;base64"
    with Image.open(io.BytesIO(base64.b64decode(body))) as image:
        assert image.format == "JPEG" and image.size == (32, 64)
        np.testing.assert_allclose(np.asarray(image).mean(axis=(0, 1)), [200, 40, 90], atol=4)


def test_a_search_sheet_shows_query_and_hits_in_rows_and_says_what_is_missing(report: Report) -> None:
    (example,) = report.examples
    some = list(example.gallery.samples[:5])
    hits = [*(Hit(sample, f"{n}  0.10") for n, sample in enumerate(some, 1)), Hit(None, "6  0.20")]
    picture = np.asarray(search_picture("a.jpg in f.npz", [example.sample], hits, columns=4, height=64))
    assert picture.shape == (28 + 3 * (64 + 28) + 8, 4 * (32 + 8) + 8, 3)
    for place, sample in enumerate([example.sample, *some]):
        row, column = divmod(place + 3 * (place > 0), 4)
        tile = picture[36 + row * 92 :][:64, 8 + column * 40 :][:, :32].reshape(-1, 3)
        assert (tile == sample.image.read()[0, 0]).all(1).any()
    grey = picture[36 + 2 * 92 :][:64, 8 + 40 :][:, :32]
    assert (grey == 235).all(2).mean() > 0.5 and (grey.min(2) < 100).any()
