"""Any timm backbone that exposes stages, as a trunk with ``Stage`` records. The only file that imports timm.

Beside timm's architectures there are two that re-identification uses and timm has not: OSNet (``osnet``), and ResNets with IBN-a, which are
timm's with other norms.

Departures from timm, on purpose: ResNets keep the resolution of their last stage (last stride 1, as the whole field does;
timm's ``output_stride`` would dilate instead), and weights never come from a network unless they are asked for by name.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from snreid.errors import CheckpointError, ExperimentError
from snreid.models.layers import HalfInstance
from snreid.models.narrow import quick_on_narrow_maps
from snreid.models.osnet import OSNETS, osnet
from snreid.models.pretrained import Weights, fit_weights, hub_file, read_tensors
from snreid.models.snr import Layout

_STAGES = 4
_PROBE_HEIGHT, _PROBE_WIDTH = 128, 64
_IBN_A = "_ibn_a"
_IBN_RESNETS = tuple(f"resnet{depth}{_IBN_A}" for depth in (18, 34, 50, 101, 152))
_IBN_STAGES = ("layer1", "layer2", "layer3")


@dataclass(frozen=True, slots=True)
class Stage:
    """One place of a backbone where a module may follow."""

    number: int
    """Counted from 1, in the order of computation."""
    name: str
    """The timm module the stage ends with, for example ``layer1``."""
    channels: int
    stride: int
    """Pixels of the input per position of the map."""
    layout: Layout
    prefix_tokens: int
    """Leading tokens that are no position of the image (class token, registers); 0 for maps."""


@dataclass(frozen=True, slots=True)
class Trunk:
    """A built backbone: the timm network and what has to be known of it."""

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
    """Whether the final maps are what the last stage gives, with nothing behind it."""


@dataclass(frozen=True, kw_only=True)
class Backbone:
    """Which timm network, with which weights.

    Raises ``ExperimentError`` for settings that cannot be, ``CheckpointError`` for weights that cannot be had.
    """

    name: str = "resnet50"
    """A timm architecture, without tag; ``osnet_x1_0``, ``osnet_ibn_x1_0``, ``osnet_ain_x1_0`` (or x0_75, x0_5, x0_25); or
    ``resnet50_ibn_a`` (18, 34, 50, 101, 152)."""
    weights: str = "random"
    """``random``, ``imagenet`` (timm's default tag of this architecture), a timm tag, or a local .safetensors/.pth file."""
    last_stride: int | None = None
    """Stride of the last stage, 1 or 2. Left open it is 1 for ResNets and what it is for every other backbone."""
    image_size: tuple[int, int] | None = None
    """Height and width of the input in pixels, for backbones that have to know it (ViT, Swin)."""
    channels: tuple[int, ...] | None = None
    """Widths of a ResNet's four stages, for a narrower or wider one (before a bottleneck's expansion)."""
    layers: tuple[int, ...] | None = None
    """Blocks in each of a ResNet's four stages."""
    fc: bool = False
    """OSNet's last layer: fc (512), batch norm and ReLU of the pooled maps, as in the paper and in torchreid."""
    ceil_pool: bool = False
    """A ResNet's max pool without padding, rounding up. fast-reid's ResNets have it, and their weights embed as there only with it."""

    def __post_init__(self) -> None:
        if "." in self.name:
            name, tag = self.name.split(".", 1)
            raise ExperimentError(
                "A backbone's name is the architecture alone",
                came=repr(self.name),
                repair=f"write name={name!r}, weights={tag!r}",
            )
        if self.last_stride not in (None, 1, 2):
            raise ExperimentError("last_stride must be 1 or 2", came=f"{self.last_stride}")
        if self.image_size is not None and (len(self.image_size) != 2 or min(self.image_size) < 1):
            raise ExperimentError("image_size must be a height and a width in pixels", came=f"{self.image_size}")
        for field, value in (("channels", self.channels), ("layers", self.layers)):
            if value is not None and (len(value) != _STAGES or min(value) < 1):
                raise ExperimentError(f"{field} must be {_STAGES} numbers of at least 1", came=f"{value}")
        Weights(self.weights)

    def build(self) -> Trunk:
        """Make the network, load its weights, find its stages. Draws random weights from torch's global generator."""
        network = self._create()
        self._load(network)
        stride = self.last_stride
        if stride is None and _is_resnet(network):
            stride = 1
        names = _stage_names(network, self.name)
        if stride == 1:
            _keep_resolution(network, names, self.name)
        if self.ceil_pool:
            _pool_rounding_up(network, self.name)
        quick_on_narrow_maps(network)
        return _probe(network, self.name, names, self._probe_size(network))

    def _create(self) -> nn.Module:
        import timm

        if self.name in OSNETS:
            return self._create_osnet()
        if self.fc:
            raise ExperimentError(
                "Only an OSNet has a layer fc before its embedding",
                came=f"fc=True with {self.name}",
                repair="leave fc out",
            )
        name = self.name.removesuffix(_IBN_A) if self.name in _IBN_RESNETS else self.name
        options: dict[str, Any] = {}
        if self.image_size is not None:
            options["img_size"] = self.image_size
        for key, value in (("channels", self.channels), ("layers", self.layers)):
            if value is not None:
                options[key] = value
        if not timm.is_model(name):
            near = [one for one in (*OSNETS, *_IBN_RESNETS) if one.startswith(name.split("_")[0] + "_")]
            near = near or timm.list_models(f"*{name[:8]}*")[:5]
            raise ExperimentError(
                "The backbone must be an architecture timm knows, an OSNet or a ResNet with IBN-a",
                came=repr(self.name),
                repair=f"did you mean one of {', '.join(near)}" if near else "see timm.list_models()",
            )
        try:
            network: nn.Module = timm.create_model(name, pretrained=False, num_classes=0, **options)
        except TypeError as error:
            raise ExperimentError(
                f"{self.name} must know the options it is given",
                came=f"{options} ({error})",
                repair="image_size is for ViT and Swin, channels and layers are for ResNets; leave the others out",
            ) from error
        if name != self.name:
            _to_ibn_a(network)
        return network

    def _create_osnet(self) -> nn.Module:
        settings = ("last_stride", "image_size", "channels", "layers")
        given = {key: value for key in settings if (value := getattr(self, key)) is not None}
        if given:
            raise ExperimentError(
                "An OSNet is known by its name alone, and its last stage has no stride",
                came=f"{given} with {self.name}",
                repair=f"leave {', '.join(given)} out; the name says the width",
            )
        return osnet(self.name, fc=self.fc)

    def _load(self, network: nn.Module) -> None:
        weights = Weights(self.weights)
        if weights.random:
            return
        path = weights.file
        if path is None:
            known = timm_tags(self.name)
            tag = weights.tag or (known[0] if known else "")
            if tag not in known:
                raise ExperimentError(
                    f"weights of {self.name} must be random, imagenet, a local file or a tag timm knows",
                    came=repr(self.weights),
                    repair=f"known tags: {', '.join(known) or 'none'}",
                )
            path = _named_file(self.name, tag)
        fit_weights(network, read_tensors(path), source=str(path))

    def _probe_size(self, network: nn.Module) -> tuple[int, int]:
        if self.image_size is not None:
            return self.image_size
        settings: Any = network.pretrained_cfg
        if settings.get("fixed_input_size"):
            _, height, width = settings["input_size"]
            return height, width
        return _PROBE_HEIGHT, _PROBE_WIDTH


def timm_tags(name: str) -> list[str]:
    """Tags of the pretrained weights timm lists for an architecture, its default first."""
    import timm
    from timm.models import get_pretrained_cfg

    tags = [full.partition(".")[2] for full in timm.list_pretrained(f"{name}.*")]
    settings: Any = get_pretrained_cfg(name) if tags else None
    first = settings.tag if settings is not None else None
    return sorted(tags, key=lambda tag: tag != first)


def synchronized(network: nn.Module) -> nn.Module:
    """The network with every batch norm taking its statistics over all processes; its parts are replaced in place.

    Parameters and buffers are the same tensors as before. By timm's conversion, not torch's: timm folds activations into some of
    its batch norms (MobileNet, EfficientNet), and torch's would drop them without a word.
    """
    from timm.layers.norm_act import convert_sync_batchnorm

    converted: nn.Module = convert_sync_batchnorm(network)
    return converted


def _named_file(name: str, tag: str) -> Path:
    from timm.models import get_pretrained_cfg

    full = f"{name}.{tag}"
    settings: Any = get_pretrained_cfg(full)
    if settings is None or not settings.hf_hub_id:
        raise CheckpointError(
            "Pretrained weights by name must have a hub repository",
            came=f"timm lists none for {full}",
            repair="get the file yourself and give its path as weights, or say weights='random'",
        )
    # "timm/" alone means: the repository is named like the weights.
    hub_id = f"timm/{full}" if settings.hf_hub_id == "timm/" else str(settings.hf_hub_id)
    return hub_file(hub_id, asked=full, filename=settings.hf_hub_filename)


def _is_resnet(network: nn.Module) -> bool:
    from timm.models.resnet import ResNet

    return isinstance(network, ResNet)


def _to_ibn_a(network: nn.Module) -> None:
    """A timm ResNet with the first norm of each block of its first three stages made half an instance norm, in place.

    As published: instance norm on the first half of the channels (Pan et al., arXiv 1807.09441).
    """
    for stage in _IBN_STAGES:
        for name, block in network.get_submodule(stage).named_children():
            norm: Any = block.bn1
            network.set_submodule(f"{stage}.{name}.bn1", HalfInstance.like(norm))


def _pool_rounding_up(network: nn.Module, name: str) -> None:
    """Windows of 3 with stride 2 that begin at the first pixel, instead of one before it."""
    pool = getattr(network, "maxpool", None)
    if not _is_resnet(network) or not isinstance(pool, nn.MaxPool2d):
        raise ExperimentError(
            "ceil_pool changes the max pool in the stem of a ResNet",
            came=f"ceil_pool=True with {name}",
            repair="leave ceil_pool out",
        )
    pool.padding, pool.ceil_mode = 0, True


def _stage_names(network: nn.Module, name: str) -> list[tuple[str, int]]:
    """Name and channels of the last four stages with different strides, or of four evenly spaced blocks."""
    known = {key for key, _ in network.named_modules()}
    found = [(str(f["module"]), int(f["num_chs"]), int(f["reduction"])) for f in getattr(network, "feature_info", ())]
    if len(found) < _STAGES or any(module not in known for module, _, _ in found):
        raise ExperimentError(
            "A backbone must expose at least four stages through timm's feature_info",
            came=f"{name} lists {[module for module, _, _ in found]}",
            repair="take another backbone, for example resnet50, convnext_tiny or vit_small_patch16_224",
        )
    last_of_stride = {reduction: (module, channels) for module, channels, reduction in found}
    if len(last_of_stride) >= _STAGES:
        return list(last_of_stride.values())[-_STAGES:]
    depth = len(found)
    picked = [found[-(-depth * quarter // _STAGES) - 1] for quarter in range(1, _STAGES + 1)]
    return [(module, channels) for module, channels, _ in picked]


def _keep_resolution(network: nn.Module, stages: list[tuple[str, int]], name: str) -> None:
    """Set every stride 2 between the third and the fourth stage to 1, without dilation."""
    before, last = stages[-2][0], stages[-1][0]
    names = [key for key, _ in network.named_modules()]
    opened = max(at for at, key in enumerate(names) if key == before or key.startswith(f"{before}."))
    closed = max(at for at, key in enumerate(names) if key == last or key.startswith(f"{last}."))
    leaves = {key: network.get_submodule(key) for key in names[opened + 1 : closed + 1]}
    strided = {k: m for k, m in leaves.items() if not list(m.children()) and getattr(m, "stride", 1) in (2, (2, 2))}
    fits = [
        isinstance(m, nn.AvgPool2d | nn.MaxPool2d) or (isinstance(m, nn.Conv2d) and m.kernel_size[0] % 2 == 1)
        for m in strided.values()
    ]
    if not fits or not all(fits):
        raise ExperimentError(
            "last_stride=1 needs a last stage whose stride sits in pools and convolutions of odd size",
            came=f"{name}, stage {last}, with {[type(m).__name__ for m in strided.values()] or 'no stride'}",
            repair="leave last_stride out for this backbone",
        )
    for key, module in strided.items():
        if isinstance(module, nn.Conv2d):
            module.stride = (1, 1)
        else:
            network.set_submodule(key, nn.Identity())


def _probe(network: nn.Module, name: str, stages: list[tuple[str, int]], size: tuple[int, int]) -> Trunk:
    """Run one blank image to see layouts and strides, and freeze parameters that the trunk does not use.

    Unused parameters (timm's own heads) would otherwise stop DistributedDataParallel and be decayed by the optimizer.
    Evaluation mode, no random number, no running statistic touched.
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
    prefix = int(getattr(network, "num_prefix_tokens", 0))
    records = [
        _record(number, module, channels, given[module].shape, size, network, name)
        for number, (module, channels) in enumerate(stages, 1)
    ]
    channels = int(network.num_features)  # type: ignore[arg-type]
    layout = _layout(final.shape, channels, network, name)
    return Trunk(
        name,
        network,
        tuple(records),
        channels,
        layout,
        prefix if layout == "tokens" else 0,
        ends_in_stage=final is given[stages[-1][0]],
    )


def _record(
    number: int, module: str, channels: int, shape: torch.Size, size: tuple[int, int], network: nn.Module, name: str
) -> Stage:
    layout = _layout(shape, channels, network, name)
    if layout == "tokens":
        prefix = int(getattr(network, "num_prefix_tokens", 0))
        stride = round((size[0] * size[1] / (shape[1] - prefix)) ** 0.5)
    else:
        prefix = 0
        stride = round(size[0] / shape[2 if layout == "nchw" else 1])
    return Stage(number, module, channels, stride, layout, prefix)


def _layout(shape: torch.Size, channels: int, network: nn.Module, name: str) -> Layout:
    last = str(getattr(network, "output_fmt", "")).upper() == "NHWC"
    if len(shape) == 3 and shape[2] == channels:
        return "tokens"
    if len(shape) == 4 and shape[3] == channels and (last or shape[1] != channels):
        return "nhwc"
    if len(shape) == 4 and shape[1] == channels:
        return "nchw"
    raise ExperimentError(
        "A stage must give maps or tokens with the channels timm lists for it",
        came=f"{name} gives shape {tuple(shape)} where {channels} channels are listed",
        repair="take another backbone",
    )
