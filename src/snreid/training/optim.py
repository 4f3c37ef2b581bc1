"""Optimizers and learning-rate schedules as values.

An optimizer value holds the base learning rate; a schedule gives the factor on it as a pure function of the epoch
(a float: 2.5 is the middle of the third epoch). Neither has hidden state, so resuming needs only the step number.

``flatten_optimizer`` and ``restore_optimizer`` turn a torch optimizer's state into named tensors and plain JSON
and back, bit for bit.
"""

import itertools
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from snreid.errors import CheckpointError, ExperimentError

_FACTOR = "rate_factor"
"""Key of a parameter group's factor on the learning rate; groups without it have none."""


@dataclass(frozen=True, kw_only=True)
class Optim(ABC):
    """An optimizer as a value. Subclasses are frozen keyword-only dataclasses."""

    lr: float
    """Base learning rate per step, > 0; the schedule multiplies it."""
    weight_decay: float = 5e-4
    """L2 term added to the gradient (method.md section 4), >= 0."""
    decay_norms: bool = True
    """False: parameters with one dimension (scales and shifts of norms, biases) get no weight decay."""
    head_lr: float = 1.0
    """Factor > 0 on the learning rate of everything outside the pretrained backbone (head, modules after stages, stage classifiers):
    parameters without ``backbone`` among the parts of their name."""

    def __post_init__(self) -> None:
        lr, decay, head = self.lr, self.weight_decay, self.head_lr
        _require(0 < lr < math.inf, "The learning rate is positive", lr, "use 3.5e-4 with Adam")
        _require(0 <= decay < math.inf, "The weight decay is not negative", decay, "use 5e-4, or 0 for none")
        rule, fix = (
            "The factor on the head's learning rate is positive",
            "use 10, or 1 for the same rate as the backbone's",
        )
        _require(0 < head < math.inf, rule, head, fix)

    @abstractmethod
    def build(self, network: nn.Module) -> torch.optim.Optimizer:
        """Builds a fused torch optimizer over the network's parameters that require a gradient, in order and with their names.

        Call it after moving the network to its device, CPU or CUDA. Raises ``ExperimentError`` if nothing is trainable.
        """

    def set_rate(self, optimizer: torch.optim.Optimizer, factor: float) -> float:
        """Sets every group's learning rate to ``lr * factor`` (times ``head_lr`` for the head); call it before each step. Returns the
        backbone's rate."""
        rate = self.lr * factor
        for group in optimizer.param_groups:
            group["lr"] = rate * group.get(_FACTOR, 1.0)
        return rate

    def _groups(self, network: nn.Module) -> list[dict[str, Any]]:
        named = [(name, p) for name, p in network.named_parameters() if p.requires_grad]
        rule, fix = "Training needs trainable parameters", "unfreeze a part of the network"
        _require(bool(named), rule, "none requires a gradient", fix)
        matrices, vectors = [n for n in named if n[1].ndim > 1], [n for n in named if n[1].ndim <= 1]
        parts = [(named, self.weight_decay)] if self.decay_norms else [(matrices, self.weight_decay), (vectors, 0.0)]
        groups: list[dict[str, Any]] = []
        for part, decay in parts:
            if self.head_lr == 1:
                groups.append({"params": part, "weight_decay": decay})
                continue
            backbone = [n for n in part if "backbone" in n[0].split(".")]
            rest = [n for n in part if "backbone" not in n[0].split(".")]
            groups.append({"params": backbone, "weight_decay": decay})
            groups.append({"params": rest, "weight_decay": decay, "lr": self.lr * self.head_lr, _FACTOR: self.head_lr})
        return [group for group in groups if group["params"]]


@dataclass(frozen=True, kw_only=True)
class Adam(Optim):
    """Adam (arXiv 1412.6980) with L2 decay in the gradient, unlike ``AdamW``: re-identification recipes are tuned for it."""

    _kind: ClassVar[type[torch.optim.Adam]] = torch.optim.Adam
    lr: float = 3.5e-4
    amsgrad: bool = False
    """Divide by the largest second moment so far (method.md section 4, preset ``paper``)."""
    betas: tuple[float, float] = (0.9, 0.999)
    """Decay of the running first and second moment, each in [0, 1)."""
    eps: float = 1e-8
    """Added to the square root of the second moment, > 0."""

    def __post_init__(self) -> None:
        super().__post_init__()
        _require(all(0 <= b < 1 for b in self.betas), "Adam's betas are in [0, 1)", self.betas, "use (0.9, 0.999)")
        _require(0 < self.eps < math.inf, "Adam's eps is positive", self.eps, "use 1e-8")

    def build(self, network: nn.Module) -> torch.optim.Optimizer:
        """See ``Optim.build``."""
        return self._kind(
            self._groups(network), lr=self.lr, betas=self.betas, eps=self.eps, amsgrad=self.amsgrad, fused=True
        )


@dataclass(frozen=True, kw_only=True)
class AdamW(Adam):
    """Adam with decoupled weight decay (arXiv 1711.05101): w <- w - rate (m / (sqrt(v) + eps) + weight_decay w)."""

    _kind: ClassVar[type[torch.optim.Adam]] = torch.optim.AdamW
    weight_decay: float = 0.01
    """Share of a weight that each step subtracts, times the learning rate, >= 0."""


@dataclass(frozen=True, kw_only=True)
class SGD(Optim):
    """Stochastic gradient descent with momentum."""

    lr: float = 0.01
    momentum: float = 0.9
    """Share of the last update kept, in [0, 1)."""
    nesterov: bool = False
    """Look ahead along the momentum; needs momentum > 0."""

    def __post_init__(self) -> None:
        super().__post_init__()
        _require(0 <= self.momentum < 1, "The momentum is in [0, 1)", self.momentum, "use 0.9")
        _require(not self.nesterov or self.momentum > 0, "Nesterov needs a momentum", self.momentum, "use momentum 0.9")

    def build(self, network: nn.Module) -> torch.optim.Optimizer:
        """See ``Optim.build``."""
        optimizer = torch.optim.SGD(
            self._groups(network), lr=self.lr, momentum=self.momentum, nesterov=self.nesterov, fused=True
        )
        if self.momentum > 0:
            # torch creates them in the first step and fills them only if it is not skipped; starting from 0 is equivalent.
            for parameter in itertools.chain.from_iterable(group["params"] for group in optimizer.param_groups):
                optimizer.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter, requires_grad=False)
        return optimizer


def apply_step(optimizer: torch.optim.Optimizer, bad: Tensor, scale: Tensor | None = None) -> None:
    """Updates the weights once, unless ``bad`` (() float32 on the optimizer's device) is 1: then weights and state stay as they are.

    ``scale``: the factor on the gradients. The fused kernels handle both, so the host does not wait for the device; torch's
    ``GradScaler`` passes them by the same two attributes.
    """
    untyped: Any = optimizer
    untyped.found_inf, untyped.grad_scale = bad, scale
    try:
        optimizer.step()
    finally:
        del untyped.found_inf, untyped.grad_scale


@dataclass(frozen=True, kw_only=True)
class Schedule(ABC):
    """A learning-rate schedule as a value: linear warm-up, then the decay of the subclass."""

    warmup_epochs: float = 10.0
    """Length of the linear warm-up, in epochs, >= 0."""
    start: float = 0.01
    """Factor at epoch 0 when there is a warm-up, above 0 (else the first step is lost) and at most 1."""

    def __post_init__(self) -> None:
        warmup = self.warmup_epochs
        _require(0 <= warmup < math.inf, "The warm-up lasts at least 0 epochs", warmup, "use 10, or 0 for none")
        _require(0 < self.start <= 1, "The warm-up starts at a factor above 0 and at most 1", self.start, "use 0.01")

    def factor(self, epoch: float, epochs: float) -> float:
        """Returns the factor on the base learning rate, in (0, 1], at ``epoch`` >= 0 (may be fractional) out of ``epochs``."""
        if epoch < self.warmup_epochs:
            return self.start + (1 - self.start) * epoch / self.warmup_epochs
        return self._after_warmup(epoch, epochs)

    @abstractmethod
    def _after_warmup(self, epoch: float, epochs: float) -> float:
        """The factor at an epoch at or after the end of the warm-up."""


@dataclass(frozen=True, kw_only=True)
class WarmupSteps(Schedule):
    """Multiplies the rate by ``drop`` at each milestone (method.md section 4, preset ``short``)."""

    milestones: tuple[float, ...] = (40.0, 70.0)
    """Epochs counted from the start of training, ascending, none inside the warm-up."""
    drop: float = 0.1
    """Factor at each milestone, in (0, 1]."""

    def __post_init__(self) -> None:
        super().__post_init__()
        marks = (self.warmup_epochs, *self.milestones)
        _require(
            all(a <= b for a, b in itertools.pairwise(marks)),
            "Milestones ascend and lie after the warm-up",
            f"{self.milestones} with a warm-up of {self.warmup_epochs} epochs",
            "sort them, or shorten the warm-up",
        )
        _require(0 < self.drop <= 1, "The drop is above 0 and at most 1", self.drop, "use 0.1")

    def _after_warmup(self, epoch: float, epochs: float) -> float:
        return float(self.drop ** sum(epoch >= mark for mark in self.milestones))


@dataclass(frozen=True, kw_only=True)
class WarmupHalving(Schedule):
    """Halves the rate every ``every`` epochs after the warm-up (method.md section 4, preset ``paper``)."""

    warmup_epochs: float = 20.0
    every: float = 40.0
    """Epochs between two halvings, > 0."""

    def __post_init__(self) -> None:
        super().__post_init__()
        _require(self.every > 0, "The epochs between two halvings are more than 0", self.every, "use 40")

    def _after_warmup(self, epoch: float, epochs: float) -> float:
        return float(0.5 ** math.floor((epoch - self.warmup_epochs) / self.every))


@dataclass(frozen=True, kw_only=True)
class WarmupCosine(Schedule):
    """Half a cosine from 1 after the warm-up to ``floor`` at the end of training (arXiv 1608.03983, without restarts)."""

    floor: float = 0.001
    """Factor at the end of training, above 0 and at most 1."""

    def __post_init__(self) -> None:
        super().__post_init__()
        _require(0 < self.floor <= 1, "The floor is above 0 and at most 1", self.floor, "use 0.001")

    def _after_warmup(self, epoch: float, epochs: float) -> float:
        share = min(1.0, (epoch - self.warmup_epochs) / max(epochs - self.warmup_epochs, 1e-9))
        return self.floor + (1 - self.floor) * 0.5 * (1 + math.cos(math.pi * share))


def _require(holds: bool, rule: str, found: object, fix: str) -> None:
    if not holds:
        raise ExperimentError(rule, found=str(found), fix=fix)


_OF_THE_PROCESS = ("params", "fused", "foreach", "capturable", "differentiable")
"""Keys of a group that are never restored: its parameters, and the kernels that update them."""


@dataclass(frozen=True, slots=True)
class OptimizerState:
    """A torch optimizer's state, split into parts that need no pickle."""

    tensors: dict[str, Tensor]
    """``<parameter name>/<key>`` (for example ``head.weight/exp_avg``) -> the tensor itself, not a copy."""
    values: dict[str, Any]
    """JSON: the groups with their parameter names and settings, and the state that is not a tensor."""


def flatten_optimizer(optimizer: torch.optim.Optimizer) -> OptimizerState:
    """Returns all that ``restore_optimizer`` needs, step counters included. Needs an optimizer built from named parameters."""
    state = optimizer.state_dict()
    names = _names(state)
    tensors: dict[str, Tensor] = {}
    plain: dict[str, dict[str, Any]] = {}
    for index, entries in state["state"].items():
        for key, value in entries.items():
            if isinstance(value, Tensor):
                tensors[f"{names[index]}/{key}"] = value
            else:
                plain.setdefault(names[index], {})[key] = value
    groups = [{k: v for k, v in group.items() if k != "params"} for group in state["param_groups"]]
    return OptimizerState(tensors=tensors, values={"groups": groups, "plain": plain})


def restore_optimizer(optimizer: torch.optim.Optimizer, state: OptimizerState) -> None:
    """Restores a flattened state exactly; the optimizer must be built by the same value over the same network.

    Raises ``CheckpointError`` if the parameter names differ from those in the state.
    """
    current = optimizer.state_dict()
    names = _names(current)
    saved = [group["param_names"] for group in state.values["groups"]]
    if saved != [group["param_names"] for group in current["param_groups"]]:
        different = sorted(set(names.values()) ^ {name for group in saved for name in group})
        raise CheckpointError(
            "An optimizer's state fits only the network and the groups it was saved with",
            found=f"{len(names)} parameters, {sum(map(len, saved))} saved, different: {different[:5] or 'the groups'}",
            fix="resume with the experiment the run was started with",
        )
    index_of = {name: index for index, name in names.items()}
    entries: dict[int, dict[str, Any]] = {}
    for name, plain in state.values["plain"].items():
        entries.setdefault(index_of[name], {}).update(plain)
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    for label, tensor in state.tensors.items():
        name, key = label.rsplit("/", 1)
        entries.setdefault(index_of[name], {})[key] = _laid_out_as(parameters[index_of[name]], tensor)
    groups = []
    for group, now in zip(state.values["groups"], current["param_groups"], strict=True):
        # JSON has no tuples (Adam's betas).
        settings = {k: tuple(v) if isinstance(now.get(k), tuple) else v for k, v in group.items()}
        groups.append({**settings, **{k: now[k] for k in _OF_THE_PROCESS if k in now}})
    optimizer.load_state_dict({"state": entries, "param_groups": groups})


def _laid_out_as(parameter: Tensor, saved: Tensor) -> Tensor:
    """The saved tensor in the parameter's memory format: fused kernels reject a channels-last weight whose moments are not."""
    if saved.shape != parameter.shape:
        return saved  # a step counter
    return torch.empty_like(parameter, dtype=saved.dtype, device=saved.device, requires_grad=False).copy_(saved)


def _names(state: Mapping[str, Any]) -> dict[int, str]:
    return {
        index: name
        for group in state["param_groups"]
        for index, name in zip(group["params"], group["param_names"], strict=True)
    }
