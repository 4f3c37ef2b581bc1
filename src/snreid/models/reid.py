"""The whole model: images -> ``Outputs``; users call ``embed``.

The backbone stays a plain timm network (``backbone.*`` are timm's keys, so timm checkpoints fit). The modules that a scheme adds
after a stage are under ``after.<stage>`` and run in a forward hook bound to the model's own method, so that a
deep copy (a mean teacher) runs its own modules and not the original's.

The head pools the output of timm's ``forward_features``. Some networks have layers after the last stage (EfficientNet's convolution,
a ViT's norm), which then process the last F~+. If the network ends with the stage (ResNet, ConvNeXt, MobileNet), the model itself calls
the module behind it: the mean of F~+ needs no F~+ (``SNR.means``), so SNR after the last stage costs next to nothing.
"""

from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Self, TypeGuard

import torch
from torch import Tensor, nn

from snreid.errors import ExperimentError
from snreid.models.backbone import Backbone
from snreid.models.freezing import Freezing
from snreid.models.head import Head, NeckClassifier, as_weights, linear_classifier
from snreid.models.norm_layers import exactly, has_hooks
from snreid.models.schemes import Plain, Scheme
from snreid.models.snr import SNR, SNRMeans, SNRSplit
from snreid.models.trunk import Trunk
from snreid.models.weights import SavedModel, restore
from snreid.outputs import Outputs, StageLogits, StageVectors
from snreid.tensors import Embeddings, Images

CLASSIFIERS = ("head.classifier.", "stage_classifiers.")
"""Prefixes of the parameters that depend on the training identities."""

# torch.export and DistributedDataParallel inspect outputs only of types they know.
for _record in (Outputs, StageVectors, StageLogits):
    torch.export.register_dataclass(_record)


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """Configuration of a model: backbone, scheme, head."""

    backbone: Backbone = field(default_factory=Backbone)
    scheme: Scheme = field(default_factory=Plain)
    head: Head = field(default_factory=Head)

    def build(self, persons: int) -> "ReIDModel":
        """The model for ``persons`` training identities, in training mode on the CPU.

        Random weights come from torch's global generator: seed it first. Raises ``ExperimentError`` when scheme and
        backbone are incompatible, ``CheckpointError`` when pretrained weights are unavailable.
        """
        trunk = self.backbone.build()
        after = self.scheme.apply(trunk)
        head = self.head.build(trunk.channels, persons, layout=trunk.layout, prefix_tokens=trunk.prefix_tokens)
        classifiers = persons if self.head.stage_classifiers else None
        return ReIDModel(trunk, after, head, stage_persons=classifiers)


class ReIDModel(nn.Module):
    """A backbone, the modules after its stages, and a head.

    Cast as a whole (``model.bfloat16()``, ``model.half()``) it embeds images of that type, with statistics and gates in float32. To train
    in 16 bits, keep the model in float32 and run it under ``torch.autocast`` (``--precision``): bfloat16 weights lose small steps.
    ``del model.after["2"]`` removes the module after stage 2.

    Args:
        trunk: A built backbone.
        after: The modules that follow stages, by stage number.
        head: Pool, neck and classifier.
        stage_persons: Number of identities of the stage classifiers; None for no stage classifiers.
    """

    def __init__(
        self, trunk: Trunk, after: dict[int, nn.Module], head: NeckClassifier, *, stage_persons: int | None = None
    ) -> None:
        super().__init__()
        self.stages = trunk.stages
        self.dim = trunk.channels
        self.backbone = trunk.network
        self.after = nn.ModuleDict({str(number): after[number] for number in sorted(after)})
        self.head = head
        self.stage_classifiers = nn.ModuleDict()
        if stage_persons is not None:
            for number, module in self.after.items():
                if isinstance(module, SNR):
                    self.stage_classifiers[number] = linear_classifier(module.channels, stage_persons)
        last = self.stages[-1].number
        self.final = last if trunk.ends_in_stage and str(last) in self.after else None
        self._splits: dict[int, SNRSplit | SNRMeans] | None = None
        self._freezing = Freezing()
        for stage in self.stages:
            if str(stage.number) in self.after and stage.number != self.final:
                place = self.backbone.get_submodule(stage.name)
                place.register_forward_hook(partial(self._follow, stage.number))

    def freeze(self, stages: int, *, backbone: bool = False) -> None:
        """Freezes the weights and running statistics of the first stages (``models/freezing.py``).

        Args:
            stages: Number of stages to freeze, with everything before them; 0 trains all of them.
            backbone: Whether to freeze the whole backbone instead.

        Raises:
            ExperimentError: There are fewer stages.
        """
        if not 0 <= stages <= len(self.stages):
            raise ExperimentError(
                "Only stages that the backbone has can be frozen",
                found=f"{stages} of {len(self.stages)}",
                fix=f"give 0 to {len(self.stages)}",
            )
        until = self.stages[stages - 1].name if stages else None
        self._freezing.change(self.backbone, "" if backbone else until)
        self.train(self.training)

    def train(self, mode: bool = True) -> Self:
        """As in any module, except that frozen parts stay in evaluation mode."""
        super().train(mode)
        if mode:
            self._freezing.keep(self.backbone)
        return self

    @property
    def last(self) -> nn.Module | None:
        """The module after the backbone's final maps, if these are the output of a stage, whose number is ``final``."""
        return None if self.final is None else self._module_after(self.final)

    def _module_after(self, number: int) -> nn.Module | None:
        """The module after a stage; None if it was removed (``del model.after["2"]``)."""
        key = str(number)
        return self.after[key] if key in self.after else None  # noqa: SIM401 (a ModuleDict has no get)

    def _follow(self, number: int, stage: nn.Module, inputs: Any, maps: Tensor) -> Tensor:
        """The hook: passes the maps of a stage through its module; keeps the vectors while ``forward`` collects them."""
        module = self._module_after(number)
        if module is None:
            return maps
        if self._splits is None or not isinstance(module, SNR):
            followed: Tensor = module(maps)
            return followed
        split = self._splits[number] = _split(module, maps)
        return split.maps

    def forward(self, images: Images) -> Outputs:
        """(B, 3, H, W) normalized images -> all inputs of the losses, the same record in training and evaluation."""
        splits: dict[int, SNRSplit | SNRMeans] = {}
        self._splits = splits
        try:
            maps = self._features(images)
        finally:
            # On the module they would make deepcopy fail and keep the graph of the last step alive.
            self._splits = None
        pooled = self._pool(maps, splits)
        embedding = self.head.embed(pooled)
        stages = tuple(self._vectors(number, splits[number]) for number in sorted(splits))
        return Outputs(pooled=pooled, embedding=embedding, logits=self.head(embedding), stages=stages)

    def embed(self, images: Images) -> Embeddings:
        """(B, 3, H, W) normalized images -> (B, D) after the neck, not L2-normalized. Call ``eval()`` first."""
        return self.head.embed(pooled(self._features(images), self.last, self.head))

    def _pool(self, maps: Tensor, splits: dict[int, SNRSplit | SNRMeans]) -> Embeddings:
        """As ``pooled``; keeps the vectors of an SNR module after the last stage."""
        last = self.last
        if self.final is None or not isinstance(last, SNR):
            return pooled(maps, last, self.head)
        if last.constant and _only_averaged(last):
            means = splits[self.final] = last.means(maps)
            return means.restored
        split = splits[self.final] = _split(last, maps)
        return self.head.pool(split.maps)

    def _features(self, images: Images) -> Tensor:
        maps: Tensor = self.backbone.forward_features(images)  # type: ignore[operator]
        return maps

    def _vectors(self, number: int, split: SNRSplit | SNRMeans) -> StageVectors:
        module: Any = self.after[str(number)]
        logits = None
        if self.stage_classifiers:
            classify: Any = self.stage_classifiers[str(number)]
            vectors = (split.normalized, split.restored, split.contaminated)
            logits = StageLogits(*(classify(as_weights(vector, classify)) for vector in vectors))
        return StageVectors(
            stage=number,
            normalized=split.normalized,
            restored=split.restored,
            contaminated=split.contaminated,
            constant=module.constant,
            logits=logits,
        )


def _split(module: SNR, maps: Tensor) -> SNRSplit:
    """F~+ and the vectors of the loss. F~+ comes from a call of the module if it has hooks, or a subclass overrides ``forward`` but not
    ``split``."""
    kind = type(module)
    if kind.forward is not SNR.forward and kind.split is SNR.split:
        return replace(module.split(maps), maps=module(maps))
    if not has_hooks(module):
        return module.split(maps)
    splits: list[SNRSplit] = []

    def forward(maps: Tensor) -> Tensor:
        """Computes everything at once: norms inside a gate must not see the maps twice."""
        splits.append(module.split(maps))
        return splits[0].maps

    module.forward = forward  # type: ignore[method-assign]
    try:
        restored = module(maps)
    finally:
        del module.forward
    return replace(splits[0], maps=restored)


def start_from(model: ReIDModel, saved: SavedModel, *, same_persons: bool, source: str) -> None:
    """Copies the weights of the trained model ``saved``, called ``source`` in messages; classifiers only if both have the same persons.

    Raises ``CheckpointError`` if the architectures differ.
    """
    # Stage classifiers exist only with the journal's form of the loss.
    stages = bool(model.stage_classifiers) and any(name.startswith(CLASSIFIERS[1]) for name in saved.tensors)
    restore(
        model,
        saved,
        source=source,
        spare=CLASSIFIERS if not same_persons else () if stages else CLASSIFIERS[1:],
        fix="start from a run with the same backbone, scheme and head",
    )


@torch.no_grad()
def move_toward(model: ReIDModel, saved: SavedModel, share: float) -> None:
    """Moves the weights and running statistics of ``model`` to (1 - share) theirs + share ``saved``; classifiers stay."""
    for name, tensor in model.state_dict().items():
        if tensor.is_floating_point() and not name.startswith(CLASSIFIERS):
            tensor.lerp_(saved.tensors[name].to(tensor), share)


def pooled(maps: Tensor, last: nn.Module | None, head: NeckClassifier) -> Embeddings:
    """(B, D): the pooled final maps or tokens, after ``last``, the module that follows them, if any."""
    if last is None:
        return head.pool(maps)
    if _only_averaged(last):
        return last.means(maps).restored
    return head.pool(last(maps))


def _only_averaged(last: nn.Module) -> TypeGuard[SNR]:
    """Whether only the mean of F~+ is needed, and the module can compute it without F~+."""
    return exactly(last, SNR) and bool(last.has_closed_form) and last.layout != "tokens"
