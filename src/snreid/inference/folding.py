"""A trained model for inference only: batch norms folded into the convolutions before them.

In evaluation a batch norm is an affine map per channel with fixed numbers, so a convolution followed by a batch norm is one convolution
(``torch.nn.utils.fuse_conv_bn_eval``), exact up to rounding. A batch norm is folded only if it alone reads the convolution. Other layers
(IN, IBN's half, BIN, SN, SNR, the head) stay unchanged.

``fused`` goes further on a CPU: conv + ReLU(6) and conv + addition + ReLU become one call of oneDNN with prepacked weights. These are
private operators of torch, used by its compiler, so this is off by default (``fuse``). Both functions return a new module and leave
their argument unchanged.
"""

import operator
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, TypeGuard

import torch
from torch import Tensor, fx, nn
from torch.nn.utils import fuse_conv_bn_eval

from snreid.models.head import NeckClassifier
from snreid.models.mobile_conv import MobileConv2d
from snreid.models.norm_layers import activation_of, exactly
from snreid.models.osnet import OSNet
from snreid.models.reid import ReIDModel, pooled
from snreid.models.snr import SNR
from snreid.tensors import Embeddings, Images

_TOLERANCE = {"cpu": 1e-3}
"""Relative to the largest value, by device: a larger difference on a random image means wrong tracing. Rounding gives 1e-6."""
_COARSE = 0.1
"""The same if one of the two computes in bfloat16 or TF32."""
_ADDITIONS = (operator.add, operator.iadd, torch.add)
_OPERATORS = torch.ops.mkldnn
Size = tuple[int, int]


class Folded(nn.Module):
    """Normalized images (B, 3, H, W) to embeddings (B, D), in evaluation only. Made by ``folded`` and ``fused``."""

    def __init__(
        self,
        head: NeckClassifier,
        last: nn.Module | None,
        features: fx.GraphModule | None,
        whole: ReIDModel | None,
        *,
        bf16: bool = False,
    ) -> None:
        """``features`` computes the input of ``last`` and the head; None: ``whole``, in eval mode, computes everything."""
        super().__init__()
        self.head, self.last, self.features, self.whole, self.bf16 = head, last, features, whole, bf16

    def forward(self, images: Images) -> Embeddings:
        """As ``ReIDModel.embed``."""
        if self.features is None:
            assert self.whole is not None
            return self.whole.embed(images)
        return self.head.embed(pooled(self.features(images), self.last, self.head))


def folded(model: ReIDModel, size: Size) -> Folded:
    """A copy of the model with its batch norms folded, made of plain torch modules: exportable, runs on any device.

    ``size``: height and width of the images, in pixels. If the network cannot be traced (control flow that depends on the image) or has
    nothing to fold, a copy of the unchanged model in evaluation mode.
    """
    copy = deepcopy(model).eval().requires_grad_(False)
    plain = Folded(copy.head, None, None, copy)
    traced = _traced(copy) if any(isinstance(m, nn.BatchNorm2d) for m in copy.backbone.modules()) else None
    if traced is None:
        return plain
    _drop_identities(traced)
    count = sum(_fold_pair(traced, node) for node in list(traced.graph.nodes))
    _clean(traced)
    network = Folded(copy.head, copy.last, traced, None).eval()
    return network if count and _agree(network, plain, size) else plain


def fused(model: Folded, size: Size, *, bf16: bool = False) -> Folded:
    """A result of ``folded`` with oneDNN's fused convolutions, for channels-last images on a CPU; ``model`` itself if there is nothing
    to fuse, torch lacks the operators, or the results differ.

    ``bf16``: convolutions use bfloat16 weights and maps, far slower on processors without bfloat16 units.
    """
    if model.features is None or not _fusing_works():
        return model
    graph = fx.GraphModule(model.features, deepcopy(model.features.graph))
    count = sum(_fuse_conv(graph, node, bf16) for node in list(graph.graph.nodes))
    _clean(graph)
    network = Folded(model.head, model.last, graph, None, bf16=bf16).eval()
    return network if count and _agree(network, model, size) else model


class FusedConv(nn.Module):
    """One oneDNN convolution with bias, optionally followed by an addition and a ReLU. CPU, no gradients."""

    def __init__(
        self, conv: nn.Conv2d, *, activation: str = "none", overwrite: bool = False, bf16: bool = False
    ) -> None:
        """``activation``: none, relu or relu6. ``overwrite``: the sum may overwrite its other summand, which nothing else reads."""
        super().__init__()
        self.kind = torch.bfloat16 if bf16 else torch.float32
        self.activation, self.overwrite = activation, overwrite
        self.geometry = (list(conv.padding), list(conv.stride), list(conv.dilation), conv.groups)
        # No buffers: torch cannot save oneDNN's own layout.
        self._weight = conv.weight.detach().to(self.kind)
        self._bias = None if conv.bias is None else conv.bias.detach().to(self.kind)
        self._packed, self._packed_for = self._weight, torch.Size()

    def forward(self, maps: Tensor, other: Tensor | None = None) -> Tensor:
        """conv(maps), plus ``other`` if given, through the activation; keeps channels-last."""
        maps = maps.to(self.kind)
        # The best weight layout depends on the batch size too: the layout for one image makes a batch of eight five times slower
        # (2,048 channels to 512).
        if maps.shape != self._packed_for:
            self._packed = _OPERATORS._reorder_convolution_weight(self._weight, *self.geometry, list(maps.shape))
            self._packed_for = maps.shape
        what = (self._packed, self._bias, *self.geometry)
        if other is None:
            behind: Any = ("hardtanh", [0.0, 6.0], "") if self.activation == "relu6" else (self.activation, [], "")
            first: Tensor = _OPERATORS._convolution_pointwise(maps, *what, *behind)
            return first
        then: Any = ("add", 1.0, "relu" if self.activation == "relu" else None, [], "")
        other = other.to(self.kind)
        if self.overwrite:
            total: Tensor = _OPERATORS._convolution_pointwise_.binary(other, maps, *what, *then)
            return total
        both: Tensor = _OPERATORS._convolution_pointwise.binary(maps, other, *what, *then)
        return both


class _Features(nn.Module):
    """The traced part: the backbone with the modules after its stages."""

    def __init__(self, model: ReIDModel) -> None:
        super().__init__()
        self.backbone, self.after = model.backbone, model.after
        for stage in model.stages:
            if str(stage.number) in model.after and stage.number != model.final:
                place = self.backbone.get_submodule(stage.name)
                hooks = place._forward_hooks
                for key in [key for key, hook in hooks.items() if getattr(hook, "func", None) == model._follow]:
                    del hooks[key]
                # The same without collecting vectors, which a proxy does not have.
                place.register_forward_hook(
                    lambda _stage, _inputs, maps, then=model.after[str(stage.number)]: then(maps)
                )

    def forward(self, images: Any) -> Any:
        """(B, 3, H, W) -> final maps or tokens; for a proxy, a proxy."""
        return self.backbone.forward_features(images)  # type: ignore[operator]


class _Tracer(fx.Tracer):
    """Traces into the blocks of timm and OSNet; layers of torch and snreid, and all batch norms, are leaves."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """Whether a module is one node of the graph."""
        layer = type(m).__module__.startswith("snreid.") and type(m).__module__ != OSNet.__module__
        return layer or isinstance(m, nn.BatchNorm2d) or super().is_leaf_module(m, module_qualified_name)


def _traced(model: ReIDModel) -> fx.GraphModule | None:
    root = _Features(deepcopy(model))
    try:
        return fx.GraphModule(root, _Tracer().trace(root))
    except Exception:  # a network may do anything with a proxy; then it is not traceable
        return None


def _drop_identities(traced: fx.GraphModule) -> None:
    """Removes modules that do nothing in evaluation, so that a norm directly follows its convolution."""
    for node in list(traced.graph.nodes):
        module = _module(traced, node)
        if any(exactly(module, kind) for kind in (nn.Identity, nn.Dropout, nn.Dropout2d)):
            node.replace_all_uses_with(node.args[0])
            traced.graph.erase_node(node)


def _fold_pair(traced: fx.GraphModule, node: fx.Node) -> bool:
    """Folds the batch norm at ``node`` into the preceding convolution if nothing else reads it. Returns whether it did."""
    norm = _module(traced, node)
    before = node.args[0] if node.args else None
    if not isinstance(norm, nn.BatchNorm2d) or norm.running_mean is None or not isinstance(before, fx.Node):
        return False
    conv = _module(traced, before)
    hooked = norm._forward_hooks or norm._forward_pre_hooks
    if not _is_conv(conv) or _reader(before) is not node or hooked or _shared(traced, node) or _shared(traced, before):
        return False
    traced.set_submodule(str(before.target), fuse_conv_bn_eval(conv, norm))
    # timm merges activations into some of its batch norms; they stay, without the norm around them.
    rest = [m for m in activation_of(norm).modules() if not list(m.children()) and not isinstance(m, nn.Identity)]
    if rest:
        traced.set_submodule(str(node.target), rest[0] if len(rest) == 1 else nn.Sequential(*rest))
    else:
        node.replace_all_uses_with(before)
        traced.graph.erase_node(node)
    return True


@dataclass(frozen=True)
class _Chain:
    """Nodes after a convolution that are computed with it, in order; ``other`` is the summand."""

    nodes: tuple[fx.Node, ...] = ()
    other: fx.Node | None = None
    activation: str = "none"


def _fuse_conv(traced: fx.GraphModule, node: fx.Node, bf16: bool) -> bool:
    """Fuses the convolution at ``node`` with a following addition and ReLU. Returns whether it did."""
    conv = _module(traced, node)
    if not _is_conv(conv) or _shared(traced, node):
        return False
    padded = getattr(conv, "same", False) or conv.padding_mode != "zeros" or isinstance(conv.padding, str)
    if padded or conv.weight.dtype != torch.float32:
        return False
    chain = _chain(traced, node)
    layer = FusedConv(conv, activation=chain.activation, overwrite=_overwritable(traced, chain), bf16=bf16)
    traced.set_submodule(str(node.target), layer)
    if chain.nodes:
        inputs = node.args if chain.other is None else (*node.args, chain.other)
        with traced.graph.inserting_after(chain.nodes[-1]):
            call = traced.graph.call_module(str(node.target), inputs)
        chain.nodes[-1].replace_all_uses_with(call)
        for gone in (*reversed(chain.nodes), node):
            traced.graph.erase_node(gone)
    return True


def _chain(traced: fx.GraphModule, node: fx.Node) -> _Chain:
    following = _reader(node)
    if following is None:
        return _Chain()
    for kind, activation in ((nn.ReLU, "relu"), (nn.ReLU6, "relu6")):
        if exactly(_module(traced, following), kind):
            return _Chain((following,), None, activation)
    if following.target not in _ADDITIONS or following.kwargs or len(following.args) != 2:
        return _Chain()
    others = [argument for argument in following.args if argument is not node]
    # If two convolutions are added (the first block of a stage), the later one takes the addition.
    if len(others) != 1 or not isinstance(others[0], fx.Node) or _is_conv(_module(traced, others[0])):
        return _Chain()
    after = _reader(following)
    if after is not None and exactly(_module(traced, after), nn.ReLU):
        return _Chain((following, after), others[0], "relu")
    return _Chain((following,), others[0])


def _overwritable(traced: fx.GraphModule, chain: _Chain) -> bool:
    """Whether the other summand belongs to this graph alone and is not read after the addition."""
    if chain.other is None or not isinstance(_module(traced, chain.other), FusedConv | SNR):
        return False
    order = {node: at for at, node in enumerate(traced.graph.nodes)}
    return all(order[reader] <= order[chain.nodes[0]] for reader in chain.other.users)


def _fusing_works() -> bool:
    """Whether this torch has oneDNN's fused convolutions, which are private operators."""
    names = ("_convolution_pointwise", "_convolution_pointwise_", "_reorder_convolution_weight")
    built = bool(torch.backends.mkldnn.is_available())  # type: ignore[no-untyped-call]
    return built and all(hasattr(_OPERATORS, name) for name in names)


def _reader(node: fx.Node) -> fx.Node | None:
    """The only node that reads this one; None if there are none or several."""
    return next(iter(node.users)) if len(node.users) == 1 else None


def _module(traced: fx.GraphModule, node: fx.Node) -> nn.Module | None:
    return traced.get_submodule(str(node.target)) if node.op == "call_module" else None


def _is_conv(module: nn.Module | None) -> TypeGuard[nn.Conv2d]:
    # A mobile convolution differs only in its gradient and its padding.
    return exactly(module, nn.Conv2d) or exactly(module, MobileConv2d)


def _shared(traced: fx.GraphModule, node: fx.Node) -> bool:
    """Whether the module is called more than once."""
    calls = [other for other in traced.graph.nodes if other.op == "call_module" and other.target == node.target]
    return len(calls) > 1


def _clean(traced: fx.GraphModule) -> None:
    traced.graph.lint()
    traced.delete_all_unused_submodules()
    traced.recompile()


def _agree(network: Folded, reference: Folded, size: Size) -> bool:
    """Whether both give a random image the same embedding."""
    device = next(reference.head.parameters()).device
    random = torch.Generator().manual_seed(0)
    image = torch.randn((1, 3, *size), generator=random).to(device, memory_format=torch.channels_last)
    try:
        with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=network.bf16):
            embedding, expected = network(image).float(), reference(image).float()
    except (RuntimeError, ValueError):
        return False
    tolerance = _COARSE if network.bf16 else _TOLERANCE.get(device.type, _COARSE)
    return bool((embedding - expected).abs().max() <= tolerance * (1 + expected.abs().max()))
