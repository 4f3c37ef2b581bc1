"""``snreid compare``: is run A better than run B on a target, beyond chance?"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro
from rich.console import Console

from snreid.cli.flags import Json, example, flag, parse
from snreid.cli.machine import Flags, MachineFlags
from snreid.cli.names import dataset_named
from snreid.cli.session import open_session
from snreid.errors import ExperimentError

if TYPE_CHECKING:
    from snreid.evaluation import PairedComparison, PairedDifference


@dataclass(frozen=True, kw_only=True)
class Request:
    """Test whether run A is better than run B, query by query on the same targets.

    Prints A - B with a 95 % bootstrap interval and a two-sided p-value. Persons
    are resampled, not queries: queries of one person are not independent.

    Examples:
      snreid compare runs/snr-noon-0 runs/baseline-noon-0 --target night
      snreid compare runs/snr-noon-0 runs/bau-noon-0 --target night dusk mall
      snreid compare runs/snr-noon-0 runs/snr-noon-1 --target night --json
    """

    a: Annotated[tyro.conf.Positional[Path], flag("folder of run A", "A")]
    b: Annotated[tyro.conf.Positional[Path], flag("folder of run B", "B")]
    target: Annotated[tuple[str, ...], flag("one or more data sets, e.g. market1501", "NAME", "-t")] = ()
    json: Json = False
    machine: MachineFlags = Flags()


def main(arguments: Sequence[str]) -> int:
    """Score what is missing, then compare."""
    request = parse(Request, arguments, "snreid compare")
    from snreid.evaluation import compare
    from snreid.experiments.runs import open_run
    from snreid.experiments.scoring import read_targets, require_same_images, score_run

    if not request.target:
        raise ExperimentError(
            "A comparison needs two runs and a target",
            found=f"{request.a} and {request.b}, no target",
            fix=f"write it like {example(Request)}",
        )
    runs = [open_run(folder) for folder in (request.a, request.b)]  # both, before the first is scored
    named = [dataset_named(name, request.machine.root) for name in request.target]
    sources = [source for run in runs for source in run.experiment.sources]
    data = read_targets(named, request.machine.root, trained_on=sources)
    rows = []
    with open_session(request.machine) as session:
        scored = [score_run(run, data, session) for run in runs]
        for a, b in zip(*scored, strict=True):
            require_same_images(a, b, where=f"{request.a}, {request.b}")
            rows.append((a.target, compare(a.scores, b.scores)))
        if session.first:
            _show(rows, request)
    return 0


def _show(rows: "Sequence[tuple[str, PairedComparison]]", request: Request) -> None:
    if request.json:
        objects = [
            {
                "target": t,
                "mAP": _object(c.mean_ap),
                "rank1": _object(c.rank1),
                "queries": c.queries,
                "persons": c.persons,
                "notes": remarks(c),
            }
            for t, c in rows
        ]
        print(json.dumps(objects[0] if len(objects) == 1 else {"targets": objects}))
        return
    console = Console()
    for target, c in rows:
        counts = f"{c.queries} queries of {c.persons} persons"
        console.out(f"{target}: mAP {text(c.mean_ap)}; rank-1 {text(c.rank1)}; {counts}", highlight=False)
        for remark in remarks(c):
            console.out(f"  {remark}", highlight=False)


def _object(gap: "PairedDifference") -> dict[str, object]:
    return {"difference": gap.difference, "interval": [gap.interval.low, gap.interval.high], "p_value": gap.p_value}


def remarks(found: "PairedComparison") -> list[str]:
    """Sentences on what the intervals cannot tell: few persons, or an interval and a test that contradict each other."""
    from snreid.evaluation import few_persons

    gaps = (("mAP", found.mean_ap), ("rank-1", found.rank1))
    return [*filter(None, [few_persons(found.persons)]), *(f"{name}: {gap.remark}" for name, gap in gaps if gap.remark)]


def text(gap: "PairedDifference") -> str:
    """A difference in points, with its interval and p-value."""
    low, high = 100 * gap.interval.low, 100 * gap.interval.high
    return f"{100 * gap.difference:+.1f} points [{low:+.1f}, {high:+.1f}], p = {gap.p_value:.4f}"
