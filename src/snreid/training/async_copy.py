"""Numbers on their way from the device to the host, and the other way, without either waiting for the other."""

from collections.abc import Sequence

import torch
from torch import Tensor


class Later:
    """The values of a few scalars of one device, which the host may read when the device has come so far.

    On CUDA they are copied into pinned memory behind the work that makes them; ``numbers`` waits for that
    copy alone. On CPU they are there.
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
        """The values in their order."""
        if self._copied is not None:
            self._copied.synchronize()
        values: list[float] = self._values.tolist()
        return values


def sent(tensor: Tensor, device: torch.device) -> Tensor:
    """The tensor on ``device``; a copy to a GPU starts behind what it has to do already, and the host goes on at once."""
    if device.type != "cuda" or tensor.device.type == "cuda":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)
