"""What the loop asks of several processes: wrap the network, and take one decision together."""

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from snreid.training.distributed import ProcessGroup


def wrap(model: nn.Module, group: ProcessGroup) -> nn.Module:
    """The network whose ``backward`` averages gradients over the processes; the model itself for one process.

    On GPUs batch norms are synchronized, so that statistics are those of the whole batch; on CPU torch has no such kernel and each
    process normalizes by its own share.
    """
    if group.world == 1:
        return model
    if group.device.type == "cuda":
        synchronized: nn.Module = nn.SyncBatchNorm.convert_sync_batchnorm(model)  # type: ignore[no-untyped-call]
        return DistributedDataParallel(synchronized, device_ids=[group.device])
    return DistributedDataParallel(model)


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
