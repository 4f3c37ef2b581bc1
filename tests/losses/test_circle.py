"""The circle loss against loops, its gradients with the weights held, and batches without pairs."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.reference import circle as slow
from torch import Tensor

from snreid.errors import ExperimentError
from snreid.losses import Circle, circle
from snreid.outputs import Outputs

PERSONS = [0, 0, 1, 1, 2, 2, 2, 3]


def vectors_of(count: int, seed: int, dim: int = 5) -> Tensor:
    return 3 * torch.randn(count, dim, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@settings(max_examples=60, deadline=None)
@given(
    persons=st.lists(st.integers(0, 4), min_size=1, max_size=12),
    seed=st.integers(0, 1000),
    margin=st.sampled_from([0.0, 0.25, 0.6]),
    scale=st.sampled_from([1.0, 32.0, 128.0]),
)
def test_equals_the_loops(persons: list[int], seed: int, margin: float, scale: float) -> None:
    vectors = vectors_of(len(persons), seed)
    value = circle(vectors, torch.tensor(persons), margin, scale)
    assert float(value) == pytest.approx(slow.circle(vectors.tolist(), persons, margin, scale), rel=1e-9, abs=1e-12)


def test_gradients_are_those_of_the_loops_with_the_weights_held() -> None:
    vectors = vectors_of(8, 3).requires_grad_()
    circle(vectors, torch.tensor(PERSONS), 0.25, 16.0).backward()
    assert vectors.grad is not None
    step, held = 1e-6, vectors.detach().tolist()
    for row, column in ((0, 0), (3, 2), (6, 4), (7, 1)):
        shift = torch.zeros_like(vectors)
        shift[row, column] = step
        up, down = (
            slow.circle((vectors.detach() + s * shift).tolist(), PERSONS, 0.25, 16.0, weighed_by=held) for s in (1, -1)
        )
        assert float(vectors.grad[row, column]) == pytest.approx((up - down) / (2 * step), abs=1e-5)


def test_it_is_0_where_everybody_is_where_they_should_be() -> None:
    apart = torch.eye(4).repeat_interleave(2, dim=0)
    persons = torch.arange(4).repeat_interleave(2)
    assert float(circle(apart, persons, 0.25, 128.0)) < 1e-5
    assert float(circle(apart, persons.roll(1), 0.25, 128.0)) > 50
    torch.testing.assert_close(circle(7 * apart, persons, 0.25, 8.0), circle(apart, persons, 0.25, 8.0))


@pytest.mark.parametrize("persons", [[0], [0, 0, 0], [0, 1, 2]])
def test_a_batch_without_pairs_costs_nothing_and_still_differentiates(persons: list[int]) -> None:
    vectors = torch.randn(len(persons), 4, requires_grad=True)
    value = circle(vectors, torch.tensor(persons), 0.25, 128.0)
    value.backward()
    assert float(value.detach()) == 0.0
    assert vectors.grad is not None
    assert not vectors.grad.any()


@pytest.mark.parametrize("length", [0.0, 1e-7])
def test_vectors_without_a_direction_have_bounded_gradients(length: float) -> None:
    vectors = (length * torch.randn(8, 5)).requires_grad_()
    circle(vectors, torch.tensor(PERSONS), 0.25, 128.0).backward()
    assert vectors.grad is not None and bool(torch.isfinite(vectors.grad).all())
    assert float(vectors.grad.norm()) < 1e3


def test_acts_on_the_vector_it_is_told_in_float32() -> None:
    persons = torch.tensor([0, 0, 1, 1])
    outputs = Outputs(pooled=torch.randn(4, 3), embedding=torch.randn(4, 3), logits=torch.zeros(4, 2), stages=())
    assert Circle()(outputs, persons) == circle(outputs.embedding, persons, 0.25, 128.0)
    assert Circle(on="pooled", margin=0.4, scale=64.0)(outputs, persons) == circle(outputs.pooled, persons, 0.4, 64.0)
    assert circle(torch.randn(4, 3).bfloat16(), persons, 0.25, 128.0).dtype == torch.float32


@pytest.mark.parametrize("wrong", [{"margin": -0.1}, {"margin": 1.0}, {"scale": 0.0}, {"scale": math.inf}])
def test_refuses_numbers_without_a_meaning(wrong: dict[str, float]) -> None:
    with pytest.raises(ExperimentError, match="circle loss has a margin"):
        Circle(**wrong)


def test_refuses_an_unknown_vector() -> None:
    loss = Circle()
    object.__setattr__(loss, "on", "logits")  # past the run-time type check that only the tests have
    with pytest.raises(ExperimentError, match=r"'embedding' or on 'pooled'.*'logits'"):
        loss.__post_init__()
