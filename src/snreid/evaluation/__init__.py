"""Scores of a model: exact ranks, CMC, mAP and mINP with their uncertainty, from embeddings and labels alone.

Independent of any model class: features come from this project's networks, from an ONNX file, or from any ``.npz`` file.
"""

from snreid.evaluation.camera_pairs import CameraPair, CameraPairs, camera_pairs
from snreid.evaluation.diagnosis import Diagnosis
from snreid.evaluation.evaluate import evaluate, score_ranks
from snreid.evaluation.exact.ranking import Block, match_ranks, rank_lists
from snreid.evaluation.features import check_values, in_half, remarks
from snreid.evaluation.features_file import MARK, label_array, read_features, read_gallery, read_mark, write_features
from snreid.evaluation.means import group_means, have_length_one
from snreid.evaluation.properties import ImageProperties, PropertyBuckets, Trend, by_property, measure
from snreid.evaluation.reranking import ReRanking, evaluate_reranked, reranked_match_ranks
from snreid.evaluation.robustness import CorruptionEffect, corruption_effect, mean_drop
from snreid.evaluation.subset_scores import Estimate, SubsetScores, subset_scores
from snreid.evaluation.summary import summary, summary_with_intervals
from snreid.evaluation.uncertainty import (
    PairedComparison,
    PairedDifference,
    compare,
    difference_interval,
    disagreement,
    few_persons,
    mean_interval,
    sign_flip_p_value,
)
from snreid.evaluation.verification import Calibration, calibrate, pair_scores, score_text

__all__ = [
    "MARK",
    "Block",
    "Calibration",
    "CameraPair",
    "CameraPairs",
    "CorruptionEffect",
    "Diagnosis",
    "Estimate",
    "ImageProperties",
    "PairedComparison",
    "PairedDifference",
    "PropertyBuckets",
    "ReRanking",
    "SubsetScores",
    "Trend",
    "by_property",
    "calibrate",
    "camera_pairs",
    "check_values",
    "compare",
    "corruption_effect",
    "difference_interval",
    "disagreement",
    "evaluate",
    "evaluate_reranked",
    "few_persons",
    "group_means",
    "have_length_one",
    "in_half",
    "label_array",
    "match_ranks",
    "mean_drop",
    "mean_interval",
    "measure",
    "pair_scores",
    "rank_lists",
    "read_features",
    "read_gallery",
    "read_mark",
    "remarks",
    "reranked_match_ranks",
    "score_ranks",
    "score_text",
    "sign_flip_p_value",
    "subset_scores",
    "summary",
    "summary_with_intervals",
    "write_features",
]
