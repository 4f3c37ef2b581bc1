"""Images inside a page and pictures of many images: size, proportions, colours of verdicts."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from snreid.errors import ExperimentError
from snreid.figures import Report, domains_picture, rank_list_picture
from snreid.figures.pictures import VERDICT_COLOURS, data_uri, fit


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


def test_a_rank_list_picture_frames_every_image_in_the_colour_of_its_verdict(report: Report) -> None:
    (example,) = report.examples
    picture = rank_list_picture(example, first=8, height=100)
    pixels = np.asarray(picture)
    assert picture.mode == "RGB" and picture.width > 8 * 50
    for line, (_, ranks) in enumerate(example.lists):
        row = pixels[line * len(pixels) // 2 : (line + 1) * len(pixels) // 2]
        for verdict, colour in VERDICT_COLOURS.items():
            # Along the upper edge of the frames: 4 pixels high and 56 wide for each image.
            here = (row == colour).all(axis=2).sum(axis=1).max() / 56
            assert round(float(here)) == ranks.verdict[:8].count(verdict)


def test_the_picture_shows_the_query_and_the_gallery_images(report: Report) -> None:
    (example,) = report.examples
    picture = np.asarray(rank_list_picture(example, first=3, height=128)).reshape(-1, 3)
    shown = {tuple(colour) for colour in np.unique(picture, axis=0).tolist()}
    wanted = [example.sample, *(example.gallery.samples[int(i)] for _, r in example.lists for i in r.gallery[:3])]
    assert all(tuple(sample.image.read()[0, 0].tolist()) in shown for sample in wanted)


def test_domains_side_by_side(report: Report) -> None:
    picture = domains_picture([(domain.name, domain.samples) for domain in report.domains], height=64)
    assert picture.width == 6 + 4 * (32 + 6) and picture.height == 3 * (24 + 64 + 6) + 6
    with pytest.raises(ExperimentError, match="at least one image"):
        domains_picture([("night", ())])
