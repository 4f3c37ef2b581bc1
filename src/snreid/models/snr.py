"""Style Normalization and Restitution: the module (method.md section 1; Jin et al., CVPR 2020, arXiv 2005.11037).

Instance normalization removes the style of an image and some of the person with it; a gate gives the person's part back.
The channel gate runs in the closed form of method.md 1.1: one reduction, a small MLP, one elementwise pass.
The five steps as published are the reference in the tests.

    maps = SNR(64)(maps)                     # after any stage of any network
    vectors = SNR(64).split(maps)            # the same maps, and what the training loss needs
"""

import math
from dataclasses import dataclass, replace
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from snreid.errors import ExperimentError
from snreid.models.gates import ChannelGate, ConvBranch, SpatialGate
from snreid.models.kernels import without_autocast, working_dtype
from snreid.models.restitution import Restituted, restitute
from snreid.tensors import ChannelVectors, Maps

Gate = Literal["channel", "two_gates", "conv", "spatial", "channel_spatial"]
"""How R is split: the paper's channel gate, or one of its ablations (method.md section 2)."""
Pool = Literal["mean", "relu", "gem", "std"]
"""How maps become the vectors of the loss. Only ``mean`` is published; the others make f~ differ between images
(method.md 1.2)."""
Layout = Literal["nchw", "nhwc", "tokens"]
"""Where the channels are: (B, C, H, W), (B, H, W, C) or (B, N, C)."""

_GEM_POWER = 3.0
_GEM_FLOOR = 1e-6


@dataclass(frozen=True, slots=True)
class SNRSplit:
    """Output of one SNR module; the same record for every gate and pool."""

    maps: Tensor
    """F~+, in the shape, layout and dtype of the input."""
    normalized: ChannelVectors
    """f~ = pool(F~), (B, C), float32 (float64 for float64 input)."""
    restored: ChannelVectors
    """f~+ = pool(F~+), (B, C)."""
    contaminated: ChannelVectors
    """f~- = pool(F~-), (B, C)."""


@dataclass(frozen=True, slots=True)
class SNRMeans:
    """Spatial means of the maps of one SNR module, (B, C) each, float32 (float64 for float64 input)."""

    normalized: ChannelVectors
    """Mean of F~: beta, for any input (method.md 1.2)."""
    restored: ChannelVectors
    """Mean of F~+ = beta + a (mu - beta)."""
    contaminated: ChannelVectors
    """Mean of F~- = beta + (1 - a) (mu - beta); with two gates the second one replaces 1 - a."""


@dataclass(frozen=True, slots=True)
class SNRParts:
    """Every map of one SNR module, for inspection: (B, C, H, W), float32 (float64 for float64 input)."""

    maps: Maps
    """F, the input."""
    normalized: Maps
    """F~ = IN(F)."""
    relevant: Maps
    """R+, the restored part of R = F - F~."""
    irrelevant: Maps
    """R-, the discarded part."""
    gate: Tensor | None
    """The mask of R+, each value between 0 and 1: (B, C, 1, 1), (B, 1, H, W) or (B, C, H, W) as the gate decides. None for
    ``conv``, whose branches are no masks."""

    @property
    def residual(self) -> Maps:
        """R = F - F~, removed by normalization."""
        return self.maps - self.normalized

    @property
    def restored(self) -> Maps:
        """F~+ = F~ + R+, the input of the next stage."""
        return self.normalized + self.relevant

    @property
    def contaminated(self) -> Maps:
        """F~- = F~ + R-."""
        return self.normalized + self.irrelevant


class SNR(nn.Module):
    """F~+ = IN(F) + R+, the input with its style removed and its identity restored (method.md section 1).

    Statistics and gate are computed in float32 under autocast and for half-precision maps, in float64 for float64 maps. A constant map is
    normalized to beta.

    Args:
        channels: C of the maps.
        reduction: C over the hidden width of a channel gate.
        min_hidden: Least hidden width.
        gate_bias: Initial value of the last bias of a channel gate (``ChannelGate``).
        gate: How R is split.
        pool: How maps become the vectors of the loss. The gate always uses the spatial mean.
        eps: Added to the variance.
        layout: Where the channels are.
        prefix_tokens: Leading tokens (class token, registers) that are no position of the image. They pass unchanged and enter no
            statistic.

    Raises:
        ExperimentError: Settings contradict each other; in a call, maps have the wrong shape or are integers.

    Example:
        >>> import torch
        >>> from snreid.models import SNR
        >>> SNR(64)(torch.randn(2, 64, 24, 12)).shape
        torch.Size([2, 64, 24, 12])
    """

    def __init__(
        self,
        channels: int,
        *,
        reduction: int = 16,
        min_hidden: int = 1,
        gate_bias: float = 0.0,
        gate: Gate = "channel",
        pool: Pool = "mean",
        eps: float = 1e-5,
        layout: Layout = "nchw",
        prefix_tokens: int = 0,
    ) -> None:
        super().__init__()
        check_options(
            gate=gate, pool=pool, reduction=reduction, layout=layout, min_hidden=min_hidden, gate_bias=gate_bias
        )
        if channels < 1:
            raise ExperimentError("An SNR module needs at least one channel", found=f"channels={channels}")
        if prefix_tokens < 0:
            raise ExperimentError("prefix_tokens counts tokens, 0 or more", found=f"{prefix_tokens}", fix="take 0")
        if not eps > 0:
            raise ExperimentError("SNR's eps must be above 0", found=f"eps={eps}", fix="take 1e-5")
        self.channels, self.gate_kind, self.pool_kind, self.eps = channels, gate, pool, eps
        self.layout, self.prefix_tokens = layout, prefix_tokens
        self.gamma = nn.Parameter(torch.ones(channels))
        self.beta = nn.Parameter(torch.zeros(channels))
        hidden = max(min_hidden, channels // reduction)
        if gate in ("channel", "two_gates", "channel_spatial"):
            self.gate = ChannelGate(channels, hidden, bias=gate_bias)
        if gate == "two_gates":
            self.irrelevant_gate = ChannelGate(channels, hidden)
        if gate in ("spatial", "channel_spatial"):
            self.spatial_gate = SpatialGate()
        if gate == "conv":
            self.relevant = ConvBranch(channels)
            self.irrelevant = ConvBranch(channels)

    @property
    def constant(self) -> bool:
        """True when f~ is the same vector for every image: pool(F~) = beta (method.md 1.2)."""
        return self.pool_kind == "mean"

    @property
    def has_closed_form(self) -> bool:
        """True for the gates with one value per image and channel: F~+ is one affine map (method.md 1.1)."""
        return self.gate_kind in ("channel", "two_gates")

    def extra_repr(self) -> str:
        """The settings, for ``print(model)``."""
        return f"{self.channels}, gate={self.gate_kind}, pool={self.pool_kind}, eps={self.eps}, layout={self.layout}"

    def forward(self, maps: Tensor) -> Tensor:
        """F in the module's layout -> F~+ of the same shape, layout and dtype."""
        with without_autocast(maps):
            return in_layout(self._restored(self._maps(maps)), maps, self.layout, self.prefix_tokens)

    def split(self, maps: Tensor) -> SNRSplit:
        """F in the module's layout -> F~+ and the pooled vectors f~, f~+, f~- of the loss.

        F~- is built as a map only if a non-linear pool or a gate without closed form needs it.
        """
        with without_autocast(maps):
            inner = self._maps(maps)
            split = self._split_closed(inner) if self.has_closed_form else self._split_maps(inner)
            restored = in_layout(split.maps, maps, self.layout, self.prefix_tokens)
            return SNRSplit(restored, split.normalized, split.restored, split.contaminated)

    def means(self, maps: Tensor) -> SNRMeans:
        """F in the module's layout -> the spatial means of F~, F~+ and F~-, for a gate with a closed form.

        They need only the mean of F, no variance and no map. So an SNR module whose maps are only averaged, as the head does after the
        last stage, costs no pass of its own. None depends on gamma, whose gradient is 0.

        Raises:
            ExperimentError: The gate has no closed form.
        """
        if not self.has_closed_form:
            raise ExperimentError(
                "Means alone are what a gate with one value per image and channel gives",
                found=f"gate {self.gate_kind!r}",
                fix="take the vectors of split(maps)",
            )
        with without_autocast(maps):
            inner = self._maps(maps)
            mean = inner.mean((2, 3), dtype=working_dtype(inner))
            means = self._means(mean, self.gate(mean - self.beta.to(mean.dtype)))
            if not (torch.is_grad_enabled() and self.gamma.requires_grad):
                return means
            # A gradient of 0 instead of none: DistributedDataParallel waits for the gradient of every parameter.
            return replace(means, restored=means.restored + 0 * self.gamma)

    def parts(self, maps: Tensor) -> SNRParts:
        """F in the module's layout -> all maps, step by step as published (method.md section 1).

        For inspection: it takes several times the memory and time of ``forward``, whose F~+ it equals up to rounding.
        """
        with without_autocast(maps):
            inner = self._maps(maps)
            normalized, residual = self._residual(inner)
            relevant, irrelevant, mask = self._parts(residual)
            return SNRParts(inner.to(normalized.dtype), normalized, relevant, irrelevant, mask)

    def _maps(self, maps: Tensor) -> Maps:
        # Under a tracer a comparison of sizes would freeze them, with a warning.
        if torch._C._get_tracing_state() is None:
            self._check(maps)
        return channels_first(maps, self.layout, self.prefix_tokens)

    def _check(self, maps: Tensor) -> None:
        working_dtype(maps)  # raises for integers
        wanted = {
            "nchw": ("images", self.channels, "height", "width"),
            "nhwc": ("images", "height", "width", self.channels),
            "tokens": ("images", "tokens", self.channels),
        }[self.layout]
        if maps.dim() != len(wanted) or maps.shape[wanted.index(self.channels)] != self.channels:
            raise ExperimentError(
                f"An SNR module of {self.channels} channels in the layout {self.layout!r} takes maps of shape "
                f"({', '.join(map(str, wanted))})",
                found=f"maps of shape {tuple(maps.shape)}",
                fix="build the module with the channels and the layout of the maps it follows",
            )
        if self.layout == "tokens" and maps.shape[1] <= self.prefix_tokens:
            raise ExperimentError(
                "Behind the prefix an SNR module needs at least one token of the image",
                found=f"{maps.shape[1]} tokens with prefix_tokens={self.prefix_tokens}",
                fix="give prefix_tokens as many as the backbone puts in front",
            )

    def _closed(self, maps: Maps) -> Restituted:
        return restitute(maps, self.gamma, self.beta, self.gate.parts(), self.eps)

    def _restored(self, maps: Maps) -> Maps:
        """F~+ alone, for inference."""
        if self.has_closed_form:
            return self._closed(maps).maps
        normalized, residual = self._residual(maps)
        return (normalized + self._parts(residual)[0]).to(maps.dtype)

    def _split_closed(self, maps: Maps) -> SNRSplit:
        """Method.md 1.1."""
        closed = self._closed(maps)
        if self.pool_kind == "mean":
            means = self._means(closed.mean, closed.gate)
            return SNRSplit(closed.maps, means.normalized, means.restored, means.contaminated)
        beta = self.beta.to(closed.mean.dtype)
        relevant = closed.gate
        irrelevant = self._irrelevant(closed.mean - beta, relevant)
        scale = self.gamma.to(beta.dtype) * torch.rsqrt(closed.variance + self.eps)
        shift = beta - scale * closed.mean

        def pooled(share: Tensor) -> Tensor:
            """Pool of F~ + share R = [(1 - share) s + share] F + (1 - share) t."""
            slope, offset = (1 - share) * scale + share, (1 - share) * shift
            if self.pool_kind == "std":
                return torch.sqrt(slope.square() * closed.variance + self.eps)
            wide = maps.to(beta.dtype)
            return self._pool(torch.addcmul(offset[..., None, None], wide, slope[..., None, None]))

        return SNRSplit(closed.maps, pooled(torch.zeros_like(relevant)), pooled(relevant), pooled(irrelevant))

    def _means(self, mean: ChannelVectors, relevant: ChannelVectors) -> SNRMeans:
        beta = self.beta.to(mean.dtype)
        removed = mean - beta
        irrelevant = self._irrelevant(removed, relevant)
        return SNRMeans(beta.expand_as(removed), beta + relevant * removed, beta + irrelevant * removed)

    def _irrelevant(self, removed: ChannelVectors, relevant: ChannelVectors) -> ChannelVectors:
        """The share of R in F~-, from the mean of R and its share in F~+."""
        if self.gate_kind == "channel":
            return 1 - relevant
        return self.irrelevant_gate(removed)  # type: ignore[no-any-return]

    def _split_maps(self, maps: Maps) -> SNRSplit:
        """The gates without closed form: R is built, split and added."""
        normalized, residual = self._residual(maps)
        relevant, irrelevant, _ = self._parts(residual)
        restored = normalized + relevant
        if self.pool_kind == "mean":
            plain = self.beta.to(normalized.dtype).expand(normalized.shape[:2])
            gained, lost = plain + relevant.mean((2, 3)), plain + irrelevant.mean((2, 3))
        else:
            plain, gained, lost = self._pool(normalized), self._pool(restored), self._pool(normalized + irrelevant)
        return SNRSplit(restored.to(maps.dtype), plain, gained, lost)

    def _residual(self, maps: Maps) -> tuple[Maps, Maps]:
        """F~ and R = F - F~ (steps 1 and 2), in float32 or float64."""
        wide = maps.to(working_dtype(maps))
        # Not var_mean: over channels-last maps it takes 30 times as long as mean.
        centred = wide - wide.mean((2, 3), keepdim=True)
        variance = centred.square().mean((2, 3), keepdim=True)
        scale = self.gamma.to(wide.dtype)[:, None, None] * torch.rsqrt(variance + self.eps)
        normalized = scale * centred + self.beta.to(wide.dtype)[:, None, None]
        return normalized, wide - normalized

    def _parts(self, residual: Maps) -> tuple[Maps, Maps, Tensor | None]:
        """R+, R- and the mask of R+ (None for ``conv``). For the gates with one mask R+ and R- sum to R."""
        if self.gate_kind == "conv":
            return self.relevant(residual), self.irrelevant(residual), None
        mask = self._mask(residual)
        relevant = mask * residual
        if self.gate_kind == "two_gates":
            return relevant, self.irrelevant_gate(residual.mean((2, 3)))[..., None, None] * residual, mask
        return relevant, residual - relevant, mask

    def _mask(self, residual: Maps) -> Tensor:
        """What R is multiplied by to give R+."""
        if self.has_closed_form:
            return self.gate(residual.mean((2, 3)))[..., None, None]  # type: ignore[no-any-return]
        mask: Tensor = self.spatial_gate(residual)
        if self.gate_kind == "channel_spatial":
            # In parallel: both masks look at R, and their mean keeps 0 < mask < 1 and R+ + R- = R.
            mask = (mask + self.gate(residual.mean((2, 3)))[..., None, None]) / 2
        return mask

    def _pool(self, maps: Maps) -> ChannelVectors:
        """The non-linear pools: mean of relu, generalized mean with power 3, standard deviation."""
        if self.pool_kind == "relu":
            return torch.relu(maps).mean((2, 3))
        if self.pool_kind == "gem":
            return maps.clamp(min=_GEM_FLOOR).pow(_GEM_POWER).mean((2, 3)).pow(1 / _GEM_POWER)
        # eps under the root: the slope of a standard deviation at a constant map would be infinite.
        return torch.sqrt(torch.var(maps, (2, 3), correction=0) + self.eps)


def channels_first(maps: Tensor, layout: Layout, prefix_tokens: int = 0) -> Maps:
    """A (B, C, H, W) view of the image positions of maps in ``layout``; tokens give (B, C, N, 1) without the prefix."""
    if layout == "nchw":
        return maps
    if layout == "nhwc":
        return maps.permute(0, 3, 1, 2)
    return maps[:, prefix_tokens:].transpose(1, 2).unsqueeze(-1)


def in_layout(inner: Maps, maps: Tensor, layout: Layout, prefix_tokens: int = 0) -> Tensor:
    """The inverse of ``channels_first``: (B, C, H, W) in the layout of ``maps``, with its prefix tokens."""
    if layout == "nchw":
        return inner
    if layout == "nhwc":
        return inner.permute(0, 2, 3, 1)
    tokens = inner.squeeze(-1).transpose(1, 2)
    return torch.cat([maps[:, :prefix_tokens], tokens], 1) if prefix_tokens else tokens


def check_options(
    *, gate: str, pool: str, reduction: int, layout: str = "nchw", min_hidden: int = 1, gate_bias: float = 0.0
) -> None:
    """Raise ``ExperimentError`` unless these settings are valid for an SNR module and consistent."""
    for rule, value, allowed in (
        ("SNR's gate must be a known one", gate, get_args(Gate)),
        ("SNR's pool must be a known one", pool, get_args(Pool)),
        ("SNR's layout must be a known one", layout, get_args(Layout)),
    ):
        if value not in allowed:
            raise ExperimentError(rule, found=repr(value), fix=f"choose one of {', '.join(allowed)}")
    if reduction < 1:
        raise ExperimentError("SNR's reduction must be at least 1", found=f"{reduction}", fix="take 16, as the paper")
    if min_hidden < 1:
        raise ExperimentError("A gate's hidden width is at least 1", found=f"min_hidden={min_hidden}", fix="take 1")
    if not math.isfinite(gate_bias):
        raise ExperimentError("A gate's first bias is a finite number", found=f"{gate_bias}", fix="take 0, or 3")
    if layout == "tokens" and gate in ("spatial", "channel_spatial"):
        raise ExperimentError(
            "A spatial gate needs maps with height and width",
            found=f"gate {gate!r} on a sequence of tokens",
            fix="choose gate channel, two_gates or conv for this backbone",
        )
