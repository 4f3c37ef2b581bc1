"""What the loop asks of several processes: a loss whose gradients are those of all, and one decision taken together."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from snreid.losses import Loss, total_loss
from snreid.models.backbone import synchronized
from snreid.outputs import Outputs, StageLogits
from snreid.system.machine import Precision
from snreid.training.distributed import ProcessGroup
from snreid.training.memory import Remembering
from snreid.training.precision import autocast


class Objective(nn.Module):
    """A network together with its losses: normalized images and persons in, the number to differentiate out.

    One module, because ``DistributedDataParallel`` waits for the gradient of every parameter that leads to what the wrapped module
    returns. A gate that only a loss looks at leads to the outputs but, without that loss, not to the number.
    """

    def __init__(self, network: nn.Module, losses: Sequence[Loss], *, precision: Precision = "float32") -> None:
        """``network``: images -> ``Outputs``. ``precision``: of its forward pass; the losses are in float32."""
        super().__init__()
        self.network, self.losses, self.precision = network, tuple(losses), precision

    def forward(self, images: Tensor, persons: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """(B, 3, H, W) and (B,) -> the total, and the weighted, detached part of each loss by name (see ``total_loss``).

        (2B, 3, H, W) where there are two views: all first ones, then all second ones. They are one batch to the network (its
        batch norms see both), and ``Outputs.second`` to the losses. A network that remembers does so after the losses.
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
    """What a network gives for normalized images (B, 3, H, W), in float32, computed under autocast to the ``precision``."""
    with autocast(precision, images.device.type):
        outputs: Outputs = network(images)
    return outputs if precision == "float32" else _in_float32(outputs)


def wrap(objective: nn.Module, group: ProcessGroup) -> nn.Module:
    """The module whose ``backward`` averages gradients over the processes; the ``objective`` itself for one process.

    Parameters that its result does not depend on keep the gradient None, as they do in one process. On GPUs batch norms are
    synchronized (in place), so that statistics are those of the whole batch; on CPU torch has no such kernel and each process
    normalizes by its own share.
    """
    if group.world == 1:
        return objective
    # torch warns on every run that asks it to find unused parameters and has none. With one that nothing uses it is quiet; it is no
    # parameter of the network, so neither the optimizer nor a checkpoint sees it.
    objective.register_parameter("unused", nn.Parameter(torch.zeros(1, device=group.device)))
    on_cuda = group.device.type == "cuda"
    return DistributedDataParallel(
        synchronized(objective) if on_cuda else objective,
        device_ids=[group.device] if on_cuda else None,
        find_unused_parameters=True,
    )


def share_buffers(model: nn.Module, group: ProcessGroup) -> None:
    """Gives every process the first one's buffers (running statistics), which are those that are saved.

    During training only the first one's count (each forward pass begins with them), but after the last step of an epoch they differ, and
    processes that validate together have to embed with one model.
    """
    if group.world == 1:
        return
    for buffer in model.buffers():
        torch.distributed.broadcast(buffer, src=0)


def agree(flags: tuple[bool, bool], group: ProcessGroup) -> tuple[bool, bool]:
    """Each flag is True for all if it is True for any process: nobody stops, saves or skips alone."""
    if group.world == 1:
        return flags
    shared = torch.tensor([float(flag) for flag in flags], dtype=torch.float32)
    torch.distributed.all_reduce(shared, op=torch.distributed.ReduceOp.MAX)
    first, second = shared.tolist()
    return bool(first), bool(second)


def agree_there(bad: Tensor, group: ProcessGroup) -> Tensor:
    """The largest ``bad`` (() of 0 or 1) of all processes, on its device: on CUDA no host waits for it."""
    if group.world > 1:
        torch.distributed.all_reduce(bad, op=torch.distributed.ReduceOp.MAX)
    return bad


def part_of_step(objective: nn.Module, *, last: bool) -> AbstractContextManager[None]:
    """What one of several backward passes of a step runs in: gradients are exchanged in the ``last`` one alone."""
    if isinstance(objective, DistributedDataParallel) and not last:
        return objective.no_sync()
    return nullcontext()


def parted(outputs: Outputs, count: int) -> tuple[Outputs, Outputs]:
    """The outputs of the first ``count`` images of a batch, and those of the rest; what is no image's stays with both."""
    return _some(outputs, slice(None, count)), _some(outputs, slice(count, None))


def _some(outputs: Outputs, rows: slice) -> Outputs:
    return replace(
        outputs,
        pooled=outputs.pooled[rows],
        embedding=outputs.embedding[rows],
        logits=outputs.logits[rows],
        stages=tuple(
            replace(
                stage,
                normalized=stage.normalized[rows],
                restored=stage.restored[rows],
                contaminated=stage.contaminated[rows],
                logits=None
                if stage.logits is None
                else StageLogits(
                    normalized=stage.logits.normalized[rows],
                    restored=stage.logits.restored[rows],
                    contaminated=stage.logits.contaminated[rows],
                ),
            )
            for stage in outputs.stages
        ),
    )


def _in_float32(outputs: Outputs) -> Outputs:
    """Head outputs in float32, so that losses under autocast are computed in float32 (stage vectors are already)."""
    return replace(
        outputs,
        pooled=outputs.pooled.float(),
        embedding=outputs.embedding.float(),
        logits=outputs.logits.float(),
    )
