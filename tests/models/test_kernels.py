"""The passes over maps: every way, layout and kind of numbers against float64 by definition; which maps take which way."""

import pytest
import torch
from torch import Tensor

from snreid.errors import ExperimentError
from snreid.models import kernels
from snreid.models.kernels import Kernels, kernels_for

LAYOUTS = (torch.contiguous_format, torch.channels_last)
WAYS = {"flat": kernels._FLAT, "images": kernels._IMAGES, "batch": kernels._BATCH}
# Halves: ``combine`` of three terms of the same size rounds three times, each by half a unit in the last place (2e-3 in bfloat16).
TOLERANCE = {torch.float64: 1e-13, torch.float32: 1e-6, torch.bfloat16: 6e-3, torch.float16: 8e-4}
# Vectors of halves are sums in float32 (kernels: a few hundred terms one after the other).
SUMS = {torch.float64: 1e-13, torch.float32: 1e-6, torch.bfloat16: 2e-6, torch.float16: 2e-6}


def _maps(way: str, dtype: torch.dtype, shape: tuple[int, ...] = (3, 24, 32, 5), shift: float = 1.0) -> Tensor:
    maps = (torch.randn(shape, dtype=torch.float64) * 2 + shift).to(dtype)
    return maps if way == "flat" else maps.to(memory_format=torch.channels_last)


def _off(mine: Tensor, true: Tensor) -> float:
    return float((mine.double() - true).abs().max() / true.abs().max().clamp(min=1))


def _is_close(way: Kernels, maps: Tensor, d_maps: Tensor) -> None:
    kind = torch.float64 if maps.dtype == torch.float64 else torch.float32
    steep, slope, offset = (torch.randn(maps.shape[:2], dtype=torch.float64).to(kind) for _ in range(3))
    wide, d_wide = maps.double(), d_maps.double()
    first, second, third = (vector.double()[..., None, None] for vector in (steep, slope, offset))
    variance, mean = torch.var_mean(wide, (2, 3), correction=0)
    vectors = (*way.moments(maps), *way.sums(maps, d_maps))
    for mine, true in zip(vectors, (mean, variance, (wide * d_wide).sum((2, 3)), d_wide.sum((2, 3))), strict=True):
        assert mine.dtype == kind and _off(mine, true) < SUMS[maps.dtype]
    moved, combined = way.affine(maps, slope, offset), way.combine(maps, d_maps, steep, slope, offset)
    for made, true in ((moved, second * wide + third), (combined, first * wide + second * d_wide + third)):
        assert made.dtype == maps.dtype and _off(made, true) < TOLERANCE[maps.dtype]
        assert all(made.is_contiguous(memory_format=each) == maps.is_contiguous(memory_format=each) for each in LAYOUTS)


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("way", WAYS)
def test_every_way_does_what_its_words_say(way: str, dtype: torch.dtype) -> None:
    maps = _maps(way, dtype)
    _is_close(WAYS[way], maps, torch.empty_like(maps).copy_(torch.randn(maps.shape)))


@pytest.mark.parametrize("shape", [(2, 1, 3, 2), (1, 5000, 1, 3), (2, 7, 1, 1), (2, 3, 9, 1)])
@pytest.mark.parametrize("way", WAYS)
def test_odd_sizes(way: str, shape: tuple[int, ...]) -> None:
    maps = _maps(way, torch.float64, shape)
    _is_close(WAYS[way], maps, maps.flip(0).contiguous(memory_format=WAYS[way].layout or torch.channels_last))


def test_tokens_behind_a_prefix_are_maps_of_one_column() -> None:
    tokens = torch.randn(3, 2 + 40, 8, dtype=torch.float64)
    maps = tokens[:, 2:].transpose(1, 2).unsqueeze(-1)
    assert kernels.has_pixels(maps)
    for mine, true in zip(
        kernels._IMAGES.moments(maps), reversed(torch.var_mean(maps, (2, 3), correction=0)), strict=True
    ):
        assert torch.allclose(mine, true)


@pytest.mark.parametrize("way", WAYS)
def test_a_large_offset_costs_no_variance(way: str) -> None:
    """E[x^2] - E[x]^2 would be wrong in the first digit here, and so would a mean summed one by one in float32 be in its fourth."""
    maps = _maps(way, torch.float32, (2, 32, 64, 32), shift=2000)
    variance, mean = torch.var_mean(maps.double(), (2, 3), correction=0)
    mine = WAYS[way].moments(maps)
    assert _off(mine[0], mean) < 5e-7
    assert ((mine[1].double() - variance) / variance).abs().max() < 5e-5


def test_which_maps_take_which_way(monkeypatch: pytest.MonkeyPatch) -> None:
    small, large = torch.zeros(2, 4, 3, 5), torch.zeros(1, 512, 8, 4)
    last = {"memory_format": torch.channels_last}
    assert kernels_for(small) is kernels_for(large) is kernels._FLAT
    assert kernels_for(large.to(**last)) is kernels._IMAGES
    assert kernels_for(small.to(**last)) is kernels_for(small[..., 1:]) is kernels._BATCH
    assert kernels_for(torch.zeros(0, 4, 3, 5)) is kernels_for(torch.zeros(2, 4, 3, 5, device="meta")) is None
    assert kernels_for(small.as_subclass(type("Other", (Tensor,), {}))) is None
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    assert kernels_for(small) is None


def test_maps_that_are_not_finite_stay_where_they_are() -> None:
    """The kernels keep running statistics that all images of a batch share; one image's NaN must not reach the next."""
    maps = _maps("images", torch.float32)
    maps[0, 0, 0, 0] = torch.nan
    mean, variance = kernels._IMAGES.moments(maps)
    assert mean[0, 0].isnan() and mean.isnan().sum() == variance.isnan().sum() == 1


def test_the_working_dtype_is_float32_or_float64() -> None:
    kinds = {torch.float64: torch.float64, torch.float32: torch.float32, torch.bfloat16: torch.float32}
    assert all(kernels.working_dtype(torch.zeros(1, dtype=given)) == kind for given, kind in kinds.items())
    with pytest.raises(
        ExperimentError, match=r"Found: maps of torch\.int32\. Fix: convert them first: maps\.float\(\)"
    ):
        kernels.working_dtype(torch.zeros(1, dtype=torch.int32))


def test_without_autocast_ends_it_also_for_tensors_without_data() -> None:
    with torch.autocast("cpu", torch.bfloat16), kernels.without_autocast(torch.zeros(1)):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.float32
    with kernels.without_autocast(torch.zeros(1, device="meta")):
        pass


@pytest.mark.parametrize("setting", [None, "0", "1"])
def test_triton_is_off_unless_asked_for(setting: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("triton")
    monkeypatch.delenv("SNREID_TRITON", raising=False)
    if setting is not None:
        monkeypatch.setenv("SNREID_TRITON", setting)
    kernels._triton_kernels.cache_clear()
    assert (kernels._triton_kernels() is not None) == (setting == "1")
    kernels._triton_kernels.cache_clear()
