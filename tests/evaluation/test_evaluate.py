"""Scores of a whole evaluation: closed examples, rules, and errors in the user's words."""

import doctest

import numpy as np
import pytest

from snreid.errors import DataError, ExperimentError
from snreid.evaluation.evaluate import evaluate, score_ranks
from snreid.records import DISTRACTOR, JUNK, NO_CAMERA, Features


def on_a_circle(degrees: list[float], persons: list[int], cameras: list[int]) -> Features:
    angle = np.deg2rad(degrees)
    return Features(
        np.stack([np.cos(angle), np.sin(angle)], 1).astype(np.float32), np.array(persons), np.array(cameras)
    )


def test_a_closed_example() -> None:
    query = on_a_circle([0, 0, 0], [1, 2, 9], [1, 1, 1])
    #                   junk  ignored  wrong  right(1)  distractor  right(1)  right(2)
    gallery = on_a_circle([1, 2, 3, 4, 5, 6, 7], [JUNK, 1, 3, 1, DISTRACTOR, 1, 2], [2, 1, 2, 2, 2, 3, 2])
    scores = evaluate(query, gallery)
    # Query 0 sees wrong, right, distractor, right, wrong: ranks 2 and 4. Query 1 sees five wrong ones first: rank 6.
    np.testing.assert_allclose(scores.average_precision, [(1 / 2 + 2 / 4) / 2, 1 / 6], rtol=1e-15)
    np.testing.assert_allclose(scores.inverse_negative_penalty, [2 / 4, 1 / 6], rtol=1e-15)
    assert scores.first_rank.tolist() == [2, 6]
    assert scores.query_index.tolist() == [0, 1]
    assert (scores.queries, scores.skipped_queries) == (3, 1)
    assert [scores.rank(k) for k in (1, 2, 5, 6)] == [0, 0.5, 0.5, 1]
    assert scores.mean_ap == pytest.approx(1 / 3)


def test_perfect_and_constant_embeddings() -> None:
    persons, cameras = np.repeat(np.arange(1, 6), 4), np.tile([1, 2, 3, 4], 5)
    perfect = Features(np.eye(6, dtype=np.float32)[persons], persons, cameras)
    assert evaluate(perfect, perfect).mean_ap == evaluate(perfect, perfect).rank(1) == 1
    constant = Features(np.full((20, 6), 0.3, np.float32), persons, cameras)
    # 16 wrong entries stand before 3 matches, whatever the order of the files.
    expected = np.mean([1 / 17, 2 / 18, 3 / 19])
    assert evaluate(constant, constant, metric="euclidean").mean_ap == pytest.approx(expected, abs=1e-15)
    assert evaluate(constant, constant).mean_inp == pytest.approx(3 / 19, abs=1e-15)


def test_without_cameras_a_query_does_not_match_itself() -> None:
    values = np.array([[1, 0], [0, 1], [2, 1]], np.float32)
    names = ("a.jpg", "b.jpg", "c.jpg")
    everything = Features(values, np.array([1, 2, 1]), np.full(3, NO_CAMERA), names)
    scores = evaluate(everything, everything)
    assert scores.first_rank.tolist() == [1, 1] and scores.query_index.tolist() == [0, 2]
    nameless = Features(values, everything.persons, everything.cameras)
    assert evaluate(nameless, nameless).skipped_queries == 0


def test_queries_without_a_match_are_counted_even_if_all_are() -> None:
    nothing = np.empty(0, np.int64)
    scores = score_ranks([nothing, np.array([1, 4]), nothing], np.array([7, 8, 9]))
    assert (
        scores.query_index.tolist() == [1]
        and scores.persons.tolist() == [8]
        and (scores.queries, scores.skipped_queries) == (3, 2)
    )
    assert scores.average_precision.tolist() == [0.75] and scores.first_rank.tolist() == [1]
    for ranks in ([], [nothing, nothing]):
        none = score_ranks(ranks, np.arange(len(ranks)))
        assert none.queries == none.skipped_queries == len(ranks)
        assert none.average_precision.dtype == none.inverse_negative_penalty.dtype == np.float64
        assert none.first_rank.dtype == none.query_index.dtype == np.int64


def features(count: int = 4, dimension: int = 3) -> Features:
    values = np.ones((count, dimension), np.float32)
    return Features(values, np.arange(1, count + 1), np.arange(1, count + 1))


GOOD = features()
BAD = {
    "shape": (Features(np.ones(4, np.float32), GOOD.persons, GOOD.cameras), r"one row per image.*\(4,\)"),
    "empty": (features(0), r"N and D at least 1.*\(0, 3\)"),
    "no dimension": (features(4, 0), r"\(4, 0\)"),
    "float64": (Features(np.ones((4, 3)), GOOD.persons, GOOD.cameras), "float32.*Found: float64"),  # type: ignore[arg-type]
    "dimension": (features(4, 5), "same dimension"),
    "few persons": (Features(GOOD.embeddings, GOOD.persons[:3], GOOD.cameras), r"person ids are 4 integers.*\(3,\)"),
    "float cameras": (Features(GOOD.embeddings, GOOD.persons, GOOD.cameras * 1.0), "camera ids.*float64"),  # type: ignore[arg-type]
    "person -2": (Features(GOOD.embeddings, GOOD.persons - 3, GOOD.cameras), "person ids are -1 or above. Found: -2"),
    "camera -5": (Features(GOOD.embeddings, GOOD.persons, GOOD.cameras - 6), "camera ids are -1 or above. Found: -5"),
    "names": (Features(GOOD.embeddings, GOOD.persons, GOOD.cameras, ("a",)), "1 names, 4 embeddings"),
}


@pytest.mark.parametrize("case", BAD)
@pytest.mark.parametrize("side", ["query", "gallery"])
def test_features_that_do_not_fit_are_refused(side: str, case: str) -> None:
    bad, message = BAD[case]
    pair = (bad, GOOD) if side == "query" else (GOOD, bad)
    with pytest.raises(DataError, match=message) as caught:
        evaluate(*pair)
    assert case == "dimension" or side in caught.value.rule
    assert caught.value.fix


def test_no_valid_query_is_an_error_that_explains_the_rule() -> None:
    with pytest.raises(DataError, match=r"from another camera.*none among 4 queries.*leave the cameras out"):
        evaluate(GOOD, GOOD)
    strangers = Features(GOOD.embeddings, GOOD.persons + 10, np.full(4, NO_CAMERA))
    lonely = Features(GOOD.embeddings, GOOD.persons, np.full(4, NO_CAMERA))
    with pytest.raises(DataError, match=r"a gallery image of its person\. Found"):
        evaluate(strangers, lonely)


def test_an_unknown_metric_is_refused() -> None:
    with pytest.raises(ExperimentError, match="'jaccard'"):
        evaluate(GOOD, GOOD, metric="jaccard")


def test_the_example_runs() -> None:
    (example,) = doctest.DocTestFinder().find(evaluate, "evaluate", globs={})
    assert example.examples and doctest.DocTestRunner().run(example).failed == 0
