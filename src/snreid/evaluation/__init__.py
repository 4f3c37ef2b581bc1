"""What a model is worth: exact ranks, CMC, mAP and mINP with their uncertainty, from embeddings and labels alone.

Knows no model class: features come from this project's networks, from an ONNX file, or from anybody's ``.npz``.
"""

from snreid.evaluation.evaluate import evaluate, score_ranks
from snreid.evaluation.features import check_values, read_features, remarks, write_features
from snreid.evaluation.onnx_embedder import OnnxEmbedder
from snreid.evaluation.ranking import Block, match_ranks, rank_lists
from snreid.evaluation.summary import summary, summary_with_intervals
from snreid.evaluation.uncertainty import (
    PairedComparison,
    PairedDifference,
    bootstrap_interval,
    compare,
    sign_flip_p_value,
)

__all__ = [
    "Block",
    "OnnxEmbedder",
    "PairedComparison",
    "PairedDifference",
    "bootstrap_interval",
    "check_values",
    "compare",
    "evaluate",
    "match_ranks",
    "rank_lists",
    "read_features",
    "remarks",
    "score_ranks",
    "sign_flip_p_value",
    "summary",
    "summary_with_intervals",
    "write_features",
]
