"""What every test stands on: shapes checked at run time, one thread, a seed, no network.

Shapes are types (``snreid.tensors``), and here they are enforced: jaxtyping with beartype checks every call of the modules
named in ``shapes.py``. The library itself never does that, because a decorator on every function breaks graph capture; so
``tests/compiled`` runs in a process of its own with ``SNREID_SHAPE_CHECKS=0`` (``make test`` does both).
"""

import os
import random
import socket
from collections.abc import Iterator

SHAPE_CHECKS = os.environ.get("SNREID_SHAPE_CHECKS", "1") != "0"
if SHAPE_CHECKS:
    from support.shapes import check_shapes

    check_shapes()

collect_ignore = [] if not SHAPE_CHECKS else ["compiled"]

import numpy as np  # noqa: E402  (after the hook on purpose)
import pytest  # noqa: E402
import torch  # noqa: E402

SEED = 20200614


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    """The suite runs several processes side by side; each keeps to one core, which also makes sums repeatable."""
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _seeded() -> None:
    """Every test starts from the same random state, alone or in a crowd."""
    random.seed(SEED)
    np.random.seed(SEED)  # noqa: NPY002  (libraries still draw from the global state)
    torch.manual_seed(SEED)


@pytest.fixture(scope="session", autouse=True)
def _no_network() -> Iterator[None]:
    """Nothing leaves this machine: sockets connect to the machine itself only (two gloo processes need that)."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: object) -> None:
        host = address[0] if isinstance(address, tuple) else "local"
        if host not in ("local", "127.0.0.1", "::1", "localhost"):
            raise AssertionError(f"a test tried to reach {host!r}: tests never use the network")
        connect(self, address)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", guarded)
        yield


@pytest.fixture
def rng() -> np.random.Generator:
    """A NumPy generator with the suite's seed."""
    return np.random.default_rng(SEED)
