"""OSNet and ResNets with IBN-a: forward against a slow twin from the tensors of foreign checkpoints, sizes, schemes, refusals."""

import math
import re
from pathlib import Path
from typing import Any

import numpy as np
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

State = dict[str, Tensor]
WIDTHS = {"x1_0": (64, 256, 384, 512), "x0_5": (32, 128, 192, 256), "x0_25": (16, 64, 96, 128)}
NAMES = ("osnet_x1_0", "osnet_x0_5", "osnet_x0_25", "osnet_ibn_x1_0", "osnet_ain_x1_0", "osnet_ain_x0_25")
SMALL = ("osnet_x0_25", "osnet_ibn_x0_25", "osnet_ain_x0_25", "resnet18_ibn_a")
AIN_BLOCKS = {"conv2.0", "conv2.1", "conv3.1", "conv4.0"}
IBN_BLOCKS = {"conv2.0", "conv2.1"}


# A checkpoint as torchreid writes it, tensor by tensor.


def _conv(state: State, name: str, inner: int, outer: int, size: int = 1, bias: bool = False) -> None:
    state[f"{name}.weight"] = torch.randn(outer, inner, size, size) * math.sqrt(2 / (inner * size * size))
    if bias:
        state[f"{name}.bias"] = torch.randn(outer)


def _norm(state: State, name: str, channels: int, running: bool = True) -> None:
    state[f"{name}.weight"] = torch.rand(channels) + 0.5
    state[f"{name}.bias"] = torch.randn(channels) * 0.2
    if running:
        state[f"{name}.running_mean"] = torch.randn(channels) * 0.2
        state[f"{name}.running_var"] = torch.rand(channels) + 0.5
        state[f"{name}.num_batches_tracked"] = torch.tensor(7)


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
    _conv(state, f"{name}.conv1.conv", inner, middle)
    _norm(state, f"{name}.conv1.bn", middle)
    for stream in _lite_names(name, kind == "ain"):
        for lite in stream:
            _conv(state, f"{lite}.conv1", middle, middle)
            _conv(state, f"{lite}.conv2", 1, middle, 3)
            _norm(state, f"{lite}.bn", middle)
    _conv(state, f"{name}.gate.fc1", middle, middle // 16, bias=True)
    _conv(state, f"{name}.gate.fc2", middle // 16, middle, bias=True)
    _conv(state, f"{name}.conv3.conv", middle, outer)
    inside = kind == "ain" and name in AIN_BLOCKS
    if not inside:
        _norm(state, f"{name}.conv3.bn", outer)
    if inside or (kind == "ibn" and name in IBN_BLOCKS):
        _norm(state, f"{name}.IN", outer, running=False)
    if inner != outer:
        _conv(state, f"{name}.downsample.conv", inner, outer)
        _norm(state, f"{name}.downsample.bn", outer)


def _kind(name: str) -> str:
    return next((kind for kind in ("ibn", "ain") if kind in name), "plain")


def _torchreid(name: str, persons: int = 751) -> State:
    kind, widths = _kind(name), WIDTHS[name[name.index("x") :]]
    state: State = {}
    _conv(state, "conv1.conv", 3, widths[0], 7)
    _norm(state, "conv1.bn", widths[0], running=kind == "plain")
    for at, stage in enumerate(("conv2", "conv3", "conv4")):
        _block(state, f"{stage}.0", widths[at], widths[at + 1], kind)
        _block(state, f"{stage}.1", widths[at + 1], widths[at + 1], kind)
        if stage != "conv4":
            _conv(state, f"{_transition(stage, kind == 'ain')}.conv", widths[at + 1], widths[at + 1])
            _norm(state, f"{_transition(stage, kind == 'ain')}.bn", widths[at + 1])
    _conv(state, "conv5.conv", widths[3], widths[3])
    _norm(state, "conv5.bn", widths[3])
    state |= {"fc.0.weight": torch.randn(512, widths[3]) / widths[3] ** 0.5, "fc.0.bias": torch.randn(512)}
    _norm(state, "fc.1", 512)
    return state | {"classifier.weight": torch.randn(persons, 512), "classifier.bias": torch.randn(persons)}


# The slow twin: the papers' equations, from the tensors of such a checkpoint.


def _normalized(x: Tensor, state: State, name: str) -> Tensor:
    """By running statistics where the checkpoint has them, else by the image's own."""
    shape = (1, -1, *[1] * (x.ndim - 2))
    if f"{name}.running_mean" in state:
        mean, variance = state[f"{name}.running_mean"].view(shape), state[f"{name}.running_var"].view(shape)
    else:
        mean, variance = x.mean((2, 3), keepdim=True), x.var((2, 3), keepdim=True, correction=0)
    x = (x - mean) / torch.sqrt(variance + 1e-5)
    return x * state[f"{name}.weight"].view(shape) + state[f"{name}.bias"].view(shape)


def _conv_norm(x: Tensor, state: State, name: str, **options: Any) -> Tensor:
    return _normalized(functional.conv2d(x, state[f"{name}.conv.weight"], **options), state, f"{name}.bn")


def _twin_block(x: Tensor, state: State, name: str, kind: str) -> Tensor:
    reduced = torch.relu(_conv_norm(x, state, f"{name}.conv1"))
    total = torch.zeros_like(reduced)
    for stream in _lite_names(name, kind == "ain"):
        y = reduced
        for lite in stream:
            y = functional.conv2d(y, state[f"{lite}.conv1.weight"])
            y = functional.conv2d(y, state[f"{lite}.conv2.weight"], padding=1, groups=y.shape[1])
            y = torch.relu(_normalized(y, state, f"{lite}.bn"))
        mean = y.mean((2, 3))
        hidden = torch.relu(mean @ state[f"{name}.gate.fc1.weight"].flatten(1).T + state[f"{name}.gate.fc1.bias"])
        gate = torch.sigmoid(hidden @ state[f"{name}.gate.fc2.weight"].flatten(1).T + state[f"{name}.gate.fc2.bias"])
        total = total + gate[:, :, None, None] * y
    if kind == "ain" and name in AIN_BLOCKS:
        branch = functional.conv2d(total, state[f"{name}.conv3.conv.weight"])
        branch = _normalized(branch, state, f"{name}.IN")
    else:
        branch = _conv_norm(total, state, f"{name}.conv3")
    x = _conv_norm(x, state, f"{name}.downsample") if f"{name}.downsample.conv.weight" in state else x
    y = x + branch
    return torch.relu(_normalized(y, state, f"{name}.IN") if kind == "ibn" and name in IBN_BLOCKS else y)


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
    given["fc"] = torch.relu(_normalized(vector, state, "fc.1"))
    return given


def _wrapped(state: State, shape: str) -> Any:
    """A checkpoint as people have it: torchreid's from several GPUs, fast-reid's, the bare tensors."""
    if shape == "torchreid":
        optimizer = torch.optim.Adam([nn.Parameter(torch.zeros(2))]).state_dict()
        parallel = {f"module.{key}": value for key, value in state.items()}
        return {"state_dict": parallel, "epoch": 60, "rank1": np.float64(0.94), "optimizer": optimizer}
    if shape == "fast-reid":
        trunk = {f"backbone.{key}": value for key, value in state.items() if not key.startswith(("fc.", "classifier."))}
        heads = {"heads.weight": torch.randn(702, 512), "heads.bottleneck.0.bias": torch.zeros(512)}
        return {"model": trunk | heads | {"heads.pool_layer.p": torch.ones(1)}, "iteration": 9}
    return state


def _close(found: Tensor, expected: Tensor) -> bool:
    return torch.allclose(found, expected, rtol=1e-4, atol=1e-5 * float(expected.abs().max()))


@pytest.mark.parametrize("shape", ["bare", "torchreid", "fast-reid"])
@pytest.mark.parametrize("name", NAMES)
def test_a_foreign_checkpoint_gives_the_maps_of_the_twin(name: str, shape: str, tmp_path: Path) -> None:
    torch.manual_seed(3)
    state, images = _torchreid(name), torch.randn(2, 3, 64, 32)
    path = tmp_path / "model.pth.tar-60"
    torch.save(_wrapped(state, shape), path)
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
    assert all(_close(given[key], expected[key]) for key in given)
    assert final is given["conv5"] and trunk.ends_in_stage


@pytest.mark.parametrize("name", ["osnet_x0_25", "osnet_ibn_x1_0", "osnet_ain_x0_25"])
def test_with_fc_a_torchreid_checkpoint_embeds_as_there(name: str, tmp_path: Path) -> None:
    torch.manual_seed(4)
    state, images = _torchreid(name), torch.randn(3, 3, 64, 32)
    torch.save(_wrapped(state, "torchreid"), tmp_path / "model.pth.tar")
    config = ModelConfig(backbone=Backbone(name=name, weights=str(tmp_path / "model.pth.tar"), fc=True))
    with torch.no_grad():
        found = config.build(5).eval().embed(images)
    # The neck of a new head divides by sqrt(1 + eps).
    assert _close(found * math.sqrt(1 + 1e-5), _twin(images, state, name)["fc"])


def test_fc_wants_its_tensors(tmp_path: Path) -> None:
    torch.save(_wrapped(_torchreid("osnet_x0_25"), "fast-reid"), tmp_path / "fast.pth")
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
    "scheme",
    [
        Plain(),
        AllInstance(),
        AllSwitchable(),
        AllBatchInstance(),
        StageInstance(),
        StageSNR(),
        StageSNR(gate="spatial"),
        MixStyle(probability=1.0),
        EFDMix(probability=1.0),
    ],
    ids=lambda scheme: type(scheme).__name__,
)
@pytest.mark.parametrize("name", SMALL)
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


def test_ibn_a_twice_is_refused() -> None:
    with pytest.raises(ExperimentError, match=r"IBN-a is defined.*resnet18_ibn_a"):
        IBN().apply(Backbone(name="resnet18_ibn_a").build())


# ResNets with IBN-a.


def _ibn_net(seed: int) -> State:
    """ResNet-50-IBN-a with the names and shapes of XingangPan/IBN-Net, torchreid and fast-reid, and a classifier."""
    torch.manual_seed(seed)
    state: State = {}
    _conv(state, "conv1", 3, 64, 7)
    _norm(state, "bn1", 64)
    inner = 64
    for stage, blocks in enumerate((3, 4, 6, 3), 1):
        middle = 32 * 2**stage
        for at in range(blocks):
            name = f"layer{stage}.{at}"
            _conv(state, f"{name}.conv1", inner, middle)
            if stage < 4:
                _norm(state, f"{name}.bn1.IN", middle // 2, running=False)
                _norm(state, f"{name}.bn1.BN", middle - middle // 2)
            else:
                _norm(state, f"{name}.bn1", middle)
            _conv(state, f"{name}.conv2", middle, middle, 3)
            _norm(state, f"{name}.bn2", middle)
            _conv(state, f"{name}.conv3", middle, 4 * middle)
            _norm(state, f"{name}.bn3", 4 * middle)
            if at == 0:
                _conv(state, f"{name}.downsample.0", inner, 4 * middle)
                _norm(state, f"{name}.downsample.1", 4 * middle)
            inner = 4 * middle
    return state | {"fc.weight": torch.randn(1000, 2048), "fc.bias": torch.randn(1000)}


def _ibn_twin(images: Tensor, state: State, *, ceil_pool: bool) -> Tensor:
    def conv(x: Tensor, name: str, **options: Any) -> Tensor:
        return functional.conv2d(x, state[f"{name}.weight"], **options)

    x = torch.relu(_normalized(conv(images, "conv1", stride=2, padding=3), state, "bn1"))
    x = functional.max_pool2d(x, 3, 2, ceil_mode=True) if ceil_pool else functional.max_pool2d(x, 3, 2, 1)
    for stage, blocks in enumerate((3, 4, 6, 3), 1):
        for at in range(blocks):
            name, stride = f"layer{stage}.{at}", 2 if at == 0 and stage in (2, 3) else 1
            y = conv(x, f"{name}.conv1")
            if stage < 4:
                half = y.shape[1] // 2
                own, batch = _normalized(y[:, :half], state, f"{name}.bn1.IN"), y[:, half:]
                y = torch.cat([own, _normalized(batch, state, f"{name}.bn1.BN")], 1)
            else:
                y = _normalized(y, state, f"{name}.bn1")
            y = conv(torch.relu(y), f"{name}.conv2", stride=stride, padding=1)
            y = conv(torch.relu(_normalized(y, state, f"{name}.bn2")), f"{name}.conv3")
            if at == 0:
                x = _normalized(conv(x, f"{name}.downsample.0", stride=stride), state, f"{name}.downsample.1")
            x = torch.relu(x + _normalized(y, state, f"{name}.bn3"))
    return x


@pytest.mark.parametrize("shape", ["bare", "torchreid", "fast-reid"])
def test_resnet50_ibn_a_gives_the_maps_of_the_twin(shape: str, tmp_path: Path) -> None:
    state, images = _ibn_net(7), torch.randn(2, 3, 64, 32)
    torch.save(_wrapped(state, shape), tmp_path / "w.pth")
    ceil_pool = shape == "fast-reid"
    trunk = Backbone(name="resnet50_ibn_a", weights=str(tmp_path / "w.pth"), ceil_pool=ceil_pool).build()
    assert [(s.name, s.channels, s.stride) for s in trunk.stages][2:] == [("layer3", 1024, 16), ("layer4", 2048, 16)]
    with torch.no_grad():
        found = trunk.network.eval().forward_features(images)  # type: ignore[operator]
    assert _close(found, _ibn_twin(images, state, ceil_pool=ceil_pool))
    assert not _close(found, _ibn_twin(images, state, ceil_pool=not ceil_pool))


def test_what_belongs_to_no_head_remains_an_error(tmp_path: Path) -> None:
    state = _ibn_net(8) | {"NL_2.0.g.weight": torch.zeros(1, 512, 1, 1)}
    torch.save(_wrapped(state, "fast-reid"), tmp_path / "w.pth")
    with pytest.raises(CheckpointError, match=r"1 unexpected \(NL_2\.0\.g\.weight\)"):
        Backbone(name="resnet50_ibn_a", weights=str(tmp_path / "w.pth")).build()
    plain = {key: value for key, value in _ibn_net(8).items() if not re.search(r"bn1\.(IN|BN)", key)}
    torch.save(plain, tmp_path / "w.pth")
    with pytest.raises(CheckpointError, match=r"missing \(layer1\.0\.bn1\.instance\.weight"):
        Backbone(name="resnet50_ibn_a", weights=str(tmp_path / "w.pth")).build()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"name": "osnet_x0_25", "last_stride": 1}, "last_stride.*leave last_stride out"),
        ({"name": "osnet_x0_25", "channels": (1, 2, 3, 4), "image_size": (64, 32)}, "leave image_size, channels out"),
        ({"name": "osnet_x0_25", "ceil_pool": True}, "leave ceil_pool out"),
        ({"name": "convnext_atto", "ceil_pool": True}, "leave ceil_pool out"),
        ({"name": "resnet18_ibn_a", "fc": True}, "leave fc out"),
        ({"name": "osnet_x2_0"}, "did you mean one of osnet_x1_0, osnet_x0_75"),
        ({"name": "osnet"}, "did you mean one of osnet_x1_0"),
        ({"name": "resnet26_ibn_a"}, "'resnet26_ibn_a'"),
        ({"name": "resnet50_ibn_b"}, "did you mean one of resnet50_ibn_a"),
        ({"name": "osnet_x1_0", "weights": "imagenet"}, "a local file.*known tags: none"),
    ],
    ids=lambda value: str(value),
)
def test_what_these_networks_cannot_do_is_told(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ExperimentError, match=words):
        Backbone(**options).build()
