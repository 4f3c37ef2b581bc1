"""Norms behind stages that start from images: moments against a plain loop, stage by stage."""

import numpy as np
import pytest
import torch

from snreid.errors import ExperimentError
from snreid.models.backbone import Backbone
from snreid.models.matching import match_statistics
from snreid.models.reid import ModelConfig, ReIDModel
from snreid.models.schemes import Scheme, StageInstance, StageSNR, check_start
from snreid.models.snr import SNR


def built(scheme: Scheme, name: str = "resnet10t") -> ReIDModel:
    torch.manual_seed(0)
    return ModelConfig(backbone=Backbone(name=name), scheme=scheme).build(4)


def maps_before(model: ReIDModel, number: int, images: torch.Tensor) -> torch.Tensor:
    """What goes into the module behind a stage, as the model is now."""
    seen: list[torch.Tensor] = []
    handle = model.after[str(number)].register_forward_pre_hook(lambda _m, inputs: seen.append(inputs[0].clone()))
    with torch.no_grad():
        model.eval().embed(images)
    handle.remove()
    return seen[0]


@pytest.mark.parametrize("scheme", [StageSNR(start="matched"), StageInstance(stages=(1, 3), start="matched")])
def test_scale_and_shift_are_the_mean_moments_of_the_maps(scheme: StageSNR | StageInstance) -> None:
    """The twin: image by image in numpy. Where the model is matched already, its maps are those it was matched to."""
    model = built(scheme)
    batches = [torch.randn(3, 3, 64, 32), 2 * torch.randn(2, 3, 64, 32) + 1]
    state = torch.get_rng_state()
    match_statistics(model, batches)
    assert torch.equal(torch.get_rng_state(), state) and model.training
    for number in scheme.stages:
        module = model.after[str(number)]
        gamma, beta = (module.gamma, module.beta) if isinstance(module, SNR) else (module.norm.weight, module.norm.bias)  # type: ignore[union-attr]
        deviations, means = [], []
        for batch in batches:
            for image in maps_before(model, number, batch).double().numpy():
                deviations.append([np.sqrt(channel.var() + 1e-5) for channel in image])
                means.append([channel.mean() for channel in image])
        np.testing.assert_allclose(gamma.detach().numpy(), np.mean(deviations, 0), rtol=1e-4, atol=1e-6)  # type: ignore[union-attr]
        np.testing.assert_allclose(beta.detach().numpy(), np.mean(means, 0), rtol=1e-4, atol=1e-6)  # type: ignore[union-attr]


def test_maps_and_tokens_in_every_layout_are_matched() -> None:
    for name, size in (("convnext_atto", (64, 32)), ("test_vit", (160, 160))):
        model = built(StageSNR(stages=(1, 2), start="matched"), name)
        match_statistics(model, [torch.randn(2, 3, *size)])
        first = model.after["1"]
        assert isinstance(first, SNR)
        assert not torch.equal(first.gamma, torch.ones_like(first.gamma)) and first.beta.any()


def test_a_model_without_such_norms_stays_as_it_is() -> None:
    model = ModelConfig(backbone=Backbone(name="resnet10t")).build(4).eval()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    match_statistics(model, [torch.randn(2, 3, 64, 32)])
    assert not model.training
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


@pytest.mark.parametrize("kind", [StageSNR, StageInstance])
def test_an_unknown_start_is_refused(kind: type[StageSNR | StageInstance]) -> None:
    assert not kind().matched and kind(start="matched").matched
    with pytest.raises(ExperimentError, match="published, matched"):
        check_start("best")
