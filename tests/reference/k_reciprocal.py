"""k-reciprocal encoding and Jaccard distance by definition (arXiv 1701.08398), dense, one image after the other.

The twin of ``snreid.evaluation.jaccard``: plain sets and loops, N x N arrays, copies of an image treated as separate images.
"""

from collections.abc import Sequence
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray


def cosine_order(vectors: Sequence[Sequence[int]], i: int) -> list[int]:
    """For each image its place in the order of exact cosines with image i, equal ones at one place; the image itself at 0."""
    numbers = []
    for j, other in enumerate(vectors):
        inner = sum(a * b for a, b in zip(vectors[i], other, strict=True))
        square = sum(b * b for b in other)
        numbers.append(Fraction(-inner * abs(inner), square) if square else Fraction(0))
        if vectors[i] == vectors[j]:
            numbers[j] = Fraction(-(10**200))
    places = {number: place for place, number in enumerate(sorted(set(numbers)))}
    return [places[number] for number in numbers]


def neighbours(order: Sequence[int], k: int) -> set[int]:
    """N(i, k) of the image with this order: all that have at most k images strictly nearer."""
    return {j for j in range(len(order)) if sum(other < order[j] for other in order) <= k}


def squared_distances(embeddings: NDArray[np.float32]) -> NDArray[np.float64]:
    """2 - 2 cos, 0 for equal embeddings; a zero vector has cosine 0 with every other one."""
    wide = embeddings.astype(np.float64)
    lengths = np.linalg.norm(wide, axis=1, keepdims=True)
    unit = wide / np.where(lengths > 0, lengths, 1)
    distances = np.maximum(2 - 2 * unit @ unit.T, 0)
    for i in range(len(wide)):
        for j in range(len(wide)):
            if np.array_equal(embeddings[i], embeddings[j]):
                distances[i, j] = 0
    return distances


def encodings_by_definition(embeddings: NDArray[np.float32], k1: int, k2: int) -> NDArray[np.float64]:
    """V (N, N), rows sum to 1, a column for every image."""
    count = len(embeddings)
    # Every float32 is a multiple of 2^-149.
    vectors = [[int(Fraction(float(x)) * 2**149) for x in row] for row in embeddings]
    orders = [cosine_order(vectors, i) for i in range(count)]

    def reciprocal(k: int) -> list[set[int]]:
        near = [neighbours(orders[i], k) for i in range(count)]
        return [{j for j in near[i] if i in near[j]} for i in range(count)]

    whole, half = reciprocal(k1), reciprocal(round(k1 / 2))
    distances = squared_distances(embeddings)
    V = np.zeros((count, count))
    for i in range(count):
        expanded = set(whole[i])
        for q in whole[i]:
            if Fraction(len(whole[i] & half[q])) >= Fraction(2, 3) * len(half[q]):
                expanded |= half[q]
        for j in expanded:
            V[i, j] = np.exp(-distances[i, j])
        V[i] /= V[i].sum()
    nearest = [sorted(neighbours(orders[i], k2 - 1)) for i in range(count)]
    return V if k2 == 1 else np.stack([V[near].mean(axis=0) for near in nearest])


def jaccard_by_definition(left: NDArray[np.float64], right: NDArray[np.float64]) -> NDArray[np.float64]:
    """(A, B): 1 - sum of the smaller values / sum of the larger ones."""
    return np.array([[1 - np.minimum(a, b).sum() / np.maximum(a, b).sum() for b in right] for a in left])
