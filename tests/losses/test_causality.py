"""The dual causality loss against loops, its identities (method.md section 2), and its gradients at the start of training."""

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.reference import causality as slow
from torch import Tensor

from snreid.errors import ExperimentError
from snreid.losses import DualCausality, dual_causality
from snreid.losses.causality import Centre, Form, Terms, rotated_triplets
from snreid.models.snr import SNR
from snreid.outputs import Outputs, StageVectors

FORMS: tuple[Form, ...] = ("paper", "code")
PERSONS = torch.tensor([3, 3, 3, 0, 0, 0, 7, 7, 7])


def stage_of(seed: int, count: int, *, constant: bool = False, stage: int = 1, dim: int = 6) -> StageVectors:
    generator = torch.Generator().manual_seed(seed)
    vectors = [torch.randn(count, dim, generator=generator, dtype=torch.float64) for _ in range(3)]
    if constant:
        vectors[0] = vectors[0][:1].expand(count, dim)
    return StageVectors(stage, *vectors, constant=constant)


def one_stage(vectors: StageVectors, persons: Tensor, *, compare: bool = True, **options: Any) -> Tensor:
    normalized = None if vectors.constant or not compare else vectors.normalized
    return dual_causality(vectors.restored, vectors.contaminated, persons, normalized=normalized, **options)


def by_loops(vectors: StageVectors, persons: Tensor, **choices: object) -> float:
    lists = [v.tolist() for v in (vectors.normalized, vectors.restored, vectors.contaminated)]
    return slow.dual_causality(*lists, persons.tolist(), **choices)


@settings(max_examples=80, deadline=None)
@given(
    persons=st.lists(st.integers(0, 5), min_size=1, max_size=10),
    seed=st.integers(0, 1000),
    form=st.sampled_from(FORMS),
    terms=st.sampled_from(["both", "clarification", "destruction"]),
    compare=st.booleans(),
    constant=st.booleans(),
)
def test_equals_the_loops(
    persons: list[int], seed: int, form: Form, terms: Terms, compare: bool, constant: bool
) -> None:
    """With a constant f~ too: the loops compute the distances that the loss replaces by 0."""
    vectors, ids = stage_of(seed, len(persons), constant=constant), torch.tensor(persons)
    value = one_stage(vectors, ids, form=form, terms=terms, compare=compare)
    assert float(value) == pytest.approx(by_loops(vectors, ids, form=form, terms=terms, compare=compare), abs=1e-9)


@settings(max_examples=80, deadline=None)
@given(
    persons=st.lists(st.integers(0, 3), min_size=1, max_size=10),
    seed=st.integers(0, 1000),
    form=st.sampled_from(FORMS),
    terms=st.sampled_from(["both", "clarification", "destruction"]),
    compare=st.booleans(),
    temperature=st.sampled_from([1.0, 0.1, 3.0]),
    centre=st.sampled_from(["none", "batch_mean", "batch_norm"]),
    normalize=st.booleans(),
    pairs=st.sampled_from(["form", "hardest"]),
)
def test_every_option_is_that_of_the_loops(persons: list[int], seed: int, form: Form, **options: Any) -> None:
    options["normalize"] = options["normalize"] and form == "code"
    vectors, ids = stage_of(seed, len(persons)), torch.tensor(persons)
    value = one_stage(vectors, ids, form=form, **options)
    assert float(value) == pytest.approx(by_loops(vectors, ids, form=form, **options), abs=1e-8)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("centre", ["batch_mean", "batch_norm"])
def test_a_constant_stays_at_distance_0_when_vectors_are_centred(form: Form, centre: Centre) -> None:
    vectors = stage_of(2, 9, constant=True)
    centred = one_stage(vectors, PERSONS, form=form, centre=centre)
    computed = one_stage(replace(vectors, constant=False), PERSONS, form=form, centre=centre)
    torch.testing.assert_close(centred, computed, rtol=1e-12, atol=1e-12)
    assert centred != one_stage(vectors, PERSONS, form=form)


def test_centred_vectors_and_a_low_temperature_make_the_loss_act() -> None:
    """Vectors that share a large mean, as after a ReLU: the published loss stays at 4 ln 2 whatever else they say."""
    by_person = torch.nn.functional.one_hot(torch.tensor([0, 0, 0, 1, 1, 1, 2, 2, 2])).double()
    by_style = torch.nn.functional.one_hot(torch.tensor([0, 1, 2, 0, 1, 2, 0, 1, 2])).double()
    vectors = StageVectors(1, torch.zeros(9, 3), 20 + by_person, 20 + by_style, True)
    neutral = 4 * math.log(2)
    published = float(one_stage(vectors, PERSONS))
    centred = float(one_stage(vectors, PERSONS, centre="batch_mean"))
    steep = float(one_stage(vectors, PERSONS, centre="batch_mean", temperature=0.1))
    assert neutral - published < 1e-2 < neutral - centred
    # A distance is never below that of a constant f~, so half of the terms end at softplus(0).
    assert 0 < steep - 2 * math.log(2) < 0.01


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("centre", ["none", "batch_mean", "batch_norm"])
@pytest.mark.parametrize("scale", [1.0, 1e-3, 1e-6, 0.0])
def test_gradients_of_the_options_stay_bounded(form: Form, centre: Centre, scale: float) -> None:
    """Slopes: 1 / NORM_FLOOR of a direction, 1 / sqrt(eps) = 316 of a standard deviation, 1 / temperature."""
    persons = torch.arange(16).repeat_interleave(4)
    beta = torch.zeros(64, requires_grad=True)
    scores, mean = torch.randn(64, 64).requires_grad_(), (scale * torch.rand(64, 64)).requires_grad_()
    loss = DualCausality(form=form, centre=centre, normalize=form == "code", pairs="hardest", stage_weights=(1.0,))
    loss(outputs_of(closed_form(beta, scores, mean)), persons).backward()
    for leaf in (beta, scores, mean):
        assert leaf.grad is not None
        assert bool(torch.isfinite(leaf.grad).all())
        assert float(leaf.grad.norm()) < (1e4 if centre == "batch_norm" else 1e3)


@pytest.mark.parametrize("form", FORMS)
def test_is_four_log_two_where_the_three_vectors_agree(form: Form) -> None:
    vectors = stage_of(0, 9)
    same = replace(vectors, restored=vectors.normalized, contaminated=vectors.normalized)
    assert float(one_stage(same, PERSONS, form=form)) == pytest.approx(4 * math.log(2), abs=1e-12)


@pytest.mark.parametrize("form", FORMS)
def test_the_two_halves_add_up(form: Form) -> None:
    vectors = stage_of(1, 9)
    parts = [one_stage(vectors, PERSONS, form=form, terms=t) for t in ("clarification", "destruction")]
    torch.testing.assert_close(sum(parts), one_stage(vectors, PERSONS, form=form))


@pytest.mark.parametrize("form", FORMS)
def test_comparing_with_a_constant_is_not_comparing(form: Form) -> None:
    """method.md 1.2: as published, the loss equals its own "without comparison" form."""
    vectors = stage_of(2, 9, constant=True)
    compared, alone = (
        DualCausality(form=form, compare=c, stage_weights=(1.0,))(outputs_of(vectors), PERSONS) for c in (True, False)
    )
    assert float(compared) == float(alone)


@pytest.mark.parametrize("form", FORMS)
def test_comparing_means_something_where_f_tilde_differs(form: Form) -> None:
    vectors = stage_of(2, 9, constant=False)
    compared, alone = (one_stage(vectors, PERSONS, form=form, compare=c) for c in (True, False))
    assert float(compared) != pytest.approx(float(alone), abs=1e-3)


@pytest.mark.parametrize("form", FORMS)
def test_rewards_what_it_is_meant_to(form: Form) -> None:
    """f~+ grouped by person and f~- grouped by something else cost less than the other way round."""
    by_person = torch.nn.functional.one_hot(torch.tensor([0, 0, 0, 1, 1, 1, 2, 2, 2])).double() * 3
    by_style = torch.nn.functional.one_hot(torch.tensor([0, 1, 2, 0, 1, 2, 0, 1, 2])).double() * 3
    flat = torch.zeros(9, 3, dtype=torch.float64)
    good, bad = StageVectors(1, flat, by_person, by_style, True), StageVectors(1, flat, by_style, by_person, True)
    neutral = 4 * math.log(2)
    low, high = (float(one_stage(v, PERSONS, form=form)) for v in (good, bad))
    assert low < neutral < high


@settings(max_examples=40, deadline=None)
@given(persons=st.lists(st.integers(0, 800), min_size=1, max_size=16))
def test_the_drawn_pairs_are_those_of_the_loops(persons: list[int]) -> None:
    pairs = rotated_triplets(torch.tensor(persons))
    for anchor in range(len(persons)):
        expected = slow.drawn(persons, anchor)
        assert bool(pairs.valid[anchor]) == (expected is not None)
        if expected is not None:
            assert (int(pairs.positive[anchor]), int(pairs.negative[anchor])) == expected


def test_in_a_p_x_k_batch_every_image_is_a_positive_once_and_negatives_change_with_the_batch() -> None:
    persons = torch.arange(16).repeat_interleave(4)
    assert sorted(rotated_triplets(persons).positive.tolist()) == list(range(64))
    met = {tuple(rotated_triplets(persons + shift).negative.tolist()) for shift in (0, 1)}
    different = [torch.cat([persons[4:], torch.full((4,), 16 + s)]) for s in range(20)]
    met |= {tuple(rotated_triplets(batch).negative.tolist()) for batch in different}
    assert len(met) >= 10


def outputs_of(*stages: StageVectors) -> Outputs:
    count = len(stages[0].restored) if stages else 9
    return Outputs(
        pooled=torch.zeros(count, 2), embedding=torch.zeros(count, 2), logits=torch.zeros(count, 2), stages=stages
    )


def test_weighs_stages_by_their_number_not_by_their_place() -> None:
    second, fourth = stage_of(5, 9, stage=2), stage_of(6, 9, stage=4)
    value = DualCausality(stage_weights=(9.0, 0.1, 9.0, 0.5))(outputs_of(second, fourth), PERSONS)
    expected = 0.1 * one_stage(second, PERSONS) + 0.5 * one_stage(fourth, PERSONS)
    torch.testing.assert_close(value, expected)


def test_a_stage_of_weight_zero_gets_no_gradient() -> None:
    first, second = stage_of(5, 9, stage=1), stage_of(6, 9, stage=2)
    for stage in (first, second):
        stage.restored.requires_grad_()
    DualCausality(stage_weights=(0.0, 1.0))(outputs_of(first, second), PERSONS).backward()
    assert first.restored.grad is None
    assert second.restored.grad is not None


def closed_form(beta: Tensor, gate_scores: Tensor, mean: Tensor) -> StageVectors:
    """method.md 1.1: the three pooled vectors from beta, the gate and the channel means."""
    gate = gate_scores.sigmoid()
    return StageVectors(
        stage=1,
        normalized=beta.expand_as(mean),
        restored=beta + gate * (mean - beta),
        contaminated=beta + (1 - gate) * (mean - beta),
        constant=True,
    )


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("scale", [1.0, 1e-3, 1e-6, 0.0])
def test_no_gradient_above_1000_at_the_first_step(form: Form, scale: float) -> None:
    """beta = 0 is the start of training; ``scale`` 0 is a stage whose maps are all zero, the worst there is."""
    persons = torch.arange(16).repeat_interleave(4)
    beta = torch.zeros(64, requires_grad=True)
    scores, mean = torch.randn(64, 64).requires_grad_(), (scale * torch.rand(64, 64)).requires_grad_()
    loss = DualCausality(form=form, stage_weights=(1.0,))(outputs_of(closed_form(beta, scores, mean)), persons)
    loss.backward()
    for leaf in (beta, scores, mean):
        assert leaf.grad is not None
        assert bool(torch.isfinite(leaf.grad).all())
        assert float(leaf.grad.norm()) < 1e3


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("pool", ["mean", "relu", "std"])
def test_no_gradient_above_1000_through_a_fresh_snr_module(form: Form, pool: str) -> None:
    persons = torch.arange(8).repeat_interleave(4)
    module = SNR(32, pool=pool)
    maps = torch.randn(32, 32, 8, 4).relu().requires_grad_()
    split = module.split(maps)
    vectors = StageVectors(1, split.normalized, split.restored, split.contaminated, constant=module.constant)
    DualCausality(form=form, stage_weights=(1.0,))(outputs_of(vectors), persons).backward()
    gradients = {name: p.grad for name, p in module.named_parameters()} | {"maps": maps.grad}
    for name, gradient in gradients.items():
        if gradient is not None:  # gamma has none under the spatial mean: f~ = beta whatever gamma is
            assert bool(torch.isfinite(gradient).all()), name
            assert float(gradient.norm()) < 1e3, name
    assert gradients["beta"] is not None


def test_the_constant_is_what_keeps_the_first_step_small() -> None:
    """Computing d(f~, f~') by the plain formula near beta = 0, as a naive implementation does, gives gradients of 1e5 and more."""
    beta = (1e-8 * torch.randn(2, 64)).requires_grad_()
    (0.5 - 0.5 * torch.cosine_similarity(beta[:1], beta[1:], eps=1e-12)).sum().backward()
    assert beta.grad is not None
    assert float(beta.grad.norm()) > 1e5


@pytest.mark.parametrize("form", FORMS)
def test_gradients_flow_through_all_three_vectors(form: Form) -> None:
    """No gradient is stopped anywhere (method.md section 2)."""
    vectors = stage_of(3, 9)
    leaves = (vectors.normalized, vectors.restored, vectors.contaminated)
    for leaf in leaves:
        leaf.requires_grad_()
    one_stage(vectors, PERSONS, form=form).backward()
    assert all(leaf.grad is not None and float(leaf.grad.norm()) > 1e-3 for leaf in leaves)


@pytest.mark.parametrize("form", FORMS)
def test_a_batch_without_pairs_costs_nothing_and_still_differentiates(form: Form) -> None:
    vectors = stage_of(3, 4)
    vectors.restored.requires_grad_()
    value = one_stage(vectors, torch.tensor([0, 1, 2, 3]), form=form)
    value.backward()
    assert float(value.detach()) == 0.0
    assert vectors.restored.grad is not None


def test_needs_modules_and_weights_for_them() -> None:
    with pytest.raises(ExperimentError, match="acts on SNR modules"):
        DualCausality()(outputs_of(), PERSONS)
    with pytest.raises(ExperimentError, match="acts on SNR modules"):
        DualCausality(stage_weights=(0.0, 1.0))(outputs_of(stage_of(0, 9, stage=1)), PERSONS)
    with pytest.raises(ExperimentError, match="weight for every stage"):
        DualCausality(stage_weights=(1.0,))(outputs_of(stage_of(0, 9, stage=3)), PERSONS)


@pytest.mark.parametrize("weights", [(), (0.0,), (-1.0, 1.0), (math.nan,)])
def test_refuses_stage_weights_without_a_meaning(weights: tuple[float, ...]) -> None:
    with pytest.raises(ExperimentError, match="Stage weights"):
        DualCausality(stage_weights=weights)


@pytest.mark.parametrize("temperature", [0.0, -1.0, math.nan])
def test_refuses_a_temperature_that_is_not_positive(temperature: float) -> None:
    with pytest.raises(ExperimentError, match="temperature"):
        DualCausality(temperature=temperature)


def test_refuses_to_normalize_for_a_cosine() -> None:
    with pytest.raises(ExperimentError, match="normalize with form 'paper'"):
        DualCausality(normalize=True)


@pytest.mark.parametrize(
    ("field", "value"), [("form", "cosine"), ("terms", "none"), ("centre", "median"), ("pairs", "easiest")]
)
def test_refuses_unknown_choices(field: str, value: str) -> None:
    loss = DualCausality()
    object.__setattr__(loss, field, value)  # past the run-time type check that only the tests have
    with pytest.raises(ExperimentError, match=value):
        loss.__post_init__()
