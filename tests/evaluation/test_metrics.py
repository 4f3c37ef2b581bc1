"""Closed examples of AP, INP and first rank."""

import numpy as np
import pytest

from snreid.evaluation.metrics import average_precision, first_rank, inverse_negative_penalty


@pytest.mark.parametrize(
    ("ranks", "precision", "penalty", "first"),
    [
        ([1], 1.0, 1.0, 1),
        ([1, 2, 3], 1.0, 1.0, 1),
        ([4], 1 / 4, 1 / 4, 4),
        ([1, 3, 6], (1 + 2 / 3 + 3 / 6) / 3, 3 / 6, 1),
        ([2, 3], (1 / 2 + 2 / 3) / 2, 2 / 3, 2),
        ([10, 100, 1000], (1 / 10 + 2 / 100 + 3 / 1000) / 3, 3 / 1000, 10),
    ],
)
def test_closed_examples(ranks: list[int], precision: float, penalty: float, first: int) -> None:
    given = np.array(ranks)
    assert average_precision(given) == pytest.approx(precision, abs=1e-15)
    assert inverse_negative_penalty(given) == pytest.approx(penalty, abs=1e-15)
    assert first_rank(given) == first


def test_ap_falls_when_a_match_falls(rng: np.random.Generator) -> None:
    ranks = np.sort(rng.choice(np.arange(1, 500), size=20, replace=False))
    fallen = ranks.copy()
    fallen[7:] += 1
    assert average_precision(fallen) < average_precision(ranks)
