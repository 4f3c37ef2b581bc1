"""Dual causality loss of SNR (Jin et al., CVPR 2020, arXiv 2005.11037; method.md section 2).

For an anchor a, a positive p, a negative n, a distance d and sp = softplus:

- clarification  L+ = sp(d(f~+_a, f~+_p) - d(f~_a, f~_p)) + sp(d(f~_a, f~_n) - d(f~+_a, f~+_n))
- destruction    L- = sp(d(f~_a, f~_p) - d(f~-_a, f~-_p)) + sp(d(f~-_a, f~-_n) - d(f~_a, f~_n))

Giving the identity-relevant part back must bring images of one person together and push two persons apart; giving
the irrelevant part back must do the opposite. With the plain spatial mean f~ is one and the same vector for every
image, so every d(f~, f~') is 0: that exact value is used, the distance is not computed (method.md 1.2). No
gradient is stopped anywhere.

Two forms are in use. ``paper``: d = 0.5 - 0.5 cos; one positive and one negative per anchor, the same pair for the
three vectors. How the pair is drawn is not published; here it is a pure function of the batch's persons
(``rotated_pairs``), so that a run repeats bit for bit and resumes exactly. ``code``: Euclidean distance of vectors
that are not normalized; the farthest positive and the nearest negative, mined separately by f~+ (for L+) and by
f~- (for L-); inside one comparison d(f~) takes the pair of the vector it is compared with.

As published the loss hardly acts on vectors after a ReLU: they share a large mean, so all their cosines are near 1 and softplus is nearly
linear over the few hundredths by which distances differ. ``temperature``, ``centre``, ``normalize`` and ``pairs`` are ways to make it act;
nobody has published them, and all are off by default.
"""

import math
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from jaxtyping import Bool
from torch import Tensor
from torch.nn import functional

from snreid.distances import (
    PairDistances,
    directions,
    euclidean_pairs,
    full_precision,
    half_cosine_of_directions,
    rows,
)
from snreid.errors import ExperimentError
from snreid.losses.base import Loss
from snreid.losses.triplet import Pairs, hardest_pairs, mean_over, negative_mask, positive_mask
from snreid.outputs import Outputs, StageVectors
from snreid.tensors import ChannelVectors, PersonIds, Scalar

Form = Literal["paper", "code"]
Terms = Literal["both", "clarification", "destruction"]
Centre = Literal["none", "batch_mean", "batch_norm"]
PairChoice = Literal["form", "hardest"]

_EPS = 1e-5


@dataclass(frozen=True, kw_only=True)
class DualCausality(Loss):
    """L_SNR: sum over stages of stage weight x (L+ + L-); 4 ln 2 per unit of stage weight where the three vectors
    agree."""

    form: Form = "paper"
    """``paper``: half cosine distance, one drawn pair per anchor. ``code``: Euclidean, hardest pairs of the batch.
    ``paper`` is the default because it measured no worse on real data in both directions (docs/decisions.md)."""
    stage_weights: tuple[float, ...] = (0.1, 0.1, 0.5, 0.5)
    """lambda_b of backbone stages 1, 2, ... (>= 0; 0 leaves a stage out). Stages without an SNR module are not
    looked up."""
    terms: Terms = "both"
    """Which half acts: L+ and L-, only L+ (``clarification``), or only L- (``destruction``)."""
    compare: bool = True
    """True: distances are compared with those of f~. False: sp(d+_p) + sp(-d+_n) + sp(-d-_p) + sp(d-_n).
    The same thing as long as f~ is constant (method.md 1.2)."""
    temperature: float = 1.0
    """softplus(gap / temperature), > 0: a smaller one makes the loss and its gradient steeper. It is not multiplied back."""
    centre: Centre = "none"
    """What is done to each kind of vector first, over the batch of this process: ``batch_mean`` subtracts the mean, so that
    cosines spread over -1 to 1; ``batch_norm`` also divides each channel by its standard deviation. A constant f~ stays at
    distance 0."""
    normalize: bool = False
    """For the form ``code``: distances of vectors of length 1, between 0 and 2."""
    pairs: PairChoice = "form"
    """``form``: those of the form. ``hardest``: for ``paper`` too the hardest of the batch, mined as ``code`` does but by the
    cosine."""

    def __post_init__(self) -> None:
        """Raises ``ExperimentError`` for an unknown choice, a temperature that is not positive, or unusable stage weights."""
        super().__post_init__()
        if self.form not in ("paper", "code"):
            raise ExperimentError(
                "The causality loss has the forms 'paper' and 'code'",
                found=repr(self.form),
                fix="choose one of the two",
            )
        check_stage_choices(self.stage_weights, self.terms)
        self._check_options()

    def _check_options(self) -> None:
        if not (math.isfinite(self.temperature) and self.temperature > 0):
            raise ExperimentError(
                "The temperature of the causality loss is positive",
                found=f"temperature {self.temperature}",
                fix="use 1 for the published loss, or 0.1 for a steeper one",
            )
        if self.centre not in get_args(Centre) or self.pairs not in get_args(PairChoice):
            raise ExperimentError(
                "Vectors are centred by 'none', 'batch_mean' or 'batch_norm', and pairs are those of the 'form' or the 'hardest'",
                found=f"centre {self.centre!r}, pairs {self.pairs!r}",
                fix="choose among them",
            )
        if self.normalize and self.form == "paper":
            raise ExperimentError(
                "The distance of the form 'paper' is a cosine, which looks at directions alone",
                found="normalize with form 'paper'",
                fix="leave normalize out, or use form 'code'",
            )

    def __call__(self, outputs: Outputs, persons: PersonIds) -> Scalar:
        """Weighted sum over stages. Raises ``ExperimentError`` when the model has no weighted SNR stage."""
        drawn = _drawn(persons, self)
        losses = [
            weight * _stage_loss(stage, persons, drawn, self)
            for stage, weight in weighted_stages(outputs.stages, self.stage_weights)
        ]
        return torch.stack(losses).sum()


def dual_causality(vectors: StageVectors, persons: PersonIds, how: DualCausality) -> Scalar:
    """L+ + L- of one stage, averaged over the anchors that have a positive and a negative in the batch; 0 if none has.

    ``vectors``: three (B, C); ``persons``: (B,). ``how``: its form and options; weights are not looked at. Value in [0, inf) for ``code``,
    at most 4 softplus(1 / temperature) for ``paper``, 5.25 at temperature 1.
    """
    return _stage_loss(vectors, persons, _drawn(persons, how), how)


def _drawn(persons: PersonIds, how: DualCausality) -> Pairs | None:
    """The pairs of all stages where they depend on persons alone; None where each kind of vector has its hardest ones."""
    return rotated_pairs(persons) if how.form == "paper" and how.pairs == "form" else None


def _stage_loss(vectors: StageVectors, persons: PersonIds, drawn: Pairs | None, how: DualCausality) -> Scalar:
    normalized = None if vectors.constant or not how.compare else vectors.normalized
    loss = vectors.restored.new_zeros(())
    if how.terms != "destruction":
        positive, negative, valid = _gaps(vectors.restored, normalized, persons, drawn, how)
        loss = loss + mean_over(functional.softplus(positive) + functional.softplus(-negative), valid)
    if how.terms != "clarification":
        positive, negative, valid = _gaps(vectors.contaminated, normalized, persons, drawn, how)
        loss = loss + mean_over(functional.softplus(-positive) + functional.softplus(negative), valid)
    return loss


def _gaps(
    vectors: ChannelVectors,
    normalized: ChannelVectors | None,
    persons: PersonIds,
    drawn: Pairs | None,
    how: DualCausality,
) -> tuple[PairDistances, PairDistances, Bool[Tensor, "batch"]]:
    """(B,) d(v_a, v_p) - d(f~_a, f~_p) over the temperature and the same for the negatives, and which anchors count; without ``normalized``
    the second terms are 0."""
    ready = _ready(vectors, how)
    pairs = drawn or hardest_pairs(ready, persons)
    # Both partners at once, and a direction once for each vector: small operators cost what starting them costs.
    partner = torch.cat([pairs.positive, pairs.negative])
    distance = half_cosine_of_directions if how.form == "paper" else euclidean_pairs
    gap = distance(ready.repeat(2, 1), rows(ready, partner))
    if normalized is not None:
        compared = _ready(normalized, how)
        gap = gap - distance(compared.repeat(2, 1), rows(compared, partner))
    if how.temperature != 1:
        gap = gap / how.temperature
    positive, negative = gap.chunk(2)
    return positive, negative, pairs.valid


def _ready(vectors: ChannelVectors, how: DualCausality) -> ChannelVectors:
    """(B, C), centred and made directions as ``how`` says: what pairs are mined from and distances computed of."""
    ready = full_precision(vectors)
    if how.centre != "none":
        ready = ready - ready.mean(dim=0)
    if how.centre == "batch_norm":
        ready = ready / (ready.square().mean(dim=0) + _EPS).sqrt()
    return directions(ready) if how.form == "paper" or how.normalize else ready


def rotated_pairs(persons: PersonIds) -> Pairs:
    """One positive and one negative per anchor as a pure function of the batch's persons, computed on their device.

    Positive of position i: the next image of the same person, going round the batch, so every image is a positive once.
    Negative: the first image of another person at or after position i + s, going round, where s is the sum of the
    batch's person indices. The shift is the same for all anchors, so the negatives of a P x K batch are spread
    evenly; it changes from batch to batch with the persons drawn, so all persons meet. Anchors without a positive
    or negative are marked invalid.
    """
    count = len(persons)
    position = torch.arange(count, device=persons.device)
    ahead = (position[None, :] - position[:, None]) % count  # [i, j]: steps from i forward to j
    ahead_of_shift = (ahead - persons.sum()) % count
    positives, negatives = positive_mask(persons), negative_mask(persons)
    return Pairs(
        positive=ahead.masked_fill(~positives, count).argmin(dim=1),
        negative=ahead_of_shift.masked_fill(~negatives, count).argmin(dim=1),
        valid=positives.any(dim=1) & negatives.any(dim=1),
    )


def weighted_stages(
    stages: tuple[StageVectors, ...], stage_weights: tuple[float, ...]
) -> list[tuple[StageVectors, float]]:
    """The stages that count, each with its weight > 0. Raises ``ExperimentError`` when there is none or a weight
    is missing."""
    for stage in stages:
        if not 1 <= stage.stage <= len(stage_weights):
            raise ExperimentError(
                "The causality loss needs a weight for every stage that has an SNR module",
                found=f"a module after stage {stage.stage}, weights for {len(stage_weights)} stages",
                fix="give stage_weights one number per backbone stage, 0 to leave a stage out",
            )
    chosen = [(s, stage_weights[s.stage - 1]) for s in stages if stage_weights[s.stage - 1] > 0]
    if not chosen:
        raise ExperimentError(
            "The causality loss acts on SNR modules, and at least one needs a positive stage weight",
            found=f"SNR modules after stages {[s.stage for s in stages]}, stage weights {stage_weights}",
            fix="leave the causality loss out for this scheme, or use the SNR scheme with positive stage weights",
        )
    return chosen


def check_stage_choices(stage_weights: tuple[float, ...], terms: str) -> None:
    """Raises ``ExperimentError`` unless the weights are finite, >= 0 and not all 0, and ``terms`` is a known choice."""
    if not any(stage_weights) or not all(math.isfinite(w) and w >= 0 for w in stage_weights):
        raise ExperimentError(
            "Stage weights are finite numbers >= 0, at least one of them positive",
            found=str(stage_weights),
            fix="use (0.1, 0.1, 0.5, 0.5), or leave the loss out to train without it",
        )
    if terms not in ("both", "clarification", "destruction"):
        raise ExperimentError(
            "The terms are 'both', 'clarification' or 'destruction'", found=repr(terms), fix="choose one of the three"
        )
