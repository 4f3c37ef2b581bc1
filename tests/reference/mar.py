"""MAR's losses by their definition, image by image and pair by pair (method.md 7; what its words leave open as in the published code)."""

import itertools
import math

from torch import Tensor

Pair = tuple[int, int]


def multilabel(feature: Tensor, agents: Tensor, scale: float) -> list[float]:
    """softmax over agents of scale f.a."""
    scores = [scale * float((feature * agent).sum()) for agent in agents]
    weights = [math.exp(score - max(scores)) for score in scores]
    return [weight / sum(weights) for weight in weights]


def agent_loss(features: Tensor, agents: Tensor, persons: list[int], scale: float) -> float:
    """Mean of -log y of the own agent."""
    own = [multilabel(f, agents, scale)[w] for f, w in zip(features, persons, strict=True)]
    return -sum(math.log(value) for value in own) / len(own)


def joint_loss(source: Tensor, persons: list[int], target: Tensor, agents: Tensor, margin: float) -> float:
    """The mean of all terms that there are."""
    terms = []
    for f, w in zip(source, persons, strict=True):
        terms.append(float((f - agents[w]).square().sum()))
        terms += _hinge(f, [a for j, a in enumerate(agents) if j != w], margin)
    for f in target:
        terms += _hinge(f, list(agents), margin)
    return sum(terms) / len(terms)


def _hinge(feature: Tensor, agents: list[Tensor], margin: float) -> list[float]:
    hard = [a for a in agents if float((feature * a).sum()) > 1 - margin / 2]
    if not hard:
        return []
    return [sum(max(0.0, margin - float((feature - a).square().sum())) for a in hard) / len(hard)]


def consistency(
    labels: list[list[float]], cameras: list[int], mean: list[float], std: list[float], *, average: bool
) -> float:
    """Over cameras with two images or more: squared distances of mean and standard deviation of log y to the running ones."""
    distances = []
    for camera in sorted(set(cameras)):
        rows = [[math.log(v) for v in y] for y, c in zip(labels, cameras, strict=True) if c == camera]
        if len(rows) < 2:
            continue
        for own, running in zip(moments(rows), (mean, std), strict=True):
            squares = [(a - b) ** 2 for a, b in zip(own, running, strict=True)]
            distances.append(sum(squares) / (len(squares) if average else 1))
    return sum(distances) / len(distances)


def moments(rows: list[list[float]]) -> tuple[list[float], list[float]]:
    """Mean and standard deviation (n - 1) of each column."""
    means, stds = [], []
    for column in zip(*rows, strict=True):
        mean = sum(column) / len(column)
        means.append(mean)
        stds.append(math.sqrt(sum((v - mean) ** 2 for v in column) / (len(column) - 1)))
    return means, stds


def agreement(one: list[float], other: list[float]) -> float:
    """1 - |y - y'|_1 / 2."""
    return 1 - sum(abs(a - b) for a, b in zip(one, other, strict=True)) / 2


def threshold(labels: list[list[float]], ratio: float) -> float:
    """The n-th largest agreement of all pairs, n the share of them."""
    found = sorted((agreement(a, b) for a, b in itertools.combinations(labels, 2)), reverse=True)
    return found[max(1, int(len(found) * ratio)) - 1]


def discrimination(features: Tensor, labels: list[list[float]], limit: float, ratio: float) -> tuple[float, int, int]:
    """The loss, and how many positives and negatives there are."""
    pairs = list(itertools.combinations(range(len(features)), 2))
    distance = {(i, j): float((features[i] - features[j]).square().sum()) for i, j in pairs}
    chosen = sorted(pairs, key=distance.__getitem__)[: max(1, int(len(pairs) * ratio))]
    positive = [math.exp(-distance[p]) for p in chosen if agreement(labels[p[0]], labels[p[1]]) > limit]
    negative = [math.exp(-distance[p]) for p in chosen if not agreement(labels[p[0]], labels[p[1]]) > limit]
    P = sum(positive) / len(positive) if positive else 1.0
    N = sum(negative) / len(negative) if negative else 0.5
    return -math.log(P / (P + N)), len(positive), len(negative)
