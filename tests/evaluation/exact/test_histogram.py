"""Counts by cells against counts one by one: with what is kept of open cells, every entry is in the right place."""

import threading

import numpy as np
import pytest

from snreid.evaluation.exact.histogram import CELLS, Histogram


@pytest.mark.parametrize("spread", [1e-3, 1.0, 1e8])
@pytest.mark.parametrize("error", [1e-6, 1e-3])
def test_closed_and_open_cells_together_are_all_entries(rng: np.random.Generator, spread: float, error: float) -> None:
    held = np.array([1, 3, 40, 7])  # matches of each row
    row, starts = np.repeat(np.arange(4), held), np.r_[0, np.cumsum(held)[:-1]]
    match = (spread * rng.normal(size=len(row))).astype(np.float32)
    match = match[np.lexsort((match, row))]
    low, high = ((match + sign * spread * error).astype(np.float32) for sign in (-1, 1))
    scores = (spread * rng.normal(size=(4, 5000))).astype(np.float32)
    scores[:, :40] = match[:40]  # ties
    scores[:, 40:60] = -np.inf
    found = Histogram(row, low, high, starts)
    kept = [[] for _ in range(4)]  # type: list[list[float]]
    for start, stop in ((0, 3000), (3000, 5000)):
        part = scores[:, start:stop]
        for flat in found.add(part, 0, np.empty_like(part)).tolist():
            kept[flat // part.shape[1]].append(float(part.reshape(-1)[flat]))
    for r, bound, top, counted in zip(row, low, high, found.before(), strict=True):
        assert counted + sum(score > top for score in kept[r]) == (scores[r] > top).sum()
        assert sum(bound <= score <= top for score in kept[r]) == ((scores[r] >= bound) & (scores[r] <= top)).sum()
    assert sum(map(len, kept)) < scores.size / 2


def test_threads_add_up(rng: np.random.Generator) -> None:
    match = np.array([-0.5, 0.5], np.float32)
    found = Histogram(np.array([0, 1]), match, match + np.float32(1e-5), np.array([0, 1]))
    parts = rng.normal(size=(8, 2, 4000)).astype(np.float32)
    kept: list[int] = []

    def work(part: np.ndarray) -> None:
        flat = found.add(part, 0, np.empty_like(part))
        high = np.repeat(match + np.float32(1e-5), part.shape[1])
        kept.append(int((part.reshape(-1)[flat] > high[flat]).sum()))

    threads = [threading.Thread(target=work, args=(part,)) for part in parts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    above = [int((parts[:, r] > match[r] + np.float32(1e-5)).sum()) for r in range(2)]
    assert found.before().sum() + sum(kept) == sum(above)


def test_without_entries_nothing_comes_before_a_match() -> None:
    match = np.array([0.5], np.float32)
    assert Histogram(np.array([0]), match, match, np.array([0])).before().tolist() == [0]
    assert CELLS < 1 << 16
