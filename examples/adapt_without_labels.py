"""Adapt a trained run to new cameras with their images alone."""

from dataclasses import replace

import snreid
from snreid.adaptation import AdaptiveBN
from snreid.datasets import DrawnPedestrians

noon = DrawnPedestrians(domain="noon", train_persons=16, test_persons=0)
night = DrawnPedestrians(domain="night", train_persons=16, test_persons=8)

experiment = replace(snreid.recipes.baseline("small"), sources=(noon,), epochs=2)
experiment = replace(experiment, schedule=replace(experiment.schedule, warmup_epochs=0))
run = snreid.train(experiment, out="runs/before-adaptation")

# Only the training images of "night" are used, never a label. A folder of images works too: target="my_cameras/".
adapted = snreid.adapt(run, night, out="runs/after-adaptation", method=AdaptiveBN())
for name, model in (("before", run), ("after", adapted)):
    print(f"{name}: mAP {snreid.score(model, night).mean_ap:.1%} on {night.name}")
