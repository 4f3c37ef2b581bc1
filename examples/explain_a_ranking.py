"""Look at the ranked gallery of single queries: which matches are right, wrong, or ignored by the protocol."""

from dataclasses import replace

import numpy as np

import snreid
from snreid.datasets import DrawnPedestrians
from snreid.evaluation import rank_lists

noon = DrawnPedestrians(domain="noon", train_persons=16, test_persons=8)
experiment = replace(snreid.recipes.baseline("small"), sources=(noon,), epochs=2)
experiment = replace(experiment, schedule=replace(experiment.schedule, warmup_epochs=0))
embedder = snreid.train(experiment, out="runs/explained").embedder()

data = noon.read("data")  # drawn pedestrians need no folder
features = []
for split in (data.query, data.gallery):
    pixels = [sample.image.read() for sample in split.samples]
    features.append(snreid.Features(embedder.extract(pixels), split.persons, split.cameras))
query, gallery = features

for ranked in rank_lists(query, gallery, queries=np.arange(3), length=5):
    print(f"query {ranked.query}: person {query.persons[ranked.query]}, camera {query.cameras[ranked.query]}")
    for place, (entry, score, verdict) in enumerate(
        zip(ranked.gallery, ranked.score, ranked.verdict, strict=True), start=1
    ):
        print(
            f"  {place}. person {gallery.persons[entry]}, camera {gallery.cameras[entry]}, cosine {score:.3f}: {verdict}"
        )
