"""Which pairs of cameras fail: scores for each pair of a query camera and a gallery camera.

For the pair (a, b) the queries of camera a search a gallery that holds only the images of camera b; those of all other
cameras are removed *before* ranking. The rules of `relevance.py` apply unchanged: junk is ignored, strangers of
camera b stay. So

* a pair of a camera with itself is empty, since every image of the query's person in it is ignored;
* a query whose person does not appear on camera b has no match in the pair: it is counted, but enters no mean;
* images of unknown camera are in no pair; their number is reported;
* a pair's gallery is smaller than the whole one and has fewer matches, so its mAP is no part of the overall mAP and may be
  above or below it. Compare pairs with one another, preferably with galleries of similar size.

Exact, by `ranking.py`: block by block, one gallery camera after the other. The gallery rows of one camera are copied at a
time; no query x gallery matrix is kept.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snreid.evaluation.evaluate import score_ranks
from snreid.evaluation.exact.ranking import Block, match_ranks
from snreid.evaluation.features import check_values, some
from snreid.evaluation.subset_scores import SubsetScores, subset_scores
from snreid.records import JUNK, NO_CAMERA, Features, Scores


@dataclass(frozen=True)
class CameraPair:
    """One query camera against one gallery camera."""

    query_camera: int | str
    """Its number, or its name where it has one (``Features.camera_names``)."""
    gallery_camera: int | str
    gallery: int
    """Images of the gallery camera, junk left out."""
    scores: Scores
    """``queries``: all of the query camera; ``query_index``: positions in the whole query split. Empty scores for a pair of a
    camera with itself, and if no person appears on both."""
    estimates: SubsetScores | None
    """With intervals over persons; None where no query has a match."""

    def to_json(self) -> dict[str, Any]:
        """Cameras and counts; mAP and rank-1 if the pair has any."""
        counts = {
            "query_camera": self.query_camera,
            "gallery_camera": self.gallery_camera,
            "gallery_images": self.gallery,
            "all_queries": self.scores.queries,
            "without_match": self.scores.skipped_queries,
        }
        return counts | ({} if self.estimates is None else self.estimates.to_json())


@dataclass(frozen=True)
class CameraPairs:
    """All pairs of cameras, and the images in no pair."""

    pairs: tuple[CameraPair, ...]
    """Query camera by query camera, cameras ascending; pairs of one camera with itself included. Empty without cameras."""
    unknown_queries: int
    """Queries of unknown camera."""
    unknown_gallery: int
    """Gallery images of unknown camera, junk left out."""

    @property
    def scored(self) -> tuple[CameraPair, ...]:
        """The pairs with a query that has a match, lowest mAP first."""
        pairs = [pair for pair in self.pairs if pair.estimates is not None]
        return tuple(sorted(pairs, key=lambda pair: pair.scores.mean_ap))


def camera_pairs(
    query: Features, gallery: Features, *, metric: str = "cosine", block: Block | None = None
) -> CameraPairs:
    """Scores of every pair of cameras; the rules are at the top of this module.

    Args:
        query: Embeddings (Q, D) with persons and cameras.
        gallery: Embeddings (G, D) with persons and cameras.
        metric: As in ``evaluate``.
        block: As in ``evaluate``.

    Raises:
        DataError: Labels and embeddings do not fit together, or a value is not finite.
        ExperimentError: The metric does not exist.
    """
    check_values(query, gallery)
    counted = gallery.persons != JUNK
    asking, answering = _cameras(query.cameras), _cameras(gallery.cameras[counted])
    pairs: dict[tuple[int, int], CameraPair] = {}
    for there in answering:
        entries = np.flatnonzero(counted & (gallery.cameras == there))
        askers = np.flatnonzero((query.cameras != NO_CAMERA) & (query.cameras != there))
        ranks: dict[int, NDArray[np.int64]] = {}
        if len(askers):
            ranked = match_ranks(some(query, askers), some(gallery, entries), metric=metric, block=block)
            ranks = dict(zip(askers.tolist(), ranked, strict=True))
        for here in asking:
            mine = np.flatnonzero(query.cameras == here)
            # Nothing can match on the query's own camera, so nothing was ranked.
            part = score_ranks(
                [ranks.get(index, np.empty(0, np.int64)) for index in mine.tolist()], query.persons[mine]
            )
            scores = replace(part, query_index=mine[part.query_index])
            pairs[here, there] = CameraPair(
                query.camera_names.get(here, here),
                gallery.camera_names.get(there, there),
                len(entries),
                scores,
                subset_scores(scores),
            )
    return CameraPairs(
        tuple(pairs[here, there] for here in asking for there in answering),
        int((query.cameras == NO_CAMERA).sum()),
        int((counted & (gallery.cameras == NO_CAMERA)).sum()),
    )


def _cameras(labels: NDArray[np.int64]) -> list[int]:
    """The known cameras, ascending."""
    return [int(camera) for camera in np.unique(labels) if camera != NO_CAMERA]
