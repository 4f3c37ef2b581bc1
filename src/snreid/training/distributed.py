"""The processes that train or extract together, and how they exchange arrays, without pickle.

``torchrun`` (one machine or several) or SLURM's ``srun`` starts them. Without either there is one process and
every exchange is the identity, so callers need no second code path. Exchanges run over gloo on the CPU,
gradients on CUDA over NCCL.
"""

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray

from snreid.errors import ExperimentError


@dataclass(frozen=True, slots=True)
class Rank:
    """This process's rank, as set by the launcher."""

    rank: int
    """From 0 to world - 1, over all machines."""
    world: int
    """Number of processes, >= 1."""
    local_rank: int
    """From 0, on this machine: which of its devices to use."""
    address: str
    """Host of rank 0."""
    port: int
    """Where rank 0 listens."""


@dataclass(frozen=True, slots=True)
class ProcessGroup:
    """The processes that work together. Create it with ``join`` and call ``leave`` at the end."""

    rank: int
    world: int
    device: torch.device
    """Where this process computes."""

    @property
    def first(self) -> bool:
        """True in the one process that writes files and talks to the user."""
        return self.rank == 0

    def barrier(self) -> None:
        """Returns once every process has called it."""
        if self.world > 1:
            dist.all_reduce(torch.zeros(1))

    def gather_arrays(self, array: NDArray[Any]) -> tuple[NDArray[Any], ...]:
        """Returns every process's array, in rank order, to all processes. Shapes may differ; the dtype is numeric."""
        if self.world == 1:
            return (array,)
        here = json.dumps({"dtype": array.dtype.str, "shape": array.shape}).encode()
        headers = [json.loads(bytes(part)) for part in self._gather_bytes(np.frombuffer(here, dtype=np.uint8))]
        parts = self._gather_bytes(np.ascontiguousarray(array).reshape(-1).view(np.uint8))
        return tuple(
            part.view(np.dtype(header["dtype"])).reshape(header["shape"])
            for header, part in zip(headers, parts, strict=True)
        )

    def leave(self) -> None:
        """Ends the group of this process. Safe to call twice."""
        if self.world > 1 and dist.is_initialized():
            dist.destroy_process_group()

    def _gather_bytes(self, data: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
        lengths = [torch.zeros(1, dtype=torch.int64) for _ in range(self.world)]
        dist.all_gather(lengths, torch.tensor([data.size]))
        longest = max(int(length.item()) for length in lengths)
        padded = torch.zeros(longest, dtype=torch.uint8)
        padded[: data.size] = torch.from_numpy(data.copy())
        parts = [torch.empty(longest, dtype=torch.uint8) for _ in range(self.world)]
        dist.all_gather(parts, padded)
        return [part[: int(length.item())].numpy() for part, length in zip(parts, lengths, strict=True)]


def join(
    device: str = "auto", *, environment: Mapping[str, str] | None = None, timeout: float = 1800.0
) -> ProcessGroup:
    """Joins the group that the launcher's environment describes (``os.environ`` unless another mapping is given).

    ``device``: ``cpu``, ``cuda``, ``cuda:1`` or ``auto`` (CUDA if available). With several processes ``cuda``
    means the GPU of this process's local rank. ``timeout``: seconds to wait for the others in any exchange.
    Raises ``ExperimentError`` when there is no such device or the launcher's variables contradict each other.
    """
    rank = launched_rank(os.environ if environment is None else environment)
    if rank is None:
        return ProcessGroup(rank=0, world=1, device=chosen_device(device))
    own_device = chosen_device(device, rank.local_rank)
    if own_device.type == "cuda":
        torch.cuda.set_device(own_device)
    ipv6 = ":" in rank.address and not rank.address.startswith("[")
    dist.init_process_group(
        "cpu:gloo,cuda:nccl" if own_device.type == "cuda" else "gloo",
        init_method=f"tcp://{f'[{rank.address}]' if ipv6 else rank.address}:{rank.port}",
        rank=rank.rank,
        world_size=rank.world,
        timeout=timedelta(seconds=timeout),
    )
    return ProcessGroup(rank=rank.rank, world=rank.world, device=own_device)


def launched_rank(environment: Mapping[str, str]) -> Rank | None:
    """Reads the rank that torchrun or srun set in the environment; None if neither started several processes.

    Inside ``sbatch`` or ``salloc`` but without ``srun`` there is one process although SLURM_NTASKS may be larger;
    only srun sets SLURM_STEP_NUM_TASKS. Raises ``ExperimentError`` for a variable that is missing or not a number.
    """
    if "RANK" in environment and "WORLD_SIZE" in environment:
        rank = Rank(
            rank=_number(environment, "RANK"),
            world=_number(environment, "WORLD_SIZE"),
            local_rank=_number(environment, "LOCAL_RANK"),
            address=environment.get("MASTER_ADDR", "127.0.0.1"),
            port=_number(environment, "MASTER_PORT"),
        )
    elif "SLURM_PROCID" in environment and "SLURM_STEP_NUM_TASKS" in environment:
        nodes = environment.get("SLURM_STEP_NODELIST") or environment.get("SLURM_NODELIST", "localhost")
        port = 20_000 + _number(environment, "SLURM_JOB_ID") % 20_000  # keeps two jobs on one host apart
        rank = Rank(
            rank=_number(environment, "SLURM_PROCID"),
            world=_number(environment, "SLURM_STEP_NUM_TASKS"),
            local_rank=_number(environment, "SLURM_LOCALID"),
            address=environment.get("MASTER_ADDR") or first_host(nodes),
            port=_number(environment, "MASTER_PORT") if "MASTER_PORT" in environment else port,
        )
    else:
        return None
    if not 0 <= rank.rank < rank.world:
        raise ExperimentError(
            "A process's rank is at least 0 and below the number of processes",
            found=f"rank {rank.rank} of {rank.world}",
            fix="start with torchrun or srun and leave their variables alone",
        )
    return rank if rank.world > 1 else None


def first_host(nodes: str) -> str:
    """Returns the first host of a SLURM node list: ``gpu[03-06,9],cpu1`` gives ``gpu03``; ``a,b`` gives ``a``."""
    match = re.match(r"([^\[,]+)(?:\[([^\]\-,]+)[^\]]*\]([^\[,]*))?", nodes.strip())
    if not match:
        raise ExperimentError(
            "SLURM names the hosts of a job", found=repr(nodes), fix="set MASTER_ADDR to rank 0's host"
        )
    return "".join(part or "" for part in match.groups())


def _number(environment: Mapping[str, str], name: str) -> int:
    try:
        return int(environment[name])
    except (KeyError, ValueError) as error:
        raise ExperimentError(
            f"A process started with others needs the number {name} in its environment",
            found=repr(environment.get(name, "nothing")),
            fix="start with torchrun --nproc-per-node N, or with srun",
        ) from error


def chosen_device(name: str, local_rank: int = 0) -> torch.device:
    """Resolves a device name on this machine: ``cpu``, ``cuda``, ``cuda:1`` or ``auto`` (CUDA if available).

    ``cuda`` means the GPU of this process's ``local_rank``. Raises ``ExperimentError`` for any other name or a device that does not exist.
    """
    name = str(name)  # Python users may give a torch.device
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", name):
        raise ExperimentError(
            "The device is auto, cpu, cuda or cuda:N", found=repr(name), fix="choose one of them, for example cuda:0"
        )
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if name == "cpu" or (name == "auto" and not count):
        return torch.device("cpu")
    # With --gpus-per-task=1 SLURM gives every process one device, and each sees it as number 0.
    if not count:
        raise ExperimentError(
            "A CUDA device can be used where torch finds one",
            found=f"device {name}, no CUDA device",
            fix="use the device cpu or auto, or look at nvidia-smi and at whether this torch was built for CUDA",
        )
    index = int(name.removeprefix("cuda:")) if ":" in name else (0 if count == 1 else local_rank)
    if index >= count or (count == 1 and local_rank > 0 and "SLURM_STEP_NUM_TASKS" not in os.environ):
        raise ExperimentError(
            "Every process needs a CUDA device of its own",
            found=f"device {name}, process {local_rank} on this machine, {count} CUDA devices",
            fix="start as many processes as there are devices, or use the device cpu",
        )
    return torch.device("cuda", index)
