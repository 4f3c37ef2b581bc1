"""One decision for all processes, and gradients of a whole batch from its shares."""

import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from snreid.losses import CrossEntropy, Triplet, total_loss
from snreid.models.head import Head
from snreid.outputs import Outputs
from snreid.training.parallel import Objective, agree, parted, share_buffers, wrap
from support.tiny import ALONE, experiment
from support.two_processes import answers_of_two

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
from snreid.losses import CrossEntropy, Triplet, total_loss
from snreid.training.parallel import Objective, agree, share_buffers, wrap

def agreeing(group):
    rank = group.rank
    flags = list(itertools.product((False, True), repeat=2))
    agreed = [agree(mine if rank == 0 else theirs, group) for mine, theirs in itertools.product(flags, repeat=2)]
    norm = nn.BatchNorm1d(2)
    norm(torch.rand(4, 2) + 10 * rank)
    share_buffers(norm, group)
    model, images = parts()
    parameters = list(model.parameters())
    network = wrap(model, group)
    network(images[3 * rank : 3 * rank + 3]).square().mean().backward()
    return {
        "agreed": agreed,
        "mean": norm.running_mean.tolist(),
        "gradients": [p.grad.tolist() for p in parameters],
    }
"""


IDLE = """
from dataclasses import replace

import torch
from snreid.losses import CrossEntropy, DualCausality, Triplet
from snreid.models.head import Head
from snreid.models.schemes import StageSNR
from snreid.training.parallel import Objective, wrap
from support.tiny import ALONE, experiment

BASE = (CrossEntropy(), Triplet())
CASES = {
    "two gates, no loss for them": (dict(gate="two_gates"), False, BASE),
    "two branches, no loss for them": (dict(gate="conv"), False, BASE),
    "one half of the loss": (dict(gate="two_gates"), False, (*BASE, DualCausality(terms="clarification"))),
    "classifiers of stages, no loss for them": ({}, True, BASE),
    "no weight on the classifier": ({}, False, (CrossEntropy(weight=0.0), Triplet(), DualCausality())),
    "all in use": ({}, False, (*BASE, DualCausality())),
}

def idle(case, group):
    scheme, classifiers, losses = CASES[case]
    torch.manual_seed(0)
    model = replace(experiment("snr").model, scheme=StageSNR(**scheme), head=Head(stage_classifiers=classifiers)).build(3)
    objective = wrap(Objective(model, losses), group)
    optimizer = torch.optim.Adam(model.parameters(), weight_decay=0.1)
    before = {name: value.clone() for name, value in model.named_parameters()}
    for _ in range(2):
        objective(torch.rand(6, 3, 32, 16), torch.arange(6) // 2)[0].backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    return [name for name, value in model.named_parameters() if value.requires_grad and torch.equal(value, before[name])]

def idling(group):
    return {case: idle(case, group) for case in CASES}
"""


ACCUMULATED = """
from dataclasses import replace

import numpy as np
import torch
from snreid.losses import CrossEntropy
from snreid.training.sampling import IdentityBatches, Sampling
from snreid.training import loop
from snreid.training.checkpoint import CheckpointStore
from snreid.training.optim import SGD, WarmupSteps
from snreid.training.parallel import Objective, wrap
from snreid.images.transforms import Augmentation
from support.tiny import ALONE, lively, plan
from torch.distributed.algorithms.ddp_comm_hooks.default_hooks import allreduce_hook
from torch.nn.parallel import DistributedDataParallel

class Together:
    # Two batches as one; of the odd one at the end twice itself, whose mean gradient is its own.
    def __init__(self, batches):
        self.batches = batches

    def __len__(self):
        return -(-len(self.batches) // 2)

    def epoch(self, epoch):
        parts = self.batches.epoch(epoch)
        return [np.concatenate([one, other]) for one, other in zip(parts[::2], [*parts[1::2], parts[-1]])]

    def share(self, batch, rank, world):
        return batch

class Wide(torch.nn.Module):
    # In float64, where the order of sums does not show, and every image by itself: batch norms know what they know.
    def __init__(self, network):
        super().__init__()
        self.network = lively(network).double()
        for norm in self.network.modules():
            if isinstance(norm, torch.nn.modules.batchnorm._BatchNorm):
                norm.eval()

    def forward(self, images):
        return self.network(images.double())

def made():
    plain = Augmentation(crop=0.0, flip=0.0, brightness=0.0, contrast=0.0)
    flat = WarmupSteps(warmup_epochs=0, milestones=())
    start = plan("snr", losses=(CrossEntropy(),), augmentation=plain, schedule=flat, optim=SGD(lr=0.05))
    batches = IdentityBatches(Sampling(persons=4, images=2), start.persons, np.zeros_like(start.persons), 0, 3)
    return replace(start, model=Wide(start.model), batches=batches)

def weights(what, group, place):
    before = [p.detach().clone() for p in what.model.parameters()]
    loop.Loop(what, CheckpointStore(place), group=group, hooks=loop.Hooks()).run()
    after = [p.detach() for p in what.model.parameters()]
    return [one.tolist() for one in after], max((one - other).abs().max().item() for one, other in zip(after, before))

def accumulating(group, place):
    seen = []

    def exchanging(ours, bucket):
        seen.append("exchange" if bucket.is_last() else "part of one")
        return allreduce_hook(ours, bucket)

    def watched(objective, group):
        wrapped = wrap(objective, group)
        assert isinstance(wrapped, DistributedDataParallel)
        wrapped.register_forward_pre_hook(lambda *_: seen.append("pass"))
        wrapped.register_comm_hook(None, exchanging)
        return wrapped

    loop.wrap = watched
    found, _ = weights(replace(made(), accumulate=2), group, place)
    return {"weights": found, "seen": [one for one in seen if one != "part of one"]}
"""


ALL = """
import sys
from pathlib import Path

def work(group):
    found = {"agreeing": agreeing(group), "idling": idling(group)}
    return found | {"accumulating": accumulating(group, Path(sys.argv[1]) / "run")}
"""


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the parts above give in two processes, the same in both; made once, as most of it is starting them."""
    code = MODEL + WORK + IDLE + ACCUMULATED + ALL
    first, second = answers_of_two(code, tmp_path_factory.mktemp("two"), wrapped=True)
    assert first == second
    return dict(first)


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


@pytest.mark.slow
def test_two_processes_agree_and_share(answers: dict[str, Any]) -> None:
    first = answers["agreeing"]
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


def test_an_objective_is_the_sum_of_its_losses_over_the_network() -> None:
    network, losses = experiment().model.build(3), (CrossEntropy(), Triplet(weight=0.5))
    images, persons = torch.rand(6, 3, 32, 16), torch.arange(6) // 2
    expected = total_loss(losses, network(images), persons)
    total, parts = Objective(network, losses)(images, persons)
    assert torch.equal(total, expected.total) and total.requires_grad
    assert parts == dict(expected.parts) and list(parts) == ["CrossEntropy", "Triplet"]


@pytest.mark.parametrize("recipe", ["baseline", "snr"])
def test_two_views_are_one_batch_to_the_network_and_two_records_to_the_losses(recipe: str) -> None:
    made = replace(experiment(recipe).model, head=Head(stage_classifiers=recipe == "snr")).build(3)
    images, persons = torch.rand(12, 3, 32, 16), torch.arange(6) // 2
    state = {name: value.clone() for name, value in made.state_dict().items()}
    whole = made(images)
    made.load_state_dict(state)
    seen: list[Outputs] = []

    class Looking(Triplet):
        """Keeps what it sees."""

        def __call__(self, outputs: Outputs, persons: Tensor) -> Tensor:
            seen.append(outputs)
            return super().__call__(outputs, persons)

    total, _ = Objective(made, (Looking(),))(images, persons)
    (first,) = seen
    assert first.second is not None and first.second.second is None
    for record, rows in ((first, slice(None, 6)), (first.second, slice(6, None))):
        assert torch.equal(record.logits, whole.logits[rows]) and torch.equal(record.pooled, whole.pooled[rows])
        assert len(record.stages) == len(whole.stages)
        for stage, expected in zip(record.stages, whole.stages, strict=True):
            assert torch.equal(stage.contaminated, expected.contaminated[rows])
            assert stage.logits is not None and expected.logits is not None
            assert torch.equal(stage.logits.restored, expected.logits.restored[rows])
    torch.testing.assert_close(total, Triplet()(parted(whole, 6)[0], persons))


def test_under_bfloat16_the_losses_are_in_float32() -> None:
    network = experiment("snr").model.build(3)
    images, persons = torch.rand(6, 3, 32, 16), torch.arange(6) // 2
    total, parts = Objective(network, experiment("snr").losses, precision="bf16")(images, persons)
    exact, _ = Objective(network, experiment("snr").losses)(images, persons)
    assert {value.dtype for value in (total, *parts.values())} == {torch.float32}
    assert total != exact
    torch.testing.assert_close(total, exact, rtol=0.1, atol=0.1)


@pytest.mark.slow
def test_a_parameter_that_no_loss_uses_stays_as_it_is_in_two_processes_too(answers: dict[str, Any]) -> None:
    names: dict[str, Any] = {}
    exec(IDLE, names)
    alone = names["idling"](ALONE)
    assert answers["idling"] == alone
    assert [case for case, found in alone.items() if not found] == ["all in use"]
    assert alone["no weight on the classifier"] == ["head.classifier.weight"]


@pytest.mark.slow
def test_two_processes_that_accumulate_are_one_with_all_images_and_exchange_once_a_step(
    answers: dict[str, Any], tmp_path: Path
) -> None:
    found = answers["accumulating"]
    # Two epochs of three batches, two in a step; the last step of an epoch takes what is left.
    assert found["seen"] == ["pass", "pass", "exchange", "pass", "exchange"] * 2
    names: dict[str, Any] = {}
    exec(ACCUMULATED, names)
    alone = names["made"]()
    expected, moved = names["weights"](replace(alone, batches=names["Together"](alone.batches)), ALONE, tmp_path)
    assert moved > 0.01
    for one, other in zip(found["weights"], expected, strict=True):
        mine, whole = (torch.tensor(values, dtype=torch.float64) for values in (one, other))
        torch.testing.assert_close(mine, whole, rtol=1e-9, atol=1e-12)
