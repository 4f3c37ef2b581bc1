"""The style distance against its definition, pixel by pixel and channel by channel, and what it must not depend on."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from snreid.analysis.lens.style import FLOOR, ChannelStatistics, style_distance, style_matrix, summarize
from snreid.errors import ExperimentError

Maps = NDArray[np.float64]


def maps_of(
    rng: np.random.Generator, images: int, *, channels: int = 5, shift: float = 0.0, scale: float = 1.0
) -> Maps:
    return shift + scale * rng.normal(size=(images, channels, 6, 4)) + rng.normal(size=(images, channels, 1, 1))


def statistics(maps: Maps) -> ChannelStatistics:
    return ChannelStatistics(maps.mean((2, 3)), maps.var((2, 3)))


def slow_distance(first: Maps, second: Maps, whole: Maps) -> float:
    """All values of a channel in a row; Frechet distance of the two Gaussians relative to their mean variance; the mean over channels."""
    total = 0.0
    for channel in range(first.shape[1]):
        a, b = first[:, channel].ravel(), second[:, channel].ravel()
        spread = max((a.var() + b.var()) / 2, FLOOR * whole[:, channel].var())
        total += ((a.mean() - b.mean()) ** 2 + (a.std() - b.std()) ** 2) / spread
    return total / first.shape[1]


def test_the_matrix_is_the_distance_of_all_values_of_two_cameras(rng: np.random.Generator) -> None:
    parts = [maps_of(rng, 4), maps_of(rng, 6, shift=0.7), maps_of(rng, 5, scale=2.0)]
    parts[1][:, 2] = 3.0  # silent on one camera
    parts[0][:, 3], parts[1][:, 3] = 0.0, 1.0  # silent on two: the spread of that pair is the floor
    whole = np.concatenate(parts)
    order = rng.permutation(len(whole))
    borders = np.split(np.argsort(order), [4, 10])
    matrix = style_matrix(statistics(whole[order]), borders)
    for a in range(3):
        for b in range(3):
            if a != b:
                assert matrix[a, b] == pytest.approx(slow_distance(parts[a], parts[b], whole), rel=1e-9)
    assert np.array_equal(matrix, matrix.T)


def test_equal_sets_are_0_apart_and_scale_and_shift_of_channels_change_nothing(rng: np.random.Generator) -> None:
    first, second = maps_of(rng, 5), maps_of(rng, 5, shift=0.5)
    joined = np.concatenate([first, first, second])
    sets = [np.arange(5), np.arange(5, 10), np.arange(10, 15)]
    matrix = style_matrix(statistics(joined), sets)
    assert matrix[0, 1] == pytest.approx(0, abs=1e-12) and matrix[0, 2] > 0.05
    scale, shift = rng.uniform(0.1, 9, (1, 5, 1, 1)), rng.normal(size=(1, 5, 1, 1))
    np.testing.assert_allclose(style_matrix(statistics(scale * joined + shift), sets), matrix, rtol=1e-9, atol=1e-12)


def test_what_instance_normalization_leaves_has_no_style(rng: np.random.Generator) -> None:
    maps = np.concatenate([maps_of(rng, 6, scale=3.0), maps_of(rng, 6, shift=4.0)])
    plain = (maps - maps.mean((2, 3), keepdims=True)) / maps.std((2, 3), keepdims=True)
    sets = [np.arange(6), np.arange(6, 12)]
    assert style_matrix(statistics(maps), sets)[0, 1] > 1
    assert np.abs(style_matrix(statistics(2 * plain + 1), sets)).max() < 1e-9


def test_small_differences_count_as_in_the_symmetric_divergence_of_gaussians() -> None:
    def kl(m_a: float, s_a: float, m_b: float, s_b: float) -> float:
        return math.log(s_b / s_a) + (s_a**2 + (m_a - m_b) ** 2) / (2 * s_b**2) - 0.5

    one, whole = (np.array([2.0]), np.array([9.0])), (np.array([2.0]), np.array([9.0]))
    moved = style_distance(one, (np.array([2.01]), np.array([9.0])), whole)
    assert moved == pytest.approx(kl(2, 3, 2.01, 3) + kl(2.01, 3, 2, 3), rel=1e-6)
    wider = style_distance(one, (np.array([2.0]), np.array([3.01**2])), whole)
    assert wider == pytest.approx((kl(2, 3, 2, 3.01) + kl(2, 3.01, 2, 3)) / 2, rel=1e-2)


def test_channels_that_are_always_silent_count_0_and_never_divide_by_0(rng: np.random.Generator) -> None:
    first, second = maps_of(rng, 4, channels=2), maps_of(rng, 4, channels=2, shift=1.0)
    alone = style_matrix(statistics(np.concatenate([first, second])), [np.arange(4), np.arange(4, 8)])[0, 1]
    dead = np.concatenate([np.concatenate([first, second]), np.zeros((8, 2, 6, 4))], 1)
    assert style_matrix(statistics(dead), [np.arange(4), np.arange(4, 8)])[0, 1] == pytest.approx(alone / 2)
    constant = statistics(np.full((8, 3, 6, 4), 1e6 + 0.25))
    assert style_matrix(constant, [np.arange(4), np.arange(4, 8)])[0, 1] == 0
    zero = np.zeros(3)
    assert style_distance((zero, zero), (zero, zero), (zero, zero)) == 0


def test_the_diagonal_is_two_halves_of_one_camera(rng: np.random.Generator) -> None:
    found = statistics(np.concatenate([maps_of(rng, 40), maps_of(rng, 40, shift=2.0), maps_of(rng, 3)]))
    sets = [np.arange(40), np.arange(40, 80), np.arange(80, 83)]
    matrix = style_matrix(found, sets)
    assert 0 < matrix[0, 0] < 0.3 * matrix[0, 1] and np.isnan(matrix[2, 2])
    assert np.array_equal(style_matrix(found, sets), matrix, equal_nan=True)
    assert style_matrix(found, sets, seed=1)[0, 0] != matrix[0, 0]
    # Halves of a set of twin images are alike whenever both halves hold as many of each.
    twins = statistics(np.repeat(maps_of(rng, 1), 8, axis=0))
    assert style_matrix(twins, [np.arange(8)])[0, 0] == pytest.approx(0, abs=1e-12)


def test_the_summary_takes_pairs_inside_and_between_data_sets() -> None:
    matrix = np.array([[0.1, 1, 5, 6], [1, 0.3, 7, 8], [5, 7, np.nan, 2], [6, 8, 2, 0.2]])
    found = summarize(matrix, ["noon", "noon", "night", "night"])
    assert found["within"] == pytest.approx(1.5)
    assert found["across"] == pytest.approx(6.5)
    assert found["halves"] == pytest.approx(0.2)
    alone = summarize(np.array([[np.nan]]), ["noon"])
    assert all(math.isnan(value) for value in alone.values())


def test_no_sets_no_matrix_and_wrong_shapes_are_told() -> None:
    assert style_matrix(ChannelStatistics(np.zeros((0, 3)), np.zeros((0, 3))), []).shape == (0, 0)
    with pytest.raises(ExperimentError, match="mean and a variance"):
        ChannelStatistics(np.zeros((2, 3)), np.zeros((3, 2)))


def test_the_vectors_are_means_and_deviations(rng: np.random.Generator) -> None:
    maps = maps_of(rng, 3)
    vectors = statistics(maps).vectors
    np.testing.assert_allclose(vectors[:, :5], maps.mean((2, 3)))
    np.testing.assert_allclose(vectors[:, 5:], maps.std((2, 3)))
