"""Batch-hard triplet loss against loops, at zero distance, and for anchors that have no triplet."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.reference.batch_hard import batch_hard, euclidean, hardest
from torch import Tensor

from snreid.errors import ExperimentError
from snreid.losses import Triplet
from snreid.losses.triplet import batch_hard_triplet, hardest_triplets
from snreid.outputs import Outputs

PERSON_LISTS = st.lists(st.integers(0, 4), min_size=1, max_size=12)
MARGINS = st.sampled_from([None, 0.3, 2.0])


def vectors_of(count: int, seed: int, dim: int = 5) -> Tensor:
    return torch.randn(count, dim, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@settings(max_examples=60, deadline=None)
@given(persons=PERSON_LISTS, seed=st.integers(0, 1000), margin=MARGINS)
def test_equals_the_loops(persons: list[int], seed: int, margin: float | None) -> None:
    vectors = vectors_of(len(persons), seed)
    value = batch_hard_triplet(vectors, torch.tensor(persons), margin)
    assert float(value) == pytest.approx(batch_hard(vectors.tolist(), persons, margin), abs=1e-12)


@settings(max_examples=30, deadline=None)
@given(persons=PERSON_LISTS, seed=st.integers(0, 1000))
def test_mining_finds_what_the_loops_find(persons: list[int], seed: int) -> None:
    vectors = vectors_of(len(persons), seed)
    triplets = hardest_triplets(vectors, torch.tensor(persons))
    for anchor in range(len(persons)):
        slow = hardest(vectors.tolist(), persons, anchor)
        assert bool(triplets.valid[anchor]) == (slow is not None)
        if slow is not None:
            assert (int(triplets.positive[anchor]), int(triplets.negative[anchor])) == slow


@settings(max_examples=20, deadline=None)
@given(persons=st.permutations([0, 0, 0, 1, 1, 2, 2, 2, 3]), seed=st.integers(0, 1000))
def test_the_order_of_the_batch_does_not_matter(persons: list[int], seed: int) -> None:
    vectors, ids = vectors_of(9, seed), torch.tensor(persons)
    order = ids.argsort()
    torch.testing.assert_close(
        batch_hard_triplet(vectors, ids, None), batch_hard_triplet(vectors[order], ids[order], None)
    )


@pytest.mark.parametrize("margin", [None, 0.3])
def test_gradients_are_those_of_the_loops(margin: float | None) -> None:
    vectors, persons = vectors_of(8, 3).requires_grad_(), [0, 0, 1, 1, 2, 2, 3, 3]
    batch_hard_triplet(vectors, torch.tensor(persons), margin).backward()
    assert vectors.grad is not None
    step = 1e-6
    for row, column in ((0, 0), (3, 2), (7, 4)):
        shift = torch.zeros_like(vectors)
        shift[row, column] = step
        up, down = (batch_hard((vectors + s * shift).tolist(), persons, margin) for s in (1, -1))
        assert float(vectors.grad[row, column]) == pytest.approx((up - down) / (2 * step), abs=1e-6)


@pytest.mark.parametrize("margin", [None, 0.3])
def test_a_collapsed_batch_has_a_finite_gradient(margin: float | None) -> None:
    """All embeddings equal: every distance is 0, where the square root has no derivative."""
    vectors = torch.ones(8, 16, requires_grad=True)
    value = batch_hard_triplet(vectors, torch.arange(4).repeat_interleave(2), margin)
    value.backward()
    assert float(value.detach()) == pytest.approx(0.693147 if margin is None else 0.3, abs=1e-5)
    assert vectors.grad is not None
    assert bool(torch.isfinite(vectors.grad).all())


def test_the_gradient_of_one_anchor_is_never_longer_than_two() -> None:
    vectors = (1e-7 * torch.randn(8, 16)).requires_grad_()
    batch_hard_triplet(vectors, torch.arange(4).repeat_interleave(2), 0.3).backward()
    assert vectors.grad is not None
    assert float(vectors.grad.norm(dim=1).sum()) <= 4.0


@pytest.mark.parametrize("persons", [[0], [0, 0, 0], [0, 1, 2]])
def test_a_batch_without_a_triplet_costs_nothing_and_still_differentiates(persons: list[int]) -> None:
    vectors = torch.randn(len(persons), 4, requires_grad=True)
    value = batch_hard_triplet(vectors, torch.tensor(persons), None)
    value.backward()
    assert float(value.detach()) == 0.0
    assert vectors.grad is not None
    assert not vectors.grad.any()


def test_anchors_without_a_positive_leave_the_mean() -> None:
    vectors, persons = vectors_of(5, 1), torch.tensor([0, 0, 1, 1, 2])
    triplets = hardest_triplets(vectors, persons)
    assert triplets.valid.tolist() == [True] * 4 + [False]
    assert float(batch_hard_triplet(vectors, persons, None)) == pytest.approx(
        batch_hard(vectors.tolist(), persons.tolist(), None), abs=1e-12
    )


def test_acts_on_the_vector_it_is_told() -> None:
    outputs = Outputs(pooled=torch.randn(4, 3), embedding=torch.randn(4, 3), logits=torch.zeros(4, 2), stages=())
    persons = torch.tensor([0, 0, 1, 1])
    assert Triplet()(outputs, persons) == batch_hard_triplet(outputs.embedding, persons, None)
    assert Triplet(on="pooled", margin=0.3)(outputs, persons) == batch_hard_triplet(outputs.pooled, persons, 0.3)


@pytest.mark.parametrize("margin", [None, 0.3])
def test_normalized_vectors_are_those_of_the_loops(margin: float | None) -> None:
    vectors, persons = vectors_of(8, 4) * torch.arange(1, 9)[:, None], torch.tensor([0, 0, 1, 1, 2, 2, 3, 3])
    outputs = Outputs(pooled=vectors, embedding=vectors, logits=torch.zeros(8, 4), stages=())
    units = [[value / euclidean(row, [0.0] * 5) for value in row] for row in vectors.tolist()]
    value = Triplet(margin=margin, normalize=True)(outputs, persons)
    assert float(value) == pytest.approx(batch_hard(units, persons.tolist(), margin), abs=1e-12)


def test_normalized_zero_vectors_have_bounded_gradients() -> None:
    vectors = torch.cat([torch.zeros(4, 5), 1e-7 * torch.randn(4, 5)]).requires_grad_()
    outputs = Outputs(pooled=vectors, embedding=vectors, logits=torch.zeros(8, 4), stages=())
    Triplet(normalize=True)(outputs, torch.arange(4).repeat_interleave(2)).backward()
    assert vectors.grad is not None
    assert 0 < float(vectors.grad.norm()) <= 400  # 1 / NORM_FLOOR a distance


@pytest.mark.parametrize("margin", [0.0, -1.0, math.nan])
def test_refuses_a_margin_that_is_none(margin: float) -> None:
    with pytest.raises(ExperimentError, match="margin of the triplet loss"):
        Triplet(margin=margin)


def test_refuses_an_unknown_vector() -> None:
    triplet = Triplet()
    object.__setattr__(triplet, "on", "logits")  # past the run-time type check that only the tests have
    with pytest.raises(ExperimentError, match=r"'embedding' or on 'pooled'.*'logits'"):
        triplet.__post_init__()
