"""What a computing command opens and closes, and machine settings that cannot be."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from snreid.cli.machine import MachineFlags
from snreid.cli.session import machine, session
from snreid.errors import ExperimentError, SnreidError
from snreid.machine import Machine
from snreid.training import distributed


def test_one_process_is_the_first_and_talks_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    with session(MachineFlags(device="cpu")) as opened:
        assert opened.group.first and opened.group.world == 1 and opened.group.device.type == "cpu"
        opened.console.out("hello")
    streams = capsys.readouterr()
    assert (streams.out, streams.err) == ("", "hello\n")


def test_the_processes_part_even_when_the_work_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    left = []
    monkeypatch.setattr(distributed.ProcessGroup, "leave", lambda group: left.append(group.rank))
    with pytest.raises(ZeroDivisionError), session(MachineFlags(device="cpu")):
        raise ZeroDivisionError
    assert left == [0]


@pytest.mark.parametrize(
    ("quota", "said", "expected"),
    [
        (None, {}, []),
        (2, {}, [2]),
        (4, {}, []),
        (9, {}, []),
        (2, {"OMP_NUM_THREADS": "4"}, []),
        (2, {"MKL_NUM_THREADS": "4"}, []),
    ],
)
def test_torch_takes_no_more_threads_than_a_container_may_use(
    quota: int | None, said: dict[str, str], expected: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    for name, value in said.items():
        monkeypatch.setenv(name, value)
    chosen: list[int] = []
    monkeypatch.setattr("snreid.cli.session.core_quota", lambda: quota)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 4)
    monkeypatch.setattr(torch, "set_num_threads", chosen.append)
    with session(MachineFlags(device="cpu")):
        pass
    assert chosen == expected


LOST = "[/pytorch/third_party/gloo/gloo/transport/tcp/pair.cc:561] Connection closed by peer"


@pytest.mark.parametrize(
    ("world", "said", "kind", "shown"),
    [
        (2, LOST, SnreidError, r"process 1 of 2 lost another one .*Connection closed.*start the same command again"),
        (2, "shapes do not match", RuntimeError, "shapes do not match"),
        (1, LOST, RuntimeError, "Connection closed"),
    ],
)
def test_a_process_that_has_gone_is_told_and_a_mistake_of_ours_is_not_hidden(
    monkeypatch: pytest.MonkeyPatch, world: int, said: str, kind: type[Exception], shown: str
) -> None:
    group = distributed.ProcessGroup(rank=world - 1, world=world, local_rank=0, device=torch.device("cpu"))
    monkeypatch.setattr(distributed, "join", lambda device: group)
    with pytest.raises(kind, match=shown), session(MachineFlags(device="cpu")):
        raise RuntimeError(said)


def test_flags_become_settings_with_the_folder_of_the_command() -> None:
    flags = MachineFlags(root=Path("pictures"), device="cpu", workers=3, precision="bf16", skip_bad=True)
    expected = Machine(
        root=Path("pictures"), out=Path("here"), device="cpu", workers=3, precision="bf16", skip_bad=True
    )
    assert machine(flags, Path("here")) == expected


@pytest.mark.parametrize("wrong", [{"workers": -1}, {"memory_gb": -0.5}, {"save_seconds": -1.0}])
def test_negative_settings_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ExperimentError, match=str(next(iter(wrong.values())))):
        machine(replace(MachineFlags(), **wrong), Path())


def test_a_file_is_no_folder_to_write_to(tmp_path: Path) -> None:
    (tmp_path / "taken").touch()
    for out in (tmp_path / "taken", tmp_path / "taken" / "deep"):
        with pytest.raises(ExperimentError, match=rf"--out is a folder.*{tmp_path / 'taken'} is a file"):
            machine(MachineFlags(), out)
    with pytest.raises(ExperimentError, match=rf"--cache is a folder.*{tmp_path / 'taken'} is a file"):
        machine(MachineFlags(cache=tmp_path / "taken"), tmp_path)
    assert machine(MachineFlags(cache=tmp_path / "c"), tmp_path).cache == tmp_path / "c"
    assert machine(MachineFlags(), tmp_path / "new" / "deep").out == tmp_path / "new" / "deep"
