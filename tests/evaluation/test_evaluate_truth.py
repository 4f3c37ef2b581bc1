"""reliability.md R7: on random protocols every number equals the definition in plain Python to 1e-12."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ranking_by_definition import cmc_by_definition, scores_by_definition

from snreid.errors import DataError
from snreid.evaluation.evaluate import evaluate
from snreid.evaluation.exact.ranking import Block
from snreid.records import NO_CAMERA, Features

NAMES = tuple("abcdefghij")


@st.composite
def protocols(draw: st.DrawFn) -> tuple[Features, Features]:
    """Few short integer vectors (so ties abound), few persons with junk and distractors, many, one or no cameras."""
    dimension = draw(st.integers(1, 4))
    most_cameras = draw(st.sampled_from([NO_CAMERA, 1, 3]))
    lowest_camera = draw(st.sampled_from([NO_CAMERA, 1])) if most_cameras > 0 else NO_CAMERA
    named = draw(st.booleans())

    def side(most: int) -> Features:
        count = draw(st.integers(1, most))

        def integers(low: int, high: int, size: int) -> list[int]:
            return draw(st.lists(st.integers(low, high), min_size=size, max_size=size))

        values = np.array(integers(-2, 2, count * dimension), np.float32).reshape(count, dimension)
        persons, cameras = integers(-1, 3, count), integers(lowest_camera, most_cameras, count)
        names = tuple(draw(st.sampled_from(NAMES)) for _ in range(count)) if named else ()
        return Features(values, np.array(persons), np.array(cameras), names)

    return side(6), side(20)


def check_truth(pair: tuple[Features, Features], metric: str, block: Block) -> None:
    truth = scores_by_definition(*pair, metric)
    if not truth.query_index:
        with pytest.raises(DataError, match="At least one query needs a match"):
            evaluate(*pair, metric=metric, block=block)
        return
    scores = evaluate(*pair, metric=metric, block=block)
    np.testing.assert_allclose(scores.average_precision, truth.average_precision, rtol=0, atol=1e-12)
    np.testing.assert_allclose(scores.inverse_negative_penalty, truth.inverse_negative_penalty, rtol=0, atol=1e-12)
    assert scores.first_rank.tolist() == truth.first_rank
    assert scores.query_index.tolist() == truth.query_index
    assert scores.skipped_queries == len(pair[0].persons) - len(truth.query_index)
    for k in (1, 5, 10, 20):
        assert scores.rank(k) == pytest.approx(cmc_by_definition(truth.first_rank, k), abs=1e-12)


ANY_METRIC = st.sampled_from(["cosine", "euclidean"])
ANY_BLOCK = st.builds(Block, queries=st.integers(1, 7), gallery=st.integers(1, 21))


@settings(max_examples=60, deadline=None)
@given(protocols(), ANY_METRIC, ANY_BLOCK)
def test_equal_to_the_definition(pair: tuple[Features, Features], metric: str, block: Block) -> None:
    check_truth(pair, metric, block)


@pytest.mark.soak
@settings(max_examples=2000, deadline=None)
@given(protocols(), ANY_METRIC, ANY_BLOCK)
def test_equal_to_the_definition_on_two_thousand_protocols(
    pair: tuple[Features, Features], metric: str, block: Block
) -> None:
    check_truth(pair, metric, block)
