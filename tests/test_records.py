"""Splits and scores: the means against loops over queries."""

import numpy as np
import pytest

from snreid.records import NO_CAMERA, Sample, Scores, Split
from tiny import drawn


def scores(rng: np.random.Generator, valid: int = 30, queries: int = 40) -> Scores:
    return Scores(
        average_precision=rng.random(valid),
        inverse_negative_penalty=rng.random(valid),
        first_rank=rng.integers(1, 30, valid),
        query_index=np.sort(rng.permutation(queries)[:valid]),
        queries=queries,
    )


def test_means_are_those_of_a_loop_over_the_valid_queries(rng: np.random.Generator) -> None:
    found = scores(rng)
    total = penalty = 0.0
    for value, other in zip(found.average_precision, found.inverse_negative_penalty, strict=True):
        total, penalty = total + value, penalty + other
    assert found.mean_ap == pytest.approx(total / 30)
    assert found.mean_inp == pytest.approx(penalty / 30)
    assert found.skipped_queries == 10


def test_cmc_counts_the_queries_whose_first_match_came_in_time(rng: np.random.Generator) -> None:
    found = scores(rng)
    for k, share in enumerate(found.cmc(40), start=1):
        assert share == pytest.approx(sum(int(rank) <= k for rank in found.first_rank) / 30)
        assert found.rank(k) == share
    assert (np.diff(found.cmc(40)) >= 0).all()
    assert found.cmc(40)[-1] == 1


def test_a_split_gives_its_labels_as_arrays_in_its_order() -> None:
    image = drawn().read(None).train.samples[0].image  # type: ignore[arg-type]
    split = Split((Sample(image, 3, 1), Sample(image, 1, NO_CAMERA), Sample(image, 3, 2)))
    assert len(split) == 3
    assert split.persons.tolist() == [3, 1, 3] and split.persons.dtype == np.int64
    assert split.cameras.tolist() == [1, -1, 2] and split.cameras.dtype == np.int64


def test_an_empty_split_has_empty_labels() -> None:
    assert Split(()).persons.shape == (0,) and Split(()).cameras.dtype == np.int64
