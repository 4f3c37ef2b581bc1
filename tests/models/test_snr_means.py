"""The means of what SNR makes, without the maps: those of the maps, in every layout and precision."""

from typing import get_args

import pytest
import torch

from snreid.errors import ExperimentError
from snreid.models.snr import SNR, Gate, Layout

LAYOUTS = get_args(Layout)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("gate", ["channel", "two_gates"])
def test_means_are_those_of_the_maps_with_gradients(gate: Gate, layout: Layout) -> None:
    prefix = 2 if layout == "tokens" else 0
    module = SNR(8, reduction=4, gate=gate, layout=layout, prefix_tokens=prefix).double()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    plain = 2 * torch.randn(5, 8, 6, 4, dtype=torch.float64) + 1
    maps = {
        "nchw": lambda f: f,
        "nhwc": lambda f: f.permute(0, 2, 3, 1),
        "tokens": lambda f: f.flatten(2).transpose(1, 2),
    }[layout](plain).contiguous()
    if prefix:
        maps = torch.cat([torch.full((5, prefix, 8), 1e3, dtype=maps.dtype), maps], 1)
    maps.requires_grad_()
    parts, means = module.parts(maps), module.means(maps)
    slow = (parts.normalized.mean((2, 3)), parts.restored.mean((2, 3)), parts.contaminated.mean((2, 3)))
    fast = (means.normalized, means.restored, means.contaminated)
    weights = [torch.randn_like(one) for one in slow]
    ways = []
    for way in (fast, slow):
        loss = torch.stack([(one * weight).sum() for one, weight in zip(way, weights, strict=True)]).sum()
        ways.append((*way, *torch.autograd.grad(loss, [maps, *module.parameters()])))
    for mine, true in zip(*ways, strict=True):
        assert (mine - true).abs().max() < 1e-9
    assert torch.equal(torch.autograd.grad(module.means(maps).restored.sum(), module.gamma)[0], torch.zeros(8))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
def test_means_are_no_narrower_than_float32(dtype: torch.dtype) -> None:
    """Of 4,096 bfloat16 values near 100 a bfloat16 sum would be off by whole units."""
    module = SNR(4).to(torch.float64 if dtype == torch.float64 else torch.float32)
    maps = (100 + torch.rand(2, 4, 64, 64)).to(dtype)
    with torch.autocast("cpu", torch.bfloat16):
        found = module.means(maps)
    assert {found.normalized.dtype, found.restored.dtype, found.contaminated.dtype} == {
        torch.float64 if dtype == torch.float64 else torch.float32
    }
    assert torch.allclose(found.restored.double(), module.split(maps.double()).restored, rtol=1e-5)


@pytest.mark.parametrize("gate", ["conv", "spatial", "channel_spatial"])
def test_means_of_a_gate_that_needs_the_maps_are_refused(gate: Gate) -> None:
    with pytest.raises(ExperimentError, match=r"one value per image and channel.*split\(maps\)"):
        SNR(8, gate=gate).means(torch.ones(2, 8, 4, 4))
