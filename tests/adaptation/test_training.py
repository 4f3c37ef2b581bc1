"""The loop of an adaptation, and the deck it draws from."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from snreid.adaptation.training import Deck


@given(count=st.integers(1, 30), sizes=st.lists(st.integers(0, 30), min_size=1, max_size=12), seed=st.integers(0, 9))
def test_a_deck_deals_every_number_once_a_round_and_none_twice_in_a_draw(
    count: int, sizes: list[int], seed: int
) -> None:
    deck = Deck(count, np.random.default_rng(seed))
    dealt: list[int] = []
    for size in (min(size, count) for size in sizes):
        drawn = deck.draw(size)
        assert len(drawn) == len(set(drawn.tolist())) == size and drawn.dtype == np.int64
        dealt += drawn.tolist()
    times = np.bincount(np.array(dealt, dtype=np.int64), minlength=count)
    # A draw across two rounds may take a number of the new round before the last ones of the old.
    assert times.max() - times.min() <= 2 and set(dealt) <= set(range(count))


def test_a_round_is_gone_through_before_the_next_begins() -> None:
    deck = Deck(10, np.random.default_rng(0))
    drawn = np.concatenate([deck.draw(5) for _ in range(4)])
    assert sorted(drawn[:10].tolist()) == sorted(drawn[10:].tolist()) == list(range(10))
    assert not np.array_equal(drawn[:10], drawn[10:])
