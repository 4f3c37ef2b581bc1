"""Weight files: round trip, atomicity, damage, mismatch."""

import os
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

from snreid.errors import CheckpointError
from snreid.models.weights import load_model, restore, save_model, save_tensors


def _network(width: int = 3) -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, width, 3), nn.BatchNorm2d(width))


def test_a_model_comes_back_bit_by_bit_with_its_metadata(tmp_path: Path) -> None:
    model, twin = _network(), _network()
    metadata = {"config": {"name": "resnet50", "stages": [1, 2]}, "persons": 751, "note": "größer"}
    save_model(tmp_path / "run" / "model.safetensors", model, metadata)
    saved = load_model(tmp_path / "run" / "model.safetensors")
    assert saved.metadata == metadata
    restore(twin, saved, source="x")
    assert all(torch.equal(a, b) for a, b in zip(twin.state_dict().values(), model.state_dict().values(), strict=True))
    assert os.listdir(tmp_path / "run") == ["model.safetensors"], "no draft is left behind"


def test_equal_models_are_equal_files(tmp_path: Path) -> None:
    model = nn.Linear(3, 2)
    files = [
        tmp_path / f"{number}.safetensors" for number in range(8)
    ]  # a chance of one in two each, if the order were drawn
    for file in files:
        save_model(file, model, {"b": 1, "a": [2]})
    assert len({file.read_bytes() for file in files}) == 1
    first = files[0].read_bytes()
    assert int.from_bytes(first[:8], "little") % 8 == 0


def test_shared_and_strided_tensors_are_written_whole(tmp_path: Path) -> None:
    base = torch.arange(12.0).reshape(3, 4)
    save_tensors(tmp_path / "a.safetensors", {"a": base, "b": base.T, "c": base[1]}, {})
    tensors = load_model(tmp_path / "a.safetensors").tensors
    assert torch.equal(tensors["b"], base.T) and torch.equal(tensors["c"], base[1])


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "model.safetensors"
    save_model(path, _network(), {"step": 1})

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CheckpointError, match="No space left"):
        save_model(path, _network(), {"step": 2})
    assert load_model(path).metadata == {"step": 1}
    assert os.listdir(tmp_path) == ["model.safetensors"]


def test_metadata_that_is_no_json_is_refused(tmp_path: Path) -> None:
    for metadata in ({"a": {1, 2}}, {"a": float("nan")}):
        with pytest.raises(CheckpointError, match="must be JSON"):
            save_model(tmp_path / "x.safetensors", _network(), metadata)
    assert not list(tmp_path.iterdir())


def test_what_is_missing_or_foreign_is_told(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no file"):
        load_model(tmp_path / "nothing.safetensors")
    from safetensors.torch import save_file

    save_file({"a": torch.zeros(2)}, tmp_path / "support.foreign.safetensors")
    with pytest.raises(CheckpointError, match="snreid's header"):
        load_model(tmp_path / "support.foreign.safetensors")


def test_a_hash_whose_name_is_damaged_is_not_taken_for_none(tmp_path: Path) -> None:
    """Found by the property below: the name of the hash and a letter of the metadata changed together."""
    path = tmp_path / "model.safetensors"
    save_model(path, _network(), {"persons": 4})
    content = path.read_bytes()
    damaged = content.replace(b'"sha256"', b'"sha25t"').replace(b"persons", b"petsons")
    assert damaged != content and len(damaged) == len(content)
    path.write_bytes(damaged)
    with pytest.raises(CheckpointError, match="must be whole"):
        load_model(path)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damage_is_refused_or_changes_nothing(tmp_path: Path, data: st.DataObject) -> None:
    """Cut anywhere or with any bytes overwritten: never a crash, never another error, never another number."""
    path = tmp_path / "model.safetensors"
    model, twin = _network(), _network()
    save_model(path, model, {"persons": 4})
    content = bytearray(path.read_bytes())
    if data.draw(st.booleans()):
        content = content[: data.draw(st.integers(0, len(content) - 1))]
    else:
        for _ in range(data.draw(st.integers(1, 5))):
            content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(bytes(content))
    try:
        saved = load_model(path)
    except CheckpointError:
        return
    assert saved.metadata == {"persons": 4}
    restore(twin, saved, source=str(path))
    assert all(torch.equal(a, b) for a, b in zip(twin.state_dict().values(), model.state_dict().values(), strict=True))


def test_one_changed_bit_of_a_weight_is_found(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_model(path, _network(), {"persons": 4})
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(
        CheckpointError, match=r"must be whole.*sha256 [0-9a-f]{12}\.\.\. instead of.*copy it again, or train again"
    ):
        load_model(path)


def test_changed_metadata_is_found(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_model(path, _network(), {"persons": 4})
    path.write_bytes(path.read_bytes().replace(b'{\\"persons\\": 4}', b'{\\"persons\\": 5}'))
    with pytest.raises(CheckpointError, match="sha256"):
        load_model(path)


def test_a_file_of_an_earlier_version_has_no_hash_and_is_taken(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    save_file({"a": torch.ones(2)}, tmp_path / "old.safetensors", metadata={"snreid": '{"persons": 4}'})
    saved = load_model(tmp_path / "old.safetensors")
    assert saved.metadata == {"persons": 4} and torch.equal(saved.tensors["a"], torch.ones(2))


def test_weights_of_another_model_are_named(tmp_path: Path) -> None:
    model = _network(4)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    save_model(tmp_path / "m.safetensors", _network(3), {})
    with pytest.raises(CheckpointError, match=r"0\.weight \(3, 3, 3, 3\) float32 instead of \(4, 3, 3, 3\) float32"):
        restore(model, load_model(tmp_path / "m.safetensors"), source="m")
    save_tensors(tmp_path / "m.safetensors", {"other": torch.zeros(1)}, {})
    with pytest.raises(CheckpointError, match=r"missing \(0\.weight.*1 unexpected \(other\)"):
        restore(model, load_model(tmp_path / "m.safetensors"), source="m")
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("0.weight", float("nan"), r"NaN or infinity in 0\.weight of m"),
        ("1.running_mean", float("-inf"), r"NaN or infinity in 1\.running_mean"),
        ("1.running_var", float("nan"), r"NaN or infinity in 1\.running_var"),
        ("1.running_var", -1e-3, r"a negative variance in 1\.running_var"),
    ],
)
def test_weights_that_cannot_embed_are_refused_and_the_model_keeps_its_own(
    name: str, value: float, said: str, tmp_path: Path
) -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    broken = {name: tensor.clone() for name, tensor in before.items()}
    broken[name].view(-1)[-1] = value
    save_tensors(tmp_path / "m.safetensors", broken, {})
    with pytest.raises(CheckpointError, match=said):
        restore(model, load_model(tmp_path / "m.safetensors"), source="m")
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
