"""``snreid demo``: the main job on drawn pedestrians, in minutes on two cores."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

from snreid.cli.flags import flag, parse
from snreid.cli.machine import TrainingFlags, TrainingMachineFlags, out_folder
from snreid.errors import ExperimentError

SOURCES = ("noon", "overcast")
"""Domains trained on."""
DESCRIPTIONS = {
    "noon": "Sun from above, hard shadows, full contrast.",
    "overcast": "Soft light from the whole sky, cooler and flatter than noon.",
    "dusk": "Low warm sun, long shadows, darker.",
    "mall": "Bright, pale greenish lamps, seen from above, over-sharpened.",
    "station": "Warm tungsten lamps from high up, low resolution, JPEG artefacts.",
    "garage": "Dim yellow lamps, washed-out colour, noisy.",
    "night": "Bluish, dark, noisy and blurred.",
}
"""A sentence on each domain, for the report."""
PEOPLE_PER_DOMAIN = 60
"""People to test on."""
PACKAGED = "people"
"""The model that comes with snreid; its scores and rank lists get a page of their own."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """Train Baseline, Baseline-IN and SNR on synthetic people seen by two cameras,
    score each on five cameras that it has never seen, and write a report; then
    do the same with the model that comes with snreid.

    Takes less than 8 minutes on 2 cores; needs no data and no network.

    Examples:
      snreid demo
      snreid demo --out runs/my-demo --seed 1
      snreid demo --epochs 2
    """

    seed: Annotated[int, flag("random seed of the training; the people stay the same")] = 0
    epochs: Annotated[int, flag("passes over the 3,600 training images, at least 2")] = 6
    out: Annotated[Path | None, out_folder("runs/demo")] = None
    machine: TrainingMachineFlags = TrainingFlags()


def main(arguments: Sequence[str]) -> int:
    """Train, test, print the table, write the report."""
    request = parse(Request, arguments, "snreid demo")
    from snreid.cli import report
    from snreid.cli.study import Page, run
    from snreid.datasets import DrawnPedestrians
    from snreid.experiments import packaged, recipes
    from snreid.experiments.runs import open_run
    from snreid.studies.plan import study_plan
    from snreid.synthetic.pedestrians import DOMAINS

    def drawn(name: str) -> DrawnPedestrians:
        """A domain at the size of the demo."""
        return DrawnPedestrians(domain=name, train_persons=150, test_persons=PEOPLE_PER_DOMAIN)

    starts = tuple(row("small") for row in (recipes.baseline, recipes.baseline_in, recipes.snr))
    rising = math.floor(max(start.schedule.warmup_epochs for start in starts))
    if request.epochs <= rising:
        raise ExperimentError(
            f"The demo trains for at least {rising + 1} epochs: its learning rate still rises in the first",
            found=f"--epochs {request.epochs}",
            fix=f"snreid demo --epochs {rising + 1}",
        )
    sources = tuple(drawn(name) for name in SOURCES)
    experiments = tuple(replace(start, sources=sources, epochs=request.epochs) for start in starts)
    plan = study_plan(experiments, [drawn(domain.name) for domain in DOMAINS], (request.seed,))
    unseen = [domain.name for domain in DOMAINS if domain.name not in SOURCES]
    out = request.out or Path("runs") / "demo"
    page = Page(
        title="Drawn pedestrians: trained on two domains, tested on cameras never seen",
        descriptions=DESCRIPTIONS,
        notes=("Every picture was drawn by a program; nobody in them exists.",),
        examples=(unseen[len(unseen) // 2],),
        record=out / "record.json",
    )
    run(plan, request.machine, out, page)
    if (packaged.HOME / PACKAGED / packaged.WEIGHTS).is_file():
        print(f"\nThe model {PACKAGED} that comes with snreid, on the same cameras, which it has never seen:")
        targets = [drawn(name) for name in unseen]
        report.write([open_run(Path(PACKAGED))], targets, request.machine, out / PACKAGED, page.examples)
    return 0
