"""Train SNR on synthetic people and score it on cameras it was never trained on. Needs no data."""

from dataclasses import replace

import snreid
from snreid.datasets import DrawnPedestrians

# A program draws the people when they are needed. "noon" and "dusk" are places with their own light and cameras.
noon = DrawnPedestrians(domain="noon", train_persons=16, test_persons=8)
dusk = DrawnPedestrians(domain="dusk", train_persons=0, test_persons=8)

# A recipe is a value: change what you like. A real training has more people and more epochs.
experiment = replace(snreid.recipes.snr("small"), sources=(noon,), epochs=2)
experiment = replace(experiment, schedule=replace(experiment.schedule, warmup_epochs=0))

run = snreid.train(experiment, out="runs/first-snr")  # the same call continues an interrupted run
for target in (noon, dusk):
    scores = snreid.score(run, target)
    print(f"{target.name}: mAP {scores.mean_ap:.1%}, rank-1 {scores.rank(1):.1%}")
