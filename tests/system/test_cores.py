"""Cores of a process: those it sees, less what its container does not pay for."""

import os

import pytest

from snreid.system import cores
from snreid.system.cores import core_quota, usable_cores


@pytest.fixture(autouse=True)
def _no_limit_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LOKY_MAX_CPU_COUNT", raising=False)


def test_affinity_limits_both_what_is_seen_and_what_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0}, raising=False)
    assert usable_cores() == 1 and core_quota() is None


def test_the_environment_limits_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "1")
    assert usable_cores() == 1 and core_quota() == 1


@pytest.mark.parametrize(("usable", "expected"), [(1, 1), (3, 3), (8, None), (9, None)])
@pytest.mark.parametrize("affinity", [True, False])
def test_a_quota_counts_where_it_is_below_what_is_seen(
    monkeypatch: pytest.MonkeyPatch, usable: int, expected: int | None, affinity: bool
) -> None:
    if affinity:
        monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    else:
        monkeypatch.delattr(os, "sched_getaffinity", raising=False)
        monkeypatch.setattr(os, "cpu_count", lambda: 8)
    monkeypatch.setattr(cores, "usable_cores", lambda: usable)
    assert core_quota() == expected
