"""Processes that work together: what launchers say, and exchanges between two real gloo processes."""

from pathlib import Path

import numpy as np
import pytest
import torch

from snreid.errors import ExperimentError
from snreid.training.distributed import ProcessGroup, Rank, chosen_device, first_host, join, launched_rank
from support.two_processes import answers_of_two

TORCHRUN = {"RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "MASTER_ADDR": "host-a", "MASTER_PORT": "29500"}
SLURM = {
    "SLURM_PROCID": "2",
    "SLURM_NTASKS": "4",
    "SLURM_STEP_NUM_TASKS": "4",
    "SLURM_LOCALID": "0",
    "SLURM_NODELIST": "gpu[03-06,9],cpu1",
    "SLURM_JOB_ID": "4711",
}


def test_torchrun_is_understood() -> None:
    assert launched_rank(TORCHRUN) == Rank(rank=3, world=4, local_rank=1, address="host-a", port=29500)


def test_srun_is_understood() -> None:
    assert launched_rank(SLURM) == Rank(rank=2, world=4, local_rank=0, address="gpu03", port=24711)
    chosen = launched_rank({**SLURM, "MASTER_ADDR": "10.0.0.7", "MASTER_PORT": "1234"})
    assert chosen is not None
    assert (chosen.address, chosen.port) == ("10.0.0.7", 1234)


def test_torchrun_inside_slurm_wins() -> None:
    rank = launched_rank({**SLURM, **TORCHRUN})
    assert rank is not None
    assert rank.rank == 3


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {**TORCHRUN, "RANK": "0", "WORLD_SIZE": "1"},
        # sbatch's own script and salloc's shell: four tasks were asked for, but this is one process without srun
        {name: value for name, value in SLURM.items() if name != "SLURM_STEP_NUM_TASKS"},
    ],
)
def test_one_process_is_no_group(environment: dict[str, str]) -> None:
    assert launched_rank(environment) is None
    group = join("cpu", environment=environment)
    assert group == ProcessGroup(rank=0, world=1, device=torch.device("cpu"))
    assert group.first


@pytest.mark.parametrize("change", [{"LOCAL_RANK": "x"}, {"MASTER_PORT": ""}, {"RANK": "4"}, {"RANK": "-1"}])
def test_variables_that_contradict_are_named(change: dict[str, str]) -> None:
    with pytest.raises(ExperimentError, match=r"Found: .*Fix: start with torchrun"):
        launched_rank({**TORCHRUN, **change})


@pytest.mark.parametrize(
    ("nodes", "first"),
    [
        ("gpu[03-06,9],cpu1", "gpu03"),
        ("node7", "node7"),
        ("a,b", "a"),
        ("rack1-n[2,5]-ib,x", "rack1-n2-ib"),
        ("n[12]", "n12"),
        ("host-01.cluster", "host-01.cluster"),
    ],
)
def test_the_first_host_of_a_node_list(nodes: str, first: str) -> None:
    assert first_host(nodes) == first


def test_an_empty_node_list_is_refused() -> None:
    with pytest.raises(ExperimentError, match="MASTER_ADDR"):
        first_host("")


def test_devices() -> None:
    assert join("auto", environment={}).device.type in ("cpu", "cuda")
    assert chosen_device("cpu") == torch.device("cpu")
    for word in ("gpu", "meta", "mps", "cpu:1", "cuda:", "cuda:-1", "cuda:x", "", "CPU"):
        with pytest.raises(ExperimentError, match=f"auto, cpu, cuda or cuda:N.*'{word}'"):
            join(word, environment={})
    if not torch.cuda.is_available():
        for word in ("cuda", "cuda:0", "cuda:12"):
            with pytest.raises(ExperimentError, match=f"where torch finds one.*device {word}, no CUDA device"):
                join(word, environment={})


def test_alone_every_exchange_is_the_identity() -> None:
    group = join("cpu", environment={})
    array = np.arange(6).reshape(2, 3)
    assert group.gather_arrays(array)[0] is array
    group.barrier()
    group.leave()


WORK = """
import numpy as np

def work(group):
    rank = group.rank
    arrays = [
        np.full((rank + 1, 3), rank, dtype=np.float32),
        np.array([2**62 + rank], dtype=np.int64),
        np.zeros((0, 4), dtype=np.float64) if rank else np.eye(4)[:2],
        np.asfortranarray(np.arange(6, dtype=np.int32).reshape(2, 3) + rank),
    ]
    gathered = [[[part.dtype.str, part.tolist()] for part in group.gather_arrays(array)] for array in arrays]
    group.barrier()
    answer = {"rank": rank, "world": group.world, "gathered": gathered}
    group.leave()  # once more at the end
    return answer
"""


@pytest.mark.slow
def test_two_processes_exchange_arrays(tmp_path: Path) -> None:
    answers = answers_of_two(WORK, tmp_path)
    for rank, answer in enumerate(answers):
        assert (answer["rank"], answer["world"]) == (rank, 2)
        assert answer["gathered"] == [
            [["<f4", [[0.0] * 3]], ["<f4", [[1.0] * 3] * 2]],
            [["<i8", [2**62]], ["<i8", [2**62 + 1]]],
            [["<f8", np.eye(4)[:2].tolist()], ["<f8", []]],
            [["<i4", [[0, 1, 2], [3, 4, 5]]], ["<i4", [[1, 2, 3], [4, 5, 6]]]],
        ]
