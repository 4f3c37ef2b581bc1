"""Batch norms of frozen stages inside the convolutions before them, while the rest of the network trains.

A frozen batch norm is in evaluation mode: an affine map with fixed numbers, so convolution then norm is one convolution
(``layers.fold_batch_norm``). On the large maps of a first stage the norm takes longer than the convolution on a CPU. Nothing of the
model is replaced: two methods stand in for the time of one forward pass, so weights, names, hooks and copies are what they were.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from snreid.models.layers import activation_of, fold_batch_norm, heard
from snreid.models.mobile_conv import MobileConv2d, padded
from snreid.models.narrow import NarrowConv2d

_CONVOLUTIONS = (nn.Conv2d, NarrowConv2d, MobileConv2d)
_TOLERANCE = 1e-3
"""Of the largest value of the final maps: beyond it the pairs do not run one behind the other. Rounding differs by about 1e-6."""


@dataclass(frozen=True)
class _Pair:
    conv: nn.Conv2d
    norm: nn.BatchNorm2d
    weight: Tensor
    bias: Tensor
    activation: nn.Module

    def run_conv(self, maps: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C', H', W'): convolution and norm at once."""
        if isinstance(self.conv, MobileConv2d) and self.conv.same:
            maps = padded(maps, self.conv)
        result: Tensor = self.conv._conv_forward(maps, self.weight, self.bias)
        return result

    def run_norm(self, maps: Tensor) -> Tensor:
        """What is left of the norm: the activation that timm folds into it."""
        result: Tensor = self.activation(maps)
        return result


class FrozenFolding:
    """The folded convolutions of one backbone's frozen parts, made when they are first used and again where a weight has changed."""

    def __init__(self) -> None:
        self._pairs: tuple[_Pair, ...] = ()
        self._made_from: tuple[tuple[int, int], ...] | None = None

    @contextmanager
    def within(self, backbone: nn.Module, parts: Sequence[str], images: Tensor) -> Iterator[None]:
        """In here a forward pass of the ``backbone`` takes the folded convolutions of its frozen ``parts``. ``images``: what it will see,
        (B, 3, H, W), to try the pairs on. Only on a CPU, in float32 weights, outside of compilers and tracers."""
        with _in_place(self._of(backbone, parts, images)):
            yield

    def _of(self, backbone: nn.Module, parts: Sequence[str], images: Tensor) -> tuple[_Pair, ...]:
        tracing = torch.compiler.is_compiling() or torch._C._get_tracing_state() is not None
        if not parts or tracing or images.device.type != "cpu":
            return ()
        found = list(_frozen_pairs(backbone, parts))
        tensors = [t for pair in found for module in pair for t in (*module.parameters(), *module.buffers())]
        now = tuple((id(t), t._version) for t in tensors)
        if now != self._made_from:
            pairs = tuple(map(_folded, *zip(*found, strict=True))) if found else ()
            self._pairs = pairs if _same(backbone, pairs, images[:1]) else ()
            self._made_from = now
        return self._pairs


def _frozen_pairs(backbone: nn.Module, parts: Sequence[str]) -> Iterator[tuple[nn.Conv2d, nn.BatchNorm2d]]:
    """Convolutions with the batch norm that is registered behind them, both at rest."""
    frozen = {id(module) for part in parts for module in backbone.get_submodule(part).modules()}
    for parent in backbone.modules():
        for conv, norm in pairwise(parent.children()):
            if id(conv) not in frozen or id(norm) not in frozen or type(conv) not in _CONVOLUTIONS:
                continue
            fits = isinstance(norm, nn.BatchNorm2d) and not norm.training and norm.running_mean is not None
            if fits and not heard(conv) and not heard(norm) and conv.weight.dtype == torch.float32:
                yield conv, norm  # type: ignore[misc]


def _folded(conv: nn.Conv2d, norm: nn.BatchNorm2d) -> _Pair:
    made = fold_batch_norm(conv, norm)
    assert made.bias is not None
    weight = made.weight.detach().contiguous(memory_format=torch.channels_last)
    return _Pair(conv, norm, weight, made.bias.detach(), activation_of(norm))


@contextmanager
def _in_place(pairs: Sequence[_Pair]) -> Iterator[None]:
    try:
        for pair in pairs:
            pair.conv.forward = pair.run_conv  # type: ignore[method-assign, assignment]
            pair.norm.forward = pair.run_norm  # type: ignore[method-assign, assignment]
        yield
    finally:
        for pair in pairs:
            for module in (pair.conv, pair.norm):
                module.__dict__.pop("forward", None)


def _same(backbone: Any, pairs: Sequence[_Pair], image: Tensor) -> bool:
    """Whether the backbone gives the same maps with the folded pairs: that a norm is registered behind a convolution does not prove that it
    runs there. In evaluation mode, so that no statistic moves."""
    modes = [(module, module.training) for module in backbone.modules()]
    hooks = {module: dict(module._forward_hooks) for module, _ in modes if module._forward_hooks}
    backbone.eval()
    for module in hooks:
        module._forward_hooks.clear()  # what follows a stage is no part of the backbone
    try:
        with torch.no_grad(), torch.autocast(image.device.type, enabled=False):
            expected = backbone.forward_features(image.float())
            with _in_place(pairs):
                found = backbone.forward_features(image.float())
    except (RuntimeError, ValueError):
        return False
    finally:
        for module, kept in hooks.items():
            module._forward_hooks.update(kept)
        for module, mode in modes:
            module.training = mode
    return bool((found - expected).abs().max() <= _TOLERANCE * (1 + expected.abs().max()))
