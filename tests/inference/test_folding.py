"""Folded and fused networks embed as the model does, step by step as it is written; what must not be touched is not."""

import pytest
import torch
from torch import Tensor, nn

from snreid.inference.folding import FusedConv, folded, fused
from snreid.models import IBN, AllBatchInstance, Backbone, ModelConfig, Plain, ReIDModel, Scheme, StageSNR

SIZE = (64, 32)
NARROW = (8, 8, 16, 16)


def model(scheme: Scheme, backbone: Backbone) -> ReIDModel:
    """With running statistics and scales of a trained network, in training mode."""
    torch.manual_seed(3)
    made = ModelConfig(backbone=backbone, scheme=scheme).build(5)
    with torch.no_grad():
        for norm in made.modules():
            if isinstance(norm, nn.BatchNorm2d | nn.BatchNorm1d) and norm.running_mean is not None:
                norm.running_mean.normal_(0, 0.1)
                norm.running_var.uniform_(0.5, 1.5)  # type: ignore[union-attr]
                if norm.affine:
                    norm.weight.uniform_(0.5, 1.5)
    return made


def images(count: int = 3, size: tuple[int, int] = SIZE) -> Tensor:
    return torch.randn(count, 3, *size).contiguous(memory_format=torch.channels_last)


def norms(module: nn.Module | None) -> int:
    return 0 if module is None else sum(isinstance(one, nn.BatchNorm2d) for one in module.modules())


@pytest.mark.parametrize(
    ("scheme", "backbone", "left"),
    [
        (StageSNR(), Backbone(name="resnet50", channels=NARROW), 0),
        (StageSNR(gate="conv"), Backbone(name="resnet18", channels=NARROW), 6),  # no short way to the last mean
        (IBN(), Backbone(name="resnet18", channels=NARROW), 6),
        (
            Plain(),
            Backbone(name="mobilenetv3_small_050"),
            0,
        ),  # activations folded into its batch norms, additions, gates
    ],
    ids=["snr", "conv", "ibn", "mobilenet"],
)
def test_the_same_embeddings_with_fewer_layers(scheme: Scheme, backbone: Backbone, left: int) -> None:
    whole = model(scheme, backbone)
    before = {name: value.clone() for name, value in whole.state_dict().items()}
    plain, fast = folded(whole, SIZE), fused(folded(whole, SIZE), SIZE)
    assert whole.training and all(torch.equal(value, before[name]) for name, value in whole.state_dict().items())
    assert plain.features is not None and norms(plain.features) == left < norms(whole.backbone)
    assert fast is not plain and any(isinstance(one, FusedConv) for one in fast.modules())
    whole.eval()
    with torch.inference_mode():
        for count, size in ((3, SIZE), (1, (48, 48))):  # another size than was folded for
            pixels = images(count, size)
            expected = whole.embed(pixels)
            for network in (plain, fast, fast):  # twice: nothing of a call is left for the next
                assert float((network(pixels) - expected).abs().max()) < 2e-5 * (1 + float(expected.abs().max()))


@pytest.mark.parametrize(
    ("scheme", "backbone"),
    [
        (AllBatchInstance(), Backbone(name="resnet18", channels=NARROW)),
        (StageSNR(), Backbone(name="vit_tiny_patch16_224", image_size=SIZE)),
    ],
    ids=["bin", "vit"],
)
def test_where_nothing_can_be_folded_the_model_itself_embeds(scheme: Scheme, backbone: Backbone) -> None:
    whole = model(scheme, backbone)
    found = folded(whole, SIZE)
    assert found.features is None and fused(found, SIZE) is found
    pixels = images()
    with torch.inference_mode():
        assert torch.equal(found(pixels), whole.eval().embed(pixels))


def test_a_listener_keeps_its_layers() -> None:
    whole = model(Plain(), Backbone(name="resnet18", channels=NARROW))
    heard: list[int] = []
    whole.backbone.get_submodule("layer2.0.conv1").register_forward_hook(lambda *_: heard.append(1))
    network = fused(folded(whole, SIZE), SIZE)
    assert norms(network.features) == 1
    heard.clear()
    with torch.inference_mode():
        network(images())
    assert heard == [1]


def test_weights_are_in_the_order_of_the_batch_they_meet() -> None:
    conv = nn.Conv2d(16, 8, 1).eval()
    made = FusedConv(conv)
    with torch.inference_mode():
        for count in (1, 8, 1):
            maps = torch.randn(count, 16, 6, 3).contiguous(memory_format=torch.channels_last)
            torch.testing.assert_close(made(maps), conv(maps))
            assert made._packed_for == maps.shape
