"""The family of losses as a whole: the weighted sum and its parts, and the examples of the pure functions."""

import doctest
import inspect

import pytest
import torch

from snreid import losses as family
from snreid.errors import ExperimentError
from snreid.losses import CrossEntropy, Loss, Triplet, total_loss
from snreid.outputs import Outputs

PERSONS = torch.tensor([0, 0, 1, 1])


def outputs() -> Outputs:
    return Outputs(
        pooled=torch.randn(4, 3),
        embedding=torch.randn(4, 3, requires_grad=True),
        logits=torch.randn(4, 2, requires_grad=True),
        stages=(),
    )


def test_the_total_is_the_weighted_sum_and_the_parts_add_up_to_it() -> None:
    batch = outputs()
    losses: list[Loss] = [CrossEntropy(weight=2.0), Triplet(weight=0.5), Triplet(margin=0.3, on="pooled")]
    summed = total_loss(losses, batch, PERSONS)
    torch.testing.assert_close(summed.total, sum(loss.weight * loss(batch, PERSONS) for loss in losses))
    assert list(summed.parts) == ["CrossEntropy", "Triplet", "Triplet-2"]
    torch.testing.assert_close(sum(summed.parts.values()), summed.total.detach())
    assert not any(part.requires_grad for part in summed.parts.values())


def test_a_loss_of_weight_zero_is_not_computed() -> None:
    assert list(total_loss([CrossEntropy(), Triplet(weight=0.0)], outputs(), PERSONS).parts) == ["CrossEntropy"]


@pytest.mark.parametrize("losses", [[], [CrossEntropy(weight=0.0)]])
def test_nothing_to_minimize_is_refused(losses: list[Loss]) -> None:
    with pytest.raises(ExperimentError, match="at least one loss"):
        total_loss(losses, outputs(), PERSONS)


def test_losses_are_values() -> None:
    assert CrossEntropy() == CrossEntropy(label_smoothing=0.1)
    assert len({Triplet(), Triplet(), Triplet(margin=0.3)}) == 2


FUNCTIONS = [name for name in family.__all__ if inspect.isfunction(getattr(family, name))]


@pytest.mark.parametrize("name", [name for name in FUNCTIONS if name not in ("memory_of", "total_loss")])
def test_the_example_of_a_loss_runs(name: str) -> None:
    (example,) = doctest.DocTestFinder().find(getattr(family, name), name, globs=vars(family).copy())
    assert example.examples
    assert doctest.DocTestRunner().run(example).failed == 0
