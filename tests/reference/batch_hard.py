"""Batch-hard triplets by loops over plain Python numbers: the slow twin of ``snreid.losses.triplet``."""

import math
from collections.abc import Callable, Sequence

Vector = Sequence[float]


def euclidean(x: Vector, y: Vector) -> float:
    return math.sqrt(sum((a - b) ** 2 for a, b in zip(x, y, strict=True)))


def softplus(x: float) -> float:
    return x + math.log1p(math.exp(-x)) if x > 0 else math.log1p(math.exp(x))


def hardest(
    vectors: Sequence[Vector],
    persons: Sequence[int],
    anchor: int,
    between: Callable[[Vector, Vector], float] = euclidean,
) -> tuple[int, int] | None:
    """Farthest image of the anchor's person and nearest image of another one; None if either does not exist."""
    positives = [i for i, p in enumerate(persons) if p == persons[anchor] and i != anchor]
    negatives = [i for i, p in enumerate(persons) if p != persons[anchor]]
    if not positives or not negatives:
        return None

    def distance(i: int) -> float:
        return between(vectors[anchor], vectors[i])

    return max(positives, key=distance), min(negatives, key=distance)


def batch_hard(vectors: Sequence[Vector], persons: Sequence[int], margin: float | None) -> float:
    penalty: Callable[[float], float] = softplus if margin is None else (lambda gap: max(0.0, margin + gap))
    losses = []
    for anchor in range(len(persons)):
        pair = hardest(vectors, persons, anchor)
        if pair is not None:
            to_positive, to_negative = (euclidean(vectors[anchor], vectors[i]) for i in pair)
            losses.append(penalty(to_positive - to_negative))
    return sum(losses) / len(losses) if losses else 0.0
