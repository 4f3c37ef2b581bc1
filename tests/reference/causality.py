"""The dual causality loss by loops over plain Python numbers: the slow twin of ``snreid.losses.causality``."""

import math
from collections.abc import Sequence

from tests.reference.batch_hard import Vector, euclidean, hardest, softplus


def half_cosine(x: Vector, y: Vector) -> float:
    """0.5 - 0.5 cos(x, y), undefined for a zero vector."""
    dot = sum(a * b for a, b in zip(x, y, strict=True))
    return 0.5 - 0.5 * dot / math.sqrt(sum(a * a for a in x) * sum(b * b for b in y))


def unit_distance(x: Vector, y: Vector) -> float:
    """|x / |x| - y / |y||."""
    return 2 * math.sqrt(max(0.0, half_cosine(x, y)))


def centred(vectors: Sequence[Vector], centre: str) -> Sequence[Vector]:
    """Each channel without its mean over the batch, and for ``batch_norm`` over its standard deviation."""
    if centre == "none":
        return vectors
    channels = []
    for values in zip(*vectors, strict=True):
        mean = sum(values) / len(values)
        variance = sum((v - mean) ** 2 for v in values) / len(values)
        by = math.sqrt(variance + 1e-5) if centre == "batch_norm" else 1.0
        channels.append([(v - mean) / by for v in values])
    return list(zip(*channels, strict=True))


def drawn(persons: Sequence[int], anchor: int) -> tuple[int, int] | None:
    """The next image of the same person, and the first of another from the batch's shift on, both going round."""
    count = len(persons)
    after = [(anchor + step) % count for step in range(1, count)]
    shifted = [(anchor + sum(persons) + step) % count for step in range(count)]
    positive = next((i for i in after if persons[i] == persons[anchor]), None)
    negative = next((i for i in shifted if persons[i] != persons[anchor]), None)
    return None if positive is None or negative is None else (positive, negative)


def dual_causality(
    normalized: Sequence[Vector],
    restored: Sequence[Vector],
    contaminated: Sequence[Vector],
    persons: Sequence[int],
    *,
    form: str,
    terms: str,
    compare: bool,
    temperature: float = 1.0,
    centre: str = "none",
    normalize: bool = False,
    pairs: str = "form",
) -> float:
    """Every distance is computed, those between two f~ too, unless ``compare`` is False."""
    distance = half_cosine if form == "paper" else unit_distance if normalize else euclidean
    normalized, restored, contaminated = (centred(v, centre) for v in (normalized, restored, contaminated))
    total = 0.0
    for vectors, sign, term in ((restored, 1, "clarification"), (contaminated, -1, "destruction")):
        if terms not in ("both", term):
            continue
        losses = []
        for anchor in range(len(persons)):
            draw = form == "paper" and pairs == "form"
            pair = drawn(persons, anchor) if draw else hardest(vectors, persons, anchor, distance)
            if pair is None:
                continue
            positive, negative = (
                distance(vectors[anchor], vectors[i]) - (distance(normalized[anchor], normalized[i]) if compare else 0)
                for i in pair
            )
            losses.append(softplus(sign * positive / temperature) + softplus(-sign * negative / temperature))
        total += sum(losses) / len(losses) if losses else 0.0
    return total


def entropy(scores: Vector) -> float:
    """Entropy of softmax(scores), in nats."""
    weights = [math.exp(s - max(scores)) for s in scores]
    shares = [w / sum(weights) for w in weights]
    return -sum(p * math.log(p) for p in shares if p > 0)
