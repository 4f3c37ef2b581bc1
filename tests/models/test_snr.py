"""SNR: the five steps, the identities of method.md 1.1, every gate and pool, layouts, precision, errors."""

import copy
import math
import pickle
from typing import Any, get_args

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.autograd import forward_ad

from reference.snr_five_steps import normalize, snr_five_steps
from snreid.errors import ExperimentError
from snreid.models.snr import SNR, Gate, Layout, Pool, check_options, in_layout

GATES, POOLS, LAYOUTS = get_args(Gate), get_args(Pool), get_args(Layout)
ONE_MASK = ("channel", "spatial", "channel_spatial")


def _module(channels: int = 8, **options: Any) -> SNR:
    """Away from the start, where beta = 0 and gamma = 1 would hide mistakes; float64."""
    module = SNR(channels, reduction=4, **options).double()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return module


def _maps(channels: int = 8, dtype: torch.dtype = torch.float64) -> Tensor:
    return (2 * torch.randn(5, channels, 6, 4, dtype=torch.float64) + 1).to(dtype)


def _naive_pool(maps: Tensor, pool: str, eps: float = 1e-5) -> Tensor:
    if pool == "mean":
        return maps.mean((2, 3))
    if pool == "relu":
        return maps.clamp(min=0).mean((2, 3))
    if pool == "gem":
        return (maps.clamp(min=1e-6) ** 3).mean((2, 3)) ** (1 / 3)
    return (maps.var((2, 3), correction=0) + eps) ** 0.5


def _naive_parts(module: SNR, residual: Tensor) -> tuple[Tensor, Tensor]:
    """R+ and R- of every gate, straight from method.md sections 1 and 2."""

    def channel(gate: object) -> Tensor:
        w1, b1, w2, b2 = gate.parts()  # type: ignore[attr-defined]
        hidden = torch.relu(residual.mean((2, 3)) @ w1.T + b1)
        return torch.sigmoid(hidden @ w2.T + b2)[:, :, None, None]

    def spatial() -> Tensor:
        both = torch.stack([residual.amax(1), residual.mean(1)], 1)
        gate = module.spatial_gate
        return torch.sigmoid(gate.norm(gate.conv(both)))

    if module.gate_kind == "two_gates":
        return channel(module.gate) * residual, channel(module.irrelevant_gate) * residual
    if module.gate_kind == "conv":
        relevant, irrelevant = module.relevant, module.irrelevant
        return (
            torch.relu(relevant.norm(relevant.conv(residual))),
            torch.relu(irrelevant.norm(irrelevant.conv(residual))),
        )
    mask = {"channel": lambda: channel(module.gate), "spatial": spatial}.get(
        module.gate_kind, lambda: (channel(module.gate) + spatial()) / 2
    )()
    return mask * residual, (1 - mask) * residual


@pytest.mark.parametrize("pool", POOLS)
@pytest.mark.parametrize("gate", GATES)
def test_every_gate_and_pool_is_its_definition_with_gradients(gate: Gate, pool: Pool) -> None:
    module, maps = _module(gate=gate, pool=pool), _maps().requires_grad_()
    split = module.split(maps)
    normalized = normalize(maps, module.gamma, module.beta, module.eps)
    relevant, irrelevant = _naive_parts(module, maps - normalized)
    slow = (
        normalized + relevant,
        _naive_pool(normalized, pool),
        _naive_pool(normalized + relevant, pool),
        _naive_pool(normalized + irrelevant, pool),
    )
    fast = (split.maps, split.normalized, split.restored, split.contaminated)
    weights = [torch.randn_like(one) for one in slow]
    inputs = [maps, *module.parameters()]
    ways = []
    for way in (fast, slow):
        loss = torch.stack([(one * weight).sum() for one, weight in zip(way, weights, strict=True)]).sum()
        # beta-only vectors leave some parameters out of the graph (two gates without F~-): they are zeros.
        ways.append((*way, *torch.autograd.grad(loss, inputs, materialize_grads=True, allow_unused=True)))
    for mine, true in zip(*ways, strict=True):
        assert (mine - true).abs().max() < 1e-9
    assert torch.allclose(module(maps), split.maps, atol=1e-12)


def test_the_module_is_the_five_steps_of_the_paper() -> None:
    module, maps = _module(), _maps()
    steps = snr_five_steps(maps, module.gamma, module.beta, *module.gate.parts(), eps=module.eps)
    assert (module(maps) - steps.restored).abs().max() < 1e-9


@settings(max_examples=20, deadline=None)
@given(
    batch=st.integers(1, 3),
    channels=st.integers(1, 6),
    height=st.integers(1, 5),
    width=st.integers(1, 5),
    scale=st.sampled_from([1e-3, 1.0, 1e3]),
)
def test_identities_of_the_closed_form(batch: int, channels: int, height: int, width: int, scale: float) -> None:
    """F~+ + F~- = F + F~; 0 < a < 1 and one a for all positions; pool(F~) = beta; f~+ + f~- = mu + beta."""
    module = _module(channels)
    maps = scale * torch.randn(batch, channels, height, width, dtype=torch.float64)
    split, beta = module.split(maps), module.beta
    normalized = normalize(maps, module.gamma, beta, module.eps)
    contaminated = maps + normalized - split.maps
    tolerance = 1e-9 * max(1.0, scale)
    assert torch.allclose(split.normalized, normalized.mean((2, 3)), atol=tolerance)
    assert torch.allclose(split.normalized, beta.expand(batch, channels), atol=0)
    assert torch.allclose(split.restored, split.maps.mean((2, 3)), atol=tolerance)
    assert torch.allclose(split.contaminated, contaminated.mean((2, 3)), atol=tolerance)
    assert torch.allclose(split.restored + split.contaminated, maps.mean((2, 3)) + beta, atol=tolerance)
    gate = module.gate(maps.mean((2, 3)) - beta)
    assert ((gate >= 0) & (gate <= 1)).all()
    assert torch.allclose(split.maps, normalized + gate[..., None, None] * (maps - normalized), atol=tolerance)


def test_the_gate_is_strictly_between_0_and_1_and_the_normalized_map_has_mean_beta_and_deviation_gamma() -> None:
    module, maps = _module(), _maps()
    gate = module.gate(maps.mean((2, 3)) - module.beta)
    assert gate.min() > 0 and gate.max() < 1
    # With the gate shut the module is instance normalization alone.
    with torch.no_grad():
        module.gate.expand.weight.zero_()
        module.gate.expand.bias.fill_(-800.0)
    shut = module(maps)
    assert torch.allclose(shut.mean((2, 3)), module.beta.expand(5, 8), atol=1e-9)
    assert torch.allclose(shut.std((2, 3), correction=0), module.gamma.abs().expand(5, 8), rtol=1e-4)
    # Wide open it gives back everything.
    with torch.no_grad():
        module.gate.expand.bias.fill_(800.0)
    assert torch.allclose(module(maps), maps, atol=1e-12)


@pytest.mark.parametrize("gate", ONE_MASK)
def test_one_mask_splits_the_residual_without_loss(gate: Gate) -> None:
    module, maps = _module(gate=gate), _maps()
    normalized, residual = module._residual(maps)
    if gate == "channel":
        split = module.split(maps)
        assert torch.allclose(split.restored + split.contaminated, maps.mean((2, 3)) + module.beta)
    else:
        relevant, irrelevant, _ = module._parts(residual)
        assert torch.allclose(relevant + irrelevant, residual)
    assert torch.allclose(normalized + residual, maps)


def test_only_the_mean_pool_has_a_constant_vector() -> None:
    for pool in POOLS:
        module = SNR(4, pool=pool)
        spread = module.split(_maps(4)).normalized.std(0)
        assert module.constant == (pool == "mean")
        if module.constant:
            assert not spread.any()
        elif pool != "std":  # IN fixes the deviation at gamma up to eps, so this one differs for flat maps only
            assert spread.min() > 0


@pytest.mark.parametrize("gate", GATES)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts_hold_the_same_numbers(layout: Layout, gate: Gate) -> None:
    if layout == "tokens" and "spatial" in gate:
        with pytest.raises(ExperimentError, match="spatial gate"):
            SNR(8, gate=gate, layout=layout)
        return
    module, maps = _module(gate=gate), _maps()
    other = _module(gate=gate, layout=layout)
    other.load_state_dict(module.state_dict())
    there = {
        "nchw": lambda f: f,
        "nhwc": lambda f: f.permute(0, 2, 3, 1).contiguous(),
        "tokens": lambda f: f.flatten(2).transpose(1, 2).contiguous(),
    }[layout]
    ours, theirs = other.split(there(maps)), module.split(maps)
    assert ours.maps.shape == there(maps).shape
    assert torch.allclose(ours.maps, there(theirs.maps), atol=1e-9)
    assert torch.allclose(ours.restored, theirs.restored, atol=1e-9)
    assert torch.allclose(other(there(maps)), ours.maps, atol=1e-12)


def test_prefix_tokens_pass_unchanged_and_are_in_no_statistic() -> None:
    module = _module(layout="tokens", prefix_tokens=2)
    tokens = torch.randn(3, 2 + 12, 8, dtype=torch.float64)
    out = module(tokens)
    assert torch.equal(out[:, :2], tokens[:, :2])
    other = tokens.clone()
    other[:, :2] = 100
    assert torch.equal(module(other)[:, 2:], out[:, 2:])


@pytest.mark.parametrize("gate", GATES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
def test_maps_keep_their_dtype_and_vectors_are_float32(dtype: torch.dtype, gate: Gate) -> None:
    module, maps = _module(gate=gate).float(), _maps(dtype=dtype)
    exact = copy.deepcopy(module).double().split(maps.double())
    split = module.split(maps)
    assert split.maps.dtype == dtype
    assert {split.normalized.dtype, split.restored.dtype, split.contaminated.dtype} == {torch.float32}
    half_unit = {torch.float32: 1e-6, torch.bfloat16: 4e-3, torch.float16: 5e-4}[dtype]
    assert ((split.maps.double() - exact.maps) / (1 + exact.maps.abs())).abs().max() < 2 * half_unit
    # The vectors come from float32 statistics of the given maps: as exact as if these were float32.
    assert (split.restored.double() - exact.restored).abs().max() < 2e-5


@pytest.mark.parametrize("gate", GATES)
def test_autocast_changes_nothing(gate: Gate) -> None:
    module, maps = _module(gate=gate).float(), _maps(dtype=torch.float32)
    plain = module.split(maps)
    with torch.autocast("cpu", torch.bfloat16):
        cast = module.split(maps)
    for ours, theirs in zip((cast.maps, cast.restored), (plain.maps, plain.restored), strict=True):
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize("pool", POOLS)
@pytest.mark.parametrize("gate", GATES)
def test_a_constant_map_never_gives_nan(gate: Gate, pool: Pool) -> None:
    module = SNR(4, gate=gate, pool=pool)
    maps = torch.full((2, 4, 3, 3), 7.0, requires_grad=True)
    split = module.split(maps)
    total = split.maps.sum() + split.normalized.sum() + split.restored.sum() + split.contaminated.sum()
    total.backward()
    assert torch.isfinite(total)
    assert maps.grad is not None and maps.grad.isfinite().all()
    assert all(p.grad is None or p.grad.isfinite().all() for p in module.parameters())


@pytest.mark.parametrize("channels", [16, 64, 256, 2048])
def test_added_parameters_are_as_published(channels: int) -> None:
    """C * C/8 + C/16 + 3 C: two linear layers with bias, gamma and beta."""
    count = sum(p.numel() for p in SNR(channels).parameters())
    assert count == channels * channels // 8 + channels // 16 + 3 * channels


def test_a_narrow_module_keeps_one_hidden_unit() -> None:
    assert SNR(3).gate.reduce.weight.shape == (1, 3)


def test_it_starts_as_method_md_says() -> None:
    module = SNR(256)
    assert torch.equal(module.gamma, torch.ones(256)) and torch.equal(module.beta, torch.zeros(256))
    assert math.isclose(float(module.gate.reduce.weight.detach().std()), math.sqrt(2 / 16), rel_tol=0.05)


@pytest.mark.parametrize("gate", GATES)
def test_copies_and_pickles_are_independent_and_equal(gate: Gate) -> None:
    module, maps = _module(gate=gate).eval(), _maps()
    for twin in (copy.deepcopy(module), pickle.loads(pickle.dumps(module))):
        assert torch.equal(twin(maps), module(maps))
        with torch.no_grad():
            twin.gamma.add_(1)
        assert not torch.equal(twin(maps), module(maps))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"gate": "both"}, "channel, two_gates, conv"),
        ({"pool": "max"}, "mean, relu, gem, std"),
        ({"layout": "hwc"}, "nchw, nhwc, tokens"),
        ({"reduction": 0}, "at least 1"),
    ],
)
def test_wrong_settings_are_told_in_words(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ExperimentError, match=words):
        check_options(**({"gate": "channel", "pool": "mean", "reduction": 16} | options))


def test_wrong_numbers_are_told_in_words() -> None:
    with pytest.raises(ExperimentError, match="above 0"):
        SNR(8, eps=0.0)
    with pytest.raises(ExperimentError, match="at least one channel"):
        SNR(0)


@pytest.mark.parametrize(
    ("layout", "shape", "wanted"),
    [
        ("nchw", (2, 4, 6, 4), "(images, 8, height, width)"),
        ("nchw", (8, 6, 4), "(images, 8, height, width)"),
        ("nhwc", (2, 8, 6, 4), "(images, height, width, 8)"),
        ("tokens", (2, 24, 4), "(images, tokens, 8)"),
    ],
)
def test_maps_of_another_shape_are_told_in_words(layout: Layout, shape: tuple[int, ...], wanted: str) -> None:
    module = _module(layout=layout)
    for way in (module.forward, module.split, module.parts):
        with pytest.raises(ExperimentError) as caught:
            way(torch.zeros(shape, dtype=torch.float64))
        assert wanted in str(caught.value) and str(shape) in str(caught.value)


def test_a_sequence_that_is_all_prefix_is_told_in_words() -> None:
    module = _module(layout="tokens", prefix_tokens=3)
    for count in (2, 3):
        with pytest.raises(ExperimentError, match=f"Found: {count} tokens with prefix_tokens=3"):
            module(torch.zeros(2, count, 8, dtype=torch.float64))
    with pytest.raises(ExperimentError, match=r"0 or more\. Found: -1"):
        SNR(8, layout="tokens", prefix_tokens=-1)


@pytest.mark.filterwarnings("ignore:.*torch.jit.script:FutureWarning")  # torch's own, at its first dual number
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=["contiguous", "channels_last"])
def test_function_transforms_give_what_autograd_and_loops_give(layout: torch.memory_format) -> None:
    module, maps = _module(), _maps().contiguous(memory_format=layout)
    weights = {name: value.detach() for name, value in module.named_parameters()}

    def loss(weights: dict[str, Tensor], maps: Tensor) -> Tensor:
        return torch.func.functional_call(module, weights, (maps,)).pow(3).sum()  # type: ignore[no-any-return]

    def sample(weights: dict[str, Tensor], image: Tensor) -> Tensor:
        return loss(weights, image[None])

    each = torch.vmap(torch.func.grad(sample), in_dims=(None, 0))(weights, maps)
    for index in range(len(maps)):
        loss(dict(module.named_parameters()), maps[index : index + 1]).backward()  # type: ignore[no-untyped-call]
        for name, parameter in module.named_parameters():
            assert parameter.grad is not None
            torch.testing.assert_close(each[name][index], parameter.grad)
        module.zero_grad()
    leaf = maps.clone().requires_grad_()
    (slope,) = torch.autograd.grad(loss(weights, leaf), leaf)
    along = torch.randn_like(maps)
    torch.testing.assert_close(torch.func.grad(loss, argnums=1)(weights, maps), slope)
    _, tangent = torch.func.jvp(lambda maps: loss(weights, maps), (maps,), (along,))
    torch.testing.assert_close(tangent, (slope * along).sum())
    with forward_ad.dual_level():
        dual = loss(weights, forward_ad.make_dual(maps, along))
        torch.testing.assert_close(forward_ad.unpack_dual(dual).tangent, (slope * along).sum())


@pytest.mark.parametrize("gate", GATES)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_parts_are_the_five_steps_and_add_up_to_what_is_passed_on(layout: Layout, gate: Gate) -> None:
    if layout == "tokens" and "spatial" in gate:
        return
    module, maps = _module(gate=gate, layout=layout).eval(), _maps()
    given = {"nchw": maps, "nhwc": maps.permute(0, 2, 3, 1), "tokens": maps.flatten(2).transpose(1, 2)}[layout]
    flat = maps.flatten(2).unsqueeze(-1) if layout == "tokens" else maps
    parts = module.parts(given)
    normalized = normalize(flat, module.gamma, module.beta, module.eps)
    relevant, irrelevant = _naive_parts(module, flat - normalized)
    for ours, slow in (
        (parts.maps, flat),
        (parts.normalized, normalized),
        (parts.residual, flat - normalized),
        (parts.relevant, relevant),
        (parts.irrelevant, irrelevant),
        (parts.restored, normalized + relevant),
        (parts.contaminated, normalized + irrelevant),
    ):
        assert ours.shape == slow.shape and (ours - slow).abs().max() < 1e-9
    assert (in_layout(parts.restored, given, module.layout, module.prefix_tokens) - module(given)).abs().max() < 1e-9
    if gate in ONE_MASK:
        assert (parts.restored + parts.contaminated - flat - normalized).abs().max() < 1e-9
    if gate == "conv":
        assert parts.gate is None
    else:
        assert parts.gate is not None and parts.gate.min() > 0 and parts.gate.max() < 1
        assert (parts.gate * parts.residual - parts.relevant).abs().max() < 1e-9


@pytest.mark.parametrize("dtype", [torch.int32, torch.uint8, torch.bool, torch.complex64], ids=str)
def test_maps_of_other_than_real_numbers_are_told_in_words(dtype: torch.dtype) -> None:
    module, maps = SNR(4), torch.ones(2, 4, 3, 3).to(dtype)
    for call in (module, module.split, module.means, module.parts):
        with pytest.raises(ExperimentError, match=rf"Found: maps of {dtype}\. Fix: convert them first"):
            call(maps)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("gate", GATES)
def test_shapes_alone_go_through(gate: Gate, layout: Layout) -> None:
    """On the meta device, and for tensors that only pretend to have data."""
    if layout == "tokens" and "spatial" in gate:
        return
    shape = {"nchw": (2, 4, 5, 3), "nhwc": (2, 5, 3, 4), "tokens": (2, 15, 4)}[layout]
    for mode in (torch.device("meta"), FakeTensorMode()):
        with mode:
            module, maps = SNR(4, gate=gate, layout=layout), torch.zeros(shape)
            split = module.split(maps)
            assert module(maps).shape == split.maps.shape == maps.shape and split.restored.shape == (2, 4)
            (split.maps.sum() + split.contaminated.sum()).backward()
            assert all(part.grad is not None and part.grad.shape == part.shape for part in module.parameters())
