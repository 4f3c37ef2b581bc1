"""The schemes the paper compares, as values that edit a backbone (method.md section 5; arXiv 2005.11037).

``StageSNR`` trained without its loss is the paper's "SNR w/o L_SNR": the same value. Sources of the others: instance
normalization arXiv 1607.08022, IBN-a and IBN-b arXiv 1807.09441, switchable normalization arXiv 1806.10779, batch-instance normalization
arXiv 1805.07925. Schemes that mix the statistics of two images are in ``mixing``.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

from torch import nn

from snreid.errors import ExperimentError
from snreid.models.norm_layers import AffineInstance, BatchInstance, HalfInstance, StageInstanceNorm, Switchable
from snreid.models.snr import SNR, Gate, Pool, check_options
from snreid.models.trunk import Stage, Trunk

Start = Literal["published", "matched"]
Replacement = AffineInstance | Switchable | BatchInstance

_IBN_STAGES = 3
_IBN_B_STAGES = 2


class Scheme(ABC):
    """How a backbone normalizes. Subclasses are frozen keyword-only dataclasses."""

    label: ClassVar[str]
    """The row's name in tables."""
    start: Start = "published"
    """Initial scale and shift of the norms after stages."""

    @property
    def matched(self) -> bool:
        """Whether the norms after stages are initialized from training images (``models/matching.py``)."""
        return self.start == "matched"

    @abstractmethod
    def apply(self, trunk: Trunk) -> dict[int, nn.Module]:
        """Edit ``trunk.network`` in place; return the modules to add after its stages, by stage number.

        Raises ``ExperimentError`` when the scheme does not fit the backbone; the network then stays unchanged.
        """


@dataclass(frozen=True, kw_only=True)
class Plain(Scheme):
    """Baseline: the unchanged backbone."""

    label: ClassVar[str] = "Baseline"

    def apply(self, trunk: Trunk) -> dict[int, nn.Module]:
        """Change nothing."""
        return {}


class _EveryNorm(Scheme):
    """Every batch norm becomes one of another kind, which keeps its scale and shift."""

    norm: ClassVar[type[Replacement]]

    def apply(self, trunk: Trunk) -> dict[int, nn.Module]:
        """Replace them all. Raises ``ExperimentError`` for a backbone without batch norm."""
        norms = {name: norm for name, norm in trunk.network.named_modules() if isinstance(norm, nn.BatchNorm2d)}
        if not norms:
            raise ExperimentError(
                f"{self.label} replaces batch norms, so the backbone must have some",
                found=f"{trunk.name} has none",
                fix="take a ResNet or MobileNet, or another scheme",
            )
        for name, norm in norms.items():
            trunk.network.set_submodule(name, self.norm.like(norm))
        return {}


@dataclass(frozen=True, kw_only=True)
class AllInstance(_EveryNorm):
    """Baseline-A-IN: every batch norm becomes an affine instance norm that keeps the pretrained scale and shift."""

    label: ClassVar[str] = "Baseline-A-IN"
    norm: ClassVar[type[Replacement]] = AffineInstance


@dataclass(frozen=True, kw_only=True)
class IBN(Scheme):
    """Baseline-IBN: IBN-a, instance norm on half of the channels of the first norm of each block of stages 1 to 3.

    For ResNets, as published (arXiv 1807.09441), and for networks of inverted residuals (MobileNet, EfficientNet), at the norm
    after the convolution that expands the block, its counterpart. The stem and blocks before stage 1 stay unchanged.
    """

    label: ClassVar[str] = "Baseline-IBN"

    def apply(self, trunk: Trunk) -> dict[int, nn.Module]:
        """Replace ``bn1`` of these blocks. Raises ``ExperimentError`` for a timm network with other blocks."""
        norms: dict[str, nn.BatchNorm2d] = {}
        for stage in trunk.stages[:_IBN_STAGES]:
            # A stage without blocks (a plain chain of layers, as in VGG) raises like one with other blocks.
            for name, block in _blocks(trunk, stage) or [(stage.name, trunk.network.get_submodule(stage.name))]:
                norm = getattr(block, "bn1", None)
                first = next((key for key, _ in block.named_children()), "")
                if first not in ("conv1", "conv_pw") or not isinstance(norm, nn.BatchNorm2d) or norm.num_features < 2:
                    raise ExperimentError(
                        "IBN-a is defined for blocks that begin with a convolution and a batch norm bn1 (ResNet, inverted residuals)",
                        found=f"{trunk.name}, block {name} ({type(block).__name__})",
                        fix="take such a backbone, or another scheme",
                    )
                norms[f"{name}.bn1"] = norm
        for name, norm in norms.items():
            trunk.network.set_submodule(name, HalfInstance.like(norm))
        return {}


@dataclass(frozen=True, kw_only=True)
class AllSwitchable(_EveryNorm):
    """Baseline-A-SN: every batch norm becomes a switchable norm that keeps the pretrained scale, shift and statistics."""

    label: ClassVar[str] = "Baseline-A-SN"
    norm: ClassVar[type[Replacement]] = Switchable


@dataclass(frozen=True, kw_only=True)
class IBNb(Scheme):
    """Baseline-IBN-b: the stem's norm becomes an instance norm, and another follows the addition that ends stages 1 and 2.

    In the last block of the stage, before its activation (Pan et al., arXiv 1807.09441, and their code). All are affine.
    """

    label: ClassVar[str] = "Baseline-IBN-b"

    def apply(self, trunk: Trunk) -> dict[int, nn.Module]:
        """Replace ``bn1`` and two activations. Raises ``ExperimentError`` for anything but a timm ResNet with batch norm."""
        stem = getattr(trunk.network, "bn1", None)
        activations = [_last_activation(trunk, stage) for stage in trunk.stages[:_IBN_B_STAGES]]
        if not isinstance(stem, nn.BatchNorm2d) or not all(activations):
            raise ExperimentError(
                "IBN-b is defined for a ResNet with a batch norm bn1 in its stem and blocks that end with an addition and an activation",
                found=f"{trunk.name} ({type(trunk.network).__name__})",
                fix="take a ResNet, or another scheme",
            )
        trunk.network.set_submodule("bn1", AffineInstance.like(stem))
        for name, stage in zip(activations, trunk.stages, strict=False):
            activation = trunk.network.get_submodule(name)
            trunk.network.set_submodule(name, nn.Sequential(AffineInstance(stage.channels), activation))
        return {}


@dataclass(frozen=True, kw_only=True)
class AllBatchInstance(_EveryNorm):
    """Baseline-BIN: every batch norm becomes a learned per-channel mix of batch and instance norm."""

    label: ClassVar[str] = "Baseline-BIN"
    norm: ClassVar[type[Replacement]] = BatchInstance


@dataclass(frozen=True, kw_only=True)
class StageInstance(Scheme):
    """Baseline-IN: one affine instance norm after each stage, without restitution."""

    label: ClassVar[str] = "Baseline-IN"

    stages: tuple[int, ...] = (1, 2, 3, 4)
    """Stages it follows, counted from 1."""
    start: Start = "published"
    """Initial scale and shift: 1 and 0, or ``matched`` to the maps of training images (``models/matching.py``)."""

    def __post_init__(self) -> None:
        check_stages(self.stages)
        check_start(self.start)

    def apply(self, trunk: Trunk) -> dict[int, nn.Module]:
        """One module per chosen stage."""
        return {
            stage.number: StageInstanceNorm(stage.channels, layout=stage.layout, prefix_tokens=stage.prefix_tokens)
            for stage in chosen_stages(trunk, self.stages)
        }


@dataclass(frozen=True, kw_only=True)
class StageSNR(Scheme):
    """SNR after each chosen stage; with the loss it is the paper's SNR, without it "SNR w/o L_SNR"."""

    label: ClassVar[str] = "SNR"

    stages: tuple[int, ...] = (1, 2, 3, 4)
    """Stages it follows, counted from 1."""
    gate: Gate = "channel"
    """How R is split."""
    pool: Pool = "mean"
    """How maps become the vectors of the loss; only ``mean`` is published."""
    reduction: int = 16
    """Channels over the hidden width of the gate."""
    min_hidden: int = 1
    """Least hidden width of the gate, for stages with few channels (a mobile network's first one has 24)."""
    gate_bias: float = 0.0
    """The gate's initial last bias. 0, as published, restores half of what normalization removed; 3 restores 95 % of it, so that a
    pretrained network starts almost unchanged."""
    start: Start = "published"
    """Initial gamma and beta: 1 and 0, or ``matched`` to the maps of training images (``models/matching.py``)."""
    ibn: bool = False
    """IBN-a inside stages 1 to 3 as well (``IBN``). Not in the paper."""

    def __post_init__(self) -> None:
        check_stages(self.stages)
        check_start(self.start)
        check_options(
            gate=self.gate,
            pool=self.pool,
            reduction=self.reduction,
            min_hidden=self.min_hidden,
            gate_bias=self.gate_bias,
        )

    def apply(self, trunk: Trunk) -> dict[int, nn.Module]:
        """One module per chosen stage. Raises ``ExperimentError`` for a spatial gate on tokens, and with ``ibn`` as ``IBN`` does."""
        modules = {stage.number: self._module(stage) for stage in chosen_stages(trunk, self.stages)}
        return modules | (IBN().apply(trunk) if self.ibn else {})

    def _module(self, stage: Stage) -> SNR:
        return SNR(
            stage.channels,
            reduction=self.reduction,
            min_hidden=self.min_hidden,
            gate_bias=self.gate_bias,
            gate=self.gate,
            pool=self.pool,
            layout=stage.layout,
            prefix_tokens=stage.prefix_tokens,
        )


def check_start(start: str) -> None:
    """Raises ``ExperimentError`` unless ``start`` is one of ``Start``."""
    if start not in get_args(Start):
        raise ExperimentError(
            "A norm behind a stage has two starts",
            found=repr(start),
            fix=f"choose one of {', '.join(get_args(Start))}",
        )


def check_stages(stages: tuple[int, ...]) -> None:
    """Raises ``ExperimentError`` unless ``stages`` are ascending numbers from 1."""
    if not stages or min(stages) < 1 or list(stages) != sorted(set(stages)):
        raise ExperimentError(
            "Stages must be rising numbers from 1, each once", found=f"{stages}", fix="write for example (1, 2, 3, 4)"
        )


def chosen_stages(trunk: Trunk, stages: tuple[int, ...]) -> list[Stage]:
    """The stages of the trunk with these numbers. Raises ``ExperimentError`` for a number the trunk lacks."""
    if max(stages) > len(trunk.stages):
        raise ExperimentError(
            "A scheme can only follow stages that the backbone has",
            found=f"stage {max(stages)}, where {trunk.name} has {len(trunk.stages)}",
            fix="leave that stage out",
        )
    return [stage for stage in trunk.stages if stage.number in stages]


def _blocks(trunk: Trunk, stage: Stage) -> list[tuple[str, nn.Module]]:
    """Names and modules of the blocks of a stage; none if its name does not end in a number, because it then contains no blocks.

    A stage includes all containers that share its name up to the number, from the one after the previous stage on: stage 3 of
    EfficientNet is ``blocks.3`` and ``blocks.4``.
    """
    name = stage.name.rstrip("0123456789")
    ends = {s.number: int(end) for s in trunk.stages if (end := s.name.removeprefix(name)).isdigit()}
    if stage.number not in ends:
        return []
    last = ends[stage.number]
    containers = [f"{name}{number}" for number in range(ends.get(stage.number - 1, last - 1) + 1, last + 1)]
    return [
        (f"{container}.{key}", block)
        for container in containers
        for key, block in trunk.network.get_submodule(container).named_children()
    ]


def _last_activation(trunk: Trunk, stage: Stage) -> str:
    """Name of the activation after the addition of the stage's last block; empty if the stage is not a ResNet's."""
    if stage.name != f"layer{stage.number}":
        return ""
    number, block = list(trunk.network.get_submodule(stage.name).named_children())[-1]
    last = next((name for name in ("act3", "act2") if hasattr(block, name)), "")
    return f"{stage.name}.{number}.{last}" if last else ""
