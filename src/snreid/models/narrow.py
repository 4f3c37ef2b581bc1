"""Convolutions over narrow maps, with a bfloat16 weight gradient that is one matrix product on CPU.

Where maps are a few positions wide (6 x 3 and 12 x 6 in the preset ``small``), oneDNN computes the weight gradient of a 3 x 3
convolution in bfloat16 at an eighth of the speed of a matrix product: its kernels go along the width. Here the windows of the input
are laid out as rows (9 C numbers for each position) and multiplied by the gradient of the output. Values and input gradients stay
torch's; only the order in which the weight gradient is added up is another one.

When it wins was measured (docs/decisions.md, 2026-11-28); in float32, on wider maps, with few channels, on GPUs, under the compiler
and without gradients the layer is the plain one.
"""

from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn import functional

_WIDEST = 6
"""Columns of the output map up to which the matrix product wins."""
_LEAST_CHANNELS = 128
"""Channels of the output from which on it wins."""


class NarrowConv2d(nn.Conv2d):
    """A 3 x 3 convolution with padding 1 and no bias; the same parameters, names and values as ``nn.Conv2d``."""

    @classmethod
    def like(cls, conv: nn.Conv2d) -> Self:
        """With the settings and the very parameter of ``conv``. Draws no random number."""
        stride = conv.stride[0], conv.stride[1]
        made = cls(conv.in_channels, conv.out_channels, 3, stride=stride, padding=1, bias=False, device="meta")
        made.weight = conv.weight
        return made.train(conv.training)

    def forward(self, input: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C', H', W')."""
        if not self._wins(input):
            return super().forward(input)
        half = torch.bfloat16
        result: Tensor = _Convolution.apply(input.to(half), self.weight.to(half), self.stride)
        return result

    def _wins(self, input: Tensor) -> bool:
        if torch.compiler.is_compiling() or not torch.is_grad_enabled() or not self.weight.requires_grad:
            return False
        if input.device.type != "cpu" or input.ndim != 4 or self.out_channels < _LEAST_CHANNELS:
            return False
        dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else self.weight.dtype
        return dtype == torch.bfloat16 and -(-input.shape[3] // self.stride[1]) <= _WIDEST


def quick_on_narrow_maps(network: nn.Module) -> nn.Module:
    """The network with every convolution that can be a ``NarrowConv2d`` made one, in place; parameters and their names stay."""
    for name, module in list(network.named_modules()):
        if type(module) is nn.Conv2d and _fits(module):
            network.set_submodule(name, NarrowConv2d.like(module))
    return network


def _fits(conv: nn.Conv2d) -> bool:
    same_size = conv.kernel_size == (3, 3) and conv.padding == (1, 1) and conv.dilation == (1, 1)
    plain = conv.groups == 1 and conv.bias is None and conv.padding_mode == "zeros"
    return same_size and plain and conv.stride[0] == conv.stride[1] and conv.out_channels >= _LEAST_CHANNELS


class _Convolution(torch.autograd.Function):
    """torch's convolution and input gradient, the weight gradient as one product."""

    @staticmethod
    def forward(ctx: Any, maps: Tensor, weight: Tensor, stride: tuple[int, int]) -> Tensor:
        """As ``functional.conv2d`` with padding 1."""
        ctx.save_for_backward(maps, weight)
        ctx.stride = stride
        return functional.conv2d(maps, weight, None, stride, 1)

    @staticmethod
    def backward(ctx: Any, d_maps: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        """Gradients of maps and weight."""
        maps, weight = ctx.saved_tensors
        if torch.is_grad_enabled():  # create_graph: torch's own gradient can be differentiated
            made = functional.conv2d(maps, weight, None, ctx.stride, 1)
            asked = [one for one, needed in zip((maps, weight), ctx.needs_input_grad[:2], strict=True) if needed]
            found = iter(torch.autograd.grad(made, asked, d_maps, create_graph=True))
            first, second = (next(found) if needed else None for needed in ctx.needs_input_grad[:2])
            return first, second, None
        wanted = [ctx.needs_input_grad[0], False, False]
        d_input = None
        if wanted[0]:
            d_input = torch.ops.aten.convolution_backward(
                d_maps, maps, weight, None, ctx.stride, (1, 1), (1, 1), False, (0, 0), 1, wanted
            )[0]
        return d_input, weight_gradient(maps, d_maps, ctx.stride) if ctx.needs_input_grad[1] else None, None


def weight_gradient(maps: Tensor, d_maps: Tensor, stride: tuple[int, int]) -> Tensor:
    """(C', C, 3, 3): gradient of the weight of a 3 x 3 convolution with padding 1, from its input (B, C, H, W) and the gradient of its
    output (B, C', H', W'), as d_maps^T windows."""
    images, inner, _, _ = maps.shape
    _, outer, height, width = d_maps.shape
    padded = functional.pad(maps.permute(0, 2, 3, 1), (0, 0, 1, 1, 1, 1))
    image, row, column, one = padded.stride()
    windows = padded.as_strided(
        (images, height, width, 3, 3, inner), (image, row * stride[0], column * stride[1], row, column, one)
    )
    gradient = d_maps.permute(0, 2, 3, 1).reshape(-1, outer).T @ windows.reshape(-1, 9 * inner)
    return gradient.view(outer, 3, 3, inner).permute(0, 3, 1, 2)
