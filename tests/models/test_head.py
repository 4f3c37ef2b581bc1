"""The ReID head: pooling, neck, classifier."""

import math

import pytest
import torch

from snreid.errors import ExperimentError
from snreid.models.head import Head, linear_classifier


def test_the_neck_is_a_batch_norm_whose_bias_stays_at_0() -> None:
    head = Head().build(6, 4)
    maps = torch.randn(5, 6, 3, 2)
    pooled = head.pool(maps)
    assert torch.allclose(pooled, maps.flatten(2).mean(2))
    embedding = head.embed(pooled)
    expected = (pooled - pooled.mean(0)) / (pooled.var(0, correction=0) + head.neck.eps).sqrt()
    assert torch.allclose(embedding, expected, atol=1e-5)
    assert not head.neck.bias.requires_grad and not head.neck.bias.any()
    assert torch.allclose(head(embedding), embedding @ head.classifier.weight.T, atol=1e-6)


def test_the_classifier_starts_with_deviation_a_thousandth_and_has_no_bias() -> None:
    layer = linear_classifier(512, 400)
    assert layer.bias is None
    assert math.isclose(float(layer.weight.detach().std()), 0.001, rel_tol=0.02)
    with pytest.raises(ExperimentError, match="at least one training identity"):
        linear_classifier(8, 0)


def cosine(x: list[float], y: list[float]) -> float:
    lengths = math.sqrt(sum(a * a for a in x)) * math.sqrt(sum(b * b for b in y))
    return sum(a * b for a, b in zip(x, y, strict=True)) / lengths


def test_a_cosine_classifier_scores_by_the_angle_alone() -> None:
    head = Head(classifier="cosine").build(64, 4)
    embedding = 50 * torch.randn(5, 64)
    scores = head(embedding)
    expected = [[cosine(x, w) for w in head.classifier.weight.tolist()] for x in embedding.tolist()]
    assert torch.allclose(scores, torch.tensor(expected), atol=1e-6)
    assert torch.allclose(head(3 * embedding), scores, atol=1e-6)
    assert float(head(head.classifier.weight).diagonal().min().detach()) == pytest.approx(1, abs=1e-6)
    assert math.isclose(
        float(Head(classifier="cosine").build(512, 400).classifier.weight.detach().std()), 0.01, rel_tol=0.02
    )


def test_cosines_of_zero_vectors_are_0_with_bounded_gradients() -> None:
    head = Head(classifier="cosine").build(6, 4)
    with torch.no_grad():
        head.classifier.weight[0] = 0
    embedding = torch.randn(5, 6)
    embedding[1] = 0
    scores = head(embedding.requires_grad_())
    assert not scores[1].any() and not scores[:, 0].any()
    scores.sum().backward()
    for leaf in (embedding, head.classifier.weight):
        assert leaf.grad is not None
        assert float(leaf.grad.norm(dim=1).max()) <= 500  # 1 / NORM_FLOOR for each of at most 5 partners


def test_cosines_stay_in_float32_under_autocast_and_in_a_model_cast_as_a_whole() -> None:
    head, embedding = Head(classifier="cosine").build(6, 4), torch.randn(5, 6)
    scores = head(embedding)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(head(embedding), scores)
    assert head.bfloat16()(embedding.bfloat16()).dtype == torch.float32


def test_an_unknown_classifier_is_refused() -> None:
    head = Head()
    object.__setattr__(head, "classifier", "arc")  # past the run-time type check that only the tests have
    with pytest.raises(ExperimentError, match=r"'linear' or 'cosine'.*'arc'"):
        head.__post_init__()


def test_tokens_are_pooled_to_patches_or_class_token() -> None:
    tokens = torch.randn(2, 5, 3)
    mean = Head().build(3, 2, layout="tokens", prefix_tokens=1)
    assert torch.allclose(mean.pool(tokens), tokens[:, 1:].mean(1))
    first = Head(token_pool="class").build(3, 2, layout="tokens", prefix_tokens=1)
    assert torch.equal(first.pool(tokens), tokens[:, 0])
    with pytest.raises(ExperimentError, match="class token"):
        Head(token_pool="class").build(3, 2)


def test_channels_last_maps_are_pooled_over_space() -> None:
    maps = torch.randn(2, 4, 5, 3)
    assert torch.allclose(Head().build(3, 2, layout="nhwc").pool(maps), maps.mean((1, 2)))


def test_half_precision_maps_are_pooled_in_float32() -> None:
    maps = torch.randn(2, 3, 16, 8).bfloat16()
    pooled = Head().build(3, 2).pool(maps)
    assert pooled.dtype == torch.float32
    assert torch.allclose(pooled, maps.float().mean((2, 3)))
