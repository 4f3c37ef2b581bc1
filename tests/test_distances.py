"""Distances between embeddings: values, symmetry, and gradients at the places where the plain formulas fail."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.reference.batch_hard import euclidean
from tests.reference.causality import half_cosine

from snreid.distances import NORM_FLOOR, euclidean_matrix, euclidean_pairs, half_cosine_pairs, rows


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


def test_rows_are_those_of_plain_indexing() -> None:
    vectors, positions = torch.randn(6, 4, dtype=torch.float64, requires_grad=True), torch.tensor([3, 3, 0, 5, 3])
    chosen = rows(vectors, positions)
    assert torch.equal(chosen, vectors[positions])
    chosen.square().sum().backward()
    expected = torch.zeros(6, 4, dtype=torch.float64)
    for position in positions.tolist():
        expected[position] += 2 * vectors.detach()[position]
    assert vectors.grad is not None
    torch.testing.assert_close(vectors.grad, expected)


def test_the_gradient_of_rows_has_the_same_bits_on_several_threads() -> None:
    """Plain indexing fails this: about one in seven of its gradients differs in the last bits."""
    vectors, above = torch.randn(64, 2048), torch.randn(64, 2048)
    positions = torch.randint(0, 4, (64,))
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        gradients = []
        for _ in range(60):
            leaf = vectors.clone().requires_grad_()
            rows(leaf, positions).backward(above)
            gradients.append(leaf.grad)
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(gradient, gradients[0]) for gradient in gradients)
