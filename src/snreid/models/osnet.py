"""OSNet, a small network for re-identification: every block extracts features at four scales and weights them per image.

Written from the papers: OSNet arXiv 1905.00953, OSNet-IBN and OSNet-AIN arXiv 1910.06827. The trunk is conv1 to conv5 and ends in maps,
like every other backbone here, and like fast-reid's OSNet. The published embedding has one more layer: fc (512), batch norm and ReLU on
the pooled maps. With ``fc=True`` the trunk ends in that vector, as maps of one position, so that a torchreid checkpoint gives the same
embeddings as in torchreid. Otherwise a checkpoint's fc is dropped, like a classifier.

The four stages are the blocks of conv2, conv3 and conv4, up to the ReLU of the last addition and before the transition that halves the
maps, and conv5. Tensors are named as in torchreid's OSNet-AIN; ``checkpoint_filter_fn`` translates the names of its plain and IBN networks.
"""

import re
from typing import Any, Literal

from torch import Tensor, nn

from snreid.models.norm_layers import AffineInstance
from snreid.tensors import Images, Maps

Place = Literal["none", "sum", "branch"]
"""Where a block has its instance norm: nowhere; after the addition (IBN); instead of the last batch norm before it (AIN)."""

_WIDTHS = {
    "x1_0": (64, 256, 384, 512),
    "x0_75": (48, 192, 288, 384),
    "x0_5": (32, 128, 192, 256),
    "x0_25": (16, 64, 96, 128),
}
_PLACES: dict[str, tuple[Place, ...]] = {
    "osnet": ("none",) * 6,
    "osnet_ibn": ("sum", "sum", "none", "none", "none", "none"),
    "osnet_ain": ("branch", "branch", "none", "branch", "branch", "none"),
}
_SCALES = 4
_REDUCTION = 4
_GATE_REDUCTION = 16
_EMBEDDING = 512

OSNETS = tuple(f"{kind}_{width}" for kind in _PLACES for width in _WIDTHS)
"""The names: ``osnet_x1_0``, ``osnet_ibn_x0_5``, ``osnet_ain_x0_25``, ..."""


class ConvNorm(nn.Module):
    """Convolution without bias, norm, and an optional ReLU."""

    def __init__(
        self,
        inner: int,
        outer: int,
        *,
        kernel: int = 1,
        stride: int = 1,
        norm: nn.Module | None = None,
        relu: bool = True,
    ) -> None:
        """``norm``: a batch norm by default."""
        super().__init__()
        self.conv = nn.Conv2d(inner, outer, kernel, stride=stride, padding=kernel // 2, bias=False)
        self.bn = nn.BatchNorm2d(outer) if norm is None else norm
        self.relu = nn.ReLU(inplace=True) if relu else nn.Identity()

    def forward(self, maps: Maps) -> Tensor:
        """(B, C, H, W) -> (B, C', H', W')."""
        return self.relu(self.bn(self.conv(maps)))  # type: ignore[no-any-return]


class LiteConv(nn.Module):
    """Lite 3 x 3: pointwise, then depthwise convolution, batch norm, ReLU (arXiv 1905.00953, section 3.1)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 1, bias=False)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False)
        self.bn = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, maps: Maps) -> Maps:
        """(B, C, H, W) -> (B, C, H, W)."""
        return self.relu(self.bn(self.conv2(self.conv1(maps))))  # type: ignore[no-any-return]


class Stream(nn.Module):
    """t Lite 3 x 3 in a row: a receptive field of 2 t + 1 pixels."""

    def __init__(self, channels: int, depth: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(*(LiteConv(channels) for _ in range(depth)))

    def forward(self, maps: Maps) -> Maps:
        """(B, C, H, W) -> (B, C, H, W)."""
        return self.layers(maps)  # type: ignore[no-any-return]


class AggregationGate(nn.Module):
    """x * sigmoid(fc2 ReLU fc1 mean(x)): a weight per image and channel, from one small network shared by all streams of a block."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        hidden = channels // _GATE_REDUCTION
        self.fc1, self.fc2 = nn.Conv2d(channels, hidden, 1), nn.Conv2d(hidden, channels, 1)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, maps: Maps) -> Maps:
        """(B, C, H, W) -> (B, C, H, W)."""
        weight: Tensor = self.fc2(self.relu(self.fc1(maps.mean((2, 3), keepdim=True))))
        return maps * weight.sigmoid()


class OSBlock(nn.Module):
    """y = ReLU(x + conv3 sum_t G(F_t(conv1 x))), t = 1 to 4 (arXiv 1905.00953, equations 1 to 3), with instance norm at ``place``."""

    def __init__(self, inner: int, outer: int, place: Place) -> None:
        super().__init__()
        middle = outer // _REDUCTION
        self.place = place
        self.conv1 = ConvNorm(inner, middle)
        self.conv2 = nn.ModuleList(Stream(middle, depth) for depth in range(1, _SCALES + 1))
        self.gate = AggregationGate(middle)
        self.conv3 = ConvNorm(middle, outer, norm=nn.Identity() if place == "branch" else None, relu=False)
        self.downsample = ConvNorm(inner, outer, relu=False) if inner != outer else nn.Identity()
        self.IN = nn.Identity() if place == "none" else AffineInstance(outer)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, maps: Maps) -> Tensor:
        """(B, C, H, W) -> (B, C', H, W)."""
        reduced = self.conv1(maps)
        first, *rest = (self.gate(stream(reduced)) for stream in self.conv2)
        for weighed in rest:
            first = first + weighed
        branch = self.conv3(first)
        if self.place == "branch":
            branch = self.IN(branch)
        total = branch + self.downsample(maps)
        if self.place == "sum":
            total = self.IN(total)
        return self.relu(total)  # type: ignore[no-any-return]


class OSNet(nn.Module):
    """The trunk, with the parts of a timm network's interface used here: ``feature_info``, ``num_features``, ``forward_features``."""

    def __init__(self, widths: tuple[int, int, int, int], places: tuple[Place, ...], *, fc: bool = False) -> None:
        """``widths``: channels of conv1 to conv4. ``places``: where each of the six blocks has its instance norm; if any block has one,
        conv1 has one too. Random weights come from torch's global generator."""
        super().__init__()
        stem, *_, last = widths
        instance = any(place != "none" for place in places)
        self.conv1 = ConvNorm(3, stem, kernel=7, stride=2, norm=AffineInstance(stem) if instance else None)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        self.conv2, self.conv3, self.conv4 = (
            nn.Sequential(OSBlock(inner, outer, first), OSBlock(outer, outer, second))
            for inner, outer, first, second in zip(widths, widths[1:], places[::2], places[1::2], strict=False)
        )
        self.pool2, self.pool3 = (
            nn.Sequential(ConvNorm(width, width), nn.AvgPool2d(2, stride=2)) for width in widths[1:3]
        )
        self.conv5 = ConvNorm(last, last)
        self.fc = nn.Sequential(nn.Linear(last, _EMBEDDING), nn.BatchNorm1d(_EMBEDDING), nn.ReLU()) if fc else None
        self.num_features = _EMBEDDING if fc else last
        self.feature_info = [
            {"module": module, "num_chs": width, "reduction": stride}
            for module, width, stride in zip(
                ("conv2", "conv3", "conv4", "conv5"), (*widths[1:], last), (4, 8, 16, 16), strict=True
            )
        ]
        self.pretrained_cfg: dict[str, Any] = {}
        self._draw()

    def forward_features(self, images: Images) -> Tensor:
        """(B, 3, H, W) -> (B, C, H / 16, W / 16); with fc (B, 512, 1, 1)."""
        maps = self.pool2(self.conv2(self.maxpool(self.conv1(images))))
        maps = self.conv5(self.conv4(self.pool3(self.conv3(maps))))
        if self.fc is None:
            return maps  # type: ignore[no-any-return]
        return self.fc(maps.mean((2, 3)))[:, :, None, None]  # type: ignore[no-any-return]

    def forward(self, images: Images) -> Tensor:
        """As ``forward_features``."""
        return self.forward_features(images)

    def _draw(self) -> None:
        """Initialize: convolutions after He et al. (fan-out), fc with standard deviation 0.01, biases 0; norms keep their defaults."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            elif isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=0.01)
            if isinstance(module, nn.Conv2d | nn.Linear) and module.bias is not None:
                nn.init.zeros_(module.bias)


def osnet(name: str, *, fc: bool = False) -> OSNet:
    """The network of a name in ``OSNETS``, with random weights."""
    kind, _, width = name.partition("_x")
    return OSNet(_WIDTHS[f"x{width}"], _PLACES[kind], fc=fc)


def checkpoint_filter_fn(state: dict[str, Tensor], network: nn.Module) -> dict[str, Tensor]:
    """Renames a checkpoint's tensors to the names used here, from torchreid's and fast-reid's plain and IBN networks. (The function name is
    timm's.)"""
    return {_own_name(name): value for name, value in state.items()}


def _own_name(name: str) -> str:
    """conv2.2 -> pool2 (transition); conv2a -> conv2.0.layers.0 (a stream of one layer), conv2b -> conv2.1.layers, and so on."""
    name = re.sub(r"^conv([23])\.2\.", r"pool\1.", name)
    name = name.replace(".conv2a.", ".conv2.0.layers.0.")
    return re.sub(r"\.conv2([b-d])\.", lambda match: f".conv2.{'abcd'.index(match[1])}.layers.", name)
