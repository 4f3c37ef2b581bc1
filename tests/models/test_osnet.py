"""OSNet: forward against a slow twin from the tensors of foreign checkpoints, sizes, schemes, refusals."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from snreid.errors import CheckpointError, ExperimentError
from snreid.models import (
    IBN,
    AllBatchInstance,
    AllInstance,
    AllSwitchable,
    Backbone,
    EFDMix,
    IBNb,
    MixStyle,
    ModelConfig,
    Plain,
    Scheme,
    StageInstance,
    StageSNR,
)
from snreid.models.osnet import OSNETS
from support.foreign import State, add_conv, add_norm, close, normalized, wrapped

WIDTHS = {"x1_0": (64, 256, 384, 512), "x0_5": (32, 128, 192, 256), "x0_25": (16, 64, 96, 128)}
NAMES = ("osnet_x1_0", "osnet_x0_5", "osnet_x0_25", "osnet_ibn_x1_0", "osnet_ain_x1_0", "osnet_ain_x0_25")
SMALL = ("osnet_x0_25", "osnet_ibn_x0_25", "osnet_ain_x0_25", "resnet18_ibn_a")
ONCE: tuple[Scheme, ...] = (
    Plain(),
    StageInstance(),
    StageSNR(gate="spatial"),
    MixStyle(probability=1.0),
    EFDMix(probability=1.0),
)
AIN_BLOCKS = {"conv2.0", "conv2.1", "conv3.1", "conv4.0"}
IBN_BLOCKS = {"conv2.0", "conv2.1"}


# A checkpoint with torchreid's names, tensor by tensor.


def _lite_names(block: str, ain: bool) -> list[list[str]]:
    """The Lite 3 x 3 of the four streams, in order."""
    if ain:
        return [[f"{block}.conv2.{depth - 1}.layers.{at}" for at in range(depth)] for depth in (1, 2, 3, 4)]
    return [[f"{block}.conv2a"]] + [
        [f"{block}.conv2{letter}.{at}" for at in range(depth)] for letter, depth in (("b", 2), ("c", 3), ("d", 4))
    ]


def _transition(stage: str, ain: bool) -> str:
    return f"pool{stage[-1]}.0" if ain else f"{stage}.2.0"


def _block(state: State, name: str, inner: int, outer: int, kind: str) -> None:
    middle = outer // 4
    add_conv(state, f"{name}.conv1.conv", inner, middle)
    add_norm(state, f"{name}.conv1.bn", middle)
    for stream in _lite_names(name, kind == "ain"):
        for lite in stream:
            add_conv(state, f"{lite}.conv1", middle, middle)
            add_conv(state, f"{lite}.conv2", 1, middle, 3)
            add_norm(state, f"{lite}.bn", middle)
    add_conv(state, f"{name}.gate.fc1", middle, middle // 16, bias=True)
    add_conv(state, f"{name}.gate.fc2", middle // 16, middle, bias=True)
    add_conv(state, f"{name}.conv3.conv", middle, outer)
    inside = kind == "ain" and name in AIN_BLOCKS
    if not inside:
        add_norm(state, f"{name}.conv3.bn", outer)
    if inside or (kind == "ibn" and name in IBN_BLOCKS):
        add_norm(state, f"{name}.IN", outer, running=False)
    if inner != outer:
        add_conv(state, f"{name}.downsample.conv", inner, outer)
        add_norm(state, f"{name}.downsample.bn", outer)


def _kind(name: str) -> str:
    return next((kind for kind in ("ibn", "ain") if kind in name), "plain")


def _torchreid(name: str, persons: int = 751) -> State:
    kind, widths = _kind(name), WIDTHS[name[name.index("x") :]]
    state: State = {}
    add_conv(state, "conv1.conv", 3, widths[0], 7)
    add_norm(state, "conv1.bn", widths[0], running=kind == "plain")
    for at, stage in enumerate(("conv2", "conv3", "conv4")):
        _block(state, f"{stage}.0", widths[at], widths[at + 1], kind)
        _block(state, f"{stage}.1", widths[at + 1], widths[at + 1], kind)
        if stage != "conv4":
            add_conv(state, f"{_transition(stage, kind == 'ain')}.conv", widths[at + 1], widths[at + 1])
            add_norm(state, f"{_transition(stage, kind == 'ain')}.bn", widths[at + 1])
    add_conv(state, "conv5.conv", widths[3], widths[3])
    add_norm(state, "conv5.bn", widths[3])
    state |= {"fc.0.weight": torch.randn(512, widths[3]) / widths[3] ** 0.5, "fc.0.bias": torch.randn(512)}
    add_norm(state, "fc.1", 512)
    return state | {"classifier.weight": torch.randn(persons, 512), "classifier.bias": torch.randn(persons)}


# The slow twin: the papers' equations, from the tensors of such a checkpoint.


def _conv_norm(x: Tensor, state: State, name: str, **options: Any) -> Tensor:
    return normalized(functional.conv2d(x, state[f"{name}.conv.weight"], **options), state, f"{name}.bn")


def _twin_block(x: Tensor, state: State, name: str, kind: str) -> Tensor:
    reduced = torch.relu(_conv_norm(x, state, f"{name}.conv1"))
    total = torch.zeros_like(reduced)
    for stream in _lite_names(name, kind == "ain"):
        y = reduced
        for lite in stream:
            y = functional.conv2d(y, state[f"{lite}.conv1.weight"])
            y = functional.conv2d(y, state[f"{lite}.conv2.weight"], padding=1, groups=y.shape[1])
            y = torch.relu(normalized(y, state, f"{lite}.bn"))
        mean = y.mean((2, 3))
        hidden = torch.relu(mean @ state[f"{name}.gate.fc1.weight"].flatten(1).T + state[f"{name}.gate.fc1.bias"])
        gate = torch.sigmoid(hidden @ state[f"{name}.gate.fc2.weight"].flatten(1).T + state[f"{name}.gate.fc2.bias"])
        total = total + gate[:, :, None, None] * y
    if kind == "ain" and name in AIN_BLOCKS:
        branch = functional.conv2d(total, state[f"{name}.conv3.conv.weight"])
        branch = normalized(branch, state, f"{name}.IN")
    else:
        branch = _conv_norm(total, state, f"{name}.conv3")
    x = _conv_norm(x, state, f"{name}.downsample") if f"{name}.downsample.conv.weight" in state else x
    y = x + branch
    return torch.relu(normalized(y, state, f"{name}.IN") if kind == "ibn" and name in IBN_BLOCKS else y)


def _twin(images: Tensor, state: State, name: str) -> dict[str, Tensor]:
    """Maps by stage, and the embedding."""
    kind, given = _kind(name), {}
    x = torch.relu(_conv_norm(images, state, "conv1", stride=2, padding=3))
    x = functional.max_pool2d(x, 3, 2, 1)
    for stage in ("conv2", "conv3", "conv4"):
        for block in (0, 1):
            x = _twin_block(x, state, f"{stage}.{block}", kind)
        given[stage] = x
        if stage != "conv4":
            x = torch.relu(_conv_norm(x, state, _transition(stage, kind == "ain")))
            x = functional.avg_pool2d(x, 2)
    given["conv5"] = x = torch.relu(_conv_norm(x, state, "conv5"))
    vector = x.mean((2, 3)) @ state["fc.0.weight"].T + state["fc.0.bias"]
    given["fc"] = torch.relu(normalized(vector, state, "fc.1"))
    return given


@pytest.mark.parametrize(
    ("name", "shape"),
    [(name, "torchreid") for name in NAMES]
    + [
        ("osnet_x0_25", "bare"),
        ("osnet_x0_25", "fast-reid"),
        ("osnet_ibn_x1_0", "fast-reid"),
        ("osnet_ain_x0_25", "bare"),
    ],
)
def test_a_foreign_checkpoint_gives_the_maps_of_the_twin(name: str, shape: str, tmp_path: Path) -> None:
    torch.manual_seed(3)
    state, images = _torchreid(name), torch.randn(2, 3, 64, 32)
    path = tmp_path / "model.pth.tar-60"
    torch.save(wrapped(state, shape), path)
    trunk = Backbone(name=name, weights=str(path)).build()
    given: dict[str, Tensor] = {}
    for stage in trunk.stages:
        trunk.network.get_submodule(stage.name).register_forward_hook(
            lambda _m, _i, out, key=stage.name: given.__setitem__(key, out)
        )
    with torch.no_grad():
        final = trunk.network.eval().forward_features(images)  # type: ignore[operator]
    expected = _twin(images, state, name)
    assert list(given) == ["conv2", "conv3", "conv4", "conv5"]
    assert all(close(given[key], expected[key]) for key in given)
    assert final is given["conv5"] and trunk.ends_in_stage


@pytest.mark.parametrize("name", ["osnet_x0_25", "osnet_ibn_x1_0", "osnet_ain_x0_25"])
def test_with_fc_a_torchreid_checkpoint_embeds_as_there(name: str, tmp_path: Path) -> None:
    torch.manual_seed(4)
    state, images = _torchreid(name), torch.randn(3, 3, 64, 32)
    torch.save(wrapped(state, "torchreid"), tmp_path / "model.pth.tar")
    config = ModelConfig(backbone=Backbone(name=name, weights=str(tmp_path / "model.pth.tar"), fc=True))
    with torch.no_grad():
        found = config.build(5).eval().embed(images)
    # The neck of a new head divides by sqrt(1 + eps).
    assert close(found * math.sqrt(1 + 1e-5), _twin(images, state, name)["fc"])


def test_fc_wants_its_tensors(tmp_path: Path) -> None:
    torch.save(wrapped(_torchreid("osnet_x0_25"), "fast-reid"), tmp_path / "fast.pth")
    with pytest.raises(CheckpointError, match=r"6 missing \(fc\.0\.weight"):
        Backbone(name="osnet_x0_25", weights=str(tmp_path / "fast.pth"), fc=True).build()


@pytest.mark.parametrize("other", ["osnet_ibn_x0_25", "osnet_ain_x0_25", "osnet_x0_5"])
def test_the_weights_of_another_osnet_are_refused(other: str, tmp_path: Path) -> None:
    torch.save(_torchreid("osnet_x0_25"), tmp_path / "w.pth")
    with pytest.raises(CheckpointError, match="tensor by tensor"):
        Backbone(name=other, weights=str(tmp_path / "w.pth")).build()


@pytest.mark.parametrize(
    ("name", "millions"),
    [
        ("osnet_x1_0", 2.2),
        ("osnet_x0_75", 1.3),
        ("osnet_x0_5", 0.6),
        ("osnet_x0_25", 0.2),
        ("osnet_ibn_x1_0", 2.2),
        ("osnet_ain_x1_0", 2.2),
    ],
)
def test_sizes_are_those_of_the_papers(name: str, millions: float) -> None:
    """Table 3 of arXiv 1905.00953 counts fc and no classifier."""
    network = Backbone(name=name, fc=True).build().network
    assert round(sum(p.numel() for p in network.parameters()) / 1e6, 1) == millions
    assert all(p.requires_grad for p in network.parameters())


def test_twelve_networks_have_their_stages() -> None:
    assert len(OSNETS) == 12
    for name in OSNETS:
        trunk = Backbone(name=name).build()
        assert [(s.name, s.stride, s.layout) for s in trunk.stages] == [
            ("conv2", 4, "nchw"),
            ("conv3", 8, "nchw"),
            ("conv4", 16, "nchw"),
            ("conv5", 16, "nchw"),
        ]
        assert trunk.channels == trunk.stages[-1].channels
    assert Backbone(name="osnet_x0_25", fc=True).build().channels == 512


def test_scales_of_the_streams() -> None:
    """A position of stream t sees 2 t + 1 pixels around it (arXiv 1905.00953, section 3.1), and all streams have one gate."""
    block = Backbone(name="osnet_x0_25").build().network.get_submodule("conv2.0").eval()
    for depth, stream in enumerate(block.conv2, 1):  # type: ignore[arg-type]
        for module in stream.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.ones_(module.weight)
        dot = torch.zeros(1, 16, 11, 11)
        dot[..., 5, 5] = 1
        assert int((stream(dot) > 0)[0, 0].any(1).sum()) == 2 * depth + 1
    assert [name for name, _ in block.named_children()].count("gate") == 1


@pytest.mark.parametrize(
    ("name", "scheme"),
    [("osnet_x0_25", scheme) for scheme in ONCE]
    + [(name, scheme) for name in SMALL for scheme in (AllInstance(), AllSwitchable(), AllBatchInstance(), StageSNR())],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_schemes_fit_and_learn(name: str, scheme: Scheme) -> None:
    torch.manual_seed(5)
    model = ModelConfig(backbone=Backbone(name=name), scheme=scheme).build(4)
    outputs = model(torch.randn(4, 3, 64, 32))
    functional.cross_entropy(outputs.logits, torch.arange(4)).backward()
    # SNR's last residue and a channel without any activation may have gradients of 0, never none.
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.backbone.parameters())
    assert model.eval().embed(torch.randn(2, 3, 64, 32)).isfinite().all()


@pytest.mark.parametrize("scheme", [StageSNR(), StageInstance()])
def test_with_fc_what_follows_conv5_comes_before_it(scheme: Scheme) -> None:
    model = ModelConfig(backbone=Backbone(name="osnet_x0_25", fc=True), scheme=scheme).build(4).eval()
    images = torch.randn(2, 3, 64, 32)
    seen: list[Tensor] = []
    model.backbone.get_submodule("fc.0").register_forward_pre_hook(lambda _m, given: seen.append(given[0]))
    model.after["4"].register_forward_hook(lambda _m, _i, maps: seen.append(maps.mean((2, 3))))
    model.embed(images)
    after, before = seen
    assert torch.allclose(after, before, atol=1e-6)


@pytest.mark.parametrize(("scheme", "words"), [(IBN(), "IBN-a is defined"), (IBNb(), "IBN-b is defined")])
@pytest.mark.parametrize("name", SMALL[:3])
def test_ibn_says_in_a_sentence_that_it_does_not_fit(name: str, scheme: Scheme, words: str) -> None:
    trunk = Backbone(name=name).build()
    before = list(trunk.network.state_dict())
    with pytest.raises(ExperimentError, match=f"{words}.*{name}"):
        scheme.apply(trunk)
    assert list(trunk.network.state_dict()) == before, "untouched"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"name": "osnet_x0_25", "last_stride": 1}, "last_stride.*leave last_stride out"),
        ({"name": "osnet_x0_25", "channels": (1, 2, 3, 4), "image_size": (64, 32)}, "leave image_size, channels out"),
        ({"name": "osnet_x0_25", "ceil_pool": True}, "leave ceil_pool out"),
        ({"name": "osnet_x2_0"}, "did you mean one of osnet_x1_0, osnet_x0_75"),
        ({"name": "osnet"}, "did you mean one of osnet_x1_0"),
        ({"name": "osnet_x1_0", "weights": "imagenet"}, "a local file.*known tags: none"),
    ],
    ids=lambda value: str(value),
)
def test_what_these_networks_cannot_do_is_told(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ExperimentError, match=words):
        Backbone(**options).build()
