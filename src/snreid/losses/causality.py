"""Dual causality loss of SNR (Jin et al., CVPR 2020, arXiv 2005.11037; method.md section 2).

For an anchor a, a positive p, a negative n, a distance d and sp = softplus:

- clarification  L+ = sp(d(f~+_a, f~+_p) - d(f~_a, f~_p)) + sp(d(f~_a, f~_n) - d(f~+_a, f~+_n))
- destruction    L- = sp(d(f~_a, f~_p) - d(f~-_a, f~-_p)) + sp(d(f~-_a, f~-_n) - d(f~_a, f~_n))

Giving the identity-relevant part back must bring images of one person together and push two persons apart; giving the irrelevant part
back must do the opposite. With the spatial mean f~ is the same vector for every image, so every d(f~, f~') is 0; the code uses that exact
value and does not compute the distance (method.md 1.2). No gradient is stopped.

There are two forms. ``paper``: d = 0.5 - 0.5 cos; one positive and one negative per anchor, the same for the three vectors. The paper does
not say how it samples them; here they are a pure function of the persons of the batch (``rotated_triplets``), so that a run repeats bit for
bit and resumes exactly. ``code``: Euclidean distance of unnormalized vectors; the farthest positive and the nearest negative, mined
separately by f~+ (for L+) and by f~- (for L-); d(f~) uses the triplet of the vector it is compared with.

As published the loss hardly acts on vectors after a ReLU: they share a large mean, so all their cosines are near 1, and softplus is nearly
linear over the few hundredths by which distances differ. ``temperature``, ``centre``, ``normalize`` and ``pairs`` make it act. They are
unpublished and off by default.
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
    at_least_float32,
    directions,
    euclidean_pairs,
    half_cosine_of_directions,
    rows,
)
from snreid.errors import ExperimentError
from snreid.losses.base import Loss
from snreid.losses.triplet import Triplets, hardest_triplets, mean_over, negative_mask, positive_mask
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
    """``paper``: half cosine distance, one sampled pair per anchor. ``code``: Euclidean, hardest pairs of the batch.
    ``paper`` is the default: on real data it was no worse in both directions (docs/log/recipes.md)."""
    stage_weights: tuple[float, ...] = (0.1, 0.1, 0.5, 0.5)
    """lambda_b of backbone stages 1, 2, ... (>= 0; 0 leaves a stage out). Weights of stages without an SNR module are ignored."""
    terms: Terms = "both"
    """L+ and L-, only L+ (``clarification``), or only L- (``destruction``)."""
    compare: bool = True
    """True: distances are compared with those of f~. False: sp(d+_p) + sp(-d+_n) + sp(-d-_p) + sp(d-_n), which is the same if f~ is
    constant (method.md 1.2)."""
    temperature: float = 1.0
    """softplus(gap / temperature), > 0: a smaller value makes the loss and its gradient steeper. The result is not multiplied back."""
    centre: Centre = "none"
    """Applied to each kind of vector first, over the batch of this process: ``batch_mean`` subtracts the mean, so that cosines
    spread over -1 to 1; ``batch_norm`` also divides each channel by its standard deviation. A constant f~ stays at distance 0."""
    normalize: bool = False
    """For the form ``code``: distances of vectors of length 1, between 0 and 2."""
    pairs: PairChoice = "form"
    """``form``: those of the form. ``hardest``: with ``paper`` too the hardest pairs of the batch, by cosine."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_stage_choices(self.stage_weights, self.terms)
        _check_options(self.form, self.temperature, self.centre, self.normalize, self.pairs)

    def __call__(self, outputs: Outputs, persons: PersonIds) -> Scalar:
        """Weighted sum over stages. Raises ``ExperimentError`` if the model has no weighted SNR stage."""
        # Pairs that depend on persons alone are the same at every stage.
        shared = self.form == "paper" and self.pairs == "form"
        pairs = rotated_triplets(persons) if shared else self.pairs
        losses = []
        for stage, weight in weighted_stages(outputs.stages, self.stage_weights):
            loss = dual_causality(
                stage.restored,
                stage.contaminated,
                persons,
                normalized=None if stage.constant or not self.compare else stage.normalized,
                form=self.form,
                terms=self.terms,
                temperature=self.temperature,
                centre=self.centre,
                normalize=self.normalize,
                pairs=pairs,
            )
            losses.append(weight * loss)
        return torch.stack(losses).sum()


def dual_causality(
    restored: ChannelVectors,
    contaminated: ChannelVectors,
    persons: PersonIds,
    *,
    normalized: ChannelVectors | None = None,
    form: Form = "paper",
    terms: Terms = "both",
    temperature: float = 1.0,
    centre: Centre = "none",
    normalize: bool = False,
    pairs: PairChoice | Triplets = "form",
) -> Scalar:
    """L+ + L- of one SNR module (Jin et al., arXiv 2005.11037; method.md section 2). Options as in ``DualCausality``.

    Args:
        restored: (B, C) f~+, the pooled maps with the identity-relevant part given back.
        contaminated: (B, C) f~-, the pooled maps with the irrelevant part given back.
        persons: (B,) identity of each image.
        normalized: (B, C) f~. None if it is the same vector for every image, as with the spatial mean: its distances are then 0.
        form: ``paper`` (half cosine distance, one pair per anchor) or ``code`` (Euclidean distance, hardest pairs).
        terms: L+ and L- (``both``), only L+ (``clarification``), or only L- (``destruction``).
        temperature: Divides the gaps, > 0.
        centre: ``none``, ``batch_mean`` or ``batch_norm``, applied to each kind of vector first.
        normalize: With ``code``: whether to scale vectors to length 1 first.
        pairs: ``form``, ``hardest``, or the triplets to compare.

    Returns:
        The mean over the anchors that have a positive and a negative in the batch, 0 if there are none; in [0, inf) for ``code``, at most
        4 softplus(1 / temperature) for ``paper``, 5.25 at temperature 1.

    Example:
        >>> import torch
        >>> by_person = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
        >>> by_style = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [0.0, 1.0]])
        >>> dual_causality(by_person, by_style, torch.tensor([0, 0, 1, 1]), pairs="hardest")
        tensor(2.3344)
    """
    _check_options(form, temperature, centre, normalize, pairs)
    chosen = pairs if isinstance(pairs, Triplets) else None
    if form == "paper" and pairs == "form":
        chosen = rotated_triplets(persons)

    def gaps(vectors: ChannelVectors) -> tuple[PairDistances, PairDistances, Bool[Tensor, "batch"]]:
        """(B,) d(v_a, v_p) - d(f~_a, f~_p) over the temperature, the same for the negatives, and which anchors count."""
        prepared = _prepared(vectors, form, centre, normalize)
        triplets = chosen or hardest_triplets(prepared, persons)
        # Both partners at once, and each direction once: the cost of small operators is that of their launch.
        partner = torch.cat([triplets.positive, triplets.negative])
        distance = half_cosine_of_directions if form == "paper" else euclidean_pairs
        gap = distance(prepared.repeat(2, 1), rows(prepared, partner))
        if normalized is not None:
            reference = _prepared(normalized, form, centre, normalize)
            gap = gap - distance(reference.repeat(2, 1), rows(reference, partner))
        if temperature != 1:
            gap = gap / temperature
        positive, negative = gap.chunk(2)
        return positive, negative, triplets.valid

    loss = restored.new_zeros(())
    if terms != "destruction":
        positive, negative, valid = gaps(restored)
        loss = loss + mean_over(functional.softplus(positive) + functional.softplus(-negative), valid)
    if terms != "clarification":
        positive, negative, valid = gaps(contaminated)
        loss = loss + mean_over(functional.softplus(-positive) + functional.softplus(negative), valid)
    return loss


def _check_options(form: str, temperature: float, centre: str, normalize: bool, pairs: str | Triplets) -> None:
    if form not in get_args(Form):
        raise ExperimentError(
            "The causality loss has the forms 'paper' and 'code'", found=repr(form), fix="choose one of the two"
        )
    if not (math.isfinite(temperature) and temperature > 0):
        raise ExperimentError(
            "The temperature of the causality loss is positive",
            found=f"temperature {temperature}",
            fix="use 1 for the published loss, or 0.1 for a steeper one",
        )
    if centre not in get_args(Centre) or (isinstance(pairs, str) and pairs not in get_args(PairChoice)):
        raise ExperimentError(
            "Vectors are centred by 'none', 'batch_mean' or 'batch_norm', and pairs are those of the 'form' or the 'hardest'",
            found=f"centre {centre!r}, pairs {pairs!r}",
            fix="choose among them",
        )
    if normalize and form == "paper":
        raise ExperimentError(
            "The distance of the form 'paper' is a cosine, which looks at directions alone",
            found="normalize with form 'paper'",
            fix="leave normalize out, or use form 'code'",
        )


def _prepared(vectors: ChannelVectors, form: Form, centre: Centre, normalize: bool) -> ChannelVectors:
    """(B, C), centred and scaled to directions as the options say: pairs are mined from them and distances computed of them."""
    vectors = at_least_float32(vectors)
    if centre != "none":
        vectors = vectors - vectors.mean(dim=0)
    if centre == "batch_norm":
        vectors = vectors / (vectors.square().mean(dim=0) + _EPS).sqrt()
    return directions(vectors) if form == "paper" or normalize else vectors


def rotated_triplets(persons: PersonIds) -> Triplets:
    """One positive and one negative per anchor as a pure function of ``persons`` (B,), computed on their device.

    Positive of position i: the next image of the same person, cyclically, so every image is a positive once. Negative: the first image of
    another person at or after position i + s, cyclically, where s is the sum of the person indices. The shift is the same for all anchors,
    so the negatives of a P x K batch are spread evenly; it changes with the persons of the batch, so all persons meet.
    """
    count = len(persons)
    position = torch.arange(count, device=persons.device)
    ahead = (position[None, :] - position[:, None]) % count  # [i, j]: steps from i forward to j
    ahead_of_shift = (ahead - persons.sum()) % count
    positives, negatives = positive_mask(persons), negative_mask(persons)
    return Triplets(
        positive=ahead.masked_fill(~positives, count).argmin(dim=1),
        negative=ahead_of_shift.masked_fill(~negatives, count).argmin(dim=1),
        valid=positives.any(dim=1) & negatives.any(dim=1),
    )


def weighted_stages(
    stages: tuple[StageVectors, ...], stage_weights: tuple[float, ...]
) -> list[tuple[StageVectors, float]]:
    """The stages of weight > 0 with their weights. Raises ``ExperimentError`` if there is none or a weight is missing."""
    for stage in stages:
        if not 1 <= stage.stage <= len(stage_weights):
            raise ExperimentError(
                "The causality loss needs a weight for every stage that has an SNR module",
                found=f"a module after stage {stage.stage}, weights for {len(stage_weights)} stages",
                fix="give stage_weights one number per backbone stage, 0 to leave a stage out",
            )
    weighted = [(s, stage_weights[s.stage - 1]) for s in stages if stage_weights[s.stage - 1] > 0]
    if not weighted:
        raise ExperimentError(
            "The causality loss acts on SNR modules, and at least one needs a positive stage weight",
            found=f"SNR modules after stages {[s.stage for s in stages]}, stage weights {stage_weights}",
            fix="leave the causality loss out for this scheme, or use the SNR scheme with positive stage weights",
        )
    return weighted


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
