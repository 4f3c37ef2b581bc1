"""Two real gloo processes on this machine, for what can only be seen when processes work together."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

_FRAME = """
import json, os, sys
import torch
from snreid.training.distributed import join

torch.set_num_threads(1)

def run(rank):
    os.environ.update(RANK=str(rank), WORLD_SIZE="2", LOCAL_RANK=str(rank), MASTER_ADDR="127.0.0.1", MASTER_PORT=sys.argv[2])
    group = join("cpu", timeout=60)
    answer = work(group)
    group.leave()
    with open(f"{sys.argv[1]}/{rank}.json", "w") as file:
        json.dump(answer, file)

child = os.fork()
run(0 if child else 1)
if child:
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
"""Imports torch once, then goes on as two processes."""


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def answers_of_two(code: str, folder: Path, *, wrapped: bool = False) -> list[Any]:
    """What ``work(group)``, a function in ``code`` that returns JSON, gives in the first and in the second process.

    ``folder``: where they leave their answers. ``wrapped``: they will use ``DistributedDataParallel``, which imports seconds of torch's
    compiler when it is first used; that is then done once, before there are two. A warning in either of them is an error.
    """
    code = ("import torch._dynamo\n" if wrapped else "") + code
    # Python 3.12 warns of every fork of a process with threads; here nothing has run yet.
    warnings = ["-W", "error", "-W", "ignore::DeprecationWarning"]
    command = [sys.executable, *warnings, "-c", code + _FRAME, str(folder), str(free_port())]
    tests = os.pathsep.join([str(Path(__file__).parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {**os.environ, "PYTHONPATH": tests}  # what is in this folder can be imported
    done = subprocess.run(command, env=environment, stderr=subprocess.PIPE, text=True, timeout=120, check=False)
    assert "Warning" not in done.stderr, done.stderr
    assert done.returncode == 0, done.stderr
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in range(2)]
