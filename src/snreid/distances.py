"""Distances between embeddings, with bounded gradients, shared by the losses.

Pairwise distances compare two sets row by row. ``euclidean_matrix`` compares all rows with all rows and only
*selects* pairs (mining); it has no gradient. The value in a loss is recomputed from the selected rows, without
the cancellation of the ``x.x - 2 x.y + y.y`` shortcut.

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
"""Distances from every row of one set to every row of another."""

NORM_FLOOR = 1e-2
"""Smallest length that ``half_cosine_pairs`` divides by: shorter vectors are not scaled to unit length."""


def at_least_float32(x: Tensor) -> Tensor:
    """Casts half precision (autocast) to float32 and returns other types unchanged. Any shape."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


def rows(vectors: Float[Tensor, "rows dim"], positions: Int64[Tensor, "batch"]) -> Float[Tensor, "batch dim"]:
    """Returns ``vectors[positions]``, with a deterministic gradient.

    The gradient of plain indexing sums repeated rows in the order in which CPU threads happen to run, so a run would
    neither repeat nor resume exactly. An embedding look-up sums them in a fixed order, on CUDA too.
    """
    return functional.embedding(positions, vectors)


def euclidean_matrix(x: Float[Tensor, "rows dim"], y: Float[Tensor, "columns dim"]) -> Distances:
    """Returns |x_i - y_j|, >= 0, for selecting pairs; without gradient.

    Computed from differences, so equal rows have distance exactly 0, unlike the faster matrix-product form in float32.
    """
    with torch.no_grad():
        return torch.cdist(at_least_float32(x), at_least_float32(y), compute_mode="donot_use_mm_for_euclid_dist")


def euclidean_pairs(x: Embeddings, y: Embeddings) -> PairDistances:
    """Returns |x_i - y_i|, >= 0, row by row. The gradient has norm 1, and is 0 (not NaN) for equal rows."""
    distances: Tensor = torch.linalg.vector_norm(at_least_float32(x) - at_least_float32(y), dim=1)
    return distances


def half_cosine_pairs(x: Embeddings, y: Embeddings) -> PairDistances:
    """Returns 0.5 - 0.5 cos(x_i, y_i), in [0, 1], row by row (method.md section 2, the paper's distance).

    Computed as |u - v|^2 / 4 of the unit vectors u, v, which is equal but free of cancellation: equal rows give
    exactly 0. The direction of a zero vector is undefined, and the plain formula yields gradients of 1e6 and more
    there (method.md 1.2). So u = x / max(|x|, ``NORM_FLOOR``), which is exact except for tiny vectors. This bounds
    the norm of the gradient with respect to x by 1 / ``NORM_FLOOR`` = 100.
    """
    return half_cosine_of_directions(directions(x), directions(y))


def half_cosine_of_directions(u: Embeddings, v: Embeddings) -> PairDistances:
    """``half_cosine_pairs`` from precomputed ``directions``: |u_i - v_i|^2 / 4."""
    return (u - v).square().sum(dim=1) / 4


def directions(x: Embeddings) -> Embeddings:
    """Returns x / max(|x|, ``NORM_FLOOR``), row by row."""
    x = at_least_float32(x)
    length: Tensor = torch.linalg.vector_norm(x, dim=1, keepdim=True)
    return x / length.clamp_min(NORM_FLOOR)
