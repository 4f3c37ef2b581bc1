"""Compare two runs on unseen cameras, with a confidence interval of the difference."""

from dataclasses import replace

import snreid
from snreid.datasets import DrawnPedestrians

noon = DrawnPedestrians(domain="noon", train_persons=16, test_persons=0)
targets = [DrawnPedestrians(domain=name, train_persons=0, test_persons=8) for name in ("dusk", "mall")]


def trained(experiment: snreid.Experiment) -> snreid.Run:
    """A short training on the place "noon"."""
    schedule = replace(experiment.schedule, warmup_epochs=0)
    experiment = replace(experiment, sources=(noon,), epochs=2, schedule=schedule)
    return snreid.train(experiment, out=f"runs/compared-{experiment.recipe}")


baseline, snr = trained(snreid.recipes.baseline("small")), trained(snreid.recipes.snr("small"))
for target in targets:
    before, after = snreid.score(baseline, target), snreid.score(snr, target)
    gain = snreid.compare(after, before).mean_ap  # paired: both runs ranked the same queries
    low, high = gain.interval.low, gain.interval.high
    print(
        f"{target.name}: {before.mean_ap:.1%} -> {after.mean_ap:.1%}, gain {gain.difference:+.1%} [{low:+.1%}, {high:+.1%}]"
    )
