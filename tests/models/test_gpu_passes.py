"""The Triton kernels: their numbers through Triton's interpreter, in a process of its own; on a GPU where there is one."""

import importlib.util
import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("triton") is None, reason="this build of torch came without Triton"
)

CHECK = """
import sys

import torch
from snreid.models import own_affine
from snreid.models.gpu_passes import gpu_passes
from snreid.models.restitution import restitute

torch.manual_seed(0)
torch.set_default_device(sys.argv[1])
for flat, dtype in ((True, torch.float32), (False, torch.float32), (False, torch.bfloat16), (True, torch.float16)):
    layout = torch.contiguous_format if flat else torch.channels_last
    limit = {torch.float32: 2e-6, torch.bfloat16: 8e-3, torch.float16: 2e-3}[dtype]
    # More channels and positions than one tile, and neither a multiple of it.
    shape = (2, 3, 35, 30) if flat else (2, 70, 9, 5)
    maps = (torch.randn(shape) * 2 + 1).to(dtype).to(memory_format=layout).requires_grad_()
    weights = [(torch.randn(s) * 0.5).requires_grad_() for s in
               ((shape[1],), (shape[1],), (2, shape[1]), (2,), (shape[1], 2), (shape[1],))]
    seeds = None
    results = []
    for kind, way in ((dtype, gpu_passes(flat)), (torch.float64, None)):
        own_affine.passes_for = lambda _maps, way=way: way
        inputs = [part.detach().to(kind if part is maps else torch.promote_types(kind, torch.float32)).requires_grad_()
                  for part in (maps, *weights)]
        made = restitute(inputs[0], inputs[1], inputs[2], tuple(inputs[3:]), 1e-5)
        made = (made.maps, made.mean, made.variance, made.gate)
        seeds = seeds or [torch.randn_like(one) for one in made]
        slopes = torch.autograd.grad(made, inputs, [seed.to(one.dtype) for seed, one in zip(seeds, made)])
        if way is not None:
            assert made[0].is_contiguous(memory_format=layout) and slopes[0].is_contiguous(memory_format=layout)
        results.append((*made, *slopes))
    for number, (mine, true) in enumerate(zip(*results)):
        off = ((mine.double() - true).abs().max() / true.abs().max().clamp(min=1)).item()
        assert off < limit, (flat, dtype, number, off)
maps = 2000 + torch.randn(1, 3, 35, 30)
variance = maps.double().var((2, 3), correction=0)
assert ((gpu_passes(True).moments(maps)[1] - variance) / variance).abs().max() < 1e-5
print("equal")
"""


def _run(device: str, **surroundings: str) -> None:
    """In a process of its own: Triton decides at import whether it interprets, and cannot read shape-checked functions."""
    done = subprocess.run(
        [sys.executable, "-c", CHECK, device],
        env={**os.environ, "OMP_NUM_THREADS": "1", **surroundings},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.stdout.strip() == "equal", done.stderr[-2000:]


def test_the_kernels_are_right_in_the_interpreter() -> None:
    _run("cpu", TRITON_INTERPRET="1")


@pytest.mark.gpu
def test_the_kernels_are_right_on_a_gpu() -> None:
    _run("cuda")
