"""Training in several processes: gradients averaged over all of them, and joint decisions."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from snreid.losses import Loss, total_loss
from snreid.models.backbone import synchronized
from snreid.outputs import Outputs, StageLogits, StageVectors
from snreid.system.machine import Precision
from snreid.training.distributed import ProcessGroup
from snreid.training.memory import Remembering
from snreid.training.precision import autocast

Three = TypeVar("Three", StageVectors, StageLogits)


class Objective(nn.Module):
    """A network together with its losses: takes normalized images and persons, returns the total loss.

    One module, because ``DistributedDataParallel`` waits for the gradient of every parameter that contributes to the module's result.
    A gate that only one loss uses contributes to the outputs but, without that loss, not to the total.
    """

    def __init__(self, network: nn.Module, losses: Sequence[Loss], *, precision: Precision = "float32") -> None:
        """``network``: images -> ``Outputs``. ``precision``: that of its forward pass; losses are in float32."""
        super().__init__()
        self.network, self.losses, self.precision = network, tuple(losses), precision

    def forward(self, images: Tensor, persons: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """(B, 3, H, W) and (B,) -> the total, and the weighted, detached part of each loss by name (see ``total_loss``).

        With two views, (2B, 3, H, W): all first views, then all second views. The network sees them as one batch (batch norms see
        both), the losses get the second views as ``Outputs.second``. A network with a memory updates it after the losses.
        """
        outputs = outputs_of(self.network, images, precision=self.precision)
        if len(images) == 2 * len(persons):
            first, second = parted(outputs, len(persons))
            outputs = replace(first, second=second)
        losses = total_loss(self.losses, outputs, persons)
        if isinstance(self.network, Remembering):
            self.network.remember(outputs.embedding, persons)
        return losses.total, dict(losses.parts)


def outputs_of(network: nn.Module, images: Tensor, *, precision: Precision) -> Outputs:
    """Runs a network on normalized images (B, 3, H, W) under autocast to ``precision``; returns float32 outputs."""
    with autocast(precision, images.device.type):
        outputs: Outputs = network(images)
    if precision == "float32":
        return outputs
    # Losses run in float32; stage vectors already are.
    pooled, embedding, logits = outputs.pooled.float(), outputs.embedding.float(), outputs.logits.float()
    return replace(outputs, pooled=pooled, embedding=embedding, logits=logits)


def wrap(objective: nn.Module, group: ProcessGroup) -> nn.Module:
    """Wraps the objective so that ``backward`` averages gradients over the processes; returns it as is for one process.

    Unused parameters keep the gradient None, as in one process. On GPUs batch norms are synchronized (in place), so they use the
    statistics of the whole batch; torch has no such kernel on CPU, where each process normalizes its own share.
    """
    if group.world == 1:
        return objective
    # torch warns if it is told to find unused parameters and finds none. This extra, unused parameter silences the warning; it is not
    # part of the network, so neither the optimizer nor a checkpoint sees it.
    objective.register_parameter("unused", nn.Parameter(torch.zeros(1, device=group.device)))
    on_cuda = group.device.type == "cuda"
    return DistributedDataParallel(
        synchronized(objective) if on_cuda else objective,
        device_ids=[group.device] if on_cuda else None,
        find_unused_parameters=True,
    )


def share_buffers(model: nn.Module, group: ProcessGroup) -> None:
    """Broadcasts the buffers (running statistics) of rank 0, which are the ones saved.

    Each forward pass in training begins with them, but after the last step of an epoch the processes differ, and to validate together
    they must embed with the same model.
    """
    if group.world == 1:
        return
    for buffer in model.buffers():
        torch.distributed.broadcast(buffer, src=0)


def agree(flags: tuple[bool, bool], group: ProcessGroup) -> tuple[bool, bool]:
    """Returns each flag as True if any process has it True, so that all processes stop, save or skip together."""
    if group.world == 1:
        return flags
    shared = torch.tensor([float(flag) for flag in flags], dtype=torch.float32)
    torch.distributed.all_reduce(shared, op=torch.distributed.ReduceOp.MAX)
    first, second = shared.tolist()
    return bool(first), bool(second)


def agree_there(bad: Tensor, group: ProcessGroup) -> Tensor:
    """Returns the maximum of ``bad`` (() 0 or 1) over all processes, on its device: on CUDA the host does not wait."""
    if group.world > 1:
        torch.distributed.all_reduce(bad, op=torch.distributed.ReduceOp.MAX)
    return bad


def part_of_step(objective: nn.Module, *, last: bool) -> AbstractContextManager[None]:
    """The context for one of several backward passes of a step: only the ``last`` one exchanges gradients."""
    if isinstance(objective, DistributedDataParallel) and not last:
        return objective.no_sync()
    return nullcontext()


def parted(outputs: Outputs, count: int) -> tuple[Outputs, Outputs]:
    """Splits outputs into those of the first ``count`` images and of the rest; both keep what belongs to no image."""
    return _some(outputs, slice(None, count)), _some(outputs, slice(count, None))


def _some(outputs: Outputs, rows: slice) -> Outputs:
    stages = tuple(
        replace(_rows(stage, rows), logits=None if stage.logits is None else _rows(stage.logits, rows))
        for stage in outputs.stages
    )
    pooled, embedding, logits = outputs.pooled[rows], outputs.embedding[rows], outputs.logits[rows]
    return replace(outputs, pooled=pooled, embedding=embedding, logits=logits, stages=stages)


def _rows(three: Three, rows: slice) -> Three:
    normalized, restored = three.normalized[rows], three.restored[rows]
    return replace(three, normalized=normalized, restored=restored, contaminated=three.contaminated[rows])
