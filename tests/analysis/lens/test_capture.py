"""What is seen is what the model computed: F~+ is what it passed on, F what it was given, the embedding the usual one."""

from typing import Any, get_args

import numpy as np
import pytest
import torch
from torch import nn

from reference.snr_five_steps import snr_five_steps
from snreid.analysis.lens.capture import StageLook, dissect
from snreid.images.transforms import InputFormat
from snreid.inference.embedder import Embedder
from snreid.models import Backbone, ModelConfig, Plain, Scheme, StageInstance, StageSNR
from snreid.models.snr import SNR, Gate

RESNET = Backbone(name="resnet10t", channels=(8, 8, 16, 16))
BACKBONES = {
    "nchw": RESNET,
    "nhwc": Backbone(name="swin_s3_tiny_224", image_size=(64, 32)),
    "tokens": Backbone(name="vit_tiny_patch16_224", image_size=(64, 32)),
}


def embedder(scheme: Scheme, backbone: Backbone = RESNET, **options: Any) -> Embedder:
    """A model away from its start, where beta = 0 and gamma = 1 would hide mistakes, left in training mode."""
    model = ModelConfig(backbone=backbone, scheme=scheme).build(4)
    with torch.no_grad():
        for parameter in model.after.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return Embedder(model, InputFormat(height=64, width=32), **options)


def images(count: int = 3) -> torch.Tensor:
    return torch.randint(0, 256, (count, 3, 64, 32), dtype=torch.uint8)


def passed_on(model: Embedder, batch: torch.Tensor) -> dict[int, torch.Tensor]:
    """What the next stage was given, by a hook that knows nothing of the lens."""
    seen: dict[int, torch.Tensor] = {}
    hooks = [
        module.register_forward_hook(lambda _m, _i, out, number=int(number): seen.__setitem__(number, out))
        for number, module in model.model.after.items()
    ]
    model(batch)
    for hook in hooks:
        hook.remove()
    return seen


@pytest.mark.parametrize("gate", get_args(Gate))
def test_restored_is_what_the_model_passed_on_and_one_mask_loses_nothing(gate: Gate) -> None:
    model, batch = embedder(StageSNR(gate=gate, reduction=4)), images()
    truth, (looks, embedding) = passed_on(model, batch), dissect(model, batch)
    assert [look.stage for look in looks] == [1, 2, 3, 4]
    for look in looks:
        assert look.parts is not None and look.normalized is not None
        parts = look.parts
        torch.testing.assert_close(parts.restored, truth[look.stage], atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(look.passed, truth[look.stage], atol=0, rtol=0)
        torch.testing.assert_close(parts.normalized + parts.residual, look.maps, atol=1e-5, rtol=1e-5)
        if gate in ("channel", "spatial", "channel_spatial"):
            both = parts.restored + parts.contaminated
            torch.testing.assert_close(both, look.maps + look.normalized, atol=1e-5, rtol=1e-5)
        assert (parts.gate is None) == (gate == "conv")
    np.testing.assert_allclose(embedding.numpy(), model(batch), atol=1e-6)


def test_the_maps_are_the_five_steps_of_the_paper() -> None:
    model, batch = embedder(StageSNR()), images()
    for look in dissect(model, batch)[0]:
        module = model.model.after[str(look.stage)]
        assert isinstance(module, SNR) and look.parts is not None
        with torch.no_grad():
            slow = snr_five_steps(look.maps, module.gamma, module.beta, *module.gate.parts(), eps=module.eps)
        for ours, true in (
            (look.parts.normalized, slow.normalized),
            (look.parts.residual, slow.residual),
            (look.parts.restored, slow.restored),
            (look.parts.contaminated, slow.contaminated),
        ):
            torch.testing.assert_close(ours, true, atol=1e-5, rtol=1e-5)
        assert look.parts.gate is not None
        torch.testing.assert_close(look.parts.gate[..., 0, 0], slow.gate, atol=1e-6, rtol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("layout", list(BACKBONES))
def test_every_layout_gives_maps_with_rows_and_columns(layout: str) -> None:
    model, batch = embedder(StageSNR(), BACKBONES[layout]), images(2)
    truth, (looks, _) = passed_on(model, batch), dissect(model, batch)
    for stage, look in zip(model.model.stages, looks, strict=True):
        assert look.parts is not None and look.maps.shape[:2] == (2, stage.channels)
        height, width = look.maps.shape[2:]
        assert (height, width) == (64 // stage.stride, 32 // stage.stride)
        there = truth[look.stage]
        if layout == "tokens":
            there = there[:, stage.prefix_tokens :].transpose(1, 2).unflatten(2, (height, width))
        elif layout == "nhwc":
            there = there.permute(0, 3, 1, 2)
        torch.testing.assert_close(look.parts.restored, there.contiguous(), atol=1e-4, rtol=1e-4)


def test_stages_without_a_module_and_other_schemes_show_what_there_is() -> None:
    def seen(scheme: Scheme) -> tuple[StageLook, ...]:
        return dissect(embedder(scheme), images())[0]

    for look in seen(Plain()):
        assert look.normalized is None and look.parts is None and look.passed is not None
        assert torch.equal(look.passed, look.maps) and not look.other
    first, second, third, _ = seen(StageInstance(stages=(1, 2)))
    for look in (first, second):
        assert look.normalized is not None and look.parts is None and torch.equal(look.passed, look.normalized)
        module_mean = look.normalized.mean((2, 3))
        torch.testing.assert_close(module_mean, module_mean[:1].expand_as(module_mean), atol=1e-4, rtol=1e-4)
    assert third.normalized is None
    assert [look.parts is not None for look in seen(StageSNR(stages=(2,)))] == [False, True, False, False]


def test_an_unknown_module_is_named_and_seen_from_outside() -> None:
    class Double(nn.Module):
        def forward(self, maps: torch.Tensor) -> torch.Tensor:
            return 2 * maps

    model = embedder(StageSNR(stages=(1,)))
    model.model.after["1"] = Double()
    first = dissect(model, images())[0][0]
    assert first.other == "Double" and first.parts is None and torch.equal(first.passed, 2 * first.maps)


def test_looking_leaves_the_model_as_it_was() -> None:
    model, batch = embedder(StageSNR()), images()
    model.model.train()
    before = {name: value.clone() for name, value in model.model.state_dict().items()}
    one, two = dissect(model, batch), dissect(model, batch)
    assert torch.equal(one[1], two[1]) and model.model.training
    assert all(torch.equal(value, before[name]) for name, value in model.model.state_dict().items())
    assert not any(module._forward_hooks for module in model.model.after.values())
    with pytest.raises(RuntimeError):
        dissect(model, batch[:, :2])
    assert not any(module._forward_hooks for module in model.model.after.values())


def test_half_precision_is_seen_in_float32() -> None:
    model = embedder(StageSNR(), bf16=True)
    for look in dissect(model, images())[0]:
        assert look.parts is not None and look.maps.dtype == torch.float32
        assert (look.parts.restored - look.passed).abs().max() < 0.02 * look.passed.abs().max()
