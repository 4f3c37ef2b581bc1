"""A built backbone as a trunk: where its stages end, and the layout of their maps, determined by running one blank image."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from snreid.errors import ExperimentError
from snreid.models.snr import Layout

STAGES = 4


@dataclass(frozen=True, slots=True)
class Stage:
    """A point of a backbone after which a module may follow."""

    number: int
    """Counted from 1, in the order of computation."""
    name: str
    """The timm module the stage ends with, for example ``layer1``."""
    channels: int
    stride: int
    """Pixels of the input per position of the map."""
    layout: Layout
    prefix_tokens: int
    """Leading tokens that are not image positions (class token, registers); 0 for maps."""


@dataclass(frozen=True, slots=True)
class Trunk:
    """A built backbone: the timm network and its properties."""

    name: str
    network: nn.Module
    """Untouched timm keys; ``network.forward_features(images)`` gives the final maps or tokens."""
    stages: tuple[Stage, ...]
    channels: int
    """Channels D of the final maps, the dimension of the embedding."""
    layout: Layout
    """Layout of the final maps."""
    prefix_tokens: int
    ends_in_stage: bool
    """Whether the final maps are the last stage's output, with nothing behind it."""


def stage_names(network: nn.Module, name: str) -> list[tuple[str, int]]:
    """Name and channels of the last four stages with different strides, or of four evenly spaced blocks."""
    known = {key for key, _ in network.named_modules()}
    listed = [(str(f["module"]), int(f["num_chs"]), int(f["reduction"])) for f in getattr(network, "feature_info", ())]
    if len(listed) < STAGES or any(module not in known for module, _, _ in listed):
        raise ExperimentError(
            "A backbone must expose at least four stages through timm's feature_info",
            found=f"{name} lists {[module for module, _, _ in listed]}",
            fix="take another backbone, for example resnet50, convnext_tiny or vit_small_patch16_224",
        )
    last_of_stride = {reduction: (module, channels) for module, channels, reduction in listed}
    if len(last_of_stride) >= STAGES:
        return list(last_of_stride.values())[-STAGES:]
    depth = len(listed)
    picked = [listed[-(-depth * quarter // STAGES) - 1] for quarter in range(1, STAGES + 1)]
    return [(module, channels) for module, channels, _ in picked]


def probe(network: nn.Module, name: str, stages: list[tuple[str, int]], size: tuple[int, int]) -> Trunk:
    """Run one blank image to determine layouts and strides, and freeze parameters that the trunk does not use.

    Unused parameters (timm's own heads) would otherwise stop DistributedDataParallel and be decayed by the optimizer.
    Runs in evaluation mode; draws no random number and changes no running statistic.
    """
    given: dict[str, Tensor] = {}
    handles = [
        network.get_submodule(module).register_forward_hook(
            lambda _module, _inputs, output, key=module: given.__setitem__(key, output)
        )
        for module, _ in stages
    ]
    was_training = network.training
    network.eval()
    try:
        with torch.enable_grad():
            final: Tensor = network.forward_features(torch.zeros(1, 3, *size))  # type: ignore[operator]
            parameters = [p for p in network.parameters() if p.requires_grad]
            slopes = torch.autograd.grad(final.sum(), parameters, allow_unused=True)
    finally:
        network.train(was_training)
        for handle in handles:
            handle.remove()
    for parameter, slope in zip(parameters, slopes, strict=True):
        parameter.requires_grad_(slope is not None)
    records = []
    for number, (module, channels) in enumerate(stages, 1):
        shape = given[module].shape
        layout, prefix = _layout(shape, channels, network, name)
        if layout == "tokens":
            stride = round((size[0] * size[1] / (shape[1] - prefix)) ** 0.5)
        else:
            stride = round(size[0] / shape[2 if layout == "nchw" else 1])
        records.append(Stage(number, module, channels, stride, layout, prefix))
    channels = int(network.num_features)  # type: ignore[arg-type]
    layout, prefix = _layout(final.shape, channels, network, name)
    whole = final is given[stages[-1][0]]
    return Trunk(name, network, tuple(records), channels, layout, prefix, ends_in_stage=whole)


def _layout(shape: torch.Size, channels: int, network: nn.Module, name: str) -> tuple[Layout, int]:
    """Layout and number of prefix tokens."""
    last = str(getattr(network, "output_fmt", "")).upper() == "NHWC"
    if len(shape) == 3 and shape[2] == channels:
        return "tokens", int(getattr(network, "num_prefix_tokens", 0))
    if len(shape) == 4 and shape[3] == channels and (last or shape[1] != channels):
        return "nhwc", 0
    if len(shape) == 4 and shape[1] == channels:
        return "nchw", 0
    raise ExperimentError(
        "A stage must give maps or tokens with the channels timm lists for it",
        found=f"{name} gives shape {tuple(shape)} where {channels} channels are listed",
        fix="take another backbone",
    )
