"""A delta beside its base: what it holds, what it is put on, and that nothing else will do."""

import shutil
from pathlib import Path

import pytest
import torch
from torch import nn

from snreid.errors import CheckpointError
from snreid.models.delta import has_weights, read_weights, save_delta
from snreid.models.weights import load_model, save_model, save_tensors


def _network() -> nn.Module:
    return nn.Sequential(nn.Linear(64, 64), nn.BatchNorm1d(64))


@pytest.fixture
def pair(tmp_path: Path) -> tuple[nn.Module, Path, Path]:
    """A model whose running mean was changed after it was saved in the folder ``base``, and its delta in ``deep/delta``."""
    model = _network()
    save_model(tmp_path / "base" / "model.safetensors", model, {"persons": 7})
    with torch.no_grad():
        model[1].running_mean.add_(1)  # type: ignore[union-attr, operator]
    size = save_delta(tmp_path / "deep" / "delta", model, tmp_path / "base")
    assert size == (tmp_path / "deep" / "delta" / "delta.safetensors").stat().st_size < 2000
    return model, tmp_path / "base", tmp_path / "deep" / "delta"


def test_only_what_changed_is_stored_and_reading_gives_the_whole(pair: tuple[nn.Module, Path, Path]) -> None:
    model, base, delta = pair
    assert set(load_model(delta / "delta.safetensors").tensors) == {"1.running_mean"}
    found = read_weights(delta)
    assert found.metadata == {"persons": 7}
    assert all(torch.equal(found.tensors[name], value) for name, value in model.state_dict().items())
    assert not torch.equal(read_weights(base).tensors["1.running_mean"], found.tensors["1.running_mean"])
    assert found.sha256 != read_weights(base).sha256 == load_model(base / "model.safetensors").sha256
    assert has_weights(base) and has_weights(delta) and not has_weights(base.parent)


def test_both_may_move_together(pair: tuple[nn.Module, Path, Path], tmp_path: Path) -> None:
    former = read_weights(pair[2])
    (tmp_path / "new").mkdir()
    for name in ("base", "deep"):
        shutil.move(tmp_path / name, tmp_path / "new" / name)
    assert read_weights(tmp_path / "new" / "deep" / "delta").sha256 == former.sha256


def test_without_its_base_it_is_refused(pair: tuple[nn.Module, Path, Path]) -> None:
    pair[1].rename(pair[1].with_name("elsewhere"))
    with pytest.raises(CheckpointError, match=r"no .*base/model.safetensors.*put the run base back"):
        read_weights(pair[2])


def test_another_base_is_refused(pair: tuple[nn.Module, Path, Path]) -> None:
    save_model(pair[1] / "model.safetensors", _network(), {"persons": 7})
    with pytest.raises(CheckpointError, match=r"fits only the very model.*adapt the one that is there now"):
        read_weights(pair[2])


def test_a_delta_of_a_delta_stands_on_the_whole_model(pair: tuple[nn.Module, Path, Path], tmp_path: Path) -> None:
    model, _, delta = pair
    with torch.no_grad():
        model[1].running_var.add_(1)  # type: ignore[union-attr, operator]
    save_delta(tmp_path / "second", model, delta)
    shutil.rmtree(delta)
    found = read_weights(tmp_path / "second")
    assert all(torch.equal(found.tensors[name], value) for name, value in model.state_dict().items())
    assert load_model(tmp_path / "second" / "delta.safetensors").metadata["base"] == "../base"


def test_a_file_that_names_no_base_or_strange_tensors_is_refused(pair: tuple[nn.Module, Path, Path]) -> None:
    file = pair[2] / "delta.safetensors"
    save_tensors(file, {"1.running_mean": torch.zeros(64)}, {"base": 3})
    with pytest.raises(CheckpointError, match="names the model that it changes"):
        read_weights(pair[2])
    digest = load_model(pair[1] / "model.safetensors").sha256
    save_tensors(file, {"other": torch.zeros(64)}, {"base": "../../base", "base_sha256": digest})
    with pytest.raises(CheckpointError, match="fits only"):
        read_weights(pair[2])


def test_a_damaged_delta_is_refused(pair: tuple[nn.Module, Path, Path]) -> None:
    file = pair[2] / "delta.safetensors"
    content = bytearray(file.read_bytes())
    content[-3] ^= 1
    file.write_bytes(content)
    with pytest.raises(CheckpointError, match="must be whole"):
        read_weights(pair[2])
