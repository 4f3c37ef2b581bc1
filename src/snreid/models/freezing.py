"""Which parts of a backbone keep their weights while the rest trains.

Frozen parts have no gradient and are in evaluation mode, so their running statistics stay, and autograd builds no graph before the first
trained parameter. Modules after stages (SNR, instance norm) do not belong to the backbone and train. Of the norms that a scheme puts into
the backbone, those that only inherit the scale and shift of a batch norm freeze with the layers around them (all of Baseline-A-IN,
IBN-a's halves, IBN-b's stem). Those with new parameters (``norm_layers.has_new_parameters``: switchable and batch-instance norm, the
norms IBN-b adds) train wherever they are; from the first of them on there is a graph, and no time is saved.
"""

from collections.abc import Iterator

from torch import nn

from snreid.models.norm_layers import has_new_parameters


class Freezing:
    """The frozen parts of one backbone."""

    def __init__(self) -> None:
        self._parts: tuple[str, ...] = ()
        """Frozen modules, none inside another."""
        self._held: frozenset[str] = frozenset()
        """Parameters that would otherwise have a gradient."""

    def change(self, backbone: nn.Module, until: str | None) -> None:
        """Freezes what runs up to and including the module ``until`` (``""``: everything; None: nothing), and unfreezes the rest."""
        self._parts = () if until is None else tuple(parts_until(backbone, until))
        wanted = set() if until is None else _resting_parameters(backbone, self._parts, until)
        for name, parameter in backbone.named_parameters():
            if name in self._held:
                parameter.requires_grad_(True)
        self._held = frozenset(n for n, p in backbone.named_parameters() if n in wanted and p.requires_grad)
        for name, parameter in backbone.named_parameters():
            if name in self._held:
                parameter.requires_grad_(False)

    def keep(self, backbone: nn.Module) -> None:
        """Puts the frozen parts of a training backbone into evaluation mode. By name, as a module may be replaced (``synchronized``)."""
        for part in self._parts:
            module = backbone.get_submodule(part)
            module.eval()
            for norm in _new_norms(module):
                norm.train()


def parts_until(network: nn.Module, place: str) -> list[str]:
    """Names of the modules that ``network`` runs up to and including ``place``; none lies inside another. ``""``: all.

    timm's networks register their modules in the order in which they run.
    """
    children = [name for name, _ in network.named_children()]
    if not place:
        return children
    first, _, rest = place.partition(".")
    before = children[: children.index(first)]
    inside = parts_until(network.get_submodule(first), rest) if rest else []
    return [*before, *([f"{first}.{name}" for name in inside] if rest else [first])]


def _resting_parameters(network: nn.Module, parts: tuple[str, ...], until: str) -> set[str]:
    """Names of the parameters in ``parts`` and beside them (a class token, position embeddings), except norms with new parameters."""
    names: set[str] = set()
    steps = until.split(".")[:-1]
    for holder in [".".join(steps[:depth]) for depth in range(len(steps) + 1)]:
        named = network.get_submodule(holder).named_parameters(recurse=False)
        names |= {f"{holder}.{name}" if holder else name for name, _ in named}
    new = {id(p) for norm in _new_norms(network) for p in norm.parameters()}
    for part in parts:
        named = network.get_submodule(part).named_parameters()
        names |= {f"{part}.{name}" for name, parameter in named if id(parameter) not in new}
    return names


def _new_norms(network: nn.Module) -> Iterator[nn.Module]:
    return (module for module in network.modules() if has_new_parameters(module))
