"""MAR's losses against their slow twins, in float64, and what they must do at the edges."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from reference import mar as slow
from snreid.adaptation.mar_losses import (
    LabelStatistics,
    agent_loss,
    batch_threshold,
    camera_statistics,
    consistency_loss,
    discriminative_loss,
    joint_loss,
    log_multilabels,
    mean_over_cameras,
    mined,
    moved,
    pair_agreements,
    threshold_of_all,
)

AGENTS, IMAGES, SCALE = 7, 12, 30.0


def unit(rows: int, seed: int, near: Tensor | None = None) -> Tensor:
    """Unit vectors; ``near``: around these ones."""
    random = torch.Generator().manual_seed(seed)
    vectors = torch.randn(rows, 5, dtype=torch.float64, generator=random)
    if near is not None:
        vectors = near[torch.arange(rows) % len(near)] + 0.3 * vectors
    return functional.normalize(vectors, dim=1)


@pytest.fixture(params=range(4))
def batch(request: pytest.FixtureRequest) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Source and target features around agents, agents, persons."""
    seed = request.param
    agents = unit(AGENTS, seed)
    return unit(IMAGES, seed + 10, agents), unit(IMAGES, seed + 20, agents), agents, torch.arange(IMAGES) % AGENTS


def labels(features: Tensor, agents: Tensor, scale: float = 3.0) -> list[list[float]]:
    return [slow.multilabel(f, agents, scale) for f in features]


def test_multilabels_and_agent_loss(batch: tuple[Tensor, Tensor, Tensor, Tensor]) -> None:
    source, target, agents, persons = batch
    found = log_multilabels(target, agents, SCALE).exp()
    torch.testing.assert_close(found, torch.tensor(labels(target, agents, SCALE), dtype=torch.float64))
    expected = slow.agent_loss(source, agents, persons.tolist(), SCALE)
    assert float(agent_loss(source, agents, persons, SCALE)) == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("margin", [0.4, 1.0, 2.0])
def test_joint_loss(batch: tuple[Tensor, Tensor, Tensor, Tensor], margin: float) -> None:
    source, target, agents, persons = batch
    expected = slow.joint_loss(source, persons.tolist(), target, agents, margin)
    assert float(joint_loss(source, persons, target, agents, margin)) == pytest.approx(expected, rel=1e-10)


def test_joint_loss_pulls_to_the_own_agent_and_leaves_agents_alone() -> None:
    agents = unit(AGENTS, 0).requires_grad_()
    source = unit(1, 1).requires_grad_()
    far = -functional.normalize(agents.detach().sum(0, keepdim=True), dim=1)
    loss = joint_loss(source, torch.tensor([2]), far, agents, 0.01)
    loss.backward()
    torch.testing.assert_close(source.grad, 2 * (source - agents[2:3]).detach())
    assert agents.grad is None


def test_only_the_agent_loss_moves_the_agents() -> None:
    agents, features = unit(AGENTS, 0).requires_grad_(), unit(4, 1).requires_grad_()
    log_multilabels(features, agents, SCALE).sum().backward()
    assert agents.grad is None and features.grad is not None
    agent_loss(features, agents, torch.arange(4), SCALE).backward()
    assert agents.grad is not None and float(agents.grad.abs().sum()) > 0


@pytest.mark.parametrize("average", [False, True])
def test_consistency_loss_and_its_running_statistics(
    batch: tuple[Tensor, Tensor, Tensor, Tensor], average: bool
) -> None:
    _, target, agents, _ = batch
    cameras = [1, 2, 2, 1, 3, 3, 3, 9, 2, 1, 1, 2]  # one image alone on camera 9
    found = camera_statistics(log_multilabels(target, agents, 3.0), torch.tensor(cameras))
    assert found is not None and found.mean.shape == (3, AGENTS)
    y = labels(target, agents)
    by_camera = {
        c: slow.moments(
            [[float(torch.tensor(v).log()) for v in row] for row, k in zip(y, cameras, strict=True) if k == c]
        )
        for c in (1, 2, 3)
    }
    now = mean_over_cameras(found)
    for position, values in ((0, now.mean), (1, now.std)):
        columns = zip(*(by_camera[c][position] for c in by_camera), strict=True)
        torch.testing.assert_close(
            values, torch.tensor([sum(c) / 3 for c in columns], dtype=torch.float64), rtol=1e-5, atol=1e-6
        )
    before = LabelStatistics(torch.full((AGENTS,), -2.0).double(), torch.full((AGENTS,), 0.5).double())
    running = moved(before, now, 0.25)
    torch.testing.assert_close(running.mean, 0.75 * before.mean + 0.25 * now.mean)
    torch.testing.assert_close(running.std, 0.75 * before.std + 0.25 * now.std)
    expected = slow.consistency(y, cameras, running.mean.tolist(), running.std.tolist(), average=average)
    assert float(consistency_loss(found, running, average_agents=average)) == pytest.approx(expected, rel=1e-10)


def test_statistics_need_two_images_of_a_camera_and_equal_images_have_a_slope() -> None:
    log_labels = log_multilabels(unit(3, 0), unit(AGENTS, 1), SCALE)
    assert camera_statistics(log_labels, torch.tensor([1, 2, 3])) is None
    same = unit(1, 0).repeat(4, 1).requires_grad_()
    found = camera_statistics(log_multilabels(same, unit(AGENTS, 1), SCALE), torch.ones(4, dtype=torch.int64))
    assert found is not None
    running = LabelStatistics(torch.zeros(AGENTS).double(), torch.ones(AGENTS).double())
    consistency_loss(found, running).backward()
    assert same.grad is not None and bool(torch.isfinite(same.grad).all())


@pytest.mark.parametrize("ratio", [0.005, 0.1, 0.5, 1.0])
def test_agreements_and_thresholds(batch: tuple[Tensor, Tensor, Tensor, Tensor], ratio: float) -> None:
    _, target, agents, _ = batch
    y = labels(target, agents)
    rows = torch.tensor(y, dtype=torch.float64)
    pairs = [slow.agreement(y[i], y[j]) for i in range(IMAGES) for j in range(i + 1, IMAGES)]
    torch.testing.assert_close(pair_agreements(rows), torch.tensor(pairs, dtype=torch.float64))
    expected = slow.threshold(y, ratio)
    assert float(batch_threshold(pair_agreements(rows), ratio)) == pytest.approx(expected, rel=1e-10)
    for block in (1, 5, 512):
        assert float(threshold_of_all(rows, ratio, block=block)) == pytest.approx(expected, rel=1e-10)


def test_the_published_share_of_the_published_batch() -> None:
    assert mined(184 * 183 // 2, 0.005) == 84 and mined(3, 0.005) == 1


@pytest.mark.parametrize("limit", [-1.0, 0.55, 0.7, 0.85, 2.0])
@pytest.mark.parametrize("ratio", [0.005, 0.2, 1.0])
def test_discriminative_loss(batch: tuple[Tensor, Tensor, Tensor, Tensor], limit: float, ratio: float) -> None:
    _, target, agents, _ = batch
    y = labels(target, agents)
    expected, positives, negatives = slow.discrimination(target, y, limit, ratio)
    found = discriminative_loss(target, torch.tensor(y).double(), torch.tensor(limit).double(), ratio)
    assert float(found) == pytest.approx(expected, rel=1e-10)
    assert (positives == 0) == (limit == 2.0) or 0 < limit < 1
    assert positives + negatives == mined(IMAGES * (IMAGES - 1) // 2, ratio)


def test_without_positives_or_negatives_the_loss_has_the_published_constants() -> None:
    features = unit(4, 0).requires_grad_()
    y = torch.full((4, AGENTS), 1 / AGENTS).double()
    closest = torch.exp(-torch.cdist(features, features).square()[*torch.triu_indices(4, 4, 1)].min()).detach()
    all_negative = discriminative_loss(features, y, torch.tensor(2.0).double(), 0.005)
    all_positive = discriminative_loss(features, y, torch.tensor(0.5).double(), 0.005)
    assert float(all_negative.detach()) == pytest.approx(float(torch.log(1 + closest)), rel=1e-9)
    assert float(all_positive.detach()) == pytest.approx(float(torch.log(1 + 0.5 / closest)), rel=1e-9)


def test_positives_come_together_and_negatives_part() -> None:
    for limit, sign in ((0.5, -1), (2.0, 1)):
        features = unit(2, 3).requires_grad_()
        discriminative_loss(
            features, torch.full((2, AGENTS), 1 / AGENTS).double(), torch.tensor(limit).double(), 1.0
        ).backward()
        stepped = functional.normalize(features.detach() - 0.1 * features.grad, dim=1)  # type: ignore[operator]
        change = (stepped[0] - stepped[1]).norm() - (features[0] - features[1]).norm()
        assert float(change.detach()) * sign > 0
