"""Score anybody's embeddings by the protocol of the field: same-camera matches are ignored, ties count against the model."""

import numpy as np

import snreid
from snreid.evaluation import mean_interval

random = np.random.default_rng(0)
centres = random.normal(size=(50, 64))


def features(cameras: tuple[int, int], noise: float) -> snreid.Features:
    """Two images of each of 50 persons, one per camera. Put your own arrays here."""
    persons = np.repeat(np.arange(1, 51), 2)
    embeddings = centres[persons - 1] + noise * random.normal(size=(100, 64))
    return snreid.Features(embeddings.astype(np.float32), persons, np.tile(np.array(cameras), 50))


query, gallery = features((1, 2), noise=1.5), features((3, 4), noise=1.5)
scores = snreid.evaluate(query, gallery, metric="cosine")
interval = mean_interval(scores.average_precision, scores.persons)
print(
    f"mAP {scores.mean_ap:.1%} [{interval.low:.1%}, {interval.high:.1%}], rank-1 {scores.rank(1):.1%}, mINP {scores.mean_inp:.1%}"
)

snreid.write_features(
    "features.npz", query, gallery
)  # and on the command line: snreid evaluate --features features.npz
