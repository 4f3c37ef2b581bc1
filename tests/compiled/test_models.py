"""Graph capture of SNR and of whole models: one graph, exported, the same numbers. No C++ compiler is needed."""

from typing import Any, get_args

import pytest
import torch
from torch import Tensor, nn

from snreid.inference.folding import folded
from snreid.models import (
    SNR,
    AllBatchInstance,
    Backbone,
    EFDMix,
    Head,
    IBNb,
    MixStyle,
    ModelConfig,
    ReIDModel,
    Scheme,
    StageSNR,
)
from snreid.models.snr import Gate, Pool

SMALL = Backbone(name="resnet10t", channels=(24, 48, 96, 192))


def _model(**head: Any) -> ReIDModel:
    return ModelConfig(backbone=SMALL, scheme=StageSNR(), head=Head(**head)).build(5)


def _images(count: int = 3) -> Tensor:
    return torch.randn(count, 3, 64, 32)


class _Vectors(nn.Module):
    """``split`` as a module's forward."""

    def __init__(self, snr: SNR) -> None:
        super().__init__()
        self.snr = snr

    def forward(self, maps: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """maps -> F~+, f~, f~+, f~-."""
        split = self.snr.split(maps)
        return split.maps, split.normalized, split.restored, split.contaminated


@pytest.mark.parametrize(
    ("gate", "pool"), [(g, "mean") for g in get_args(Gate)] + [("channel", p) for p in get_args(Pool)]
)
def test_every_snr_is_one_graph_with_the_gradients_of_eager(gate: Gate, pool: Pool) -> None:
    module = _Vectors(SNR(8, gate=gate, pool=pool))
    maps = torch.randn(3, 8, 5, 4, requires_grad=True)
    results = []
    for run in (module, torch.compile(module, backend="aot_eager", fullgraph=True)):
        outputs = run(maps)
        total = torch.stack([o.square().sum() for o in outputs]).sum()
        results.append((*outputs, *torch.autograd.grad(total, [maps, *module.parameters()], allow_unused=True)))
    for eager, compiled in zip(*results, strict=True):
        assert (eager is None) == (compiled is None)
        assert eager is None or torch.allclose(eager, compiled, atol=1e-4, rtol=1e-4)


@pytest.mark.slow
def test_a_whole_model_in_training_is_one_graph() -> None:
    model = _model(stage_classifiers=True)
    images = _images()
    # BN statistics move in training: both ways start from the same ones.
    state = {key: value.clone() for key, value in model.state_dict().items()}
    results = []
    for run in (model, torch.compile(model, backend="aot_eager", fullgraph=True)):
        model.load_state_dict(state)
        out = run(images)
        loss = out.logits.logsumexp(1).sum() + torch.stack([v.restored.square().sum() for v in out.stages]).sum()
        loss = loss + out.embedding.pow(4).sum()
        results.append((out, torch.autograd.grad(loss, model.after.parameters())))
    (eager, slopes), (compiled, compiled_slopes) = results
    assert torch.allclose(eager.embedding, compiled.embedding, atol=1e-4)
    assert [v.stage for v in compiled.stages] == [1, 2, 3, 4]
    for one, other in zip(slopes, compiled_slopes, strict=True):
        assert torch.allclose(one, other, atol=1e-3 * float(one.abs().max() + 1))
    assert model._splits is None


@pytest.mark.slow
def test_embed_is_one_graph() -> None:
    model = _model().eval()
    images = _images()
    embed = torch.compile(model.embed, backend="aot_eager", fullgraph=True)
    assert torch.allclose(embed(images), model.embed(images), atol=1e-5)


class _Embed(nn.Module):
    """``embed`` as a module's forward, the form in which models are exported."""

    def __init__(self, model: ReIDModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        """images -> embedding."""
        return self.model.embed(images)


def test_a_model_exports_with_any_batch_size() -> None:
    model = _model().eval()
    batch = torch.export.Dim("batch", min=1, max=64)
    program = torch.export.export(_Embed(model), (_images(2),), dynamic_shapes={"images": {0: batch}})
    for count in (1, 5):
        images = _images(count)
        assert torch.allclose(program.module()(images), model.embed(images), atol=1e-5)


def test_forward_exports_with_its_record() -> None:
    model, images = _model().eval(), _images(2)
    out = torch.export.export(model, (images,)).module()(images)
    assert torch.allclose(out.stages[3].restored, model(images).stages[3].restored, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("scheme", [IBNb(), AllBatchInstance(), MixStyle(), EFDMix()], ids=lambda s: s.label)
def test_the_other_methods_embed_as_one_graph_and_export(scheme: Scheme) -> None:
    model = ModelConfig(backbone=SMALL, scheme=scheme).build(5).eval()
    images = _images(2)
    embed = torch.compile(model.embed, backend="aot_eager", fullgraph=True)
    assert torch.allclose(embed(images), model.embed(images), atol=1e-5)
    program = torch.export.export(_Embed(model), (images,))
    assert torch.allclose(program.module()(images), model.embed(images), atol=1e-5)


@pytest.mark.parametrize("name", ["osnet_x0_25", "osnet_ibn_x0_25", "osnet_ain_x0_25"])
@pytest.mark.parametrize("fc", [False, True])
def test_an_osnet_is_one_graph_and_is_folded(name: str, fc: bool) -> None:
    """Here, as folding reads the network with placeholders, which the checks of the other tests refuse."""
    model = ModelConfig(backbone=Backbone(name=name, fc=fc), scheme=StageSNR()).build(5)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_var, 0.5, 2)  # type: ignore[arg-type]
    model.eval()
    images = _images(2)
    with torch.no_grad():
        expected = model.embed(images)
        program = torch.export.export(_Embed(model), (images,))
        assert torch.allclose(program.module()(images), expected, atol=1e-5)
        found = folded(model, (64, 32))
        assert found.features is not None, "the network was left as it was"
        assert not [module for module in found.features.modules() if isinstance(module, nn.BatchNorm2d)]
        assert torch.allclose(found(images), expected, atol=1e-4)


@pytest.mark.filterwarnings("ignore:The .grad attribute")  # torch's own, where a graph breaks
@pytest.mark.slow
@pytest.mark.parametrize(
    "scheme", [AllBatchInstance(), MixStyle(probability=1.0), EFDMix(probability=1.0)], ids=lambda s: s.label
)
def test_the_other_methods_train_compiled_as_they_do_eager(scheme: Scheme) -> None:
    """Not as one graph where a random number decides whether to mix."""
    model = ModelConfig(backbone=SMALL, scheme=scheme).build(5)
    images = _images()
    state = {key: value.clone() for key, value in model.state_dict().items()}
    results = []
    for run in (model, torch.compile(model, backend="aot_eager", fullgraph=isinstance(scheme, AllBatchInstance))):
        model.load_state_dict(state)
        torch.manual_seed(3)
        results.append(torch.autograd.grad(run(images).logits.logsumexp(1).sum(), model.head.classifier.weight)[0])
    assert torch.allclose(*results, atol=1e-4 * float(results[0].abs().max()))
