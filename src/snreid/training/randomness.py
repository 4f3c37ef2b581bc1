"""State of every random generator a training step may draw from, as tensors, so that a resumed run draws the same
numbers.

Python's ``random``, NumPy's global generator, torch on the CPU and on every CUDA device this process sees.
"""

import json
import random
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from snreid.errors import CheckpointError


def rng_state() -> dict[str, Tensor]:
    """Names ``python``, ``numpy``, ``torch`` and ``cuda.0``, ``cuda.1``, ... to uint8 vectors."""
    version, words, gauss = random.getstate()
    generator: dict[str, Any] = dict(np.random.get_state(legacy=False))  # noqa: NPY002  (libraries draw from it)
    inner = generator["state"]
    generator["state"] = {"key": inner["key"].tolist(), "pos": int(inner["pos"])}
    states = {
        "python": _to_bytes([version, list(words), gauss]),
        "numpy": _to_bytes(generator),
        "torch": torch.get_rng_state(),
    }
    if torch.cuda.is_available():
        states |= {f"cuda.{i}": torch.cuda.get_rng_state(i) for i in range(torch.cuda.device_count())}
    return states


def restore_rng(states: Mapping[str, Tensor]) -> None:
    """Puts the generators back; CUDA devices that are not here any more are left out.

    Raises ``CheckpointError`` if a state is missing or not what ``rng_state`` gave.
    """
    try:
        version, words, gauss = _from_bytes(states["python"])
        random.setstate((version, tuple(words), gauss))
        generator = _from_bytes(states["numpy"])
        generator["state"]["key"] = np.array(generator["state"]["key"], dtype=np.uint32)
        np.random.set_state(generator)  # noqa: NPY002
        torch.set_rng_state(states["torch"].cpu())
    except (KeyError, ValueError, TypeError, RuntimeError) as error:
        raise CheckpointError(
            "A saved random state holds the generators python, numpy and torch",
            came=f"{sorted(states)}, {type(error).__name__}: {error}",
            repair="resume from a checkpoint written by this version",
        ) from error
    for name, state in states.items():
        if name.startswith("cuda.") and torch.cuda.is_available() and int(name[5:]) < torch.cuda.device_count():
            torch.cuda.set_rng_state(state.cpu(), int(name[5:]))


def _to_bytes(value: Any) -> Tensor:
    return torch.frombuffer(bytearray(json.dumps(value).encode()), dtype=torch.uint8)


def _from_bytes(tensor: Tensor) -> Any:
    return json.loads(bytes(tensor.cpu().numpy().tobytes()))
