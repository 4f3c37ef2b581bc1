"""The whole model: every backbone of the issue, the numbers of ResNet-50, hooks, copies, records."""

import copy
import dataclasses
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from torch import Tensor, nn

from snreid.errors import ExperimentError
from snreid.inference.folding import folded
from snreid.models import (
    IBN,
    SNR,
    AllBatchInstance,
    AllInstance,
    AllSwitchable,
    Backbone,
    EFDMix,
    Head,
    IBNb,
    MixStyle,
    ModelConfig,
    Plain,
    ReIDModel,
    Scheme,
    SNRSplit,
    StageInstance,
    StageSNR,
)
from snreid.models.snr import Gate
from snreid.outputs import Outputs

BACKBONES: dict[str, dict[str, Any]] = {
    "resnet18": {},
    "resnet50": {},
    "mobilenetv3_small_100": {},
    "convnext_atto": {},
    "vit_tiny_patch16_224": {"image_size": (64, 32)},
    "swin_s3_tiny_224": {"image_size": (64, 32)},
}
SMALL = Backbone(name="resnet10t", channels=(24, 48, 96, 192))


def _small(scheme: Scheme | None = None, persons: int = 5, **head: Any) -> ReIDModel:
    return ModelConfig(backbone=SMALL, scheme=scheme or StageSNR(), head=Head(**head)).build(persons)


def _images(count: int = 4) -> Tensor:
    return torch.randn(count, 3, 64, 32)


def _total(out: Outputs) -> Tensor:
    """Something every output contributes to."""
    parts = [out.pooled.square().sum(), out.embedding.square().sum(), out.logits.square().sum()]
    for vectors in out.stages:
        parts += [vectors.restored.square().sum(), vectors.contaminated.pow(3).sum(), vectors.normalized.exp().sum()]
    return torch.stack(parts).sum()


LARGE = ("resnet50", "swin_s3_tiny_224")
PLAIN_AND_SNR = [(name, s) for name in BACKBONES for s in (Plain(), StageSNR()) if name not in LARGE or s == StageSNR()]


@pytest.mark.parametrize(("name", "scheme"), PLAIN_AND_SNR, ids=lambda value: getattr(value, "label", value))
def test_every_backbone_builds_runs_and_learns(name: str, scheme: Scheme) -> None:
    model = ModelConfig(backbone=Backbone(name=name, **BACKBONES[name]), scheme=scheme).build(5)
    out = model(_images())
    assert out.embedding.shape == out.pooled.shape == (4, model.dim) and out.logits.shape == (4, 5)
    assert [v.stage for v in out.stages] == ([1, 2, 3, 4] if isinstance(scheme, StageSNR) else [])
    for vectors, stage in zip(out.stages, model.stages, strict=False):
        assert vectors.normalized.shape == vectors.restored.shape == vectors.contaminated.shape == (4, stage.channels)
        assert vectors.constant and vectors.logits is None
    _total(out).backward()
    dead = [key for key, p in model.named_parameters() if p.requires_grad and p.grad is None]
    assert not dead, "DistributedDataParallel stops at parameters without gradient"
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)


OTHERS = (
    AllInstance(),
    IBN(),
    IBNb(),
    AllSwitchable(),
    AllBatchInstance(),
    StageInstance(),
    MixStyle(probability=1.0),
    EFDMix(probability=1.0),
)


@pytest.mark.parametrize("scheme", OTHERS, ids=lambda s: s.label)
def test_every_other_scheme_runs_and_learns(scheme: Scheme) -> None:
    model = _small(scheme)
    out = model(_images())
    assert out.stages == ()
    _total(out).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters() if p.requires_grad)


def test_resnet50_has_the_published_numbers() -> None:
    """708,080 parameters more with SNR, 2048 dimensions, stage outputs of method.md section 1 at 256 x 128."""
    counts, shapes = [], {}
    for scheme in (Plain(), StageSNR()):
        model = ModelConfig(scheme=scheme).build(751).eval()
        counts.append(sum(p.numel() for p in model.parameters()))
    for number, module in model.after.items():
        module.register_forward_hook(lambda _m, _i, out, key=number: shapes.__setitem__(key, tuple(out.shape)))
    with torch.no_grad():
        embedding = model.embed(torch.randn(1, 3, 256, 128))
    assert counts[1] - counts[0] == 708_080
    assert embedding.shape == (1, 2048) and model.dim == 2048
    assert shapes == {"1": (1, 256, 64, 32), "2": (1, 512, 32, 16), "3": (1, 1024, 16, 8), "4": (1, 2048, 16, 8)}


@pytest.mark.parametrize("name", ["resnet18", "mobilenetv3_small_100", "convnext_atto"])
def test_the_backbone_takes_a_timm_checkpoint_as_it_is(name: str) -> None:
    model = ModelConfig(backbone=Backbone(name=name), scheme=StageSNR()).build(3)
    donor = timm.create_model(name, num_classes=0)
    assert list(model.backbone.state_dict()) == list(donor.state_dict())
    model.backbone.load_state_dict(donor.state_dict())
    added = [k for k in model.state_dict() if not k.startswith("backbone.")]
    assert {k.split(".")[0] for k in added} == {"after", "head"}


class Neutral(nn.Module):
    """Gives back what it got."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def forward(self, maps: Tensor) -> Tensor:
        self.calls += 1
        return maps


@pytest.mark.parametrize("name", [name for name in BACKBONES if name != "resnet50"])
def test_a_neutral_module_leaves_the_output_unchanged(name: str) -> None:
    config = ModelConfig(backbone=Backbone(name=name, **BACKBONES[name]))
    trunk = config.backbone.build()
    trunk.network.eval()
    images = _images(2)
    with torch.no_grad():
        head = config.head.build(trunk.channels, 3, layout=trunk.layout, prefix_tokens=trunk.prefix_tokens).eval()
        before = head.embed(head.pool(trunk.network.forward_features(images)))  # type: ignore[operator]
        modules = {stage.number: Neutral() for stage in trunk.stages}
        model = ReIDModel(trunk, dict(modules), head).eval()
        assert torch.equal(model.embed(images), before)
        assert torch.equal(model(images).embedding, before)
    assert [module.calls for module in modules.values()] == [2, 2, 2, 2]


def test_snr_after_the_last_stage_is_what_the_head_pools() -> None:
    """f~+ of stage 4 is the pooled feature: the head sees the last F~+."""
    out = _small()(_images())
    assert torch.allclose(out.pooled, out.stages[-1].restored, atol=1e-5)


ENDS_IN_STAGE = {
    "resnet10t": True,
    "convnext_atto": True,
    "mobilenetv3_small_100": True,
    "efficientnet_b0": False,
    "vit_tiny_patch16_224": False,
}


@pytest.mark.parametrize("gate", ["channel", "two_gates", "conv"])
@pytest.mark.parametrize("name", ENDS_IN_STAGE)
def test_the_short_way_through_the_last_snr_is_the_long_one(name: str, gate: Gate) -> None:
    """A listener on the module makes the model compute F~+; without one its mean comes from the mean of F."""
    config = ModelConfig(backbone=Backbone(name=name, **BACKBONES.get(name, {})), scheme=StageSNR(gate=gate))
    short = config.build(5).double()
    assert (short.final == 4) is ENDS_IN_STAGE[name]
    with torch.no_grad():
        for parameter in short.after["4"].parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    long, images, ways = copy.deepcopy(short), _images().double(), []
    heard: list[Tensor] = []
    long.after["4"].register_forward_hook(lambda _m, _i, out: heard.append(out))
    for model in (short, long):
        torch.manual_seed(2)  # drop path
        out = model.train()(images)
        _total(out).backward()
        slopes = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
        model.eval()
        vectors = [getattr(v, key) for v in out.stages for key in ("normalized", "restored", "contaminated")]
        ways.append([out.pooled, out.logits, *vectors, model.embed(images), *slopes])
    assert len(heard) == 2, "once in forward(), once in embed()"
    for mine, true in zip(*ways, strict=True):
        assert torch.allclose(mine, true, rtol=1e-7, atol=1e-9)


def test_a_module_that_is_more_than_an_snr_is_called_after_the_last_stage() -> None:
    class Louder(SNR):
        def forward(self, maps: Tensor) -> Tensor:
            return 2 * super().forward(maps)

    model, images = _small().eval(), _images()
    expected = model.head.embed(2 * model(images).pooled)
    model.after["4"].__class__ = Louder
    for found in (model.embed(images), model(images).embedding):
        assert torch.allclose(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("number", ["2", "4"])
def test_hooks_on_an_snr_module_hear_every_call_and_may_change_what_it_gives(number: str) -> None:
    model, images = _small().eval(), _images()
    plain, heard = model(images), []
    module = model.after[number]
    listening = module.register_forward_hook(lambda _m, inputs, out: heard.append((inputs[0], out)))
    for found in (model(images).embedding, model.embed(images)):
        assert torch.allclose(found, plain.embedding, rtol=1e-4, atol=1e-5)
    assert len(heard) == 2
    for maps, restored in heard:
        assert torch.equal(restored, module.split(maps).maps)
    listening.remove()
    module.register_forward_hook(lambda _m, _i, out: 2 * out)
    changed = model(images)
    assert torch.allclose(changed.embedding, model.embed(images), rtol=1e-4, atol=1e-5)
    assert not torch.allclose(changed.embedding, plain.embedding, rtol=1e-2)
    # The vectors of the loss are the module's own.
    assert torch.allclose(changed.stages[0].restored, plain.stages[0].restored, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("after_a_step", [False, True])
@pytest.mark.parametrize("way", ["deepcopy", "pickle"])
def test_a_copy_runs_its_own_snr(way: str, after_a_step: bool) -> None:
    """A hook that closed over the module would make a mean teacher share the student's SNR."""
    model = _small()
    if after_a_step:
        _total(model(_images())).backward()
    model.eval()
    twin = copy.deepcopy(model) if way == "deepcopy" else pickle.loads(pickle.dumps(model))
    images = _images()
    before = twin.embed(images)
    assert torch.equal(before, model.embed(images))
    with torch.no_grad():
        for module in model.after.values():
            assert isinstance(module, SNR)
            module.gamma.zero_()
    assert torch.equal(twin.embed(images), before)
    assert not torch.equal(model.embed(images), before)
    twin.train()(images)
    model.train()(images)
    assert {id(p) for p in twin.parameters()}.isdisjoint({id(p) for p in model.parameters()})


@pytest.mark.parametrize("gone", [(4,), (2, 4), (1, 2, 3, 4)])
def test_a_model_runs_without_the_modules_that_were_taken_out(gone: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    model, images = _small(StageSNR(), stage_classifiers=True).eval(), _images()
    left = tuple(number for number in (1, 2, 3, 4) if number not in gone)
    without = _small(StageSNR(stages=left) if left else Plain(), stage_classifiers=bool(left)).eval()
    before = model.embed(images)
    for number in gone:
        del model.after[str(number)]
    missed = without.load_state_dict(model.state_dict(), strict=False)
    assert not missed.missing_keys and all(key.startswith("stage_classifiers.") for key in missed.unexpected_keys)
    expected, size = without(images), (64, 32)
    for one in (model, copy.deepcopy(model)):
        out = one(images)
        assert torch.equal(out.embedding, expected.embedding) and torch.equal(one.embed(images), without.embed(images))
        assert [vectors.stage for vectors in out.stages] == list(left)
    assert (before - expected.embedding).abs().max() > 1e-3
    assert torch.allclose(folded(model, size)(images), expected.embedding, atol=1e-4)
    _total(model.train()(images)).backward()


def test_nothing_is_kept_on_the_model_after_forward_even_when_it_fails() -> None:
    model = _small()
    model(_images())
    assert model._splits is None
    with pytest.raises(RuntimeError):
        model(torch.randn(2, 3, 64, 32, dtype=torch.float64))
    assert model._splits is None
    copy.deepcopy(model)


def test_training_and_evaluation_give_the_same_record() -> None:
    model = _small()
    for out in (model.train()(_images()), model.eval()(_images())):
        assert isinstance(out, Outputs) and len(out.stages) == 4


def test_embed_is_the_embedding_of_forward_without_the_vectors(monkeypatch: pytest.MonkeyPatch) -> None:
    model, images = _small().eval(), _images()
    expected = model(images).embedding

    def never(self: SNR, maps: Tensor) -> SNRSplit:
        raise AssertionError("embed() needs no vectors")

    monkeypatch.setattr(SNR, "split", never)
    assert torch.allclose(model.embed(images), expected, atol=1e-5)


def test_stage_classifiers_score_the_three_vectors_of_each_stage() -> None:
    model = _small(StageSNR(stages=(2, 3)), persons=6, stage_classifiers=True)
    out = model(_images())
    assert list(model.stage_classifiers) == ["2", "3"]
    for vectors in out.stages:
        assert vectors.logits is not None
        weight = model.stage_classifiers[str(vectors.stage)].weight
        for name in ("normalized", "restored", "contaminated"):
            expected = getattr(vectors, name) @ weight.T  # type: ignore[operator]
            assert torch.allclose(getattr(vectors.logits, name), expected, atol=1e-6)


@pytest.mark.parametrize("scheme", [Plain(), StageSNR()], ids=lambda scheme: scheme.label)
def test_the_seed_decides_everything(scheme: Scheme) -> None:
    states = []
    for _ in range(2):
        torch.manual_seed(11)
        states.append(_small(scheme).state_dict())
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])


def test_autocast_keeps_vectors_and_embedding_in_float32() -> None:
    model = _small()
    with torch.autocast("cpu", torch.bfloat16):
        out = model(_images())
    kinds = {out.pooled.dtype, out.embedding.dtype, *(v.restored.dtype for v in out.stages)}
    assert kinds == {torch.float32}


@pytest.mark.parametrize("gate", ["channel", "two_gates", "conv", "spatial"])
@pytest.mark.parametrize(("kind", "limit"), [(torch.bfloat16, 0.03), (torch.float16, 0.004)], ids=str)
def test_a_model_cast_as_a_whole_embeds_as_in_float32(kind: torch.dtype, limit: float, gate: Gate) -> None:
    torch.manual_seed(0)
    model = _small(StageSNR(gate=gate, stages=(2, 4)), stage_classifiers=True).eval().requires_grad_(False)
    images = _images()
    expected = model(images)
    cast = copy.deepcopy(model).to(kind)
    out = cast(images.to(kind))
    assert cast.embed(images.to(kind)).dtype == out.embedding.dtype == out.logits.dtype == kind
    assert out.stages[0].logits is not None and expected.stages[0].logits is not None
    for found, true in (
        (cast.embed(images.to(kind)), expected.embedding),
        (out.embedding, expected.embedding),
        (out.logits, expected.logits),
        (out.stages[0].logits.restored, expected.stages[0].logits.restored),
    ):
        assert (found.float() - true).norm() < limit * true.norm()


@pytest.mark.parametrize("scheme", OTHERS, ids=lambda s: s.label)
def test_every_other_scheme_cast_as_a_whole_embeds_as_in_float32(scheme: Scheme) -> None:
    torch.manual_seed(0)
    # After the last stage it makes every image the same.
    scheme = StageInstance(stages=(1, 2)) if isinstance(scheme, StageInstance) else scheme
    model, images = _small(scheme).eval().requires_grad_(False), _images()
    expected = model.embed(images)
    # A hook sends a layer another way than usual, which a model on a GPU takes too.
    for hooked in (False, True):
        if hooked:
            for module in model.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.register_forward_hook(lambda *_: None)
        found = copy.deepcopy(model).bfloat16().embed(images.bfloat16())
        assert (found.float() - expected).norm() < 0.03 * expected.norm()


@pytest.fixture
def process_group(tmp_path: Path) -> Iterator[None]:
    """A group of this process alone."""
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    yield
    torch.distributed.destroy_process_group()


@pytest.mark.filterwarnings("ignore:Grad strides do not match")  # depthwise weights: torch's word on speed
@pytest.mark.parametrize("name", ["resnet10t", "mobilenetv3_small_100", "convnext_atto"])
def test_distributed_data_parallel_gives_the_same_gradients(name: str, process_group: None) -> None:
    """Hooks, records and frozen heads: DDP stops at the second step when a parameter had no gradient in the first."""
    model = ModelConfig(backbone=Backbone(name=name), scheme=StageSNR(), head=Head(stage_classifiers=True)).build(4)
    twin, images = copy.deepcopy(model), _images()
    parallel = nn.parallel.DistributedDataParallel(model)
    for _ in range(2):
        for one in (parallel, twin):
            out = one(images)
            scores = [v.logits.restored.square().sum() for v in out.stages if v.logits is not None]
            (_total(out) + torch.stack(scores).sum()).backward()
    for mine, true in zip(model.parameters(), twin.parameters(), strict=True):
        assert (mine.grad is None) == (true.grad is None)
        assert mine.grad is None or torch.allclose(mine.grad, true.grad, rtol=1e-4, atol=1e-5)


def test_a_config_is_a_value() -> None:
    config = ModelConfig(backbone=SMALL, scheme=StageSNR(stages=(1, 2)))
    assert config == copy.deepcopy(config) == pickle.loads(pickle.dumps(config)) and hash(config) == hash(config)
    assert dataclasses.replace(config, scheme=Plain()) != config
    assert ModelConfig().backbone == Backbone(name="resnet50", weights="random", last_stride=None)
    with pytest.raises(ExperimentError, match="at least one training identity"):
        config.build(0)
