"""Exact evaluation (CMC, mAP, mINP) against its physical limit, the blocked matrix product alone, and the usual ways of doing it.

Embeddings are persons' centres plus noise in few dimensions, mapped to all, so that the ranking is neither perfect nor random: a
network's embeddings fill far fewer dimensions than they have, and noise in all of them would crowd all similarities around one value.
All in float32 and 2,048 dimensions with the same-camera rule, at several strengths of the noise: the worse a model, the more comes before
its matches. snreid's time includes the intervals of all scores. The usual ways, which take long, are given some of the queries. Every
competitor must find the same mAP.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from race import Row, Target, Work, below, options, peak_of, race, report, row

from snreid.evaluation import evaluate, summary_with_intervals
from snreid.evaluation.exact.similarity import widened
from snreid.records import Features

CAMERAS = 6
LATENT = 64
LIMIT, MEMORY_MB = 1.5, 128.0
PRODUCT, OURS = "matrix product alone", "snreid evaluate"
HALF = "snreid evaluate, float16 features"
ARGSORT, ROWS = "scores of all, full argsort", "blocks, sort within a row"


@dataclass(frozen=True)
class Size:
    """How large a comparison is."""

    name: str
    queries: int
    gallery: int
    distractors: int
    runs: int
    """Timed rounds at most."""
    usual: int
    """So many of the queries for the usual ways, which take long."""
    dimension: int = 2048
    persons: int = 751
    noise: float = 1.2
    """Strength of the noise; the centres have strength 1."""


MARKET = Size("Market size, 3,368 x 15,913, mAP 0.5", 3368, 15_913, 2798, 5, 1024)
WEAKER = tuple(
    replace(MARKET, name=f"Market size, 3,368 x 15,913, mAP {precision}", noise=noise, usual=0)
    for precision, noise in (("0.3", 1.36), ("0.05", 1.85), ("0", 50.0))
)
LARGE = Size("+ 100,000 distractors, 3,368 x 115,913", 3368, 115_913, 102_798, 2, 128)
QUICK = (
    Size("Market size / 8", 421, 1989, 350, 1, 100, 256),
    Size("+ distractors / 8", 64, 14_489, 12_850, 1, 32, 256),
)


def draw(size: Size) -> tuple[Features, Features]:
    """Query and gallery on six cameras; the first of the gallery's images are distractors."""
    rng = np.random.default_rng(0)
    count = size.queries + size.gallery
    persons = rng.integers(1, size.persons + 1, size=count)
    persons[size.queries : size.queries + size.distractors] = 0
    cameras = rng.integers(1, CAMERAS + 1, size=count)
    centres = rng.standard_normal((size.persons + 1, LATENT), dtype=np.float32)
    mapping = rng.standard_normal((LATENT, size.dimension), dtype=np.float32)
    values = np.empty((count, size.dimension), np.float32)
    for start in range(0, count, 4096):
        part = persons[start : start + 4096]
        # A distractor is nobody twice: it has a centre of its own.
        own = rng.standard_normal((len(part), LATENT), dtype=np.float32)
        latent = np.where(part[:, None] == 0, own, centres[part])
        latent += np.float32(size.noise) * rng.standard_normal((len(part), LATENT), dtype=np.float32)
        values[start : start + 4096] = latent @ mapping
        values[start : start + 4096] += rng.standard_normal((len(part), size.dimension), dtype=np.float32)
    cut = slice(0, size.queries), slice(size.queries, None)
    query, gallery = (Features(values[part], persons[part], cameras[part]) for part in cut)
    return query, gallery


def in_half(pair: tuple[Features, Features]) -> tuple[Features, Features]:
    """The same in float16."""
    query, gallery = (Features(f.embeddings.astype(np.float16), f.persons, f.cameras) for f in pair)
    return query, gallery


def some(size: Size) -> tuple[Features, Features]:
    """As ``draw``, with as many queries as the usual ways are given."""
    query, gallery = draw(size)
    part = slice(0, size.usual)
    return Features(query.embeddings[part], query.persons[part], query.cameras[part]), gallery


def draw_in_half(size: Size) -> tuple[Features, Features]:
    """As ``draw``, in float16, with torch loaded, as it is in every command: its libraries are no memory of the evaluation."""
    pair = in_half(draw(size))
    widened(pair[0].embeddings[:1])
    return pair


def product_alone(query: Features, gallery: Features) -> None:
    """The limit: every score computed once, 256 queries a block, none of them looked at."""
    for start in range(0, len(query.persons), 256):
        query.embeddings[start : start + 256] @ gallery.embeddings.T


def ours(query: Features, gallery: Features) -> float:
    """The mAP, by this project, with the intervals of all scores."""
    return float(summary_with_intervals(evaluate(query, gallery))["mAP"])  # type: ignore[arg-type]


def full_argsort(query: Features, gallery: Features) -> float:
    """The usual way: one matrix of all scores, all of it sorted, then a walk down each query's list."""
    unit = [f.embeddings / np.linalg.norm(f.embeddings, axis=1, keepdims=True) for f in (query, gallery)]
    order = np.argsort(-(unit[0] @ unit[1].T), axis=1)
    precisions = []
    for index, ranking in enumerate(order):
        same = gallery.persons[ranking] == query.persons[index]
        kept = ~(same & (gallery.cameras[ranking] == query.cameras[index]))
        hits = np.flatnonzero(same[kept])
        if len(hits):
            precisions.append((np.arange(1, len(hits) + 1) / (hits + 1)).mean())
    return float(np.mean(precisions))


def sort_within_rows(query: Features, gallery: Features) -> float:
    """The frugal way: a block of queries at a time, each row sorted once, the matches looked up in it."""
    unit = gallery.embeddings / np.linalg.norm(gallery.embeddings, axis=1, keepdims=True)
    precisions = []
    for index, scores in enumerate(_rows(query.embeddings, unit)):
        same = gallery.persons == query.persons[index]
        match = same & (gallery.cameras != query.cameras[index])
        if not match.any():
            continue
        wrong = np.sort(scores[~same])
        own = np.sort(scores[match])
        ranks = (len(wrong) - np.searchsorted(wrong, own) + np.arange(len(own), 0, -1))[::-1]
        precisions.append((np.arange(1, len(own) + 1) / ranks).mean())
    return float(np.mean(precisions))


def _rows(left: NDArray[np.float32], right: NDArray[np.float32]) -> Iterator[NDArray[np.float32]]:
    for start in range(0, len(left), 256):
        yield from left[start : start + 256] @ right.T


def compare(size: Size, runs: int) -> tuple[list[Row], list[Target]]:
    """The races of one size and its targets."""
    pair = draw(size)
    part = Features(*(values[: size.usual or 128] for values in (pair[0].embeddings, pair[0].persons, pair[0].cameras)))
    found = {way.__name__: way(part, pair[1]) for way in (ours, full_argsort, sort_within_rows)}
    if max(found.values()) - min(found.values()) > 1e-5:
        raise SystemExit(f"The ways disagree on mAP: {found}")
    peak = peak_of(ours, size, prepare=draw)
    exact: dict[str, Work] = {PRODUCT: lambda: product_alone(*pair), OURS: lambda: ours(*pair)}
    peaks = {OURS: peak}
    if size is MARKET:  # elsewhere its rounds would take long
        half = in_half(pair)
        exact[HALF] = lambda: ours(*half)
        peaks[HALF] = peak_of(ours, size, prepare=draw_in_half)
    rows = race(size.name, exact, runs=min(runs, size.runs), peaks=peaks)
    if size.usual:
        rows += usual_ways(size, part, pair[1])
    note = (
        f"mAP {found['ours']:.3f} by every way; beside the product stand float64 scores of the matches, comparing, counting what"
        " comes before the worst match, float64 keys of close calls, and intervals, all in numpy's own passes over the scores"
    )
    ratio = row(rows, size.name, OURS).ratio
    return rows, [
        below(f"exact evaluation, {size.name}, CPU time", LIMIT, ratio, "the matrix product alone", note=note),
        below(
            f"exact evaluation, {size.name}, extra memory", MEMORY_MB, peak, "nothing beyond the features", unit=" MB"
        ),
    ]


def usual_ways(size: Size, part: Features, gallery: Features) -> list[Row]:
    """The race of the usual ways on some of the queries."""
    ways = {ARGSORT: full_argsort, ROWS: sort_within_rows}
    return race(
        f"{size.name}, {size.usual} queries",
        {PRODUCT: lambda: product_alone(part, gallery)}
        | {name: (lambda way=way: way(part, gallery)) for name, way in ways.items()},
        runs=1,
        peaks={name: peak_of(way, size, prepare=some) for name, way in ways.items()},
    )


def main() -> None:
    """All sizes and strengths of noise."""
    given: argparse.Namespace = options(__doc__).parse_args()
    rows: list[Row] = []
    targets: list[Target] = []
    for size in QUICK if given.quick else (MARKET, *WEAKER, LARGE):
        more, reached = compare(size, given.runs)
        rows += more
        targets += reached
    report(__file__, given, rows, targets)


if __name__ == "__main__":
    main()
