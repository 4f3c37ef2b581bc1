"""k-reciprocal re-ranking (k1 20, k2 6, lambda 0.3) held against its k-nearest-neighbour step, and against the dense way where that fits.

    python benchmarks/speed/reranking.py [--runs 3] [--quick]

The embeddings are drawn: persons' centres plus noise in 64 dimensions, mapped to 2,048, six cameras, distractors; a network's embeddings,
too, fill far fewer dimensions than they have.
"""

from functools import partial

import numpy as np
from numpy.typing import NDArray
from race import below, options, peak_of, race, report, row

from snreid.evaluation import evaluate_reranked
from snreid.evaluation.exact.similarity import Cosine
from snreid.evaluation.neighbours import Embeddings, nearest
from snreid.records import Features

K1, K2, LAMBDA = 20, 6, 0.3
MARKET = (3_368, 15_913, 2_048, 751)
"""Queries, gallery, dimensions, persons."""
SMALL = (700, 3_300, 2_048, 156)
"""What the dense way is measured at: 4,000 images."""
LATENT, NOISE = 64, 1.2


def draw(queries: int, gallery: int, dimension: int, persons: int) -> tuple[Features, Features]:
    """Query and gallery; the first sixth of the gallery are distractors, who resemble each other."""
    rng = np.random.default_rng(0)
    who = rng.integers(1, persons + 1, size=queries + gallery)
    who[queries : queries + gallery // 6] = 0
    cameras = rng.integers(1, 7, size=len(who))
    centres = rng.standard_normal((persons + 1, LATENT), dtype=np.float32)
    mapping = rng.standard_normal((LATENT, dimension), dtype=np.float32)
    values = np.empty((len(who), dimension), np.float32)
    for start in range(0, len(who), 2048):
        part = slice(start, start + 2048)
        shape = (len(who[part]), LATENT)
        latent = centres[who[part]] + np.float32(NOISE) * rng.standard_normal(shape, dtype=np.float32)
        values[part] = latent @ mapping + rng.standard_normal((len(latent), dimension), dtype=np.float32)
    cut = slice(0, queries), slice(queries, None)
    first, second = (Features(values[part], who[part], cameras[part]) for part in cut)
    return first, second


def joined(query: Features, gallery: Features) -> tuple[NDArray[np.float32]]:
    """All embeddings, of length 1."""
    values = np.concatenate([query.embeddings, gallery.embeddings])
    return (values / np.linalg.norm(values, axis=1, keepdims=True),)


def usual_neighbours(unit: NDArray[np.float32]) -> NDArray[np.int64]:
    """(N, k1 + 1) nearest ones: the product of a block with everything, and ``argpartition``."""
    found = np.empty((len(unit), K1 + 1), np.int64)
    for start in range(0, len(unit), 512):
        scores = unit[start : start + 512] @ unit.T
        found[start : start + 512] = np.argpartition(scores, -(K1 + 1), axis=1)[:, -(K1 + 1) :]
    return found


def our_neighbours(unit: NDArray[np.float32]) -> object:
    """The same, exact to the last tie, of half of the products."""
    return nearest(Embeddings.of(unit, Cosine()), np.ones(len(unit), np.int64), (K1,))


def dense(query: Features, gallery: Features) -> NDArray[np.float32]:
    """(Q, G) final distances in the usual way: N x N arrays, one image after the other."""
    (unit,) = joined(query, gallery)
    original = np.maximum(2 - 2 * unit @ unit.T, 0)
    original /= original.max(axis=1, keepdims=True)
    order = np.argsort(original, axis=1)
    count, queries = len(unit), len(query.persons)

    def reciprocal(image: int, k: int) -> NDArray[np.int64]:
        forward = order[image, : k + 1]
        return forward[(order[forward, : k + 1] == image).any(axis=1)]

    encodings = np.zeros_like(original)
    for image in range(count):
        mine = members = reciprocal(image, K1)
        for other in mine:
            theirs = reciprocal(int(other), round(K1 / 2))
            if 3 * len(np.intersect1d(theirs, mine)) > 2 * len(theirs):
                members = np.append(members, theirs)
        members = np.unique(members)
        weights = np.exp(-original[image, members])
        encodings[image, members] = weights / weights.sum()
    encodings = np.stack([encodings[order[image, :K2]].mean(axis=0) for image in range(count)])
    holders = [np.flatnonzero(encodings[:, image]) for image in range(count)]
    final = LAMBDA * original[:queries, queries:]
    for image in range(queries):
        shared = np.zeros(count, np.float32)
        for column in np.flatnonzero(encodings[image]):
            shared[holders[column]] += np.minimum(encodings[image, column], encodings[holders[column], column])
        final[image] += (1 - LAMBDA) * (1 - shared / (2 - shared))[queries:]
    return final


def mean_ap(query: Features, gallery: Features, distances: NDArray[np.float32]) -> float:
    """mAP (0 to 1) by sorting the whole gallery of every query."""
    found = []
    for person, camera, line in zip(query.persons, query.cameras, distances, strict=True):
        order = np.argsort(line)
        same, near = gallery.persons[order] == person, gallery.cameras[order] == camera
        hits = np.flatnonzero(same[~(same & near)]) + 1
        if len(hits):
            found.append((np.arange(1, len(hits) + 1) / hits).mean())
    return float(np.mean(found))


def main() -> None:
    """Races at both sizes, and the peaks in processes of their own."""
    parser = options(__doc__)
    parser.set_defaults(runs=3)
    given = parser.parse_args()
    large, small = ((300, 1_500, 256, 70), (100, 500, 256, 24)) if given.quick else (MARKET, SMALL)
    images, few = (f"{sizes[0] + sizes[1]:,} images" for sizes in (large, small))
    peaks = {"numpy's k nearest": peak_of(usual_neighbours, *large, prepare=prepare_joined)}
    peaks |= {"re-ranking": peak_of(evaluate_reranked, *large, prepare=draw)}
    query, gallery = draw(*large)
    (unit,) = joined(query, gallery)
    works = {
        "numpy's k nearest": partial(usual_neighbours, unit),
        "our k nearest": partial(our_neighbours, unit),
        "re-ranking": partial(evaluate_reranked, query, gallery),
    }
    rows = race(images, works, runs=given.runs, peaks=peaks)
    del query, gallery, unit, works
    query, gallery = draw(*small)
    (unit,) = joined(query, gallery)
    peaks = {"dense": peak_of(dense, *small, prepare=draw)}
    peaks |= {"re-ranking": peak_of(evaluate_reranked, *small, prepare=draw)}
    works = {
        "numpy's k nearest": partial(usual_neighbours, unit),
        "dense": partial(dense, query, gallery),
        "re-ranking": partial(evaluate_reranked, query, gallery),
    }
    rows += race(few, works, runs=1, peaks=peaks)
    apart = abs(evaluate_reranked(query, gallery).mean_ap - mean_ap(query, gallery, dense(query, gallery)))
    whole, own = row(rows, images, "re-ranking"), row(rows, images, "our k nearest")
    report(
        __file__,
        given,
        rows,
        [
            below(
                f"re-ranking, {images}, over the k-nearest-neighbour step in numpy",
                1.3,
                whole.ratio,
                "all products and the k1 + 1 nearest of each row",
            ),
            below(
                f"re-ranking, {images}, over its own k-nearest-neighbour step",
                1.3,
                whole.cpu / own.cpu,
                "the same from half of the products",
                note="That step takes half of the time of numpy's. Beside it stand, each some twentieths of it, the search for the "
                "farthest images, float64 distances of 221,000 reciprocal pairs and of matches and close calls, the Jaccard distance, "
                "and the count.",
            ),
            below(f"extra memory of re-ranking, {images}", 800, whole.peak_mb, "dense 8.4 GB", unit=" MB"),
            below(f"mAP of re-ranking less that of the dense way, {few}", 1e-4, apart, "equal", unit=""),
        ],
    )


def prepare_joined(*sizes: int) -> tuple[NDArray[np.float32]]:
    """What the neighbour steps are given."""
    return joined(*draw(*sizes))


if __name__ == "__main__":
    main()
