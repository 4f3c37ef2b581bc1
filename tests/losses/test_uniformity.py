"""The losses of BAU against loops over pairs, and what they have to be at their ends."""

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from snreid.errors import ExperimentError
from snreid.losses import (
    Alignment,
    DomainUniformity,
    Triplet,
    Uniformity,
    alignment,
    domain_uniformity,
    memory_of,
    uniformity,
)
from snreid.losses.uniformity import l2_normalized, reliability
from snreid.outputs import Outputs, Prototypes

PERSONS = torch.tensor([0, 0, 1, 1, 2, 2])


def vectors(count: int = 6, dim: int = 4, seed: int = 0) -> Tensor:
    return l2_normalized(torch.randn(count, dim, generator=torch.Generator().manual_seed(seed), dtype=torch.float64))


def prototypes(*, unseen: tuple[int, ...] = ()) -> Prototypes:
    remembered = vectors(5, seed=7)
    remembered[list(unseen)] = 0
    return Prototypes(vectors=remembered, sources=torch.tensor([0, 0, 1, 1, 0]))


def outputs(*, second: bool = True, remembered: bool = True) -> Outputs:
    def view(seed: int) -> Outputs:
        made = 3 * vectors(seed=seed)
        return Outputs(pooled=made, embedding=made, logits=made, stages=())

    return replace(view(0), second=view(1) if second else None, prototypes=prototypes() if remembered else None)


def distance(one: Tensor, other: Tensor) -> float:
    return float((one - other).square().sum())


def overlap(first: Tensor, second: Tensor, neighbours: int) -> list[list[float]]:
    """Jaccard overlaps of k-reciprocal neighbours, by sets."""
    both = [*first, *second]
    count = len(first)
    near = []
    for one in both:
        order = sorted(range(len(both)), key=lambda j: (-float(one @ both[j]), j))
        near.append(set(order[:neighbours]))
    mutual = [{j for j in near[i] if i in near[j]} for i in range(len(both))]
    return [
        [len(mutual[count + i] & mutual[j]) / len(mutual[count + i] | mutual[j]) for j in range(count)]
        for i in range(count)
    ]


@pytest.mark.parametrize("neighbours", [1, 3, 5, 100])
def test_reliability_is_the_overlap_of_reciprocal_neighbours(neighbours: int) -> None:
    first, second = vectors(), l2_normalized(vectors() + 0.4 * vectors(seed=3))
    found = reliability(first, second, neighbours)
    assert torch.allclose(found, torch.tensor(overlap(first, second, neighbours), dtype=torch.float64))
    assert neighbours != 100 or bool((found == 1).all()), "with everybody as a neighbour all overlap"


def test_alignment_is_the_weighted_mean_over_the_pairs_of_a_person() -> None:
    first, second, weights = vectors(), vectors(seed=1), torch.rand(6, 6, dtype=torch.float64)
    pairs = [(i, j) for i in range(6) for j in range(6) if PERSONS[i] == PERSONS[j]]
    above = sum(float(weights[i, j]) * distance(second[i], first[j]) for i, j in pairs)
    expected = above / sum(float(weights[i, j]) for i, j in pairs)
    assert float(alignment(first, second, PERSONS, weights=weights)) == pytest.approx(expected, abs=1e-9)
    nothing = alignment(first.requires_grad_(), second, PERSONS, weights=torch.zeros(6, 6, dtype=torch.float64))
    assert nothing.requires_grad and float(nothing.detach()) == 0


def test_uniformity_is_the_log_of_the_mean_closeness_of_pairs() -> None:
    made = vectors()
    closeness = [math.exp(-2 * distance(made[i], made[j])) for i in range(6) for j in range(i + 1, 6)]
    assert float(uniformity(made)) == pytest.approx(math.log(sum(closeness) / len(closeness)), abs=1e-9)
    assert float(uniformity(made[:1].expand(4, -1))) == pytest.approx(0.0, abs=1e-9)
    opposite = torch.stack([made[0], -made[0]])
    assert float(uniformity(opposite)) == pytest.approx(-8.0)


@pytest.mark.parametrize("unseen", [(), (1,), (0, 4)])
@pytest.mark.parametrize("count", [2, 6])
def test_domain_uniformity_looks_at_the_nearest_others_of_the_source(unseen: tuple[int, ...], count: int) -> None:
    made, memory, persons = vectors()[:count], prototypes(unseen=unseen), torch.tensor([0, 4, 1, 2, 3, 3])[:count]
    closeness = []
    for image, person in zip(made, persons.tolist(), strict=True):
        others = [
            n for n in range(5) if n != person and n not in unseen and memory.sources[n] == memory.sources[person]
        ]
        distances = sorted(distance(image, memory.vectors[n]) for n in others)
        closeness += [math.exp(-2 * d) for d in distances[:count]]
    expected = math.log(sum(closeness) / len(closeness))
    assert float(domain_uniformity(made, persons, memory.vectors, memory.sources)) == pytest.approx(expected, abs=1e-9)


def test_where_nobody_can_be_compared_the_loss_is_0_and_so_is_its_gradient() -> None:
    made = vectors().requires_grad_()
    for memory in (
        prototypes(unseen=(0, 1, 2, 3, 4)),
        replace(prototypes(), sources=torch.arange(5)),
    ):
        loss = domain_uniformity(made, PERSONS, memory.vectors, memory.sources)
        (slope,) = torch.autograd.grad(loss, made)
        assert float(loss.detach()) == 0 and bool((slope == 0).all())


def test_gradients_are_those_of_the_formulas() -> None:
    first, second = vectors().requires_grad_(), vectors(seed=1).requires_grad_()
    weights = reliability(l2_normalized(first), l2_normalized(second), 3)
    memory = prototypes(unseen=(1,))
    assert not weights.requires_grad
    assert torch.autograd.gradcheck(lambda f, g: alignment(f, g, PERSONS, weights=weights), (first, second))
    assert torch.autograd.gradcheck(uniformity, (first,))
    assert torch.autograd.gradcheck(lambda f: domain_uniformity(f, PERSONS, memory.vectors, memory.sources), (first,))


def test_the_losses_normalize_and_average_over_the_views() -> None:
    batch = outputs()
    first, second = vectors(), vectors(seed=1)
    assert batch.prototypes is not None
    torch.testing.assert_close(Uniformity()(batch, PERSONS), (uniformity(first) + uniformity(second)) / 2)
    torch.testing.assert_close(Uniformity()(outputs(second=False), PERSONS), uniformity(first))
    memory = batch.prototypes
    both = [domain_uniformity(view, PERSONS, memory.vectors, memory.sources) for view in (first, second)]
    torch.testing.assert_close(DomainUniformity()(batch, PERSONS), (both[0] + both[1]) / 2)
    weights = reliability(first, second, 10)
    torch.testing.assert_close(Alignment()(batch, PERSONS), alignment(first, second, PERSONS, weights=weights))
    assert (Alignment().weight, Uniformity().weight, DomainUniformity().weight) == (1.5, 1.0, 1.0)


def test_a_loss_says_what_it_misses() -> None:
    with pytest.raises(ExperimentError, match="two views"):
        Alignment()(outputs(second=False), PERSONS)
    with pytest.raises(ExperimentError, match="prototypes"):
        DomainUniformity()(outputs(remembered=False), PERSONS)


def test_losses_that_remember_share_one_memory() -> None:
    assert memory_of((Triplet(), Uniformity(), Alignment())) is None
    assert memory_of((DomainUniformity(momentum=0.3), DomainUniformity(momentum=0.2, weight=0.0))) == 0.3
    with pytest.raises(ExperimentError, match=r"momentum 0\.2 and 0\.3"):
        memory_of((DomainUniformity(momentum=0.3), DomainUniformity(momentum=0.2)))


@pytest.mark.parametrize(
    ("kind", "wrong"),
    [(Alignment, {"neighbours": 0}), (DomainUniformity, {"momentum": 1.0}), (DomainUniformity, {"momentum": -0.1})],
)
def test_settings_that_cannot_be_are_refused(kind: type, wrong: dict[str, float]) -> None:
    with pytest.raises(ExperimentError, match=next(iter(wrong))):
        kind(**wrong)
