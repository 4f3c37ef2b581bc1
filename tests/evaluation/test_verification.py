"""Thresholds and rates against their slow twin, by definition, and what too few pairs cannot show."""

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from ranking_by_definition import is_ignored, is_match

from snreid.errors import DataError, ExperimentError
from snreid.evaluation import mean_interval, verification
from snreid.evaluation.verification import Calibration, calibrate, pair_scores
from snreid.records import NO_CAMERA, Features, Interval

Pair = tuple[Features, Features]


def slow_scores(query: Features, gallery: Features, metric: str) -> list[list[float]]:
    """Every score in plain Python, rounded as it is printed."""
    table = []
    for q in query.embeddings.astype(float).tolist():
        row = []
        for g in gallery.embeddings.astype(float).tolist():
            if metric == "euclidean":
                row.append(-math.dist(q, g))
            else:
                lengths = math.hypot(*q) * math.hypot(*g)
                row.append(sum(a * b for a, b in zip(q, g, strict=True)) / lengths if lengths else 0.0)
        table.append(row)
    return table


def slow_calibration(query: Features, gallery: Features, metric: str, rate: float, step: float) -> dict[str, Any]:
    """By definition: list the pairs, try every threshold from below that makes a difference."""
    scores = slow_scores(query, gallery, metric)
    genuine, persons, impostor = [], [], []
    for i in range(len(query.persons)):
        for j in range(len(gallery.persons)):
            level = round(scores[i][j] / step)
            if query.persons[i] == -1 or is_ignored(query, gallery, i, j):
                continue
            if is_match(query, gallery, i, j):
                genuine.append(level)
                persons.append(int(query.persons[i]))
            else:
                impostor.append(level)
    above = sorted({level + 1 for level in impostor})  # where the number of false matches changes
    threshold = next(t for t in above if sum(level >= t for level in impostor) <= rate * len(impostor) + 1e-9)
    return {
        "threshold": threshold,
        "false": sum(level >= threshold for level in impostor) / len(impostor),
        "true": sum(level >= threshold for level in genuine) / len(genuine),
        "interval": mean_interval(np.array([float(level >= threshold) for level in genuine]), np.array(persons)),
        "genuine": genuine,
        "impostor": impostor,
        "persons": len(set(persons)),
    }


def people(rng: np.random.Generator, *, named: bool = False, cameras: bool = True) -> Pair:
    """A few people, some junk, a person 0, images that are query and gallery image."""
    centres = rng.normal(size=(7, 5))

    def side(count: int) -> Features:
        persons = rng.integers(-1, 6, size=count)
        embeddings = (centres[persons] + 0.7 * rng.normal(size=(count, 5))).astype(np.float32)
        where = rng.integers(1, 4, size=count) if cameras else np.full(count, -1)
        names = tuple(f"{rng.integers(0, 60)}.jpg" for _ in range(count)) if named else ()
        return Features(embeddings, persons, where, names)

    return side(24), side(40)


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
@pytest.mark.parametrize(("named", "cameras"), [(False, True), (True, True), (True, False)])
@pytest.mark.parametrize("rate", [0.01, 0.2])
def test_equal_to_the_definition(
    metric: str, named: bool, cameras: bool, rate: float, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verification, "_AT_ONCE", 24 * 7)  # several blocks
    monkeypatch.setattr(verification, "COSINE_STEP", 1e-3)
    query, gallery = people(rng, named=named, cameras=cameras)
    found = calibrate(query, gallery, false_match_rate=rate, metric=metric)
    slow = slow_calibration(query, gallery, metric, rate, found.step)
    assert round(found.threshold / found.step) == slow["threshold"]
    assert (found.false_match_rate, found.true_match_rate) == (slow["false"], slow["true"])
    assert found.interval == slow["interval"]
    assert (found.genuine, found.impostor, found.persons) == (
        len(slow["genuine"]),
        len(slow["impostor"]),
        slow["persons"],
    )
    assert found.roc[-1][:2] == (1, 1) and len(found.roc) > 20
    for false, true, threshold in found.roc:
        level = round(threshold / found.step)
        assert false == np.mean([one >= level for one in slow["impostor"]])
        assert true == np.mean([one >= level for one in slow["genuine"]])
    assert all(a[0] < b[0] and a[1] <= b[1] for a, b in pairwise(found.roc))


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_scores_of_pairs(metric: str, rng: np.random.Generator) -> None:
    query, gallery = people(rng)
    query.embeddings[3] = 0
    np.testing.assert_allclose(
        pair_scores(query.embeddings, gallery.embeddings, metric), slow_scores(query, gallery, metric), atol=1e-6
    )
    half = query.embeddings.astype(np.float16)
    same = pair_scores(half, half, metric)
    assert np.allclose(np.delete(np.diag(same), 3), 1 if metric == "cosine" else 0, atol=1e-6)


def test_a_pair_matches_by_what_is_printed(rng: np.random.Generator) -> None:
    found = calibrate(*people(rng), false_match_rate=0.05)
    assert found.matches(found.threshold) and found.text(found.threshold) in found.rule
    for score in (found.threshold + 0.4 * found.step, found.threshold - 0.4 * found.step):
        assert found.text(score) == found.text(found.threshold) and found.matches(score)
    assert not found.matches(found.threshold - 0.6 * found.step)
    apart = calibrate(*people(rng), false_match_rate=0.05, metric="euclidean")
    assert apart.threshold < 0 and apart.rule == f"distance at most {-apart.threshold:.5f}"


def test_what_too_few_pairs_cannot_show_is_refused_or_told(rng: np.random.Generator) -> None:
    query, gallery = people(rng)
    pairs = calibrate(query, gallery, false_match_rate=0.5).impostor
    with pytest.raises(DataError, match=rf"Found: {pairs} pairs for a rate of 0\.001, one in 1,000\. .*a rate of 0\.0"):
        calibrate(query, gallery, false_match_rate=1e-3)
    rough = calibrate(query, gallery, false_match_rate=29 / pairs)
    assert any("by 29 pairs: fewer than 30 make it rough" in note for note in rough.notes)
    assert any("fewer than 10" in note for note in rough.notes)  # persons
    assert not any("rough." in note for note in calibrate(query, gallery, false_match_rate=31 / pairs).notes[:-1])
    for few in range(2, 60, 7):  # no advice that would be refused, or that nobody wants
        side = Features(
            rng.normal(size=(few + 1, 3)).astype(np.float32), np.arange(few + 1), np.full(few + 1, NO_CAMERA)
        )
        with pytest.raises(DataError, match=r"Fix: calibrate on more persons\.$"):
            calibrate(Features(side.embeddings[:1], side.persons[:1], side.cameras[:1]), side, false_match_rate=1e-3)
    alone = Features(query.embeddings[:2], np.array([1, 2]), np.array([1, 1]))
    with pytest.raises(DataError, match=r"pairs of the same person that count.*none, and 2 pairs of different persons"):
        calibrate(alone, alone, false_match_rate=0.5)
    for rate in (0.0, 1.0, math.nan):
        with pytest.raises(ExperimentError, match="between 0 and 1"):
            calibrate(query, gallery, false_match_rate=rate)


def test_no_calibration_has_impossible_values() -> None:
    values: dict[str, Any] = {
        "metric": "cosine",
        "step": 1e-5,
        "wanted": 0.001,
        "threshold": 0.5,
        "false_match_rate": 0.001,
        "true_match_rate": 0.7,
        "interval": Interval(0.6, 0.8),
        "genuine": 10,
        "impostor": 5000,
        "persons": 5,
        "roc": ((0.001, 0.7, 0.5),),
    }
    assert Calibration(**values).matches(0.5)
    for wrong in (
        {"step": 0.0},
        {"true_match_rate": 1.5},
        {"roc": ((-0.1, 0.7, 0.5),)},
        {"threshold": math.inf},
        {"threshold": math.nan},
        {"threshold": 1.1},
        {"metric": "l1"},
        {"step": 0.1},
        {"step": 1e-200, "metric": "euclidean"},
        {"threshold": -11.0, "metric": "euclidean"},
        {"genuine": 0},
        {"impostor": -1},
        {"interval": Interval(0.8, 0.6)},
    ):
        with pytest.raises(ExperimentError):
            Calibration(**{**values, **wrong})
