"""Adapt a trained run to new cameras with their images alone."""

from dataclasses import replace

import snreid
from snreid.adaptation import AdaptiveBN
from snreid.datasets import DrawnPedestrians

noon = DrawnPedestrians(domain="noon", train_persons=32, test_persons=0)
night = DrawnPedestrians(domain="night", train_persons=32, test_persons=16)

experiment = replace(snreid.recipes.baseline("small"), sources=(noon,), epochs=2)
experiment = replace(experiment, schedule=replace(experiment.schedule, warmup_epochs=0))
run = snreid.train(experiment, out="runs/example-baseline")

# Only the training images of "night" are used, never a label. A folder of images works too: target="my_cameras/".
adapted = snreid.adapt(run, night, out="runs/example-adapted", method=AdaptiveBN())
for name, model in (("before", run), ("after", adapted)):
    print(f"{name}: mAP {snreid.score(model, night).mean_ap:.1%} on {night.name}")
