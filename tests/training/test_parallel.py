"""One decision for all processes, and gradients of a whole batch from its shares."""

import itertools
from pathlib import Path

import pytest
import torch
from torch import nn

from snreid.training.parallel import agree, share_buffers, wrap
from tiny import ALONE
from two_processes import answers_of_two


def test_alone_the_model_is_not_wrapped() -> None:
    model = nn.Linear(2, 2)
    assert wrap(model, ALONE) is model


@pytest.mark.parametrize("flags", list(itertools.product((False, True), repeat=2)))
def test_alone_every_flag_stands(flags: tuple[bool, bool]) -> None:
    assert agree(flags, ALONE) == flags


def test_alone_buffers_stay() -> None:
    norm = nn.BatchNorm1d(2)
    norm(torch.rand(4, 2))
    before = [buffer.clone() for buffer in norm.buffers()]
    share_buffers(norm, ALONE)
    assert all(torch.equal(one, other) for one, other in zip(before, norm.buffers(), strict=True))


MODEL = """
import torch
from torch import nn

def parts():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))
    return model, torch.rand(6, 3)
"""
WORK = """
import itertools
from snreid.training.parallel import agree, share_buffers, wrap

def work(group):
    rank = group.rank
    flags = list(itertools.product((False, True), repeat=2))
    agreed = [agree(mine if rank == 0 else theirs, group) for mine, theirs in itertools.product(flags, repeat=2)]
    norm = nn.BatchNorm1d(2)
    norm(torch.rand(4, 2) + 10 * rank)
    share_buffers(norm, group)
    model, images = parts()
    network = wrap(model, group)
    network(images[3 * rank : 3 * rank + 3]).square().mean().backward()
    return {
        "agreed": agreed,
        "mean": norm.running_mean.tolist(),
        "gradients": [p.grad.tolist() for p in model.parameters()],
    }
"""


@pytest.mark.slow
def test_two_processes_agree_and_share(tmp_path: Path) -> None:
    first, second = answers_of_two(MODEL + WORK, tmp_path)
    assert first == second
    flags = list(itertools.product((False, True), repeat=2))
    expected = [[a[0] or b[0], a[1] or b[1]] for a, b in itertools.product(flags, repeat=2)]
    assert first["agreed"] == expected
    assert max(first["mean"]) < 1  # the first process's: the second one saw values above 10
    names: dict[str, object] = {}
    exec(MODEL, names)
    model, images = names["parts"]()  # type: ignore[operator]
    model(images).square().mean().backward()
    for parameter, found in zip(model.parameters(), first["gradients"], strict=True):
        torch.testing.assert_close(torch.tensor(found), parameter.grad)
