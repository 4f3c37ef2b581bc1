"""The circle loss by loops over plain Python numbers: the slow twin of ``snreid.losses.circle``."""

import math
from collections.abc import Sequence

from tests.reference.batch_hard import Vector


def cosine(x: Vector, y: Vector) -> float:
    return sum(a * b for a, b in zip(x, y, strict=True)) / math.hypot(*x) / math.hypot(*y)


def circle(
    vectors: Sequence[Vector],
    persons: Sequence[int],
    margin: float,
    scale: float,
    *,
    weighed_by: Sequence[Vector] | None = None,
) -> float:
    """``weighed_by``: vectors that the weights a come from, to hold them while ``vectors`` are moved; None: ``vectors``."""
    fixed = vectors if weighed_by is None else weighed_by
    losses = []
    for anchor, person in enumerate(persons):
        near, far = [], []
        for other in range(len(persons)):
            score, seen = cosine(vectors[anchor], vectors[other]), cosine(fixed[anchor], fixed[other])
            if persons[other] != person:
                far.append(math.exp(scale * max(0.0, seen + margin) * (score - margin)))
            elif other != anchor:
                near.append(math.exp(-scale * max(0.0, 1 + margin - seen) * (score - (1 - margin))))
        if near and far:
            losses.append(math.log(1 + sum(far) * sum(near)))
    return sum(losses) / len(losses) if losses else 0.0
