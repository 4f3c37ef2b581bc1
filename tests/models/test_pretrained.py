"""Pretrained weights: local files of every kind, the cache, no network, damage, misfits."""

import pickle
import re
import time
from argparse import Namespace
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile

import huggingface_hub
import numpy as np
import pytest
import timm
import torch
from huggingface_hub import constants
from safetensors.torch import save_file
from torch import Tensor, nn

from snreid.errors import CheckpointError, ExperimentError
from snreid.models import backbone
from snreid.models.backbone import Backbone
from snreid.models.pretrained import Weights, read_tensors

State = dict[str, Tensor]


@pytest.fixture(scope="module")
def donor() -> nn.Module:
    """A classification network as timm publishes them, with its classifier."""
    network: nn.Module = timm.create_model("resnet10t", num_classes=7)
    for buffer in network.buffers():
        buffer.data = torch.rand(buffer.shape).to(buffer.dtype) + buffer
    return network


def _same(loaded: State, donor: nn.Module) -> None:
    """Raises unless the weights are those of the donor."""
    state = donor.state_dict()
    assert all(torch.equal(tensor, state[name]) for name, tensor in loaded.items())


def _loaded(weights: Path, name: str = "resnet10t", **options: Any) -> State:
    return Backbone(name=name, weights=str(weights), **options).build().network.state_dict()


def _same(state: State, donor: nn.Module) -> bool:
    theirs = donor.state_dict()
    return all(torch.equal(value, theirs[key]) for key, value in state.items() if "num_batches" not in key)


@pytest.mark.parametrize("shape", ["plain", "wrapped", "parallel", "ours", "old"])
@pytest.mark.parametrize("ending", [".pth", ".safetensors"])
def test_local_files_fill_the_network(shape: str, ending: str, donor: nn.Module, tmp_path: Path) -> None:
    state: Any = dict(donor.state_dict())
    if shape == "old":
        state = {key: value for key, value in state.items() if not key.endswith("num_batches_tracked")}
    if shape == "parallel":
        state = {f"module.{key}": value for key, value in state.items()}
    if shape == "ours":
        state = {f"backbone.{k}": v for k, v in state.items()} | {"head.neck.weight": torch.ones(3)}
    path = tmp_path / f"weights{ending}"
    if ending == ".safetensors":
        save_file(state, path)
    else:
        torch.save({"state_dict": state, "epoch": 3} if shape == "wrapped" else state, path)
    assert _same(_loaded(path), donor)


def test_a_vit_of_another_size_gets_its_positions_resampled(tmp_path: Path) -> None:
    donor = timm.create_model("test_vit", img_size=(64, 64))
    save_file(donor.state_dict(), tmp_path / "vit.safetensors")
    state = _loaded(tmp_path / "vit.safetensors", name="test_vit", image_size=(128, 64))
    assert state["pos_embed"].shape == (1, 1 + 8 * 4, 64)
    assert torch.equal(state["blocks.0.attn.qkv.weight"], donor.state_dict()["blocks.0.attn.qkv.weight"])


def test_misfits_are_named(donor: nn.Module, tmp_path: Path) -> None:
    state = dict(donor.state_dict())
    state["layer9.weight"] = state.pop("layer1.0.bn1.weight")
    save_file(state, tmp_path / "w.safetensors")
    with pytest.raises(CheckpointError, match=r"1 missing \(layer1.0.bn1.weight\); 1 unexpected \(layer9.weight\)"):
        _loaded(tmp_path / "w.safetensors")
    save_file(donor.state_dict(), tmp_path / "w.safetensors")
    with pytest.raises(
        CheckpointError, match=r"of another shape \(layer1.0.bn1.bias \(64,\) instead of \(24,\).*change name, channels"
    ):
        _loaded(tmp_path / "w.safetensors", channels=(24, 48, 96, 192))


@pytest.mark.parametrize(
    ("given", "name", "fitting"),
    [
        ("tf_efficientnet_lite1", "tf_efficientnet_lite0", "tf_efficientnet_lite1"),
        ("resnet18", "resnet50", "resnet18"),
        ("test_vit2", "test_vit", "test_vit2"),
    ],
)
def test_the_architecture_that_weights_fit_is_named(given: str, name: str, fitting: str, tmp_path: Path) -> None:
    save_file(timm.create_model(given).state_dict(), tmp_path / "w.safetensors")
    with pytest.raises(CheckpointError, match=rf"fit the backbone tensor by tensor.*; they fit {fitting}\. Fix"):
        _loaded(tmp_path / "w.safetensors", name=name)


def test_weights_of_no_known_architecture_are_told_as_such(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[str] = []
    create = timm.create_model

    def counted(name: str, **options: Any) -> nn.Module:
        tried.append(name)
        return create(name, **options)

    monkeypatch.setattr(timm, "create_model", counted)
    save_file({"layer1.weight": torch.ones(2)}, tmp_path / "w.safetensors")
    with pytest.raises(CheckpointError, match="1 unexpected") as caught:
        _loaded(tmp_path / "w.safetensors")
    assert "they fit" not in str(caught.value)
    assert len(tried) <= 1 + 24, "the search has a bound"


@pytest.mark.parametrize(
    "prefix", ["base.", "model.", "encoder.", "_orig_mod.", "module.", "module.base.", "_orig_mod.model.0.", "any."]
)
@pytest.mark.parametrize("beside", [False, True])
def test_a_prefix_that_names_share_is_dropped(prefix: str, beside: bool, donor: nn.Module, tmp_path: Path) -> None:
    state = {f"{prefix}{name}": tensor for name, tensor in donor.state_dict().items()}
    if beside:
        outside = prefix.rpartition(".")[0].rpartition(".")[0]
        state |= {f"{outside}.bottleneck.weight".lstrip("."): torch.zeros(8), "queue": torch.zeros(2)}
    torch.save({"state_dict": state}, tmp_path / "weights.pth")
    _same(_loaded(tmp_path / "weights.pth"), donor)


@pytest.mark.parametrize(
    "path", [["net"], ["network"], ["model_ema"], ["state_dict"], ["model", "state_dict"], ["ema"]]
)
def test_a_wrapper_is_opened(path: list[str], donor: nn.Module, tmp_path: Path) -> None:
    content: Any = donor.state_dict()
    for name in reversed(path):
        content = {name: content, "epoch": 3, "optimizer": {"state": {0: {"step": torch.zeros(1)}}}}
    torch.save(content, tmp_path / "weights.pth")
    _same(_loaded(tmp_path / "weights.pth"), donor)


def test_a_file_of_torchreid_in_the_current_folder_is_a_file(
    donor: nn.Module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("model.pth.tar-60", "model.tar-60", "weights"):
        torch.save({"state_dict": donor.state_dict(), "epoch": 60, "rank1": np.float64(0.9)}, name)
        _same(_loaded(Path(name)), donor)


@pytest.mark.parametrize(
    "beside",
    [
        np.int64(3),
        np.bool_(True),
        np.float16(1),
        np.uint8(1),
        np.str_("cosine"),
        np.arange(3.0),
        Namespace(lr=0.1, gpus=[0, 1], save_dir=Path("log")),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_training_scripts_store_beside_the_tensors_is_passed_over(
    beside: Any, donor: nn.Module, tmp_path: Path
) -> None:
    torch.save({"state_dict": donor.state_dict(), "more": beside}, tmp_path / "weights.pth")
    _same(_loaded(tmp_path / "weights.pth"), donor)


def test_a_file_without_tensors_is_told_with_what_it_holds(donor: nn.Module, tmp_path: Path) -> None:
    torch.save({"student": donor.state_dict(), "teacher": donor.state_dict(), "epoch": 3}, tmp_path / "two.pth")
    with pytest.raises(CheckpointError, match="with student, teacher, epoch"):
        read_tensors(tmp_path / "two.pth")
    itself: dict[str, Any] = {"epoch": 3}
    itself["model"] = itself
    torch.save(itself, tmp_path / "itself.pth")
    with pytest.raises(CheckpointError, match="with epoch, model"):
        read_tensors(tmp_path / "itself.pth")
    state = {f"{side}.{name}": tensor for side in "ab" for name, tensor in donor.state_dict().items()}
    torch.save(state, tmp_path / "both.pth")
    with pytest.raises(CheckpointError, match=r"unexpected \(a\.conv1"):
        _loaded(tmp_path / "both.pth")


def test_a_file_that_unpacks_to_all_memory_is_refused(tmp_path: Path) -> None:
    torch.save({"a": torch.zeros(30_000_000)}, tmp_path / "stored.pth")
    with ZipFile(tmp_path / "stored.pth") as whole, ZipFile(tmp_path / "bomb.pth", "w", ZIP_DEFLATED) as bomb:
        for member in whole.infolist():
            bomb.writestr(member.filename, whole.read(member))
    assert (tmp_path / "bomb.pth").stat().st_size < 2**20
    with pytest.raises(CheckpointError, match="unpack to 120,"):
        read_tensors(tmp_path / "bomb.pth")


@pytest.mark.parametrize("kind", [np.float64, np.float32])
@pytest.mark.parametrize("core", ["numpy.core", "numpy._core"])
def test_numbers_of_numpy_beside_the_tensors_are_read(core: str, kind: Any, donor: nn.Module, tmp_path: Path) -> None:
    """As torchreid's rank1, by numpy 1 (``numpy.core``) and 2."""
    torch.save({"state_dict": donor.state_dict(), "rank1": kind(0.9)}, tmp_path / "new.pth")
    with ZipFile(tmp_path / "new.pth") as read, ZipFile(tmp_path / "model.pth.tar", "w") as write:
        for part in read.namelist():
            content = read.read(part)
            if part.endswith("data.pkl"):
                content = re.sub(rb"numpy\._?core", core.encode(), content)
                assert f"{core}.multiarray".encode() in content
            write.writestr(part, content)
    assert _same(_loaded(tmp_path / "model.pth.tar"), donor)


def test_what_holds_more_than_tensors_is_refused_with_the_way_to_convert_it(donor: nn.Module, tmp_path: Path) -> None:
    torch.save({"state_dict": donor.state_dict(), "args": SimpleNamespace(lr=0.1)}, tmp_path / "w.pth")
    with pytest.raises(
        CheckpointError, match=r"it holds types\.SimpleNamespace.*save those alone.*\['state_dict'\], 'weights\.pth'"
    ):
        read_tensors(tmp_path / "w.pth")


class Evil:
    """Runs code when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (Path("evil-was-here"),))


def test_a_file_that_would_run_code_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"state_dict": Evil()}, tmp_path / "evil.pth")
    (tmp_path / "raw.pth").write_bytes(pickle.dumps(Evil(), protocol=2))
    for name in ("evil.pth", "raw.pth"):
        with pytest.raises(CheckpointError, match="tensors only") as told:
            read_tensors(tmp_path / name)
        # Nobody is told how to load it all the same, which torch does.
        assert not re.search(r"weights_only|two options|\n", str(told.value))
    assert not (tmp_path / "evil-was-here").exists()


@pytest.mark.parametrize("ending", [".pth", ".safetensors"])
def test_damaged_files_are_refused(ending: str, donor: nn.Module, tmp_path: Path) -> None:
    path = tmp_path / f"weights{ending}"
    if ending == ".pth":
        torch.save(donor.state_dict(), path)
    else:
        save_file(donor.state_dict(), path)
    content = path.read_bytes()
    for cut in (0, 1, 100, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:cut])
        with pytest.raises(CheckpointError, match="must be readable"):
            read_tensors(path)
    torch.save({"a": 1}, tmp_path / "b.pth")
    with pytest.raises(CheckpointError, match="must hold named tensors"):
        read_tensors(tmp_path / "b.pth")
    with pytest.raises(CheckpointError, match=r"no file .*random"):
        Backbone(name="resnet10t", weights=str(tmp_path / "nothing.pth")).build()


def test_weights_by_name_come_from_the_cache_first(
    donor: nn.Module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository = tmp_path / "models--timm--resnet10t.c3_in1k"
    (repository / "snapshots" / "abc").mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("abc")
    save_file(donor.state_dict(), repository / "snapshots" / "abc" / "model.safetensors")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    for name in ("hf_hub_download", "get_hf_file_metadata"):
        monkeypatch.setattr(huggingface_hub, name, _refuse)
    for weights in ("imagenet", "c3_in1k"):
        assert _same(Backbone(name="resnet10t", weights=weights).build().network.state_dict(), donor)


def _refuse(*_arguments: Any, **_options: Any) -> None:
    raise ConnectionError("Name or service not known")


@pytest.mark.parametrize("offline", [True, False])
def test_without_network_the_message_says_what_was_looked_for(
    offline: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", offline)
    monkeypatch.setattr(huggingface_hub, "get_hf_file_metadata", _refuse)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", _refuse)
    start = time.monotonic()
    with pytest.raises(CheckpointError) as caught:
        Backbone(name="resnet10t", weights="imagenet").build()
    assert time.monotonic() - start < 3
    words = ["resnet10t.c3_in1k", "timm/resnet10t.c3_in1k", str(tmp_path), "weights='random'", "local .safetensors"]
    words.append("HF_HUB_OFFLINE" if offline else "Name or service not known")
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_a_failure_without_words_is_told_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def silent(*_arguments: Any, **_options: Any) -> None:
        raise TimeoutError

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(huggingface_hub, "get_hf_file_metadata", silent)
    with pytest.raises(CheckpointError, match="TimeoutError: no reason given"):
        Backbone(name="resnet10t", weights="imagenet").build()


def test_random_weights_never_look_anywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backbone, "hub_file", _refuse)
    monkeypatch.setattr(backbone, "read_tensors", _refuse)
    Backbone(name="resnet10t").build()


def test_the_text_of_weights_is_understood() -> None:
    assert Weights("random").random and Weights("random").file is None
    assert Weights("imagenet").tag == "" and Weights("a1_in1k").tag == "a1_in1k"
    assert Weights("runs/x.safetensors").file == Path("runs/x.safetensors")
    assert Weights("resnet50.pth").file == Path("resnet50.pth")
    assert Weights("model.pth.tar-60").file == Path("model.pth.tar-60")
    with pytest.raises(ExperimentError, match="weights='random'"):
        Weights("")


@pytest.mark.parametrize(("name", "value"), [("conv1.0.weight", float("nan")), ("bn1.running_var", -1.0)])
def test_pretrained_weights_that_cannot_embed_are_refused(
    name: str, value: float, donor: nn.Module, tmp_path: Path
) -> None:
    state = {key: tensor.clone() for key, tensor in donor.state_dict().items()}
    state[name].view(-1)[0] = value
    save_file(state, tmp_path / "w.safetensors")
    with pytest.raises(CheckpointError, match=rf"(NaN or infinity|a negative variance) in {re.escape(name)}"):
        _loaded(tmp_path / "w.safetensors")
