"""Embeddings with labels: what cannot be used is found wherever it is."""

import numpy as np
import pytest

from snreid.errors import DataError
from snreid.evaluation.features import check_values, in_half, remarks
from snreid.records import Features


def test_what_half_precision_cannot_hold_is_refused(rng: np.random.Generator) -> None:
    whole = rng.normal(size=(5, 4)).astype(np.float32)
    for scale, largest in ((1e5, "100000"), (1e-9, "1e-09")):
        values = whole.copy()
        values[3] = values[3] / np.abs(values[3]).max() * np.float32(scale)
        with pytest.raises(
            DataError, match=rf"half precision.*gallery.*65504.*Found: {largest} as the largest in row 3"
        ):
            in_half(values, "gallery")
    zero = np.zeros((2, 3), np.float32)
    assert not in_half(zero, "query").any()
    assert in_half(np.full((1, 2), 65504, np.float32), "query").tolist() == [[65504, 65504]]


@pytest.mark.parametrize("row", [0, 9000])
@pytest.mark.parametrize("side", ["query", "gallery"])
def test_a_value_that_cannot_be_used_is_found_wherever_it_is(side: str, row: int) -> None:
    count = 9001  # more than are looked at in one go
    labels = np.ones(count, np.int64)
    good = Features(np.ones((count, 2), np.float32), labels, labels)
    check_values(good, good)
    values = good.embeddings.copy()
    values[row, 1] = np.inf
    bad = Features(values, labels, labels)
    with pytest.raises(DataError, match=f"a {side} embedding is finite.*row {row}, column 1"):
        check_values(*((bad, good) if side == "query" else (good, bad)))


def test_junk_queries_are_remarked_and_person_0_is_none_of_them() -> None:
    def of(*persons: int) -> Features:
        return Features(np.ones((len(persons), 2), np.float32), np.array(persons), np.ones(len(persons), np.int64))

    (sentence,) = remarks(of(-1, 0, -1))
    assert sentence.startswith("2 of 3 queries")
    assert remarks(of(0, 1, 0)) == ()
