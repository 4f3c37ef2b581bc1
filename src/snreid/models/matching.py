"""An initialization that suits a pretrained network: instance norms after its stages start with the usual scale and shift of their maps.

As published, gamma = 1 and beta = 0: every channel of F~ then has the same mean and deviation, while the layers behind were trained on
channels that differ in both by factors. Here gamma starts as the mean over training images of each channel's own deviation
sqrt(s2 + eps), and beta as the mean of its mean mu. F~ is then the image in the usual style instead of none, and R = F - F~ the
unusual part of this image's style. Not in the paper; its effect: docs/log/recipes.md.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from snreid.models.norm_layers import StageInstanceNorm
from snreid.models.reid import ReIDModel
from snreid.models.snr import SNR, channels_first


def match_statistics(model: ReIDModel, batches: Sequence[Tensor]) -> None:
    """Sets gamma and beta of every instance norm after a stage, in the order of the stages, so that each sees the output of the matched
    ones before it. ``batches``: normalized training images (B, 3, H, W) on the model's device. Changes no random state and no statistic.
    """
    was_training = model.training
    model.eval()
    for module in model.after.values():
        if isinstance(module, SNR):
            gamma, beta, eps = module.gamma, module.beta, module.eps
        elif isinstance(module, StageInstanceNorm):
            gamma, beta, eps = module.norm.weight, module.norm.bias, module.norm.eps
        else:
            continue
        scales, shifts = _mean_moments(model, module, eps, batches)
        with torch.no_grad():
            gamma.copy_(scales)
            beta.copy_(shifts)
    model.train(was_training)


def _mean_moments(
    model: ReIDModel, module: SNR | StageInstanceNorm, eps: float, batches: Sequence[Tensor]
) -> tuple[Tensor, Tensor]:
    """Means over all images of sqrt(s2 + eps) and mu of the input of ``module``, (C,) each, in float64."""
    statistics: list[tuple[Tensor, Tensor]] = []

    def keep(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        """A forward pre-hook of the module."""
        maps = channels_first(inputs[0], module.layout, module.prefix_tokens).double()
        variance, mean = torch.var_mean(maps, (2, 3), correction=0)
        statistics.append((torch.sqrt(variance + eps), mean))

    handle = module.register_forward_pre_hook(keep)
    try:
        with torch.no_grad():
            for images in batches:
                model.embed(images)
    finally:
        handle.remove()
    scales, shifts = (torch.cat(parts).mean(0) for parts in zip(*statistics, strict=True))
    return scales, shifts
