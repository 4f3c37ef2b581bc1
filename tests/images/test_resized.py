"""Images resized by another filter: Pillow's pixels, the labels of before, and stamps of their own."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from snreid.errors import ExperimentError
from snreid.images.loading import PixelStore
from snreid.images.reading import resize
from snreid.images.resized import resized
from snreid.records import fingerprint, stamp_of
from support.tiny import drawn


def test_the_pixels_are_pillows_and_the_rest_stays() -> None:
    query = drawn("dusk", test_persons=2).read(Path()).query
    found = resized(query, 40, 20, "bicubic")
    assert fingerprint(found) == fingerprint(query)
    assert resized(query, 40, 20, "bilinear") is query
    for before, after in zip(query.samples, found.samples, strict=True):
        assert after == replace(before, image=after.image)
        wanted = np.array(Image.fromarray(before.image.read()).resize((20, 40), Image.Resampling.BICUBIC))
        assert np.array_equal(after.image.read(), wanted)
        assert not np.array_equal(wanted, resize(before.image.read(), 40, 20))
        assert stamp_of(after.image) != stamp_of(before.image) or stamp_of(before.image) is None


def test_a_store_of_that_size_keeps_them_as_they_are() -> None:
    query = resized(drawn("dusk", test_persons=2).read(Path()).query, 40, 20, "bicubic")
    store = PixelStore(query, 40, 20, workers=0, memory_gb=1)
    assert not store.open()
    (stored,) = store.batches([np.arange(len(query))])
    for row, sample in zip(stored.numpy(), query.samples, strict=True):
        assert np.array_equal(row.transpose(1, 2, 0), sample.image.read())


def test_an_unknown_filter_is_refused() -> None:
    with pytest.raises(ExperimentError, match="'bilinear' or by 'bicubic'"):
        resize(np.zeros((4, 4, 3), np.uint8), 2, 2, by="area")  # type: ignore[arg-type]
