"""ResNets with IBN-a as backbones: forward against a slow twin from the tensors of foreign checkpoints, refusals."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from snreid.errors import CheckpointError, ExperimentError
from snreid.models import IBN, Backbone
from support.foreign import State, add_conv, add_norm, close, normalized, wrapped


def _ibn_net(seed: int) -> State:
    """ResNet-50-IBN-a with the names and shapes of XingangPan/IBN-Net, torchreid and fast-reid, and a classifier."""
    torch.manual_seed(seed)
    state: State = {}
    add_conv(state, "conv1", 3, 64, 7)
    add_norm(state, "bn1", 64)
    inner = 64
    for stage, blocks in enumerate((3, 4, 6, 3), 1):
        middle = 32 * 2**stage
        for at in range(blocks):
            name = f"layer{stage}.{at}"
            add_conv(state, f"{name}.conv1", inner, middle)
            if stage < 4:
                add_norm(state, f"{name}.bn1.IN", middle // 2, running=False)
                add_norm(state, f"{name}.bn1.BN", middle - middle // 2)
            else:
                add_norm(state, f"{name}.bn1", middle)
            add_conv(state, f"{name}.conv2", middle, middle, 3)
            add_norm(state, f"{name}.bn2", middle)
            add_conv(state, f"{name}.conv3", middle, 4 * middle)
            add_norm(state, f"{name}.bn3", 4 * middle)
            if at == 0:
                add_conv(state, f"{name}.downsample.0", inner, 4 * middle)
                add_norm(state, f"{name}.downsample.1", 4 * middle)
            inner = 4 * middle
    return state | {"fc.weight": torch.randn(1000, 2048), "fc.bias": torch.randn(1000)}


def _ibn_twin(images: Tensor, state: State, *, ceil_pool: bool) -> Tensor:
    def conv(x: Tensor, name: str, **options: Any) -> Tensor:
        return functional.conv2d(x, state[f"{name}.weight"], **options)

    x = torch.relu(normalized(conv(images, "conv1", stride=2, padding=3), state, "bn1"))
    x = functional.max_pool2d(x, 3, 2, ceil_mode=True) if ceil_pool else functional.max_pool2d(x, 3, 2, 1)
    for stage, blocks in enumerate((3, 4, 6, 3), 1):
        for at in range(blocks):
            name, stride = f"layer{stage}.{at}", 2 if at == 0 and stage in (2, 3) else 1
            y = conv(x, f"{name}.conv1")
            if stage < 4:
                half = y.shape[1] // 2
                own, batch = normalized(y[:, :half], state, f"{name}.bn1.IN"), y[:, half:]
                y = torch.cat([own, normalized(batch, state, f"{name}.bn1.BN")], 1)
            else:
                y = normalized(y, state, f"{name}.bn1")
            y = conv(torch.relu(y), f"{name}.conv2", stride=stride, padding=1)
            y = conv(torch.relu(normalized(y, state, f"{name}.bn2")), f"{name}.conv3")
            if at == 0:
                x = normalized(conv(x, f"{name}.downsample.0", stride=stride), state, f"{name}.downsample.1")
            x = torch.relu(x + normalized(y, state, f"{name}.bn3"))
    return x


@pytest.mark.parametrize("shape", ["bare", "torchreid", "fast-reid"])
def test_resnet50_ibn_a_gives_the_maps_of_the_twin(shape: str, tmp_path: Path) -> None:
    state, images = _ibn_net(7), torch.randn(2, 3, 64, 32)
    torch.save(wrapped(state, shape), tmp_path / "w.pth")
    ceil_pool = shape == "fast-reid"
    trunk = Backbone(name="resnet50_ibn_a", weights=str(tmp_path / "w.pth"), ceil_pool=ceil_pool).build()
    assert [(s.name, s.channels, s.stride) for s in trunk.stages][2:] == [("layer3", 1024, 16), ("layer4", 2048, 16)]
    with torch.no_grad():
        found = trunk.network.eval().forward_features(images)  # type: ignore[operator]
    assert close(found, _ibn_twin(images, state, ceil_pool=ceil_pool))
    assert not close(found, _ibn_twin(images, state, ceil_pool=not ceil_pool))


def test_what_belongs_to_no_head_remains_an_error(tmp_path: Path) -> None:
    state = _ibn_net(8) | {"NL_2.0.g.weight": torch.zeros(1, 512, 1, 1)}
    torch.save(wrapped(state, "fast-reid"), tmp_path / "w.pth")
    with pytest.raises(CheckpointError, match=r"1 unexpected \(NL_2\.0\.g\.weight\)"):
        Backbone(name="resnet50_ibn_a", weights=str(tmp_path / "w.pth")).build()
    plain = {key: value for key, value in _ibn_net(8).items() if not re.search(r"bn1\.(IN|BN)", key)}
    torch.save(plain, tmp_path / "w.pth")
    with pytest.raises(CheckpointError, match=r"missing \(layer1\.0\.bn1\.instance\.weight"):
        Backbone(name="resnet50_ibn_a", weights=str(tmp_path / "w.pth")).build()


def test_ibn_a_twice_is_refused() -> None:
    with pytest.raises(ExperimentError, match=r"IBN-a is defined.*resnet18_ibn_a"):
        IBN().apply(Backbone(name="resnet18_ibn_a").build())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"name": "convnext_atto", "ceil_pool": True}, "leave ceil_pool out"),
        ({"name": "resnet18_ibn_a", "fc": True}, "leave fc out"),
        ({"name": "resnet26_ibn_a"}, "'resnet26_ibn_a'"),
        ({"name": "resnet50_ibn_b"}, "did you mean one of resnet50_ibn_a"),
    ],
    ids=lambda value: str(value),
)
def test_what_these_networks_cannot_do_is_told(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ExperimentError, match=words):
        Backbone(**options).build()
