"""The losses of MAR, unsupervised re-identification by soft multilabel learning (Yu et al., CVPR 2019, arXiv 1903.06325; method.md 7).

f: L2-normalized embeddings (B, D). a: reference agents (K, D), one unit vector per source identity. y: soft multilabels (B, K), the
similarity of an image to each of the K people of the source. Details that the paper leaves open follow its published code, as noted here.
All functions are pure; state that persists across batches is passed in.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from snreid.tensors import Scalar

_SMALLEST = 1e-12
"""Smaller variances count as 0: the slope of a standard deviation is infinite there."""


def log_multilabels(features: Tensor, agents: Tensor, scale: float) -> Tensor:
    """Returns log y = log softmax_k(scale f.a_k), (B, K). Agents are detached: they define the labels and do not follow them."""
    return functional.log_softmax(scale * features @ agents.detach().T, dim=1)


def agent_loss(features: Tensor, agents: Tensor, persons: Tensor, scale: float) -> Scalar:
    """L_AL: cross-entropy of scale f.a over the agents, mean over the source images. ``persons``: (B,) their agents."""
    return functional.cross_entropy(scale * features @ agents.T, persons)


def joint_loss(source: Tensor, persons: Tensor, target: Tensor, agents: Tensor, margin: float) -> Scalar:
    """L_RJ: pulls source images to their agent, and pushes source and target images away from hard agents.

    A hard agent of an image is another one's, with f.a > 1 - margin/2. Terms: |f - a_w|^2 for every source image, and for every image
    with hard agents the mean over them of [margin - |f - a_j|^2]+. The loss is the mean of all terms, as in the published code; agents
    and the selection are detached.
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
    """Returns (H,): one term for each of the H images with hard agents among the ``allowed`` (B, K)."""
    similarity = features @ agents.T
    hard = allowed & (similarity.detach() > 1 - margin / 2)
    hinge = (margin - (2 - 2 * similarity)).clamp(min=0) * hard  # |f - a|^2 of unit vectors
    count = hard.sum(1)
    return (hinge.sum(1) / count.clamp(min=1))[count > 0]


@dataclass(frozen=True)
class LabelStatistics:
    """Mean and standard deviation (n - 1) of log y for each agent."""

    mean: Tensor
    """(K,), or (V, K) for V cameras."""
    std: Tensor
    """Same shape as ``mean``."""


def camera_statistics(log_labels: Tensor, cameras: Tensor) -> LabelStatistics | None:
    """Returns statistics of every camera with at least two of the B images, (V, K); None if there is no such camera."""
    means, stds = [], []
    for camera in torch.unique(cameras):
        part = log_labels[cameras == camera]
        if len(part) > 1:
            means.append(part.mean(0))
            stds.append(part.var(0).clamp(min=_SMALLEST).sqrt())
    return LabelStatistics(torch.stack(means), torch.stack(stds)) if means else None


def mean_over_cameras(statistics: LabelStatistics) -> LabelStatistics:
    """Averages (V, K) to (K,) with equal weight per camera, without a gradient."""
    return LabelStatistics(statistics.mean.detach().mean(0), statistics.std.detach().mean(0))


def moved(running: LabelStatistics, now: LabelStatistics, momentum: float) -> LabelStatistics:
    """Moves the running statistics (K,) by the share ``momentum`` towards those of a batch."""
    return LabelStatistics(torch.lerp(running.mean, now.mean, momentum), torch.lerp(running.std, now.std, momentum))


def consistency_loss(statistics: LabelStatistics, running: LabelStatistics, *, average_agents: bool = False) -> Scalar:
    """L_CML: the squared distance of each camera's mean, and of its standard deviation, to the running ones; the mean of these 2 V numbers.

    ``statistics``: (V, K), with gradient. ``running``: (K,). A distance is summed over agents, as in the paper and its code, or averaged
    with ``average_agents``.
    """
    distances = torch.cat([(statistics.mean - running.mean).square(), (statistics.std - running.std).square()])
    return (distances.mean(1) if average_agents else distances.sum(1)).mean()


def pair_agreements(labels: Tensor) -> Tensor:
    """Returns A_ij = 1 - |y_i - y_j|_1 / 2, in [0, 1], of all pairs i < j in the order of ``torch.triu_indices``, (B (B - 1) / 2,)."""
    first, second = _pairs(labels)
    return 1 - torch.cdist(labels, labels, p=1.0)[first, second] / 2


def mined(count: int, ratio: float) -> int:
    """Returns how many of ``count`` pairs are mined: the share ``ratio``, at least one."""
    return max(1, int(count * ratio))


def batch_threshold(agreements: Tensor, ratio: float) -> Scalar:
    """Returns the smallest agreement among the share ``ratio`` of largest ones."""
    return agreements.topk(mined(len(agreements), ratio)).values[-1]


def threshold_of_all(labels: Tensor, ratio: float, *, block: int = 512) -> Scalar:
    """``batch_threshold`` over all pairs of N images; keeps only one block and the largest agreements so far in memory."""
    count = len(labels)
    wanted = mined(count * (count - 1) // 2, ratio)
    largest = labels.new_zeros(0)
    for start in range(0, count - 1, block):
        rows = labels[start : start + block]
        agreements = 1 - torch.cdist(rows, labels[start:], p=1.0) / 2
        # Row r of the block is image start + r; only pairs with later images count.
        later = torch.ones_like(agreements, dtype=torch.bool).triu(1)
        merged = torch.cat([largest, agreements[later]])
        largest = merged.topk(min(wanted, len(merged))).values
    return largest[-1]


def discriminative_loss(features: Tensor, labels: Tensor, threshold: Scalar, ratio: float) -> Scalar:
    """L_MDL: among the share ``ratio`` of target pairs with the most similar features, those whose multilabels agree by more than
    ``threshold`` are positives, the others hard negatives. L = -log(P / (P + N)), with P the mean of exp(-|f_i - f_j|^2) over positives
    (1 if there are none) and N the mean over negatives (0.5 if there are none).

    ``features``: (B, D), with gradient. ``labels``: (B, K), from memory, without gradient.
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
