"""The losses of MAR, unsupervised re-identification by soft multilabel learning (Yu et al., CVPR 2019, arXiv 1903.06325; method.md 7).

f: L2-normalized embeddings (B, D). a: reference agents (K, D), one unit vector per source identity. y: soft multilabels (B, K), how much
an image is like each of the K people of the source. What the paper's words leave open is as in its published code, and said here.
Everything is a pure function; what is remembered from batch to batch is handed in.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from snreid.tensors import Scalar

_SMALLEST = 1e-12
"""Below it a variance counts as 0: the slope of a standard deviation there is infinite."""


def log_multilabels(features: Tensor, agents: Tensor, scale: float) -> Tensor:
    """log y, (B, K): the log of softmax_k(scale f.a_k). Agents are detached: labels come from them, they do not follow the labels."""
    return functional.log_softmax(scale * features @ agents.detach().T, dim=1)


def agent_loss(features: Tensor, agents: Tensor, persons: Tensor, scale: float) -> Scalar:
    """L_AL: cross-entropy of scale f.a over the agents, mean over the source images. ``persons``: (B,) their agents."""
    return functional.cross_entropy(scale * features @ agents.T, persons)


def joint_loss(source: Tensor, persons: Tensor, target: Tensor, agents: Tensor, margin: float) -> Scalar:
    """L_RJ: source images go to their agent and away from hard ones, target images away from hard ones.

    A hard agent of an image is one with f.a > 1 - margin/2 that is not its own. Terms: |f - a_w|^2 of every source image, and of every
    image that has hard agents the mean over them of [margin - |f - a_j|^2]+. The loss is the mean of all terms that there are, as in
    the published code; agents and the selection are detached.
    """
    agents = agents.detach()
    is_agent = functional.one_hot(persons, len(agents)).bool()
    pull = (source - agents[persons]).square().sum(1)
    pushes = [
        _push(source, agents, ~is_agent, margin),
        _push(target, agents, torch.ones(len(target), len(agents), dtype=torch.bool, device=target.device), margin),
    ]
    return torch.cat([pull, *pushes]).mean()


def _push(features: Tensor, agents: Tensor, allowed: Tensor, margin: float) -> Tensor:
    """(H,) one term for each of the H images that have hard agents among the ``allowed`` (B, K)."""
    similarity = features @ agents.T
    hard = allowed & (similarity.detach() > 1 - margin / 2)
    hinge = (margin - (2 - 2 * similarity)).clamp(min=0) * hard  # |f - a|^2 of unit vectors
    count = hard.sum(1)
    return (hinge.sum(1) / count.clamp(min=1))[count > 0]


@dataclass(frozen=True)
class LabelStatistics:
    """Mean and standard deviation (n - 1) of log y for each agent."""

    mean: Tensor
    """(K,), or (V, K) of V cameras."""
    std: Tensor
    """As ``mean``."""


def camera_statistics(log_labels: Tensor, cameras: Tensor) -> LabelStatistics | None:
    """Of every camera that has at least two of the B images, (V, K); None if there is none."""
    means, stds = [], []
    for camera in torch.unique(cameras):
        part = log_labels[cameras == camera]
        if len(part) > 1:
            means.append(part.mean(0))
            stds.append(part.var(0).clamp(min=_SMALLEST).sqrt())
    return LabelStatistics(torch.stack(means), torch.stack(stds)) if means else None


def mean_over_cameras(statistics: LabelStatistics) -> LabelStatistics:
    """(V, K) to (K,), every camera alike, without a gradient."""
    return LabelStatistics(statistics.mean.detach().mean(0), statistics.std.detach().mean(0))


def moved(running: LabelStatistics, now: LabelStatistics, momentum: float) -> LabelStatistics:
    """The running statistics (K,), ``momentum`` of the way to those of a batch."""
    return LabelStatistics(torch.lerp(running.mean, now.mean, momentum), torch.lerp(running.std, now.std, momentum))


def consistency_loss(statistics: LabelStatistics, running: LabelStatistics, *, average_agents: bool = False) -> Scalar:
    """L_CML: the squared distance of each camera's mean, and of its standard deviation, to the running ones; the mean of these 2 V numbers.

    ``statistics``: (V, K), with gradient. ``running``: (K,). A distance is the sum over agents, as in the paper and its code, or their mean
    with ``average_agents``.
    """
    distances = torch.cat([(statistics.mean - running.mean).square(), (statistics.std - running.std).square()])
    return (distances.mean(1) if average_agents else distances.sum(1)).mean()


def pair_agreements(labels: Tensor) -> Tensor:
    """A_ij = 1 - |y_i - y_j|_1 / 2 of all pairs i < j in the order of ``torch.triu_indices``, (B (B - 1) / 2,), between 0 and 1."""
    first, second = _pairs(labels)
    return 1 - torch.cdist(labels, labels, p=1.0)[first, second] / 2


def mined(count: int, ratio: float) -> int:
    """How many of ``count`` pairs are looked at: the share ``ratio``, at least one."""
    return max(1, int(count * ratio))


def batch_threshold(agreements: Tensor, ratio: float) -> Scalar:
    """The smallest of the share ``ratio`` of largest agreements."""
    return agreements.topk(mined(len(agreements), ratio)).values[-1]


def threshold_of_all(labels: Tensor, ratio: float, *, block: int = 512) -> Scalar:
    """``batch_threshold`` of all pairs of N images; only blocks of agreements are in memory, and the largest ones so far."""
    count = len(labels)
    wanted = mined(count * (count - 1) // 2, ratio)
    largest = labels.new_zeros(0)
    for start in range(0, count - 1, block):
        rows = labels[start : start + block]
        agreements = 1 - torch.cdist(rows, labels[start:], p=1.0) / 2
        # Row r of the block is image start + r; pairs with later images only.
        later = torch.ones_like(agreements, dtype=torch.bool).triu(1)
        merged = torch.cat([largest, agreements[later]])
        largest = merged.topk(min(wanted, len(merged))).values
    return largest[-1]


def discriminative_loss(features: Tensor, labels: Tensor, threshold: Scalar, ratio: float) -> Scalar:
    """L_MDL: among the share ``ratio`` of target pairs that are most alike by feature, those whose multilabels agree by more than
    ``threshold`` are positives, the others hard negatives. L = -log(P / (P + N)), P the mean over positives of exp(-|f_i - f_j|^2)
    (1 if there are none), N that over negatives (0.5 if there are none).

    ``features``: (B, D), with gradient. ``labels``: (B, K), remembered, without.
    """
    first, second = _pairs(features)
    similarity = (features @ features.T)[first, second]
    chosen = similarity.detach().topk(mined(len(first), ratio)).indices
    positive = pair_agreements(labels)[chosen] > threshold
    close = torch.exp(2 * similarity[chosen] - 2)  # exp(-|f_i - f_j|^2) of unit vectors
    P = close[positive].mean() if bool(positive.any()) else close.new_ones(())
    N = close[~positive].mean() if not bool(positive.all()) else close.new_full((), 0.5)
    return torch.log(P + N) - torch.log(P)


def _pairs(rows: Tensor) -> tuple[Tensor, Tensor]:
    first, second = torch.triu_indices(len(rows), len(rows), 1, device=rows.device)
    return first, second
