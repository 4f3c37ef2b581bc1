"""Cores of a process: those it sees, less what a control group takes away. The files are drawn as kernels write them."""

import os
from pathlib import Path

import pytest

from snreid.system import cores
from snreid.system.cores import core_quota, usable_cores

SLICE = "/kubepods.slice/pod7"


def drawn(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


@pytest.fixture(autouse=True)
def _eight(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cores.os, "sched_getaffinity", lambda _: set(range(8)), raising=False)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("200000 100000\n", 2),
        ("150000 100000\n", 2),
        ("20000 100000\n", 1),
        ("25000 50000\n", 1),
        ("600000 200000\n", 3),
        ("200000\n", 2),
        ("700000 100000\n", 7),
        ("750000 100000\n", None),
        ("800000 100000\n", None),
        ("6400000 100000\n", None),
        ("max 100000\n", None),
        ("max\n", None),
        ("", None),
        ("0 100000\n", None),
        ("200000 0\n", 2),
        ("-1 100000\n", None),
        ("lots of it\n", None),
        ("9" * 400 + " " + "9" * 400 + "\n", None),
        ("200000 " + "9" * 400 + "\n", 2),
        ("9" * 18 + " 100000\n", None),
        ("\ufffd", None),
    ],
)
def test_the_quota_of_a_container(said: str, expected: int | None, tmp_path: Path) -> None:
    files = {"sys/fs/cgroup/cpu.max": said.encode("ascii", "replace").decode()}
    assert core_quota(drawn(tmp_path, files)) == expected, "the tree alone: /proc is not there"
    assert core_quota(drawn(tmp_path, {"proc/self/cgroup": "0::/\n"})) == expected
    assert core_quota(drawn(tmp_path, {"proc/self/cgroup": "0::/docker/of-outside\n"})) == expected


@pytest.mark.parametrize(
    ("quota", "period", "expected"),
    [("200000", "100000", 2), ("50000", "100000", 1), ("-1", "100000", None), ("", "", None), ("300000", "x", 3)],
)
@pytest.mark.parametrize("controllers", ["cpu", "cpu,cpuacct"])
@pytest.mark.parametrize("place", ["", SLICE])
def test_version_1(quota: str, period: str, expected: int | None, controllers: str, place: str, tmp_path: Path) -> None:
    groups = f"12:pids:/x\n4:cpuset:/\n3:{controllers}:{SLICE}\n1:name=systemd:/\n0::/\n"
    folder = f"sys/fs/cgroup/{controllers}{place}"
    files = {f"{folder}/cpu.cfs_quota_us": quota + "\n", f"{folder}/cpu.cfs_period_us": period + "\n"}
    assert core_quota(drawn(tmp_path, {"proc/self/cgroup": groups, **files})) == expected
    other = {f"sys/fs/cgroup/{name}/cpu.cfs_quota_us": "100000\n" for name in ("cpuset", "pids/x", f"cpuset{SLICE}")}
    assert core_quota(drawn(tmp_path, other)) == expected, "of trees that share out something else"


def test_the_narrowest_group_above_counts_and_no_group_beside(tmp_path: Path) -> None:
    top = "sys/fs/cgroup"
    files = {
        "proc/self/cgroup": f"0::{SLICE}\n",
        f"{top}{SLICE}/cpu.max": "500000 100000\n",
        f"{top}/kubepods.slice/cpu.max": "300000 100000\n",
        f"{top}/user.slice/cpu.max": "100000 100000\n",
        f"{top}/kubepods.slice/pod8/cpu.max": "100000 100000\n",
    }
    assert core_quota(drawn(tmp_path, files)) == 3
    assert core_quota(drawn(tmp_path, {f"{top}{SLICE}/cpu.max": "200000 100000\n"})) == 2


def test_nothing_there_and_odd_files_limit_nothing(tmp_path: Path) -> None:
    assert core_quota(tmp_path) is None
    odd = "no colon\n0::/../../etc\n:::\n9\n"
    root = drawn(tmp_path, {"proc/self/cgroup": odd, "etc/cpu.max": "100000 100000"})
    (root / "sys/fs/cgroup/cpu.max").mkdir(parents=True)
    assert core_quota(root) is None


def test_usable_are_the_cores_seen_or_those_paid_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cores, "core_quota", lambda: None)
    assert usable_cores() == 8
    monkeypatch.setattr(cores, "core_quota", lambda: 3)
    assert usable_cores() == 3


def test_without_affinity_the_cores_of_the_machine_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(cores.os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(cores, "core_quota", lambda: None)
    assert usable_cores() == os.cpu_count()
