"""One objective for MAR: its total from the slow twins, what it remembers, and where its gradients go."""

import pytest
import torch
from torch.nn import functional

from reference import mar as slow
from snreid.adaptation.mar import MAR, MARObjective
from snreid.adaptation.mar_losses import LabelStatistics
from snreid.adaptation.mar_network import MARNetwork
from snreid.losses import total_loss
from support.tiny import experiment

PERSONS = torch.tensor([0, 0, 1, 1, 2, 2])
CAMERAS = torch.tensor([1, 1, 2, 2, 1, 2, 1, 2])


def objective(recipe: str = "baseline", mining: float = 0.3) -> MARObjective:
    settings = experiment(recipe)
    torch.manual_seed(3)
    network = settings.model.build(3)
    with torch.no_grad():
        network.head.classifier.weight.normal_()
    model = MARNetwork(network, 8)
    model.set_statistics(LabelStatistics(torch.full((3,), -2.0), torch.full((3,), 0.5)))
    with torch.no_grad():
        model.threshold.fill_(0.6)
    method = MAR(source_batch=4, target_batch=5, scale=3.0, margin=1.0, mining=mining, consistency_weight=0.01)
    return MARObjective(
        method,
        model,
        persons=PERSONS,
        cameras=CAMERAS,
        causality=[loss for loss in settings.losses if type(loss).__name__ == "DualCausality"],
        precision="float32",
    )


POSITIONS = torch.tensor([5, 0, 1, 2, 6, 9, 10, 11, 13])


def images(count: int = 9) -> torch.Tensor:
    return torch.randn(count, 3, 32, 16, generator=torch.Generator().manual_seed(5))


@pytest.mark.parametrize("recipe", ["baseline", "snr"])
@pytest.mark.parametrize("active", [False, True])
def test_the_total_is_that_of_the_slow_twins(recipe: str, active: bool) -> None:
    made, twin = objective(recipe), objective(recipe)
    made.active = active
    total, parts = made(images(), POSITIONS)

    network = twin.model.network
    outputs = network(images()[:4])  # the source first and alone, then the target: batch norms see them apart
    source = functional.normalize(outputs.embedding, dim=1).detach()
    target = functional.normalize(network(images()[4:]).embedding, dim=1).detach()
    agents = functional.normalize(network.head.classifier.weight, dim=1).detach()
    persons, seen = [2, 0, 0, 1], [0, 3, 4, 5, 7]
    cameras = [int(CAMERAS[i]) for i in seen]
    y = [slow.multilabel(f, agents, 3.0) for f in target]
    rows = [[float(torch.tensor(v).log()) for v in row] for row in y]
    by_camera = [slow.moments([r for r, c in zip(rows, cameras, strict=True) if c == k]) for k in (1, 2)]
    momentum = 9 / 10_000
    mean, std = (
        [
            (1 - momentum) * start + momentum * (a + b) / 2
            for a, b in zip(by_camera[0][at], by_camera[1][at], strict=True)
        ]
        for at, start in ((0, -2.0), (1, 0.5))
    )
    expected = {
        "AL": 50 * slow.agent_loss(source, agents, persons, 3.0),
        "RJ": 50 * 0.2 * slow.joint_loss(source, persons, target, agents, 1.0),
        "CML": 0.01 * slow.consistency(y, cameras, mean, std, average=False),
    }
    if active:
        expected["MDL"] = slow.discrimination(target, y, 0.6, 0.3)[0]
    if recipe == "snr":
        expected["DualCausality"] = float(total_loss(twin.causality, outputs, torch.tensor(persons)).total.detach())
    assert set(parts) == set(expected)
    for name, value in expected.items():
        assert float(parts[name]) == pytest.approx(value, rel=2e-4), name
    assert float(total.detach()) == pytest.approx(sum(expected.values()), rel=2e-4)
    torch.testing.assert_close(made.model.label_mean, torch.tensor(mean), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(made.model.label_std, torch.tensor(std), rtol=1e-4, atol=1e-4)
    moved = 0.6 + 0.1 * (slow.threshold(y, 0.3) - 0.6) if active else 0.6
    assert float(made.model.threshold) == pytest.approx(moved, rel=1e-4)


def test_a_multilabel_is_remembered_whole_the_first_time_and_a_tenth_of_each_later_one() -> None:
    model = objective().model
    first, second = torch.tensor([[0.2, 0.3, 0.5], [1.0, 0.0, 0.0]]), torch.tensor([[0.6, 0.3, 0.1], [0.0, 1.0, 0.0]])
    torch.testing.assert_close(model.remember(torch.tensor([4, 1]), first), first)
    mixed = model.remember(torch.tensor([4, 6]), second)
    torch.testing.assert_close(mixed, torch.tensor([[0.24, 0.3, 0.46], [0.0, 1.0, 0.0]]))
    torch.testing.assert_close(model.memory[4], mixed[0])
    assert model.remembered.nonzero().flatten().tolist() == [1, 4, 6]


def test_nothing_is_remembered_before_the_second_epoch() -> None:
    made = objective()
    made(images(), POSITIONS)
    assert not bool(made.model.remembered.any()) and float(made.model.threshold) == pytest.approx(0.6)


def test_all_that_is_remembered_is_in_the_state_and_gradients_reach_the_network_only() -> None:
    made = objective()
    made.active = True
    total, _ = made(images(), POSITIONS)
    total.backward()
    assert {"threshold", "label_mean", "label_std", "memory", "remembered"} <= set(made.model.state_dict())
    missing = [name for name, p in made.model.named_parameters() if p.requires_grad and p.grad is None]
    assert missing == [], "every weight is trained"
    assert not any(buffer.requires_grad for buffer in made.model.buffers())


def test_cameras_with_one_image_each_leave_the_statistics_alone() -> None:
    made = objective()
    total, parts = made(images(6), POSITIONS[[0, 1, 2, 3, 4, 6]])  # target images 0 (camera 1) and 4 (camera 1)
    assert float(parts["CML"]) > 0
    made = objective()
    total, parts = made(images(6), torch.tensor([5, 0, 1, 2, 6, 8]))  # cameras 1 and 2
    assert float(parts["CML"]) == 0 and bool(torch.isfinite(total))
    assert made.model.label_mean.tolist() == [-2.0] * 3
