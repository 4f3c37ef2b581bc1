"""The entropy form of the causality loss: entropies by hand, the halves, and scores at the ends of the range."""

import math
from dataclasses import replace

import pytest
import torch
from tests.reference.batch_hard import softplus
from tests.reference.causality import entropy as slow_entropy

from snreid.errors import ExperimentError
from snreid.losses import EntropyCausality, entropy_causality
from snreid.losses.entropy import Terms, entropy
from snreid.outputs import Outputs, StageLogits, StageVectors

PERSONS = torch.zeros(5, dtype=torch.int64)


def scores(seed: int = 0, count: int = 5, persons: int = 7) -> StageLogits:
    generator = torch.Generator().manual_seed(seed)
    return StageLogits(*(torch.randn(count, persons, generator=generator, dtype=torch.float64) for _ in range(3)))


def one_stage(logits: StageLogits, terms: Terms = "both") -> torch.Tensor:
    return entropy_causality(logits.normalized, logits.restored, logits.contaminated, terms=terms)


def outputs_of(logits: StageLogits | None, stage: int = 1) -> Outputs:
    vector = torch.zeros(5, 3)
    return Outputs(
        pooled=vector,
        embedding=vector,
        logits=torch.zeros(5, 7),
        stages=(StageVectors(stage, vector, vector, vector, constant=True, logits=logits),),
    )


def test_entropy_equals_the_formula() -> None:
    logits = 3 * torch.randn(6, 9, dtype=torch.float64)
    slow = torch.tensor([slow_entropy(row) for row in logits.tolist()], dtype=torch.float64)
    torch.testing.assert_close(entropy(logits), slow, rtol=1e-12, atol=1e-12)


def test_entropy_reaches_from_zero_to_the_log_of_the_number_of_persons() -> None:
    values = entropy(torch.tensor([[0.0, 0.0, 0.0, 0.0], [1e4, 0.0, 0.0, -1e4]]))
    assert values.tolist() == pytest.approx([math.log(4), 0.0], abs=1e-6)


def test_certain_scores_have_a_finite_gradient() -> None:
    """log 0 is one step away here."""
    logits = torch.tensor([[1e4, -1e4, 0.0]], requires_grad=True)
    entropy(logits).sum().backward()
    assert logits.grad is not None
    assert bool(torch.isfinite(logits.grad).all())


@pytest.mark.parametrize("terms", ["both", "clarification", "destruction"])
def test_equals_the_loops(terms: Terms) -> None:
    logits = scores()
    rows = zip(logits.normalized.tolist(), logits.restored.tolist(), logits.contaminated.tolist(), strict=True)
    total = 0.0
    for row in rows:
        normalized, restored, contaminated = (slow_entropy(part) for part in row)
        total += softplus(restored - normalized) * (terms != "destruction")
        total += softplus(normalized - contaminated) * (terms != "clarification")
    assert float(one_stage(logits, terms)) == pytest.approx(total / 5, abs=1e-12)


def test_is_two_log_two_where_the_three_agree() -> None:
    logits = scores()
    same = replace(logits, restored=logits.normalized, contaminated=logits.normalized)
    assert float(one_stage(same)) == pytest.approx(2 * math.log(2), abs=1e-12)


def test_weighs_stages_by_their_number() -> None:
    logits = scores()
    value = EntropyCausality(stage_weights=(0.1, 0.1, 0.5, 0.5))(outputs_of(logits, stage=3), PERSONS)
    torch.testing.assert_close(value, 0.5 * one_stage(logits))


def test_needs_the_classifiers_of_the_stages() -> None:
    with pytest.raises(ExperimentError, match="classifier at every SNR stage"):
        EntropyCausality()(outputs_of(None), PERSONS)


def test_refuses_settings_without_a_meaning() -> None:
    with pytest.raises(ExperimentError, match="Stage weights"):
        EntropyCausality(stage_weights=(0.0, 0.0))
