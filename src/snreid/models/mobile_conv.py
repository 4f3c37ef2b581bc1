"""Convolutions of mobile networks (depthwise, TensorFlow's padding) that train several times faster on a CPU, with equal values.

oneDNN is slow there for two reasons. In bfloat16 the gradients of a depthwise convolution take five to ten times as long as in
float32, while those of dense 1 x 1 convolutions take half; so under autocast a trained depthwise convolution stays in float32. And
the weight gradient of a 5 x 5 depthwise convolution has no fast kernel: on narrow maps it is computed here as 25 sums of products of
shifted maps, except the inner 3 x 3, for which oneDNN has a fast kernel. Measured: docs/log/speed-network.md.

TensorFlow pads a convolution of stride 2 more on one side than on the other. timm computes that from the size of the maps,
which no graph tracer can follow; here it is a layer of its own, so that batch norms of these networks can be folded.
"""

from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn import functional

_WIDEST = 8
"""Width of the maps up to which the sums beat oneDNN's weight gradient."""
_AT_ONCE = 1 << 20
"""Values multiplied at once, so that products stay in a core's cache."""


class MobileConv2d(nn.Conv2d):
    """A convolution with the parameters, names and values of ``nn.Conv2d``, or of timm's ``Conv2dSame`` with ``same``."""

    same = False
    """Zero padding for an output of size / stride positions, rounded up; an odd zero goes last (TensorFlow)."""

    @classmethod
    def like(cls, conv: nn.Conv2d, *, same: bool) -> Self:
        """With the settings and the same parameter objects as ``conv``. Draws no random number."""
        padding = conv.padding
        if same and set(conv.stride) == {1} and all(size % 2 for size in conv.kernel_size):
            # With stride 1 both sides are padded equally: an ordinary convolution, which has fast gradients.
            same, padding = False, tuple(d * (k - 1) // 2 for d, k in zip(conv.dilation, conv.kernel_size, strict=True))
        made = cls(
            conv.in_channels,
            conv.out_channels,
            conv.kernel_size,  # type: ignore[arg-type]
            stride=conv.stride,  # type: ignore[arg-type]
            padding=padding,  # type: ignore[arg-type]
            dilation=conv.dilation,  # type: ignore[arg-type]
            groups=conv.groups,
            bias=conv.bias is not None,
            padding_mode=conv.padding_mode,
            device="meta",
        )
        made.weight, made.bias, made.same = conv.weight, conv.bias, same
        return made.train(conv.training)

    def forward(self, input: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C', H', W')."""
        if self.same:
            input = _padded(input, self)
        if not self._trains_on_cpu(input):
            return super().forward(input)
        with torch.autocast("cpu", enabled=False):
            wide = input.float()
            if self._has_sums(wide):
                result: Tensor = _Depthwise.apply(wide, self.weight)
                return result
            return super().forward(wide)

    def _trains_on_cpu(self, input: Tensor) -> bool:
        if torch.compiler.is_compiling() or not (torch.is_grad_enabled() and self.weight.requires_grad):
            return False
        return _is_depthwise(self) and input.device.type == "cpu" and self.weight.dtype == torch.float32

    def _has_sums(self, input: Tensor) -> bool:
        plain = self.stride == self.dilation == (1, 1) and self.padding == (2, 2) and self.padding_mode == "zeros"
        narrow = input.ndim == 4 and 0 < input.shape[3] <= _WIDEST
        return plain and narrow and self.kernel_size == (5, 5) and self.bias is None


def quick_mobile(network: nn.Module) -> nn.Module:
    """Turn depthwise and "same" convolutions of the network into ``MobileConv2d``, in place; parameters and their names stay."""
    for name, module in list(network.named_modules()):
        if not isinstance(module, nn.Conv2d):
            continue
        same = type(module).__name__ == "Conv2dSame"
        if same or (type(module) is nn.Conv2d and _is_depthwise(module)):
            network.set_submodule(name, MobileConv2d.like(module, same=same))
    return network


def _is_depthwise(conv: nn.Conv2d) -> bool:
    return conv.groups == conv.in_channels == conv.out_channels > 1


def _padded(maps: Tensor, conv: MobileConv2d) -> Tensor:
    """The maps with TensorFlow's zero padding."""
    sides: list[int] = []
    for axis in (1, 0):  # functional.pad begins with the last dimension
        size, stride = int(maps.shape[2 + axis]), conv.stride[axis]
        reach = conv.dilation[axis] * (conv.kernel_size[axis] - 1) + 1
        missing = max(0, (-(-size // stride) - 1) * stride + reach - size)
        sides += [missing // 2, missing - missing // 2]
    return functional.pad(maps, sides) if any(sides) else maps


class _Depthwise(torch.autograd.Function):
    """torch's depthwise 5 x 5 convolution and input gradient, with the weight gradient by sums of products."""

    @staticmethod
    def forward(ctx: Any, maps: Tensor, weight: Tensor) -> Tensor:
        """As ``functional.conv2d`` with padding 2 and a group for each channel."""
        ctx.save_for_backward(maps, weight)
        return functional.conv2d(maps, weight, None, 1, 2, 1, len(weight))

    @staticmethod
    def backward(ctx: Any, d_maps: Tensor) -> tuple[Tensor | None, Tensor | None]:
        """Gradients of maps and weight."""
        maps, weight = ctx.saved_tensors
        if torch.is_grad_enabled():  # create_graph: torch's own gradient can be differentiated
            output = functional.conv2d(maps, weight, None, 1, 2, 1, len(weight))
            leaves = [leaf for leaf, needed in zip((maps, weight), ctx.needs_input_grad, strict=True) if needed]
            gradients = iter(torch.autograd.grad(output, leaves, d_maps, create_graph=True))
            first, second = (next(gradients) if needed else None for needed in ctx.needs_input_grad)
            return first, second
        d_input = None
        if ctx.needs_input_grad[0]:
            d_input = _onednn(d_maps, maps, weight, 2, (True, False, False))[0]
        return d_input, depthwise_gradient(maps, d_maps) if ctx.needs_input_grad[1] else None


def _onednn(
    d_maps: Tensor, maps: Tensor, weight: Tensor, padding: int, wanted: tuple[bool, bool, bool]
) -> tuple[Tensor | None, ...]:
    gradients: tuple[Tensor | None, ...] = torch.ops.aten.convolution_backward(
        d_maps, maps, weight, None, (1, 1), (padding, padding), (1, 1), False, (0, 0), len(weight), wanted
    )
    return gradients


def depthwise_gradient(maps: Tensor, d_maps: Tensor) -> Tensor:
    """(C, 1, 5, 5): gradient of the weight of a depthwise 5 x 5 convolution with padding 2 and stride 1, from its input and the gradient
    of its output, (B, C, H, W) both."""
    images, channels, height, width = maps.shape
    inner = _onednn(d_maps, maps, maps.new_empty(channels, 1, 3, 3), 1, (False, True, False))[1]
    inputs, slopes = maps.permute(0, 2, 3, 1), d_maps.permute(0, 2, 3, 1)
    gradient = maps.new_zeros(5, 5, channels)
    some = max(1, _AT_ONCE // (channels * height * width))
    outer = [(y, x) for y in range(-2, 3) for x in range(-2, 3) if max(abs(y), abs(x)) == 2]
    for start in range(0, images, some):
        part, slope = inputs[start : start + some], slopes[start : start + some]
        for y, x in outer:
            if abs(y) < height and abs(x) < width:  # else the tap reads only padding
                seen = part[:, max(0, y) : height + min(0, y), max(0, x) : width + min(0, x)]
                answer = slope[:, max(0, -y) : height - max(0, y), max(0, -x) : width - max(0, x)]
                gradient[y + 2, x + 2] += (seen * answer).sum((0, 1, 2))
    assert inner is not None
    gradient[1:4, 1:4] = inner[:, 0].permute(1, 2, 0)
    return gradient.permute(2, 0, 1).unsqueeze(1).contiguous()
