"""Embeds a target's query and gallery images for scoring."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from snreid.errors import DataError
from snreid.evaluation import group_means
from snreid.images.loading import list_bad
from snreid.images.reading import Interpolation
from snreid.images.resized import resized
from snreid.inference.embedder import USUAL_BATCH, EmbedBatch, features
from snreid.records import NO_TRACK, Features, ReIDData, Split
from snreid.system.progress import counting
from snreid.training.session import Session


@dataclass(frozen=True)
class TargetFeatures:
    """Embedded query and gallery of one target."""

    query: Features
    gallery: Features
    used: ReIDData
    """The embedded images, row by row: the target without unreadable ones."""
    left_out: tuple[str, ...] = ()
    """Names of the unreadable images, each once."""


def embed_target(
    embed: EmbedBatch,
    size: tuple[int, int],
    data: ReIDData,
    session: Session,
    out: Path,
    *,
    batch: int = USUAL_BATCH,
    by: Interpolation = "bilinear",
) -> TargetFeatures:
    """Embeds a target's query and gallery, ``batch`` images at a time.

    ``embed``: any callable that turns uint8 images (B, 3, H, W) into embeddings (B, D). ``size``: height and width of these images in
    pixels. ``by``: how they are resized. ``out``: folder in which unreadable images are listed. Raises ``DataError`` if an image cannot be
    read and ``session.machine.skip_bad`` is off, or if no image is left.
    """
    pixels, console, group = session.pixels, session.console, session.group
    pixels.tell(data, console)
    left_out: dict[str, None] = {}

    def embedded(split: Split, part: str) -> tuple[Features, Split]:
        """Embeds query or gallery; also returns the embedded images."""
        with counting(console, f"reading {data.name} {part}") as progress:
            opened = pixels.open(resized(split, *size, by), *size, progress)
        if opened.bad:
            list_bad(opened.bad, len(split), out, skip=session.machine.skip_bad, write=group.first)
            left_out.update(dict.fromkeys(image.name for image in opened.bad))
        good = opened.store.good
        with counting(console, f"embedding {data.name} {part}") as progress:
            found = features(embed, opened.store.only(good), batch=batch, group=group, progress=progress)
        return found, split if len(good) == len(split) else Split(tuple(split.samples[place] for place in good))

    query, query_split = embedded(data.query, "query")
    gallery, gallery_split = embedded(data.gallery, "gallery")
    used = replace(data, query=query_split, gallery=gallery_split) if left_out else data
    return TargetFeatures(query, gallery, used, tuple(left_out))


def track_means(embedded: TargetFeatures, metric: str) -> TargetFeatures:
    """One row for each track: the mean of the embeddings of its images (``group_means``), named like its first image.

    Where query and gallery are images of a ``test`` split, the query tracks are those of the query images, whole: with all their images in
    the gallery.

    Raises:
        DataError: The data set has no tracks.
    """
    gallery, images = _means(embedded.gallery, embedded.used.gallery, metric, embedded.used.name)
    asked = np.unique(embedded.used.query.tracks)
    if np.isin(asked, images.tracks).all():
        rows = np.searchsorted(images.tracks, asked)
        query, asking = rows_of(gallery, rows), Split(tuple(images.samples[row] for row in rows))
    else:
        query, asking = _means(embedded.query, embedded.used.query, metric, embedded.used.name)
    return replace(embedded, query=query, gallery=gallery, used=replace(embedded.used, query=asking, gallery=images))


def _means(features: Features, split: Split, metric: str, name: str) -> tuple[Features, Split]:
    """The mean of each track, tracks ascending, and the first image of each."""
    require_tracks(split, name)
    _, first, groups = np.unique(split.tracks, return_index=True, return_inverse=True)
    means = replace(rows_of(features, first), embeddings=group_means(features.embeddings, groups, metric))
    return means, Split(tuple(split.samples[row] for row in first))


def rows_of(features: Features, rows: NDArray[np.int64]) -> Features:
    """Returns these rows of embeddings, labels and names."""
    names = tuple(features.names[row] for row in rows)
    return Features(features.embeddings[rows], features.persons[rows], features.cameras[rows], names)


def require_tracks(split: Split, name: str) -> None:
    """Raises ``DataError`` if an image of the data set ``name`` has no track."""
    if missing := int((split.tracks == NO_TRACK).sum()):
        raise DataError(
            "Means of tracks need a pattern with {track}, or a table with a track for every image",
            found=f"{name}: {missing} of {len(split)} images without a track",
            fix="write it like folder:path=DIR,pattern={split}/{person}/c{camera}/{track}/{*}.jpg",
        )


def without(data: ReIDData, names: set[str]) -> ReIDData:
    """Returns the target without the query and gallery images of these names."""

    def kept(split: Split) -> Split:
        """Returns the split without them."""
        return Split(tuple(sample for sample in split.samples if sample.image.name not in names))

    return replace(data, query=kept(data.query), gallery=kept(data.gallery)) if names else data
