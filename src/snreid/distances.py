"""Distances between embeddings, with gradients that stay bounded everywhere.

Shared by the losses. Each distance exists for pairs row by row; ``euclidean_matrix`` compares all rows with all
rows and is used to *choose* pairs (mining), never to differentiate: the value that enters a loss is computed again
from the chosen rows, exactly and without the cancellation of the ``x.x - 2 x.y + y.y`` shortcut.

Half-precision input is computed in float32; float32 and float64 keep their type.
"""

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn import functional

from snreid.tensors import Embeddings

PairDistances = Float[Tensor, "batch"]
"""One distance per row."""
Distances = Float[Tensor, "rows columns"]
"""Distance of every row of one set to every row of another."""

NORM_FLOOR = 1e-2
"""Vectors shorter than this are not stretched to unit length but divided by it (``half_cosine_pairs``)."""


def at_least_float32(x: Tensor) -> Tensor:
    """``x`` in float32 if it came in half precision (autocast), else untouched. Any shape."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


def rows(vectors: Float[Tensor, "rows dim"], positions: Int64[Tensor, "batch"]) -> Float[Tensor, "batch dim"]:
    """``vectors[positions]`` with a gradient that has the same bits every time.

    The gradient of plain indexing adds rows that were chosen more than once in whatever order the threads of a CPU
    come; a run would then neither repeat nor resume exactly. An embedding look-up sums them in a fixed order, on
    CUDA too.
    """
    return functional.embedding(positions, vectors)


def euclidean_matrix(x: Float[Tensor, "rows dim"], y: Float[Tensor, "columns dim"]) -> Distances:
    """|x_i - y_j|, >= 0, for choosing pairs: computed from differences, without gradient.

    Two equal rows have distance exactly 0, which the faster matrix-product form does not give in float32.
    """
    with torch.no_grad():
        return torch.cdist(at_least_float32(x), at_least_float32(y), compute_mode="donot_use_mm_for_euclid_dist")


def euclidean_pairs(x: Embeddings, y: Embeddings) -> PairDistances:
    """|x_i - y_i|, >= 0, row by row. Its gradient has norm 1, and is 0 (not NaN) where the two rows are equal."""
    distances: Tensor = torch.linalg.vector_norm(at_least_float32(x) - at_least_float32(y), dim=1)
    return distances


def half_cosine_pairs(x: Embeddings, y: Embeddings) -> PairDistances:
    """0.5 - 0.5 cos(x_i, y_i), between 0 and 1, row by row (method.md section 2, the paper's distance).

    Computed as |u - v|^2 / 4 of the unit vectors u, v, which is the same number without cancellation: equal rows
    give exactly 0. The direction of a zero vector is undefined and the plain formula sends gradients of 1e6 and
    more into it (method.md 1.2). So u = x / max(|x|, ``NORM_FLOOR``): exact for every vector that is not tiny,
    smaller than a unit vector for one that is. The gradient with respect to x is then never longer than 1 /
    ``NORM_FLOOR`` = 100.
    """
    return half_cosine_of_directions(directions(x), directions(y))


def half_cosine_of_directions(u: Embeddings, v: Embeddings) -> PairDistances:
    """``half_cosine_pairs`` of vectors whose ``directions`` are at hand: |u_i - v_i|^2 / 4."""
    return (u - v).square().sum(dim=1) / 4


def directions(x: Embeddings) -> Embeddings:
    """x / max(|x|, ``NORM_FLOOR``), row by row."""
    x = at_least_float32(x)
    length: Tensor = torch.linalg.vector_norm(x, dim=1, keepdim=True)
    return x / length.clamp_min(NORM_FLOOR)
