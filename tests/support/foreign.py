"""Checkpoints as other libraries write them, made of random tensors, and the norm that slow twins compute from them."""

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

State = dict[str, Tensor]


def add_conv(state: State, name: str, inner: int, outer: int, size: int = 1, bias: bool = False) -> None:
    state[f"{name}.weight"] = torch.randn(outer, inner, size, size) * math.sqrt(2 / (inner * size * size))
    if bias:
        state[f"{name}.bias"] = torch.randn(outer)


def add_norm(state: State, name: str, channels: int, running: bool = True) -> None:
    state[f"{name}.weight"] = torch.rand(channels) + 0.5
    state[f"{name}.bias"] = torch.randn(channels) * 0.2
    if running:
        state[f"{name}.running_mean"] = torch.randn(channels) * 0.2
        state[f"{name}.running_var"] = torch.rand(channels) + 0.5
        state[f"{name}.num_batches_tracked"] = torch.tensor(7)


def normalized(x: Tensor, state: State, name: str) -> Tensor:
    """By running statistics where the checkpoint has them, else by the image's own."""
    shape = (1, -1, *[1] * (x.ndim - 2))
    if f"{name}.running_mean" in state:
        mean, variance = state[f"{name}.running_mean"].view(shape), state[f"{name}.running_var"].view(shape)
    else:
        mean, variance = x.mean((2, 3), keepdim=True), x.var((2, 3), keepdim=True, correction=0)
    x = (x - mean) / torch.sqrt(variance + 1e-5)
    return x * state[f"{name}.weight"].view(shape) + state[f"{name}.bias"].view(shape)


def wrapped(state: State, shape: str) -> Any:
    """A checkpoint as people have it: torchreid's from several GPUs, fast-reid's, the bare tensors."""
    if shape == "torchreid":
        optimizer = torch.optim.Adam([nn.Parameter(torch.zeros(2))]).state_dict()
        parallel = {f"module.{key}": value for key, value in state.items()}
        return {"state_dict": parallel, "epoch": 60, "rank1": np.float64(0.94), "optimizer": optimizer}
    if shape == "fast-reid":
        trunk = {f"backbone.{key}": value for key, value in state.items() if not key.startswith(("fc.", "classifier."))}
        heads = {"heads.weight": torch.randn(702, 512), "heads.bottleneck.0.bias": torch.zeros(512)}
        return {"model": trunk | heads | {"heads.pool_layer.p": torch.ones(1)}, "iteration": 9}
    return state


def close(found: Tensor, expected: Tensor) -> bool:
    return torch.allclose(found, expected, rtol=1e-4, atol=1e-5 * float(expected.abs().max()))
