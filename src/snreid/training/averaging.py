"""An exponential moving average (EMA) of a model's weights over training (Polyak averaging; arXiv 1803.05407 and 1703.01780)."""

from copy import deepcopy

import torch
from torch import Tensor, nn


class Average:
    """w_avg <- d w_avg + (1 - d) w after each step, with d = min(decay, (1 + t) / (10 + t)) after t earlier updates.

    Averages parameters and floating-point buffers (running statistics); counters are copied from the model. The decay starts low (0.1,
    0.18, 0.25, ...), so that the average forgets the random start. A skipped step changes nothing; the device decides that, so the host
    does not wait.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        """``model``: the model in training, already on its device. ``decay``: in (0, 1)."""
        self._live, self.decay = model, decay
        self.model = deepcopy(model).requires_grad_(False).eval()
        """The averaged model."""
        self.updates = torch.zeros((), device=next(model.parameters()).device)
        """() float32: t."""

    @torch.no_grad()
    def update(self, bad: Tensor) -> None:
        """Updates the average after a step; ``bad``: () 1 if the step was skipped, else 0."""
        kept, now = _tensors(self.model), _tensors(self._live)
        floats = [name for name, tensor in kept.items() if tensor.is_floating_point()]
        share = (1 - ((1 + self.updates) / (10 + self.updates)).clamp(max=self.decay)) * (1 - bad)
        averages = [kept[name] for name in floats]
        moves = torch._foreach_sub([now[name] for name in floats], averages)
        torch._foreach_mul_(moves, share)
        torch._foreach_add_(averages, moves)
        for name in kept.keys() - set(floats):
            kept[name].copy_(now[name])
        self.updates += 1 - bad

    def tensors(self) -> dict[str, Tensor]:
        """Returns the state to store in a checkpoint."""
        return {"updates": self.updates, **{f"model.{name}": value for name, value in self.model.state_dict().items()}}

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Restores what ``tensors`` returned."""
        self.updates.copy_(tensors["updates"])
        self.model.load_state_dict({k.removeprefix("model."): v for k, v in tensors.items() if k.startswith("model.")})


def _tensors(model: nn.Module) -> dict[str, Tensor]:
    """Parameters and buffers by name, looked up at each step because a model may replace them."""
    return {**dict(model.named_parameters()), **dict(model.named_buffers())}
