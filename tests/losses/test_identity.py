"""Cross-entropy with label smoothing: the formula by hand, and what the smoothing means."""

import math

import pytest
import torch

from snreid.errors import ExperimentError
from snreid.losses import CrossEntropy, cross_entropy
from snreid.outputs import Outputs


def by_hand(logits: list[list[float]], persons: list[int], smoothing: float) -> float:
    losses = []
    for scores, person in zip(logits, persons, strict=True):
        log_sum = math.log(sum(math.exp(s) for s in scores))
        for index, score in enumerate(scores):
            share = smoothing / len(scores) + (1 - smoothing) * (index == person)
            losses.append(-share * (score - log_sum))
    return sum(losses) / len(logits)


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.5])
def test_equals_the_formula(smoothing: float) -> None:
    logits, persons = torch.randn(6, 5, dtype=torch.float64), torch.tensor([0, 4, 1, 1, 3, 2])
    value = cross_entropy(logits, persons, smoothing)
    assert float(value) == pytest.approx(by_hand(logits.tolist(), persons.tolist(), smoothing), abs=1e-12)


@pytest.mark.parametrize(("scale", "margin"), [(1.0, 0.0), (20.0, 0.0), (30.0, 0.35), (1.0, 0.5)])
def test_margin_and_scale_act_on_the_scores(scale: float, margin: float) -> None:
    """CosFace by hand: the own score loses the margin, then all are scaled."""
    cosines, persons = 2 * torch.rand(6, 5, dtype=torch.float64) - 1, torch.tensor([0, 4, 1, 1, 3, 2])
    outputs = Outputs(pooled=torch.zeros(6, 2), embedding=torch.zeros(6, 2), logits=cosines, stages=())
    value = CrossEntropy(scale=scale, margin=margin)(outputs, persons)
    changed = [
        [scale * (score - margin * (number == person)) for number, score in enumerate(row)]
        for row, person in zip(cosines.tolist(), persons.tolist(), strict=True)
    ]
    assert float(value) == pytest.approx(by_hand(changed, persons.tolist(), 0.1), abs=1e-9)


def test_without_margin_and_scale_the_bits_are_those_of_the_plain_loss() -> None:
    logits, persons = torch.randn(6, 5), torch.tensor([0, 4, 1, 1, 3, 2])
    outputs = Outputs(pooled=torch.zeros(6, 2), embedding=torch.zeros(6, 2), logits=logits, stages=())
    assert torch.equal(CrossEntropy()(outputs, persons), cross_entropy(logits, persons, 0.1))


def test_uniform_scores_cost_the_log_of_the_number_of_persons() -> None:
    value = cross_entropy(torch.zeros(3, 751), torch.tensor([0, 1, 750]), 0.1)
    assert float(value) == pytest.approx(math.log(751), rel=1e-6)


def test_smoothing_makes_endless_confidence_expensive() -> None:
    logits = torch.tensor([[50.0, 0.0, 0.0]])
    plain, smoothed = (cross_entropy(logits, torch.tensor([0]), s) for s in (0.0, 0.1))
    assert float(plain) == pytest.approx(0, abs=1e-6)
    assert float(smoothed) == pytest.approx(0.1 * 2 / 3 * 50, rel=1e-5)


def test_half_precision_scores_are_summed_in_float32() -> None:
    value = cross_entropy(torch.randn(4, 9).bfloat16(), torch.tensor([0, 1, 2, 3]), 0.1)
    assert value.dtype == torch.float32


@pytest.mark.parametrize("smoothing", [-0.1, 1.0, math.nan])
def test_refuses_a_smoothing_that_is_no_share(smoothing: float) -> None:
    with pytest.raises(ExperimentError, match="Label smoothing"):
        CrossEntropy(label_smoothing=smoothing)


@pytest.mark.parametrize("wrong", [{"scale": 0.0}, {"scale": math.inf}, {"margin": -0.1}, {"margin": 1.0}])
def test_refuses_a_scale_or_a_margin_without_a_meaning(wrong: dict[str, float]) -> None:
    with pytest.raises(ExperimentError, match=f"The {next(iter(wrong))} of the cross-entropy"):
        CrossEntropy(**wrong)


@pytest.mark.parametrize("weight", [-1.0, math.inf, math.nan])
def test_refuses_a_weight_that_is_no_weight(weight: float) -> None:
    with pytest.raises(ExperimentError, match="weight"):
        CrossEntropy(weight=weight)
