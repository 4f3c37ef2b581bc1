"""Asynchronous copies between device and host; neither waits for the other."""

from collections.abc import Sequence

import torch
from torch import Tensor


class Later:
    """Scalars of one device that the host reads later.

    On CUDA the copy to pinned memory is queued behind the work that computes them, and ``numbers`` waits for
    that copy only. On CPU they are available at once.
    """

    def __init__(self, scalars: Sequence[Tensor]) -> None:
        values = torch.stack([scalar.detach().float() for scalar in scalars])
        self._copied: torch.cuda.Event | None = None
        if values.device.type == "cuda":
            self._values = torch.empty(values.shape, dtype=values.dtype, pin_memory=True)
            self._values.copy_(values, non_blocking=True)
            self._copied = torch.cuda.Event()  # type: ignore[no-untyped-call]
            self._copied.record()
        else:
            self._values = values

    def numbers(self) -> list[float]:
        """Returns the values in the order given."""
        if self._copied is not None:
            self._copied.synchronize()
        values: list[float] = self._values.tolist()
        return values


def sent(tensor: Tensor, device: torch.device) -> Tensor:
    """Moves a tensor to ``device``; a copy to a GPU is queued behind its pending work and does not block the host."""
    if device.type != "cuda" or tensor.device.type == "cuda":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)
