"""Distances between embeddings: values, symmetry, and gradients at the places where the plain formulas fail."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from snreid.distances import NORM_FLOOR, euclidean_matrix, euclidean_pairs, half_cosine_pairs
from tests.reference.batch_hard import euclidean
from tests.reference.causality import half_cosine


def test_euclidean_equals_the_loop() -> None:
    x, y = torch.randn(5, 7, dtype=torch.float64), torch.randn(4, 7, dtype=torch.float64)
    slow = torch.tensor([[euclidean(a, b) for b in y.tolist()] for a in x.tolist()], dtype=torch.float64)
    torch.testing.assert_close(euclidean_matrix(x, y), slow, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(euclidean_pairs(x[:4], y), slow.diagonal(), rtol=1e-12, atol=1e-12)


def test_half_cosine_equals_the_loop() -> None:
    x, y = torch.randn(6, 9, dtype=torch.float64), torch.randn(6, 9, dtype=torch.float64)
    slow = torch.tensor([half_cosine(a, b) for a, b in zip(x.tolist(), y.tolist(), strict=True)], dtype=torch.float64)
    torch.testing.assert_close(half_cosine_pairs(x, y), slow, rtol=1e-12, atol=1e-12)


@settings(max_examples=30, deadline=None)
@given(scale=st.floats(1e-2, 1e4), seed=st.integers(0, 10_000))
def test_half_cosine_ignores_length_and_stays_in_range(scale: float, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    x, y = (torch.randn(3, 8, generator=generator, dtype=torch.float64) for _ in range(2))
    distance = half_cosine_pairs(x, y)
    assert bool(((distance >= 0) & (distance <= 1)).all())
    torch.testing.assert_close(half_cosine_pairs(scale * x, y), distance)
    torch.testing.assert_close(half_cosine_pairs(y, x), distance)


def test_equal_rows_have_distance_exactly_zero_in_float32() -> None:
    x = torch.randn(8, 2048) * 30
    assert euclidean_pairs(x, x.clone()).tolist() == [0.0] * 8
    assert half_cosine_pairs(x, x.clone()).tolist() == [0.0] * 8
    assert euclidean_matrix(x, x).diagonal().tolist() == [0.0] * 8


@pytest.mark.parametrize("distance", [euclidean_pairs, half_cosine_pairs])
@pytest.mark.parametrize("place", ["both zero", "one zero", "equal", "opposite", "tiny"])
def test_gradients_are_finite_and_bounded_everywhere(distance, place: str) -> None:  # type: ignore[no-untyped-def]
    base = torch.randn(4, 6)
    x, y = {
        "both zero": (torch.zeros(4, 6), torch.zeros(4, 6)),
        "one zero": (torch.zeros(4, 6), base),
        "equal": (base, base),
        "opposite": (base, -base),
        "tiny": (1e-12 * base, -1e-9 * base),
    }[place]
    x, y = x.clone().requires_grad_(), y.clone().requires_grad_()
    distance(x, y).sum().backward()
    for gradient in (x.grad, y.grad):
        assert gradient is not None
        assert bool(torch.isfinite(gradient).all())
        assert float(gradient.norm(dim=1).max()) <= 1 / NORM_FLOOR + 1e-3


def test_the_guard_changes_nothing_above_the_floor() -> None:
    x = torch.tensor([[NORM_FLOOR, 0.0]], dtype=torch.float64)
    y = torch.tensor([[math.cos(1.0), math.sin(1.0)]], dtype=torch.float64)
    assert float(half_cosine_pairs(x, y)) == pytest.approx(0.5 - 0.5 * math.cos(1.0), abs=1e-15)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_computed_in_float32(dtype: torch.dtype) -> None:
    x, y = torch.randn(4, 64).to(dtype), torch.randn(4, 64).to(dtype)
    for distance in (euclidean_pairs, half_cosine_pairs, euclidean_matrix):
        assert distance(x, y).dtype == torch.float32
        torch.testing.assert_close(distance(x, y), distance(x.float(), y.float()), rtol=0, atol=0)
