"""A diagnosis as JSON: every part, in shares, and nothing that JSON cannot hold."""

import json

import numpy as np

from snreid.evaluation import (
    Diagnosis,
    by_property,
    camera_pairs,
    corruption_effect,
    evaluate,
    mean_drop,
    subset_scores,
)
from snreid.records import Features


def test_all_of_it_is_json(crowd: tuple[Features, Features]) -> None:
    query, gallery = crowd
    scores = evaluate(query, gallery)
    overall = subset_scores(scores)
    assert overall is not None
    effects = (corruption_effect("dark", 2, scores, scores),)
    found = Diagnosis(
        target="crowd",
        metric="cosine",
        scores=scores,
        estimates=overall,
        pairs=camera_pairs(query, gallery),
        properties=(by_property("size", "pixels", np.arange(len(scores.persons), dtype=np.float64), scores),),
        effects=effects,
        drop=mean_drop(scores, effects),
        notes=("said",),
    )
    read = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert (
        read["overall"]["mAP"]["value"] == scores.mean_ap and read["overall"]["without_match"] == scores.skipped_queries
    )
    assert [one.get("mAP") for one in read["camera_pairs"]] == [one.to_json().get("mAP") for one in found.pairs.pairs]
    assert read["unknown_camera"] == {"query": 0, "gallery": 0} and read["notes"] == ["said"]
    assert [bucket["low"] for bucket in read["properties"][0]["buckets"]] == [
        b.low for b in found.properties[0].buckets
    ]
    assert -1 <= read["properties"][0]["trend"]["rho"] <= 1
    assert read["mean_corruption_drop"] == {"value": 0, "interval": [0, 0]} and read["corruptions"][0]["kind"] == "dark"
    bare = Diagnosis(target="crowd", metric="cosine", scores=scores, estimates=overall, pairs=found.pairs)
    assert "mean_corruption_drop" not in bare.to_json() and bare.to_json()["properties"] == []
