"""Any timm backbone that exposes stages, as a trunk with ``Stage`` records. The only file that imports timm.

Two architectures used in re-identification are not in timm: OSNet (``osnet``), and ResNets with IBN-a, which are timm's with other
norms.

Deliberate differences from timm: ResNets keep the resolution of their last stage (last stride 1, standard in the field;
timm's ``output_stride`` would dilate instead), and weights are never downloaded unless named explicitly.
"""

import re
from dataclasses import dataclass
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from snreid.errors import CheckpointError, ExperimentError
from snreid.models.mobile_conv import quick_mobile
from snreid.models.norm_layers import HalfInstance
from snreid.models.osnet import OSNETS, osnet
from snreid.models.packaged_weights import PACKAGES
from snreid.models.pretrained import Weights, fit_weights, hub_file, read_tensors
from snreid.models.trunk import STAGES, Trunk, probe, stage_names

_PROBE_HEIGHT, _PROBE_WIDTH = 128, 64
_TRIED = 24
_IBN_A = "_ibn_a"
_IBN_RESNETS = tuple(f"resnet{depth}{_IBN_A}" for depth in (18, 34, 50, 101, 152))
_IBNSTAGES = ("layer1", "layer2", "layer3")


@dataclass(frozen=True, kw_only=True)
class Backbone:
    """A timm network and its weights.

    Raises:
        ExperimentError: Settings are invalid.
        CheckpointError: The weights are not available.
    """

    name: str = "resnet50"
    """A timm architecture, without tag; ``osnet_x1_0``, ``osnet_ibn_x1_0``, ``osnet_ain_x1_0`` (or x0_75, x0_5, x0_25); or
    ``resnet50_ibn_a`` (18, 34, 50, 101, 152)."""
    weights: str = "random"
    """``random``, ``imagenet``, a timm tag, or a local .safetensors/.pth file.

    ``imagenet`` takes the file of an installed package if there is one (``tf_efficientnet_lite0`` to ``2``, which expect images with
    mean and standard deviation 0.5: ``packaged_weights.py``), else timm's default tag, from the hub's cache or the hub.
    """
    last_stride: int | None = None
    """Stride of the last stage, 1 or 2. None: 1 for ResNets, unchanged for other backbones."""
    image_size: tuple[int, int] | None = None
    """Height and width of the input in pixels, for backbones that need it (ViT, Swin)."""
    channels: tuple[int, ...] | None = None
    """Widths of a ResNet's four stages, for a narrower or wider one (before a bottleneck's expansion)."""
    layers: tuple[int, ...] | None = None
    """Blocks in each of a ResNet's four stages."""
    fc: bool = False
    """OSNet's last layer: fc (512), batch norm and ReLU on the pooled maps, as in the paper and in torchreid."""
    ceil_pool: bool = False
    """A ResNet's max pool without padding, rounding up, as in fast-reid; its weights give the same embeddings only with it."""

    def __post_init__(self) -> None:
        if "." in self.name:
            name, tag = self.name.split(".", 1)
            raise ExperimentError(
                "A backbone's name is the architecture alone",
                found=repr(self.name),
                fix=f"write name={name!r}, weights={tag!r}",
            )
        if self.last_stride not in (None, 1, 2):
            raise ExperimentError("last_stride must be 1 or 2", found=f"{self.last_stride}")
        if self.image_size is not None and (
            len(self.image_size) != 2 or min(self.image_size) < 1 or max(self.image_size) > 2048
        ):
            raise ExperimentError(
                "image_size must be a height and a width from 1 to 2048 pixels", found=f"{self.image_size}"
            )
        for field, value, most in (("channels", self.channels, 8192), ("layers", self.layers, 256)):
            if value is not None and (len(value) != STAGES or min(value) < 1 or max(value) > most):
                raise ExperimentError(f"{field} must be {STAGES} numbers from 1 to {most}", found=f"{value}")
        Weights(self.weights)

    @property
    def weights_digest(self) -> str | None:
        """SHA-256 of the weight file, a local one or an installed package's; None for ``random`` and weights from the hub.

        Raises ``CheckpointError`` if the file is missing, or a package's file is not the expected one.
        """
        packaged = self._packaged()
        return Weights(self.weights if packaged is None else str(packaged)).digest

    def build(self) -> Trunk:
        """Build the network, load its weights, find its stages. Draws random weights from torch's global generator."""
        network = self._create()
        self._load(network)
        stride = self.last_stride
        if stride is None and _is_resnet(network):
            stride = 1
        names = stage_names(network, self.name)
        if stride == 1:
            _keep_resolution(network, names, self.name)
        if self.ceil_pool:
            _pool_rounding_up(network, self.name)
        quick_mobile(network)
        return probe(network, self.name, names, self._probe_size(network))

    def _create(self) -> nn.Module:
        import timm

        if self.name in OSNETS:
            return self._create_osnet()
        if self.fc:
            raise ExperimentError(
                "Only an OSNet has a layer fc before its embedding",
                found=f"fc=True with {self.name}",
                fix="leave fc out",
            )
        name = self.name.removesuffix(_IBN_A) if self.name in _IBN_RESNETS else self.name
        wanted: dict[str, Any] = {"img_size": self.image_size, "channels": self.channels, "layers": self.layers}
        options = {key: value for key, value in wanted.items() if value is not None}
        if not timm.is_model(name):
            near = [known for known in (*OSNETS, *_IBN_RESNETS) if known.startswith(name.split("_")[0] + "_")]
            near = near or timm.list_models(f"*{name[:8]}*")[:5]
            raise ExperimentError(
                "The backbone must be an architecture timm knows, an OSNet or a ResNet with IBN-a",
                found=repr(self.name),
                fix=f"did you mean one of {', '.join(near)}" if near else "see timm.list_models()",
            )
        try:
            network: nn.Module = timm.create_model(name, pretrained=False, num_classes=0, **options)
        except TypeError as error:
            raise ExperimentError(
                f"{self.name} must know the options it is given",
                found=f"{options} ({error})",
                fix="image_size is for ViT and Swin, channels and layers are for ResNets; leave the others out",
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
                found=f"{given} with {self.name}",
                fix=f"leave {', '.join(given)} out; the name says the width",
            )
        return osnet(self.name, fc=self.fc)

    def _load(self, network: nn.Module) -> None:
        weights = Weights(self.weights)
        if weights.random:
            return
        path = weights.file or self._packaged()
        if path is None:
            known = timm_tags(self.name)
            tag = weights.tag or (known[0] if known else "")
            if tag not in known:
                raise ExperimentError(
                    f"Weights of {self.name} must be random, imagenet, a local file or a tag timm knows",
                    found=repr(self.weights),
                    fix=f"known tags: {', '.join(known) or 'none'}",
                )
            path = _named_file(self.name, tag, default=not weights.tag)
        state = read_tensors(path)
        try:
            fit_weights(network, dict(state), source=str(path))
        except CheckpointError as error:
            fitting = _architecture_of(state, network, self.name)
            if fitting is None:
                raise
            raise CheckpointError(error.rule, found=f"{error.found}; they fit {fitting}", fix=error.fix) from error

    def _packaged(self) -> Path | None:
        """The weight file of an installed package, if the requested weights come in one."""
        package = PACKAGES.get(self.name) if self.weights == "imagenet" else None
        return package.path() if package is not None else None

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
    """The network with every batch norm computing its statistics over all processes; its parts are replaced in place.

    Parameters and buffers remain the same tensors. Uses timm's conversion, not torch's: timm folds activations into some of
    its batch norms (MobileNet, EfficientNet), and torch's would silently drop them.
    """
    from timm.layers.norm_act import convert_sync_batchnorm

    converted: nn.Module = convert_sync_batchnorm(network)
    return converted


def _named_file(name: str, tag: str, *, default: bool) -> Path:
    from timm.models import get_pretrained_cfg

    full = f"{name}.{tag}"
    settings: Any = get_pretrained_cfg(full)
    if settings is None or not settings.hf_hub_id:
        raise CheckpointError(
            "Pretrained weights by name must have a hub repository",
            found=f"timm lists none for {full}",
            fix="get the file yourself and give its path as weights, or say weights='random'",
        )
    # "timm/" alone means that the repository has the name of the weights.
    hub_id = f"timm/{full}" if settings.hf_hub_id == "timm/" else str(settings.hf_hub_id)
    package = PACKAGES.get(name) if default else None
    return hub_file(hub_id, asked=full, filename=settings.hf_hub_filename, package=package)


def _architecture_of(state: dict[str, Tensor], network: nn.Module, name: str) -> str | None:
    """The timm architecture that weights fit, searched among those of the network's timm module with the most similar names.

    Networks and weights are on the meta device: shapes without numbers.
    """
    import timm

    def likeness(other: str) -> tuple[bool, float]:
        """Names that match up to their first digit rank before all others."""
        stem, theirs = (re.sub(r"\d.*", "", text) for text in (name, other))
        return stem == theirs, SequenceMatcher(None, name, other).ratio()

    shapes = {key: value.to("meta") for key, value in state.items()}
    known: list[str] = timm.list_models(module=type(network).__module__.rpartition(".")[2])
    for other in sorted(known, key=likeness, reverse=True)[:_TRIED]:
        try:
            with torch.device("meta"):
                fit_weights(timm.create_model(other, pretrained=False, num_classes=0), dict(shapes), source=other)
        except Exception:  # most do not fit, and some architectures cannot be built on the meta device
            continue
        return other
    return None


def _is_resnet(network: nn.Module) -> bool:
    from timm.models.resnet import ResNet

    return isinstance(network, ResNet)


def _to_ibn_a(network: nn.Module) -> None:
    """Replace in place the first norm of each block in the first three stages of a timm ResNet by IBN-a (arXiv 1807.09441)."""
    for stage in _IBNSTAGES:
        for name, block in network.get_submodule(stage).named_children():
            norm: Any = block.bn1
            network.set_submodule(f"{stage}.{name}.bn1", HalfInstance.like(norm))


def _pool_rounding_up(network: nn.Module, name: str) -> None:
    """Max-pool windows of 3 with stride 2 that begin at the first pixel instead of one before it."""
    pool = getattr(network, "maxpool", None)
    if not _is_resnet(network) or not isinstance(pool, nn.MaxPool2d):
        raise ExperimentError(
            "ceil_pool changes the max pool in the stem of a ResNet",
            found=f"ceil_pool=True with {name}",
            fix="leave ceil_pool out",
        )
    pool.padding, pool.ceil_mode = 0, True


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
            found=f"{name}, stage {last}, with {[type(m).__name__ for m in strided.values()] or 'no stride'}",
            fix="leave last_stride out for this backbone",
        )
    for key, module in strided.items():
        if isinstance(module, nn.Conv2d):
            module.stride = (1, 1)
        else:
            network.set_submodule(key, nn.Identity())
