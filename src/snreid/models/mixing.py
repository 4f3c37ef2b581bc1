"""Schemes that mix the style of two images of a batch while training: MixStyle and EFDMix (method.md section 5.1).

Both follow a stage, have no parameters, and do nothing in evaluation. In training mode every pass of a stage is mixed with
probability p: each image gets a partner (a random permutation of the batch) and a share lambda ~ Beta(alpha, alpha), and
keeps lambda of its own style.

The partner is any image of the batch. Both papers also try partners of another domain only; a module after a stage does not
know the domains of its batch, and the papers' re-identification models are published in the random form too.

Random numbers come from torch's global generator on the CPU, which the training loop seeds for every step: a resumed run
repeats them.
"""

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from snreid.errors import ExperimentError
from snreid.models.kernels import without_autocast, working_dtype
from snreid.models.schemes import Scheme, check_stages, chosen_stages
from snreid.models.snr import Layout, channels_first, in_layout
from snreid.models.trunk import Trunk

Positions = Float[Tensor, "batch channels positions"]
"""Maps with their positions in one dimension."""
Share = Float[Tensor, "batch"]
"""Share of its own style that an image keeps, 0 to 1."""
Partner = Int64[Tensor, "batch"]
"""Position in the batch of each image's partner."""

_EPS = 1e-6


@dataclass(frozen=True, kw_only=True)
class _Mixed:
    """What MixStyle and EFDMix share."""

    _style: ClassVar[Literal["moments", "distribution"]]
    stages: tuple[int, ...] = (1, 2)
    """Stages to mix after, counted from 1. Both papers mix after the early ones: later maps encode the person."""
    probability: float = 0.5
    """p: how often a pass is mixed; all its images are mixed or none."""
    alpha: float = 0.1
    """Of Beta(alpha, alpha): below 1 one of the two styles dominates."""

    def __post_init__(self) -> None:
        check_stages(self.stages)
        if not 0 <= self.probability <= 1 or not (math.isfinite(self.alpha) and self.alpha > 0):
            raise ExperimentError(
                "Mixing has a probability between 0 and 1 and an alpha above 0",
                found=f"probability {self.probability}, alpha {self.alpha}",
                fix="use 0.5 and 0.1",
            )

    def apply(self, trunk: Trunk) -> dict[int, nn.Module]:
        """One module per chosen stage."""
        return {
            stage.number: StageMixing(
                self._style, self.probability, self.alpha, layout=stage.layout, prefix_tokens=stage.prefix_tokens
            )
            for stage in chosen_stages(trunk, self.stages)
        }


@dataclass(frozen=True, kw_only=True)
class MixStyle(_Mixed, Scheme):
    """MixStyle: mixes the means and standard deviations of two images (Zhou et al., ICLR 2021, arXiv 2104.02008)."""

    label: ClassVar[str] = "MixStyle"
    _style = "moments"


@dataclass(frozen=True, kw_only=True)
class EFDMix(_Mixed, Scheme):
    """EFDMix: mixes the whole distributions of two images, value by value (Zhang et al., CVPR 2022, arXiv 2203.07740)."""

    label: ClassVar[str] = "EFDMix"
    _style = "distribution"


class StageMixing(nn.Module):
    """The module after a stage: maps or tokens in, maps or tokens of the same shape out; prefix tokens pass unchanged."""

    def __init__(
        self,
        style: Literal["moments", "distribution"],
        probability: float,
        alpha: float,
        *,
        layout: Layout = "nchw",
        prefix_tokens: int = 0,
    ) -> None:
        super().__init__()
        self.mix = mix_moments if style == "moments" else mix_distributions
        self.probability, self.alpha = probability, alpha
        self.layout, self.prefix_tokens = layout, prefix_tokens

    def forward(self, maps: Tensor) -> Tensor:
        """Keeps shape, layout and dtype; in evaluation returns the maps themselves."""
        if not self.training or not float(torch.rand(())) < self.probability:
            return maps
        count = maps.shape[0]
        share = torch.distributions.Beta(self.alpha, self.alpha).sample((count,)).to(maps.device)
        partner = torch.randperm(count).to(maps.device)
        wide = maps.to(working_dtype(maps))
        with without_autocast(maps):
            inner = channels_first(wide, self.layout, self.prefix_tokens)
            mixed = self.mix(inner.flatten(2), partner, share.to(wide.dtype)).view(inner.shape)
            return in_layout(mixed, wide, self.layout, self.prefix_tokens).to(maps.dtype)


def mix_moments(maps: Positions, partner: Partner, share: Share) -> Positions:
    """s' (F - mu) / s + mu' with mu' = lambda mu + (1 - lambda) mu_partner and s' likewise (arXiv 2104.02008, section 3).

    mu and s = sqrt(variance + 1e-6) are per image and channel, the variance unbiased as in the published code. No gradient flows
    into them: a step cannot undo the mixing.
    """
    with torch.no_grad():
        variance, mean = torch.var_mean(maps, 2, keepdim=True)
        spread = (variance + _EPS).sqrt()
        kept = share[:, None, None]
        wanted_mean = kept * mean + (1 - kept) * mean[partner]
        slope = (kept * spread + (1 - kept) * spread[partner]) / spread
    return torch.addcmul(wanted_mean - mean * slope, maps, slope)


def mix_distributions(maps: Positions, partner: Partner, share: Share) -> Positions:
    """F + (1 - lambda) (M - F) with M the partner's values in the order of F's (arXiv 2203.07740, section 3).

    The k-th smallest value of M takes the position of the k-th smallest of F, per image and channel; equal values (many are 0
    after a ReLU) rank by position. The subtracted F is detached, so that F's own gradient passes
    unchanged, and the partner's values get theirs.
    """
    ordered, order = maps.sort(dim=2, stable=True)
    ranks = order.argsort(dim=2)
    matched = ordered[partner].gather(2, ranks)
    return maps + (1 - share)[:, None, None] * (matched - maps.detach())
