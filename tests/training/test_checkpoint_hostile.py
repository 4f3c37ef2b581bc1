"""R14: files that would run code if they were unpickled are refused with a typed error, and nothing of them runs."""

import hashlib
import io
import json
import os
import pickle
import random
import zipfile
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from snreid.errors import CheckpointError
from snreid.training.checkpoint import CheckpointStore, TrainingState


class Calls:
    """Unpickling this calls ``function(*arguments)``."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> Any:
        return self.call


def hostile_files(sentinel: Path) -> dict[str, bytes]:
    """Thirty-odd pickles by name, every honest-looking shape of them; each would create ``sentinel``."""
    command = f"touch {sentinel}"
    attacks = {
        "system": Calls(os.system, command),
        "eval": Calls(eval, f"open({str(sentinel)!r}, 'w')"),
        "exec": Calls(exec, f"open({str(sentinel)!r}, 'w').close()"),
        "open": Calls(open, str(sentinel), "w"),
        "mkdir": Calls(os.mkdir, str(sentinel)),
    }
    files: dict[str, bytes] = {}
    for name, attack in attacks.items():
        for protocol in (0, 2, 4):
            files[f"{name}-{protocol}"] = pickle.dumps(attack, protocol=protocol)
        files[f"{name}-nested"] = pickle.dumps({"model": {"weight": [attack]}, "step": 3})
        zipped = io.BytesIO()
        with zipfile.ZipFile(zipped, "w") as archive:
            archive.writestr("archive/data.pkl", pickle.dumps(attack))
            archive.writestr("archive/version", "3")
        files[f"{name}-zip"] = zipped.getvalue()
        saved = io.BytesIO()
        torch.save({"weight": torch.zeros(2), "extra": attack}, saved)
        files[f"{name}-torch"] = saved.getvalue()
        files[f"{name}-cut"] = saved.getvalue()[:-20]
    return files


def pointer_to(name: str, data: bytes, step: int = 3) -> str:
    digest = hashlib.sha256(data).hexdigest()
    return json.dumps({"file": name, "sha256": digest, "size": len(data), "step": step, "epoch": 0, "batch": step})


def test_the_attacks_are_real(tmp_path: Path) -> None:
    """Each kind of call, unpickled, does leave its sentinel: otherwise the tests below could not fail."""
    sentinel = tmp_path / "sentinel"
    for name, data in hostile_files(sentinel).items():
        if name.endswith("-4"):
            opened = pickle.loads(data)
            if isinstance(opened, io.IOBase):
                opened.close()
            assert sentinel.exists(), name
            sentinel.rmdir() if sentinel.is_dir() else sentinel.unlink()


def test_pickles_in_the_place_of_a_state_are_refused(tmp_path: Path) -> None:
    """The attacker writes the pointer too, so hash and size are right."""
    sentinel = tmp_path / "sentinel"
    attacks = hostile_files(sentinel)
    assert len(attacks) >= 30
    for name, data in attacks.items():
        folder = tmp_path / name
        folder.mkdir()
        file = f"step-00000003-{hashlib.sha256(data).hexdigest()[:12]}.safetensors"
        (folder / file).write_bytes(data)
        (folder / "last.json").write_text(pointer_to(file, data))
        with pytest.raises(CheckpointError, match="not a training state"):
            CheckpointStore(folder).load()
    assert not sentinel.exists()


def test_pickles_in_the_place_of_a_pointer_are_refused(tmp_path: Path) -> None:
    sentinel = tmp_path / "sentinel"
    for data in hostile_files(sentinel).values():
        (tmp_path / "last.json").write_bytes(data)
        with pytest.raises(CheckpointError, match=r"last\.json"):
            CheckpointStore(tmp_path).load()
    assert not sentinel.exists()


def test_a_pointer_to_a_pth_or_outside_the_folder_is_refused(tmp_path: Path) -> None:
    sentinel = tmp_path / "sentinel"
    data = hostile_files(sentinel)["system-4"]
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "last.pth").write_bytes(data)
    (tmp_path / "step-00000003-0123456789ab.safetensors").write_bytes(data)
    for name in (
        "last.pth",
        "../step-00000003-0123456789ab.safetensors",
        "/etc/passwd",
        "",
        "step-3.safetensors\0.pth",
    ):
        (tmp_path / "run" / "last.json").write_text(pointer_to(name, data))
        with pytest.raises(CheckpointError, match="it names the file"):
            CheckpointStore(tmp_path / "run").load()
    assert not sentinel.exists()


def test_mutated_states_are_refused_or_equal(tmp_path: Path) -> None:
    """R15: a few hundred random changes inside a file whose pointer was adjusted to them never crash the reader."""
    store = CheckpointStore(tmp_path)
    good = store.save(TrainingState(tensors={"a": torch.arange(32.0), "b": torch.ones(3)}, step=1, epoch=0, batch=1))
    data, chance = good.read_bytes(), random.Random(3)
    for _ in range(200):
        changed = bytearray(data)
        for _ in range(chance.randint(1, 4)):
            changed[chance.randrange(len(changed))] = chance.randrange(256)
        changed = changed[: chance.choice([len(changed), chance.randrange(len(changed))])]
        name = f"step-00000001-{hashlib.sha256(changed).hexdigest()[:12]}.safetensors"
        (tmp_path / name).write_bytes(changed)
        (tmp_path / "last.json").write_text(pointer_to(name, bytes(changed), step=1))
        try:
            state = store.load()
            assert state is not None
        except CheckpointError:
            pass


def forged(folder: Path, record: str) -> None:
    """A step file with this JSON in its header, and the pointer to it."""
    data = safetensors.torch.save({"a": torch.zeros(1)}, metadata={"snreid": record})
    name = f"step-00000003-{hashlib.sha256(data).hexdigest()[:12]}.safetensors"
    (folder / name).write_bytes(data)
    (folder / "last.json").write_text(pointer_to(name, data))


@pytest.mark.parametrize(
    "record",
    [
        "[" * 100_000,
        "[]",
        "3",
        "{}",
        '{"step": 3, "epoch": 0, "batch": 3}',
        '{"step": 3, "epoch": 0, "batch": 3, "values": []}',
        '{"step": "3", "epoch": 0, "batch": 3, "values": {}}',
        '{"step": 3, "epoch": 1000000000000, "batch": 3, "values": {}}',
        '{"step": 3, "epoch": 0, "batch": NaN, "values": {}}',
    ],
)
def test_a_step_file_that_the_pointer_does_not_describe_is_refused(tmp_path: Path, record: str) -> None:
    forged(tmp_path, '{"step": 3, "epoch": 0, "batch": 3, "values": {}}')
    assert CheckpointStore(tmp_path).load() is not None
    forged(tmp_path, record)
    with pytest.raises(CheckpointError, match="training state"):
        CheckpointStore(tmp_path).load()


@pytest.mark.parametrize("field", ["step", "epoch", "batch", "size"])
def test_a_pointer_counts_from_zero(tmp_path: Path, field: str) -> None:
    forged(tmp_path, '{"step": 3, "epoch": 0, "batch": 3, "values": {}}')
    pointer = json.loads((tmp_path / "last.json").read_text())
    (tmp_path / "last.json").write_text(json.dumps({**pointer, field: -1}))
    with pytest.raises(CheckpointError, match=f"its {field} is -1"):
        CheckpointStore(tmp_path).load()
