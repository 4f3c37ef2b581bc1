"""Where a model fails on a target: by camera pair, by image property, by corruption.

`evaluation/` computes the parts from embeddings, labels and numbers; this module reads, measures, corrupts and embeds the
images. Target labels only describe results; they never select anything.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from snreid.datasets import Corrupted
from snreid.datasets.corruptions import Kind
from snreid.errors import DataError
from snreid.evaluation import (
    CorruptionEffect,
    Diagnosis,
    ImageProperties,
    PropertyBuckets,
    by_property,
    camera_pairs,
    corruption_effect,
    evaluate,
    few_persons,
    mean_drop,
    measure,
    rank_lists,
    subset_scores,
)
from snreid.evaluation.exact.relevance import relevance
from snreid.figures.rank_lists import RankExample
from snreid.images.loading import PixelStore, list_bad
from snreid.images.reading import BadImage, Interpolation
from snreid.images.resized import resized
from snreid.inference.embedder import EmbedBatch, features, require_finite
from snreid.records import NO_CAMERA, DataSet, Features, ReIDData, Sample, Scores
from snreid.system.progress import counting
from snreid.training.session import Session

_BLOCK = 2048
"""Images measured between two progress updates."""
_SHOWN = 10
"""Gallery images shown per query."""


def diagnose(
    query: Features,
    gallery: Features,
    *,
    target: str,
    metric: str = "cosine",
    data: ReIDData | None = None,
    scores: Scores | None = None,
    effects: Sequence[CorruptionEffect] = (),
    session: Session | None = None,
    out: Path = Path(),
    notes: Sequence[str] = (),
) -> Diagnosis:
    """Diagnoses embeddings and, with ``data``, the images behind them.

    ``data``: the images of the rows, in the same order; they are read again at full size. ``scores``: those of these embeddings,
    if known. ``effects``: from ``corruption_effects``. ``out``: folder in which unreadable images are listed. ``notes``: further
    remarks for the reader.

    Raises ``DataError`` as ``evaluate`` does, and for images that cannot be read (left out of the properties with
    ``session.machine.skip_bad``).
    """
    scores = scores or evaluate(query, gallery, metric=metric)
    overall = subset_scores(scores)
    assert overall is not None  # evaluate gives no scores without a valid query
    remarks = [*notes, *filter(None, [few_persons(overall.persons)])]
    properties: tuple[PropertyBuckets, ...] = ()
    if data is None:
        remarks.append(
            "There are only embeddings: brightness, size, sharpness and the worst queries need images, by --target."
        )
    else:
        properties = _properties(query, gallery, data, scores, session or Session.start(quiet=True), out, remarks)
    pairs = camera_pairs(query, gallery, metric=metric)
    if not (query.cameras != NO_CAMERA).any():
        remarks.append(
            "No camera is known, so there are no camera pairs, and a query is only kept from matching itself."
        )
    return Diagnosis(
        target=target,
        metric=metric,
        scores=scores,
        estimates=overall,
        pairs=pairs,
        properties=properties,
        effects=tuple(effects),
        drop=mean_drop(scores, effects),
        notes=tuple(remarks),
    )


def corruption_effects(
    embed: EmbedBatch,
    size: tuple[int, int],
    target: DataSet,
    data: ReIDData,
    gallery: Features,
    clean: Scores,
    corruptions: Sequence[tuple[Kind, int]],
    session: Session,
    out: Path,
    *,
    metric: str = "cosine",
    by: Interpolation = "bilinear",
) -> tuple[CorruptionEffect, ...]:
    """Returns how much each of the ``corruptions`` (kind, severity) of the query images lowers the ``clean`` scores.

    ``data``: the images of the clean scores; ``gallery``: features of the clean gallery, which is not embedded again. ``embed``,
    ``size``, ``by``: as for `experiments/targets.py: embed_target`. Raises ``DataError`` if an image has become unreadable,
    ``DivergenceError`` if the model does not embed corrupted images as finite numbers.
    """
    effects = []
    for kind, severity in corruptions:
        worse = Corrupted(of=target, corruption=kind, severity=severity).apply(data)
        machine, console, group = session.machine, session.console, session.group
        store = PixelStore(resized(worse.query, *size, by), *size, workers=machine.workers, memory_gb=machine.memory_gb)
        with counting(console, f"reading {worse.name}") as progress:
            bad = store.open(progress)
        if bad:
            list_bad(bad, len(worse.query), out, skip=False, write=group.first)
        with counting(console, f"embedding {worse.name}") as progress:
            query = features(embed, store, group=group, progress=progress)
        require_finite(query.embeddings, where=f"images of {worse.name}")
        scores = evaluate(query, gallery, metric=metric)
        effects.append(corruption_effect(kind, severity, clean, scores))
    return tuple(effects)


def worst_queries(
    query: Features, gallery: Features, data: ReIDData, scores: Scores, *, count: int = 6, metric: str = "cosine"
) -> tuple[RankExample, ...]:
    """Returns the ``count`` queries with the lowest average precision, at most one per person, with the top of their rank lists.

    Ties go to the earlier query, so the choice is deterministic.
    """
    chosen: dict[int, tuple[int, float]] = {}
    for place in np.argsort(scores.average_precision, kind="stable"):
        index = int(scores.query_index[place])
        if len(chosen) < count:
            chosen.setdefault(int(query.persons[index]), (index, float(scores.average_precision[place])))
    lists = rank_lists(query, gallery, [index for index, _ in chosen.values()], _SHOWN, metric)
    first = dict(zip(scores.query_index.tolist(), scores.first_rank.tolist(), strict=True))
    return tuple(
        RankExample(
            domain=data.name,
            query=data.query,
            gallery=data.gallery,
            lists=((f"AP {100 * precision:.2f} %", ranks),),
            reason=f"The first image of this person is at rank {first[index]:,} of the list",
        )
        for ranks, (index, precision) in zip(lists, chosen.values(), strict=True)
    )


def looks(
    target: DataSet, data: ReIDData, index: int, corruptions: Sequence[tuple[Kind, int]]
) -> tuple[tuple[str, tuple[tuple[str, Sample], ...]], ...]:
    """Returns ``corruptions`` (kind, severity) of the query at ``index`` as examples: captioned images per kind, clean first."""
    examples: dict[str, list[tuple[str, Sample]]] = {}
    for kind, severity in corruptions:
        row = examples.setdefault(kind, [("clean", data.query.samples[index])])
        worse = Corrupted(of=target, corruption=kind, severity=severity).apply(data)
        row.append((f"severity {severity}", worse.query.samples[index]))
    return tuple((kind, tuple(images)) for kind, images in examples.items())


def require_rows(query: Features, gallery: Features, data: ReIDData) -> None:
    """Raises ``DataError`` unless labels and number of the embeddings match the images of ``data``, row by row."""
    for embedded, split, side in ((query, data.query, "query"), (gallery, data.gallery, "gallery")):
        if len(embedded.persons) != len(split):
            mismatch = f"{len(embedded.persons)} {side} rows for {len(split)} images"
        else:
            rows = np.flatnonzero((embedded.persons != split.persons) | (embedded.cameras != split.cameras))
            mismatch = f"other labels in {len(rows)} {side} rows, the first of them row {rows[0]}" if len(rows) else ""
        if mismatch:
            raise DataError(
                f"Embeddings that are shown with images have the rows of {data.name}: every image once, in its order",
                found=mismatch,
                fix="write the rows in that order, as snreid extract RUN --data does, or look at this file alone, without --target "
                "(camera pairs and scores need no images)",
            )


def _properties(
    query: Features,
    gallery: Features,
    data: ReIDData,
    scores: Scores,
    session: Session,
    out: Path,
    notes: list[str],
) -> tuple[PropertyBuckets, ...]:
    """Buckets of brightness, size and sharpness of the query, and of the brightness gap to its matches."""
    labels = relevance(query, gallery)
    matches = [labels.matches(int(index)) for index in scores.query_index]
    needed = np.unique(np.concatenate(matches))
    queries = [data.query.samples[index] for index in scores.query_index]
    measured = _measured((*queries, *(data.gallery.samples[index] for index in needed)), session, out, data.name)
    bad = sum(properties is None for properties in measured)
    if bad:
        notes.append(f"{bad} images could not be read and are in no bucket of brightness, size and sharpness.")

    def column(rows: Sequence[ImageProperties | None], name: str) -> NDArray[np.float64]:
        """One property of some images, NaN if unknown."""
        return np.array([np.nan if row is None else getattr(row, name) for row in rows], dtype=np.float64)

    mine, others = measured[: len(queries)], np.full(len(gallery.persons), np.nan)
    others[needed] = column(measured[len(queries) :], "brightness")
    columns = {
        ("brightness", "mean luma, 0 to 255"): column(mine, "brightness"),
        ("size", "pixels"): column(mine, "size"),
        ("sharpness", "variance of the Laplacian"): column(mine, "sharpness"),
        ("brightness gap", "levels of luma between query and matches"): _gaps(
            column(mine, "brightness"), [others[positions] for positions in matches]
        ),
    }
    return tuple(by_property(name, unit, values, scores) for (name, unit), values in columns.items())


def _gaps(mine: NDArray[np.float64], others: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Mean absolute difference of each query to its matches, ignoring unknown values."""
    differences = (np.abs(there - here) for here, there in zip(mine, others, strict=True))
    known = (values[~np.isnan(values)] for values in differences)
    return np.array([values.mean() if len(values) else np.nan for values in known], dtype=np.float64)


def _measured(samples: Sequence[Sample], session: Session, out: Path, name: str) -> list[ImageProperties | None]:
    """Properties of every sample, in order; None for an unreadable one that may be left out."""
    bad: dict[str, BadImage] = {}
    measured: list[ImageProperties | None] = []
    waiting = iter(samples)

    def look(sample: Sample) -> ImageProperties | None:
        """Measures an image, or notes why it cannot be read."""
        name = sample.image.name
        try:
            return measure(sample.image.read())
        except DataError as error:
            bad[name] = BadImage(name, (error.found or str(error)).removeprefix(f"{name}: "))
            return None

    with (
        ThreadPoolExecutor(max(1, session.machine.workers)) as pool,
        counting(session.console, f"measuring {name}") as progress,
    ):
        while block := list(islice(waiting, _BLOCK)):
            measured += pool.map(look, block)
            if progress is not None:
                progress(len(measured), len(samples))
    if bad:
        count = len({sample.image.name for sample in samples})
        list_bad(tuple(bad.values()), count, out, skip=session.machine.skip_bad)
    return measured
