"""A trained model for inference alone: batch norms folded into the convolutions before them, on a CPU with what follows fused in.

In evaluation a batch norm is an affine map per channel with fixed numbers, so conv then BN is one convolution with the weight
W gamma / sqrt(var + eps) and the bias beta + (b - mean) gamma / sqrt(var + eps). That is exact up to rounding, and only done where
a batch norm is the one reader of a convolution. Everything else (IN, IBN's half, BIN, SN, SNR, the head) is left as it is.

``fused`` goes one step further on a CPU: conv + ReLU(6) and conv + addition + ReLU become one call of oneDNN with prepacked weights,
the operators that torch.compile uses, without a compiler. Both give a new module; the model that they are given is not touched.
"""

import operator
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn

from snreid.models.head import NeckClassifier
from snreid.models.mobile_conv import MobileConv2d
from snreid.models.narrow import NarrowConv2d
from snreid.models.norm_layers import activation_of, exactly
from snreid.models.osnet import OSNet
from snreid.models.reid import ReIDModel, pooled
from snreid.models.snr import SNR
from snreid.tensors import Embeddings, Images

_TOLERANCE = {"cpu": 1e-3}
"""Of the largest value, by device: a network that embeds a drawn image otherwise was traced wrongly. Rounding differs by about 1e-6."""
_COARSE = 0.1
"""The same where one of the two computes with bfloat16 or TF32."""
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
        """``features`` gives what ``last`` and the head take; None: ``whole``, in eval mode, does all of it."""
        super().__init__()
        self.head, self.last, self.features, self.whole, self.bf16 = head, last, features, whole, bf16

    def forward(self, images: Images) -> Embeddings:
        """As ``ReIDModel.embed``."""
        if self.features is None:
            assert self.whole is not None
            return self.whole.embed(images)
        return self.head.embed(pooled(self.features(images), self.last, self.head))


def folded(model: ReIDModel, size: Size) -> Folded:
    """A copy of the model with its batch norms folded; plain torch modules, so that it can be exported and runs on any device.

    ``size``: height and width of the images, in pixels. Where the network cannot be read as a graph (control flow that depends on the
    image), or has no such pair, the copy is the model as it is, in evaluation mode. Draws from no global random generator.
    """
    copy = deepcopy(model).eval().requires_grad_(False)
    plain = Folded(copy.head, None, None, copy)
    traced = _traced(copy) if any(isinstance(m, nn.BatchNorm2d) for m in copy.backbone.modules()) else None
    if traced is None:
        return plain
    _drop_identities(traced)
    count = sum(_fold_pair(traced, node) for node in list(traced.graph.nodes))
    _clean(traced)
    found = Folded(copy.head, copy.last, traced, None).eval()
    return found if count and _agree(found, plain, size) else plain


def fused(model: Folded, size: Size, *, bf16: bool = False) -> Folded:
    """The folded model with oneDNN's fused convolutions, for channels-last images on a CPU; the same module where they do not serve.

    ``bf16``: convolutions with bfloat16 weights and maps; only for processors with units for it (elsewhere far slower).
    """
    if model.features is None or not _fusing_works():
        return model
    graph = fx.GraphModule(model.features, deepcopy(model.features.graph))
    count = sum(_fuse_conv(graph, node, bf16) for node in list(graph.graph.nodes))
    _clean(graph)
    found = Folded(model.head, model.last, graph, None, bf16=bf16).eval()
    return found if count and _agree(found, model, size) else model


class FusedConv(nn.Module):
    """One convolution of oneDNN with its bias and, behind it, an addition and a ReLU where asked for. CPU, no gradients."""

    def __init__(
        self, conv: nn.Conv2d, *, activation: str = "none", overwrite: bool = False, bf16: bool = False
    ) -> None:
        """``activation``: none, relu or relu6. ``overwrite``: the sum may take the place of what is added, which nobody else reads."""
        super().__init__()
        self.kind = torch.bfloat16 if bf16 else torch.float32
        self.activation, self.overwrite = activation, overwrite
        self.geometry = (list(conv.padding), list(conv.stride), list(conv.dilation), conv.groups)
        # No buffers: their layout is oneDNN's own, which nothing else of torch can save.
        self._weight = conv.weight.detach().to(self.kind)
        self._bias = None if conv.bias is None else conv.bias.detach().to(self.kind)
        self._packed, self._packed_for = self._weight, torch.Size()

    def forward(self, maps: Tensor, other: Tensor | None = None) -> Tensor:
        """conv(maps), plus ``other`` where there is one, through the activation; channels-last comes out channels-last."""
        maps = maps.to(self.kind)
        # The best order of the weights depends on the maps, also on how many images there are: that for one image makes a batch
        # of eight five times slower (2,048 channels to 512).
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


def fold_batch_norm(conv: nn.Conv2d, norm: nn.BatchNorm2d) -> nn.Conv2d:
    """A convolution with bias that equals ``norm(conv(x))`` in evaluation. Computed in float64, rounded once."""
    assert norm.running_mean is not None and norm.running_var is not None
    wide, kind = torch.float64, conv.weight.dtype
    scale = torch.rsqrt(norm.running_var.to(wide) + norm.eps)
    shift = torch.zeros_like(scale)
    if norm.affine:
        scale, shift = scale * norm.weight.to(wide), norm.bias.to(wide)
    bias = torch.zeros_like(scale) if conv.bias is None else conv.bias.to(wide)
    made = deepcopy(conv)
    made.weight = nn.Parameter((conv.weight.to(wide) * scale[:, None, None, None]).to(kind), requires_grad=False)
    made.bias = nn.Parameter((shift + (bias - norm.running_mean.to(wide)) * scale).to(kind), requires_grad=False)
    return made


class _Features(nn.Module):
    """What is traced: the backbone with what follows its stages inside, up to what it gives."""

    def __init__(self, model: ReIDModel) -> None:
        super().__init__()
        self.backbone, self.after = model.backbone, model.after
        for stage in model.stages:
            if str(stage.number) in model.after and stage.number != model.final:
                place = self.backbone.get_submodule(stage.name)
                own = [
                    key for key, hook in place._forward_hooks.items() if getattr(hook, "func", None) == model._follow
                ]
                for key in own:
                    del place._forward_hooks[key]
                # The same without collecting vectors: a placeholder is no tensor that could be asked for them.
                place.register_forward_hook(
                    lambda _stage, _inputs, maps, then=model.after[str(stage.number)]: then(maps)
                )

    def forward(self, images: Any) -> Any:
        """(B, 3, H, W) -> final maps or tokens; of a placeholder, a placeholder."""
        return self.backbone.forward_features(images)  # type: ignore[operator]


class _Tracer(fx.Tracer):
    """Opens the blocks of timm and of OSNet; layers of torch and of this project, and every batch norm, stay whole."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """Whether a module is one node of the graph."""
        own = type(m).__module__.startswith("snreid.") and type(m).__module__ != OSNet.__module__
        return own or isinstance(m, nn.BatchNorm2d) or super().is_leaf_module(m, module_qualified_name)


def _traced(model: ReIDModel) -> fx.GraphModule | None:
    root = _Features(deepcopy(model))
    try:
        return fx.GraphModule(root, _Tracer().trace(root))
    except Exception:  # whatever a network does with a placeholder where it expects an image: then it is no graph
        return None


def _drop_identities(traced: fx.GraphModule) -> None:
    """Takes out what does nothing in evaluation, so that what is computed in a row stands in a row."""
    for node in list(traced.graph.nodes):
        module = _module(traced, node)
        if any(exactly(module, kind) for kind in (nn.Identity, nn.Dropout, nn.Dropout2d)):
            node.replace_all_uses_with(node.args[0])
            traced.graph.erase_node(node)


def _fold_pair(traced: fx.GraphModule, node: fx.Node) -> bool:
    """Folds the batch norm at ``node`` into the convolution that it alone reads. Whether it was one."""
    norm = _module(traced, node)
    before = node.args[0] if node.args else None
    if not isinstance(norm, nn.BatchNorm2d) or norm.running_mean is None or not isinstance(before, fx.Node):
        return False
    conv = _module(traced, before)
    hooked = norm._forward_hooks or norm._forward_pre_hooks
    if not _is_conv(conv) or _reader(before) is not node or hooked or _shared(traced, node) or _shared(traced, before):
        return False
    assert isinstance(conv, nn.Conv2d)
    traced.set_submodule(str(before.target), fold_batch_norm(conv, norm))
    # timm folds activations into some of its batch norms; they stay, without their wrapping.
    rest = [m for m in activation_of(norm).modules() if not list(m.children()) and not isinstance(m, nn.Identity)]
    if rest:
        traced.set_submodule(str(node.target), rest[0] if len(rest) == 1 else nn.Sequential(*rest))
    else:
        node.replace_all_uses_with(before)
        traced.graph.erase_node(node)
    return True


@dataclass(frozen=True)
class _Chain:
    """What follows a convolution and is computed with it, in order; ``other`` is what is added."""

    nodes: tuple[fx.Node, ...] = ()
    other: fx.Node | None = None
    activation: str = "none"


def _fuse_conv(traced: fx.GraphModule, node: fx.Node, bf16: bool) -> bool:
    """Makes the convolution at ``node``, with an addition and a ReLU that follow it, one call. Whether it was a convolution."""
    conv = _module(traced, node)
    if not _is_conv(conv) or _shared(traced, node):
        return False
    assert isinstance(conv, nn.Conv2d)
    if (
        getattr(conv, "same", False)
        or conv.padding_mode != "zeros"
        or isinstance(conv.padding, str)
        or conv.weight.dtype != torch.float32
    ):
        return False
    chain = _chain(traced, node)
    made_of = FusedConv(conv, activation=chain.activation, overwrite=_done_with(traced, chain), bf16=bf16)
    traced.set_submodule(str(node.target), made_of)
    if chain.nodes:
        inputs = node.args if chain.other is None else (*node.args, chain.other)
        with traced.graph.inserting_after(chain.nodes[-1]):
            made = traced.graph.call_module(str(node.target), inputs)
        chain.nodes[-1].replace_all_uses_with(made)
        for gone in (*reversed(chain.nodes), node):
            traced.graph.erase_node(gone)
    return True


def _chain(traced: fx.GraphModule, node: fx.Node) -> _Chain:
    following = _reader(node)
    if following is None:
        return _Chain()
    if exactly(_module(traced, following), nn.ReLU):
        return _Chain((following,), None, "relu")
    if exactly(_module(traced, following), nn.ReLU6):
        return _Chain((following,), None, "relu6")
    if following.target not in _ADDITIONS or following.kwargs or len(following.args) != 2:
        return _Chain()
    others = [argument for argument in following.args if argument is not node]
    # Of two convolutions that are added (the first block of a stage) the one that comes last takes the addition.
    if len(others) != 1 or not isinstance(others[0], fx.Node) or _is_conv(_module(traced, others[0])):
        return _Chain()
    after = _reader(following)
    if after is not None and exactly(_module(traced, after), nn.ReLU):
        return _Chain((following, after), others[0], "relu")
    return _Chain((following,), others[0])


def _done_with(traced: fx.GraphModule, chain: _Chain) -> bool:
    """Whether what is added was computed for this graph alone and is read by nothing that comes after the addition."""
    if chain.other is None or not isinstance(_module(traced, chain.other), FusedConv | SNR):
        return False
    order = {node: at for at, node in enumerate(traced.graph.nodes)}
    return all(order[reader] <= order[chain.nodes[0]] for reader in chain.other.users)


def _fusing_works() -> bool:
    """Whether this torch has oneDNN with its fused convolutions; they are private operators, so that is asked and not assumed."""
    names = ("_convolution_pointwise", "_convolution_pointwise_", "_reorder_convolution_weight")
    built = bool(torch.backends.mkldnn.is_available())  # type: ignore[no-untyped-call]
    return built and all(hasattr(_OPERATORS, name) for name in names)


def _reader(node: fx.Node) -> fx.Node | None:
    """The one node that reads this one, None where none or several do."""
    return next(iter(node.users)) if len(node.users) == 1 else None


def _module(traced: fx.GraphModule, node: fx.Node) -> nn.Module | None:
    return traced.get_submodule(str(node.target)) if node.op == "call_module" else None


def _is_conv(module: nn.Module | None) -> bool:
    # The others differ in their gradient, and in what they put around the maps.
    return any(exactly(module, kind) for kind in (nn.Conv2d, NarrowConv2d, MobileConv2d))


def _shared(traced: fx.GraphModule, node: fx.Node) -> bool:
    """Whether the module is called at another place too."""
    return len([other for other in traced.graph.nodes if other.op == "call_module" and other.target == node.target]) > 1


def _clean(traced: fx.GraphModule) -> None:
    traced.graph.lint()
    traced.delete_all_unused_submodules()
    traced.recompile()


def _agree(one: Folded, other: Folded, size: Size) -> bool:
    """Whether both embed a drawn image alike."""
    device = next(other.head.parameters()).device
    random = torch.Generator().manual_seed(0)
    image = torch.randn((1, 3, *size), generator=random).to(device, memory_format=torch.channels_last)
    try:
        with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=one.bf16):
            found, expected = one(image).float(), other(image).float()
    except (RuntimeError, ValueError):
        return False
    tolerance = _COARSE if one.bf16 else _TOLERANCE.get(device.type, _COARSE)
    return bool((found - expected).abs().max() <= tolerance * (1 + expected.abs().max()))
