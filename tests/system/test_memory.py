"""The C library keeps what was freed where it can be told so, and nothing happens where somebody else has decided."""

import subprocess
import sys

import pytest

from snreid.system.memory import keep_freed_memory

ASKED = """
import resource, sys
import numpy as np
from snreid.system.memory import keep_freed_memory
kept = keep_freed_memory() if sys.argv[1] == "keep" else False
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        np.ones(12_000_000, np.float64)  # 96 MB: 23,438 pages
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
faults()
print(kept, faults())
"""


def asked(what: str, **more: str) -> tuple[str, int]:
    environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": ":".join(sys.path), **more}
    done = subprocess.run(
        [sys.executable, "-c", ASKED, what], capture_output=True, text=True, check=True, env=environment, timeout=60
    )
    kept, faults = done.stdout.split()
    return kept, int(faults)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc alone can be told")
def test_the_second_time_the_same_memory_costs_no_pages() -> None:
    kept, faults = asked("keep")
    if kept == "False":
        pytest.skip("this C library has no mallopt")
    assert faults < 1000
    assert asked("leave")[1] > 1000


def test_what_the_environment_says_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    assert asked("keep", MALLOC_TRIM_THRESHOLD_="131072")[0] == "False"
    assert asked("keep", GLIBC_TUNABLES="glibc.malloc.check=0")[0] == "False"
    monkeypatch.setattr(sys, "platform", "darwin")
    assert not keep_freed_memory()
