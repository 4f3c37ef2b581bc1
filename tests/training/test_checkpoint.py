"""Training states on disk: what is written comes back, damage is refused, and what cannot be written changes nothing."""

import errno
import hashlib
import json
import os
import resource
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from torch import Tensor

from snreid.errors import CheckpointError, DivergenceError
from snreid.training.checkpoint import CheckpointStore, TrainingState


def state(step: int = 1, fill: float = 0.5, **tensors: Tensor) -> TrainingState:
    whole = {"model/weight": torch.full((64, 64), fill), "random/torch": torch.get_rng_state(), **tensors}
    return TrainingState(
        tensors=whole, step=step, epoch=step // 10, batch=step % 10, values={"skipped": 0, "lr": 0.1 + 0.2}
    )


@pytest.fixture
def store(tmp_path: Path) -> CheckpointStore:
    return CheckpointStore(tmp_path / "run" / "checkpoints")


def names(store: CheckpointStore) -> list[str]:
    return sorted(path.name for path in store.folder.iterdir())


def test_everything_comes_back_with_its_bits(store: CheckpointStore) -> None:
    shared = torch.randn(6, 4)
    odd = {
        "scalar": torch.tensor(3.0),
        "empty": torch.zeros(0, 5),
        "bf16": torch.randn(3).bfloat16(),
        "int": torch.tensor([2**60], dtype=torch.int64),
        "bool": torch.tensor([True, False]),
        "transposed": shared.T,
        "view": shared[2:4],
        "again": shared,
        "gradient": torch.randn(2, requires_grad=True),
    }
    written = state(12, **odd)
    store.save(written)
    read = store.load()
    assert read is not None
    assert (read.step, read.epoch, read.batch, read.values) == (12, 1, 2, {"skipped": 0, "lr": 0.1 + 0.2})
    assert set(read.tensors) == set(written.tensors)
    for name, tensor in written.tensors.items():
        assert read.tensors[name].dtype == tensor.dtype, name
        assert read.tensors[name].shape == tensor.shape, name
        assert torch.equal(read.tensors[name], tensor.detach()), name


def test_nothing_saved_is_none(store: CheckpointStore) -> None:
    assert store.load() is None
    assert store.last() is None
    assert store.sweep() == ()


def test_only_the_last_stays(store: CheckpointStore) -> None:
    for step in range(1, 6):
        store.save(state(step, fill=float(step)))
    last, pointer = store.load(), store.last()
    assert last is not None and pointer is not None
    assert last.step == pointer.step == 5
    assert float(last.tensors["model/weight"][0, 0]) == 5.0
    assert names(store) == ["last.json", pointer.file]


def test_one_step_may_be_saved_twice(store: CheckpointStore) -> None:
    first = store.save(state(7, fill=1.0))
    second = store.save(state(7, fill=2.0))
    last = store.load()
    assert last is not None
    assert float(last.tensors["model/weight"][0, 0]) == 2.0
    assert first != second and names(store) == ["last.json", second.name]


def test_the_pointer_says_what_the_file_is(store: CheckpointStore) -> None:
    path = store.save(state(3))
    pointer = json.loads((store.folder / "last.json").read_text())
    assert pointer["file"] == path.name
    assert pointer["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert pointer["size"] == path.stat().st_size


def test_sweeping_takes_leftovers_and_nothing_else(store: CheckpointStore) -> None:
    store.save(state(3))
    left = ["step-00000004.safetensors.tmp.77", "step-00000002-0123456789ab.safetensors", "last.json.tmp.12"]
    foreign = ["notes.txt", "model.safetensors", "step-one.safetensors"]
    for name in left + foreign:
        (store.folder / name).write_bytes(b"x")
    left.append("step-00000005.safetensors.tmp.78")
    (store.folder / left[-1]).mkdir()
    (store.folder / left[-1] / ".tmpAbCdEf").write_bytes(b"x")
    assert store.sweep() == tuple(sorted(left))
    assert set(foreign) <= set(names(store))
    assert store.load() is not None


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_no_non_finite_number_reaches_a_file(store: CheckpointStore, value: float) -> None:
    store.save(state(1))
    before = {name: (store.folder / name).read_bytes() for name in names(store)}
    with pytest.raises(DivergenceError, match=r"NaN or infinity in 1 of 3.*model/bad"):
        store.save(state(2, **{"model/bad": torch.tensor([1.0, value])}))
    with pytest.raises(DivergenceError, match="finite"):
        store.save(TrainingState(tensors={}, step=2, epoch=0, batch=0, values={"loss": value}))
    assert {name: (store.folder / name).read_bytes() for name in names(store)} == before


@pytest.mark.parametrize("damage", ["flip", "cut", "grow", "remove", "swap"])
def test_a_damaged_state_is_refused(store: CheckpointStore, damage: str) -> None:
    path = store.save(state(3))
    data = bytearray(path.read_bytes())
    match damage:
        case "flip":
            data[len(data) // 2] ^= 1
            path.write_bytes(data)
        case "cut":
            path.write_bytes(data[:-1])
        case "grow":
            path.write_bytes(data + b"\0")
        case "remove":
            path.unlink()
        case "swap":
            path.unlink()
            path.mkdir()
    with pytest.raises(CheckpointError, match=r"exactly what was written.*step-00000003.*Fix"):
        store.load()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        '{"file": "step-00000003-0123456789ab.safetensors"}',
        '{"file": "../../etc/passwd", "sha256": "", "size": 1, "step": 1, "epoch": 0, "batch": 0}',
        '{"file": "step-00000003-0123456789ab.safetensors", "sha256": "", "size": true, "step": 1, "epoch": 0, "batch": 0}',
        "[" * 100_000,
    ],
)
def test_a_damaged_pointer_is_refused(store: CheckpointStore, text: str) -> None:
    store.save(state(3))
    (store.folder / "last.json").write_text(text)
    with pytest.raises(CheckpointError, match=r"exactly what was written.*last\.json"):
        store.load()


def test_a_reader_follows_a_writer_that_has_moved_on(store: CheckpointStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between reading the pointer and opening its file the writer may replace both."""
    store.save(state(1))
    stale = store.last()
    store.save(state(2))
    fresh = store.last()
    answers = iter([stale, fresh])
    monkeypatch.setattr(CheckpointStore, "last", lambda self: next(answers))
    read = store.load()
    assert read is not None
    assert read.step == 2


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """The operating system refuses to let any file grow beyond ``size`` bytes, as a full disk would."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def assert_step_one_is_in_force(store: CheckpointStore) -> None:
    read = store.load()
    assert read is not None
    assert read.step == 1
    assert all(".tmp." not in name for name in names(store))


def test_a_full_disk_leaves_the_former_state_in_force(store: CheckpointStore) -> None:
    store.save(state(1))
    with (
        largest_file(8_000),
        pytest.raises(CheckpointError, match=r"step 2 was not, the one before it.*free space.*it resumes"),
    ):
        store.save(state(2))
    assert_step_one_is_in_force(store)
    shutil.rmtree(store.folder)  # as somebody may do while it trains
    with largest_file(8_000), pytest.raises(CheckpointError, match=r"none before it.*it starts from the beginning"):
        store.save(state(2))
    store.save(state(3))
    assert [name[:13] for name in names(store) if name.startswith("step")] == ["step-00000003"]


@pytest.mark.parametrize("call", range(4))
def test_a_disk_that_fails_at_any_sync_leaves_a_whole_state(
    store: CheckpointStore, monkeypatch: pytest.MonkeyPatch, call: int
) -> None:
    """The four syncs of a save: file, folder, pointer, folder."""
    store.save(state(1))
    calls, real = iter(range(100)), os.fsync

    def fsync(handle: int) -> None:
        if next(calls) == call:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(CheckpointError, match="No space left"):
        store.save(state(2))
    monkeypatch.setattr(os, "fsync", real)
    read = store.load()
    assert read is not None
    assert read.step == (2 if call == 3 else 1)  # the commit is the rename of last.json, before the last sync
    assert all(".tmp." not in name for name in names(store))


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CheckpointError, match="Not a directory"):
        CheckpointStore(tmp_path / "file" / "run").save(state(1))
