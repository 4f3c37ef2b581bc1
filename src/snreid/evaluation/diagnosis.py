"""Where a model fails on a target: all results as one value."""

from dataclasses import dataclass
from typing import Any

from snreid.evaluation.camera_pairs import CameraPairs
from snreid.evaluation.properties import PropertyBuckets
from snreid.evaluation.robustness import CorruptionEffect
from snreid.evaluation.subset_scores import Estimate, SubsetScores
from snreid.records import Scores


@dataclass(frozen=True, kw_only=True)
class Diagnosis:
    """Scores of a model on a target and on its parts."""

    target: str
    metric: str
    """``cosine`` or ``euclidean``."""
    scores: Scores
    """Of all queries against the whole gallery."""
    estimates: SubsetScores
    """The same, with intervals over persons."""
    pairs: CameraPairs
    properties: tuple[PropertyBuckets, ...] = ()
    """Empty if there were no images."""
    effects: tuple[CorruptionEffect, ...] = ()
    """Kind by kind, severities ascending; empty if no corruption was requested."""
    drop: Estimate | None = None
    """Mean corruption drop: mAP lost on average over ``effects``."""
    notes: tuple[str, ...] = ()
    """What was not analysed and why, in sentences for the user."""

    def to_json(self) -> dict[str, Any]:
        """One object; shares between 0 and 1, intervals of level 0.95 as [low, high]."""
        content: dict[str, Any] = {
            "target": self.target,
            "metric": self.metric,
            "overall": {**self.estimates.to_json(), "without_match": self.scores.skipped_queries},
            "camera_pairs": [pair.to_json() for pair in self.pairs.pairs],
            "unknown_camera": {"query": self.pairs.unknown_queries, "gallery": self.pairs.unknown_gallery},
            "properties": [buckets.to_json() for buckets in self.properties],
            "corruptions": [effect.to_json() for effect in self.effects],
        }
        if self.drop is not None:
            content["mean_corruption_drop"] = self.drop.to_json()
        return content | {"notes": list(self.notes)}
