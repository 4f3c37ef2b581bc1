"""The Triton kernels: their numbers through Triton's interpreter, in a process of its own; on a GPU where there is one. Without one they
are compiled for it all the same. The shape checks are on as everywhere."""

import importlib
import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from support.shapes import LEFT_OUT

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("triton") is None, reason="this build of torch came without Triton"
)

CHECK = """
import sys

import torch
from support.shapes import check_shapes

check_shapes()
from snreid.models import instance_affine as module
from snreid.models.triton_kernels import triton_kernels
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
    for kind, way in ((dtype, triton_kernels(flat)), (torch.float64, None)):
        module.kernels_for = lambda _maps, way=way: way
        inputs = [part.detach().to(kind if part is maps else torch.promote_types(kind, torch.float32)).requires_grad_()
                  for part in (maps, *weights)]
        made = restitute(inputs[0], inputs[1], inputs[2], tuple(inputs[3:]), 1e-5)
        made = (made.maps, made.mean, made.variance, made.gate)
        seeds = seeds or [torch.randn_like(one) for one in made]
        # One number: of several grad() first imports seconds of symbolic shapes.
        slopes = torch.autograd.grad(sum((one * seed.to(one.dtype)).sum() for one, seed in zip(made, seeds)), inputs)
        if way is not None:
            assert made[0].is_contiguous(memory_format=layout) and slopes[0].is_contiguous(memory_format=layout)
        results.append((*made, *slopes))
    for number, (mine, true) in enumerate(zip(*results)):
        off = ((mine.double() - true).abs().max() / true.abs().max().clamp(min=1)).item()
        assert off < limit, (flat, dtype, number, off)
maps = 2000 + torch.randn(1, 3, 35, 30)
variance = maps.double().var((2, 3), correction=0)
assert ((triton_kernels(True).moments(maps)[1] - variance) / variance).abs().max() < 1e-5
print("equal")
"""


def _run(device: str, **surroundings: str) -> None:
    """In a process of its own: Triton decides at import whether it interprets."""
    tests = os.pathsep.join([str(Path(__file__).parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [sys.executable, "-c", CHECK, device],
        env={**os.environ, "PYTHONPATH": tests, "OMP_NUM_THREADS": "1", **surroundings},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.stdout.strip() == "equal", done.stderr[-2000:]


def test_the_kernels_are_right_in_the_interpreter() -> None:
    _run("cpu", TRITON_INTERPRET="1")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_the_kernels_are_right_on_a_gpu() -> None:
    _run("cuda")


NAMES = ("_moments_kernel", "_affine_kernel", "_sums_kernel", "_combine_kernel")
POINTERS = {torch.float32: "*fp32", torch.bfloat16: "*bf16", torch.float16: "*fp16"}


class Compiled:
    """A kernel that is compiled where it would be launched, for a GPU that need not be there."""

    def __init__(self, kernel: Any) -> None:
        self.kernel = kernel
        self.code: list[bytes] = []

    def __getitem__(self, grid: tuple[int, ...]) -> Any:
        return self.launch

    def launch(self, *arguments: Any, **options: Any) -> None:
        compiler, backends = (importlib.import_module(f"triton.{name}.compiler") for name in ("compiler", "backends"))
        given = dict(zip(self.kernel.arg_names, arguments, strict=True))
        fixed = {one.name: given[one.name] for one in self.kernel.params if one.is_constexpr}
        kinds = {
            name: "constexpr" if name in fixed else POINTERS[value.dtype] if isinstance(value, Tensor) else "i32"
            for name, value in given.items()
        }
        made = compiler.compile(
            compiler.ASTSource(self.kernel, kinds, fixed), backends.GPUTarget("cuda", 90, 32), options
        )
        self.code.append(made.asm["cubin"])


@pytest.mark.parametrize(("flat", "dtype"), [(True, torch.float16), (False, torch.bfloat16)])
def test_the_kernels_compile_for_a_gpu_as_they_are_launched(
    flat: bool, dtype: torch.dtype, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    (name,) = LEFT_OUT
    module = importlib.import_module(name)
    kernels = {name: Compiled(getattr(module, name)) for name in NAMES}
    for name, kernel in kernels.items():
        monkeypatch.setattr(module, name, kernel)
    launch = module.triton_kernels(flat)
    maps = torch.zeros(2, 3, 8, 4, dtype=dtype).contiguous(memory_format=launch.layout)
    vectors = torch.zeros(3, 2, 3)
    launch.moments(maps)
    launch.affine(maps, *vectors[:2])
    launch.sums(maps, maps)
    launch.combine(maps, maps, *vectors)
    assert [len(kernel.code) for kernel in kernels.values()] == [1] * 4
    assert all(kernel.code[0].startswith(b"\x7fELF") for kernel in kernels.values())
