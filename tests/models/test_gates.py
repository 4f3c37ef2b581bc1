"""Gates: formulas by hand, ranges, initialization."""

import math
from typing import Any

import pytest
import torch
from torch.nn import functional

from snreid.errors import ExperimentError
from snreid.models.gates import ChannelGate, ConvBranch, SpatialGate, channel_gate
from snreid.models.snr import SNR


def test_the_channel_gate_is_its_formula_number_by_number() -> None:
    gate = ChannelGate(3, 2).double()
    pooled = torch.randn(2, 3, dtype=torch.float64)
    w1, b1, w2, b2 = (part.detach() for part in gate.parts())
    answer = gate(pooled).detach()
    for image in range(2):
        hidden = [max(0.0, sum(float(w1[h, c] * pooled[image, c]) for c in range(3)) + float(b1[h])) for h in range(2)]
        for channel in range(3):
            score = sum(float(w2[channel, h]) * hidden[h] for h in range(2)) + float(b2[channel])
            assert math.isclose(float(answer[image, channel]), 1 / (1 + math.exp(-score)), abs_tol=1e-12)


def test_a_half_precision_gate_still_computes_in_float32() -> None:
    gate = ChannelGate(32, 4).bfloat16()
    pooled = torch.randn(5, 32)
    wide = channel_gate(pooled, *(part.float() for part in gate.parts()))
    assert torch.equal(gate(pooled), wide)
    assert gate(pooled).dtype == torch.float32


def test_linear_layers_start_kaiming_normal_with_zero_bias() -> None:
    gate = ChannelGate(512, 512)
    for layer in (gate.reduce, gate.expand):
        assert not layer.bias.any()
        assert math.isclose(float(layer.weight.detach().std()), math.sqrt(2 / 512), rel_tol=0.02)
    branch = ConvBranch(256)
    assert branch.conv.bias is None
    assert math.isclose(float(branch.conv.weight.detach().std()), math.sqrt(2 / 256), rel_tol=0.02)


def test_a_gate_that_starts_near_the_identity_gives_nearly_all_of_r_back() -> None:
    gate = ChannelGate(24, 4, bias=3.0)
    nothing = torch.zeros(2, 24)
    assert torch.allclose(gate(nothing), torch.full((2, 24), 1 / (1 + math.exp(-3))))
    gate.expand.bias.data.zero_()
    gate.reset_parameters()
    assert torch.allclose(gate(nothing), torch.full((2, 24), 1 / (1 + math.exp(-3)))), "a reset goes back to it"


def test_the_spatial_gate_sees_maximum_and_mean_over_channels() -> None:
    gate = SpatialGate().eval()
    residual = torch.randn(2, 6, 5, 4)
    seen = torch.stack([residual.max(1).values, residual.sum(1) / 6], 1)
    raw = functional.conv2d(seen, gate.conv.weight, padding=2)
    expected = torch.sigmoid(raw / math.sqrt(1 + gate.norm.eps))
    assert torch.allclose(gate(residual), expected, atol=1e-6)
    assert gate(residual).shape == (2, 1, 5, 4)


def test_a_conv_branch_is_never_negative() -> None:
    assert (ConvBranch(4)(torch.randn(3, 4, 5, 2)) >= 0).all()


def test_a_least_hidden_width_and_a_first_bias_are_the_gates() -> None:
    assert SNR(24).gate.reduce.out_features == 1
    wide = SNR(24, min_hidden=12, gate_bias=3.0)
    assert wide.gate.reduce.out_features == 12
    maps = torch.randn(3, 24, 6, 4)
    assert (wide.parts(maps - maps.mean((2, 3), keepdim=True)).gate - 0.9526).abs().max() < 1e-4  # type: ignore[operator]
    assert SNR(512, min_hidden=12).gate.reduce.out_features == 32


@pytest.mark.parametrize("setting", [{"min_hidden": 0}, {"gate_bias": float("inf")}])
def test_impossible_gates_are_refused(setting: dict[str, Any]) -> None:
    with pytest.raises(ExperimentError):
        SNR(24, **setting)
