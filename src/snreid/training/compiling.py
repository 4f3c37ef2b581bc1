"""Whether ``torch.compile`` works on this machine: it needs a C++ compiler on CPU, Triton and a C compiler on a GPU."""

import torch
from rich.console import Console

from snreid.training.distributed import ProcessGroup
from snreid.training.parallel import agree

_BACKEND = "inductor"


def backend(group: ProcessGroup, console: Console) -> str | None:
    """Returns the backend to compile with, or None (with a message on ``console``) if any process cannot compile."""
    reason = why_not(group.device)
    if not agree((bool(reason), False), group)[0]:
        return _BACKEND
    console.out(f"--compile is left out: torch cannot compile here ({reason or 'in another process'})", highlight=False)
    return None


def why_not(device: torch.device) -> str:
    """Returns torch's reason for not compiling for ``device``, or "" if it can. Compiles the sum of two numbers to find out."""
    try:
        torch.compile(lambda x: x + 1, backend=_BACKEND)(torch.zeros(2, device=device))
    except Exception as error:  # torch raises many types: from its compiler, the linker or a missing header
        return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
    return ""
