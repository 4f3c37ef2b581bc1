"""Captures the output of every stage of a model, and of the module after it (method.md section 1)."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from snreid.images.transforms import StoredImages
from snreid.inference.embedder import Embedder
from snreid.models.norm_layers import StageInstanceNorm
from snreid.models.snr import SNR, SNRParts, channels_first
from snreid.models.trunk import Stage
from snreid.tensors import Embeddings, Maps


@dataclass(frozen=True)
class StageLook:
    """One stage of a model for a batch of B images."""

    stage: int
    """Counted from 1."""
    maps: Maps
    """F, (B, C, H, W), float32: output of the backbone stage."""
    normalized: Maps | None
    """F~, if the scheme normalizes after this stage."""
    parts: SNRParts | None
    """All other maps, if an SNR module follows the stage."""
    passed: Maps
    """Input of the next stage: F~+ for SNR, F~ for Baseline-IN, F if no module follows the stage."""
    other: str = ""
    """Name of any other module that follows the stage; then only F and ``passed`` are known."""


def dissect(embedder: Embedder, images: StoredImages) -> tuple[tuple[StageLook, ...], Embeddings]:
    """Runs a normal forward pass on ``images``, uint8 (B, 3, H, W) of the model's size, in eval mode and without gradient.

    Returns the maps of each stage, in stage order, and the embeddings (B, D) after the neck, all on the CPU and in float32. An
    SNR module computes its parts from its input F in this pass.
    """
    model = embedder.model
    after = {int(number): module for number, module in model.after.items()}
    was_training = model.training
    model.eval()
    try:
        with _watched(embedder) as seen, torch.inference_mode(), embedder.autocast():
            pixels = embedder.input.normalize(images.to(embedder.device)).contiguous(memory_format=torch.channels_last)
            embedding = model.embed(pixels)
            size = (int(images.shape[2]), int(images.shape[3]))
            looks = tuple(_look(stage, after.get(stage.number), *seen[stage.number], size) for stage in model.stages)
    finally:
        model.train(was_training)
    return looks, embedding.float().cpu()


@contextmanager
def _watched(embedder: Embedder) -> Iterator[dict[int, tuple[Tensor, Tensor]]]:
    """Stage number -> (F, input of the next stage), filled by the forward pass inside the block."""
    model = embedder.model
    seen: dict[int, tuple[Tensor, Tensor]] = {}

    def keep(number: int, module: nn.Module, inputs: Any, output: Tensor) -> None:
        """Forward hook: on the module after a stage it sees input and output, on a bare stage only the output."""
        seen[number] = (inputs[0] if str(number) in model.after else output, output)

    with ExitStack() as hooks:
        for stage in model.stages:
            key = str(stage.number)
            place = model.after[key] if key in model.after else model.backbone.get_submodule(stage.name)
            hooks.callback(place.register_forward_hook(partial(keep, stage.number)).remove)
        yield seen


def _look(stage: Stage, module: nn.Module | None, given: Tensor, passed: Tensor, size: tuple[int, int]) -> StageLook:
    """Builds the record of one stage, with maps of shape (B, C, H, W)."""

    def view_grid(maps: Tensor) -> Maps:
        """(B, C, H, W), float32, on the CPU."""
        return _grid(maps, stage.stride, size).float().cpu()

    maps, result = (view_grid(channels_first(m, stage.layout, stage.prefix_tokens)) for m in (given, passed))
    if isinstance(module, SNR):
        found = module.parts(given)
        grids = {name: view_grid(getattr(found, name)) for name in ("maps", "normalized", "relevant", "irrelevant")}
        parts = SNRParts(**grids, gate=None if found.gate is None else found.gate.float().cpu())
        return StageLook(stage.number, maps, parts.normalized, parts, result)
    if isinstance(module, StageInstanceNorm):
        return StageLook(stage.number, maps, result, None, result)
    return StageLook(stage.number, maps, None, None, result, "" if module is None else type(module).__name__)


def _grid(maps: Maps, stride: int, size: tuple[int, int]) -> Maps:
    """Arranges tokens in rows and columns, if their number implies the grid; returns other maps unchanged."""
    rows, columns = size[0] // stride, size[1] // stride
    if maps.shape[3] == 1 and maps.shape[2] == rows * columns:
        return maps.squeeze(-1).reshape(*maps.shape[:2], rows, columns)
    return maps
