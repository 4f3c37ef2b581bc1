"""``snreid compare``: is run A better than run B on a target, beyond chance?"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro
from rich.console import Console

from snreid.cli.machine import MachineFlags
from snreid.cli.order import is_run_folder, names_first, require_names

if TYPE_CHECKING:
    from snreid.evaluation import PairedComparison, PairedDifference


@dataclass(frozen=True, kw_only=True)
class _Flags(MachineFlags):
    # Scores are kept with each run; a flag without effect is none.
    out: Annotated[Path | None, tyro.conf.Fixed, tyro.conf.Suppress] = None


@dataclass(frozen=True, kw_only=True)
class Request:
    """Paired test between two runs, query by query: difference A - B with a 95 % interval and a two-sided p-value.

    The queries of one person are not independent, so whole persons are drawn: the test of a study's own table.
    """

    a: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(help="folder of run A")]
    b: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(help="folder of run B")]
    target: Annotated[tuple[str, ...], tyro.conf.arg(aliases=["-t"], help="data sets to compare on")]
    json: Annotated[bool, tyro.conf.arg(help="print one JSON object")] = False
    machine: Annotated[_Flags, tyro.conf.arg(name="")] = _Flags()


def main(arguments: Sequence[str]) -> int:
    """Scores what is not scored yet, then compares."""
    words = names_first(arguments, is_run_folder, 2)
    require_names("compare", words, ("runs/a", "runs/b"), "the folders of two runs")
    request = tyro.cli(Request, args=words, prog="snreid compare")
    from snreid.cli.names import dataset_named
    from snreid.cli.session import machine, session
    from snreid.errors import ExperimentError
    from snreid.evaluation import compare
    from snreid.experiments.runs import open_run
    from snreid.experiments.scoring import read_targets, require_same_images
    from snreid.images.loading import PixelCache
    from snreid.studies.study import score_run

    if not request.target:
        raise ExperimentError("A comparison needs a target", found="none", fix="name one: --target market1501")
    runs = [open_run(folder) for folder in (request.a, request.b)]  # both, before the first is scored
    named = [dataset_named(name, request.machine.root) for name in request.target]
    sources = [source for run in runs for source in run.experiment.sources]
    data = read_targets(named, request.machine.root, trained_on=sources)
    rows = []
    with session(request.machine) as opened:
        pixels = PixelCache.of(machine(request.machine, runs[0].results), opened.console)
        scored = []
        for run in runs:
            own = machine(request.machine, run.results)
            scored.append(score_run(run, data, own, group=opened.group, console=opened.console, pixels=pixels))
        for a, b in zip(*scored, strict=True):
            require_same_images(a, b, where=f"{request.a}, {request.b}")
            persons = None if a.used is None else a.used.query.persons[a.scores.query_index]
            rows.append((a.target, compare(a.scores, b.scores, groups=persons)))
        if opened.group.first:
            _show(rows, request)
    return 0


def _show(rows: "Sequence[tuple[str, PairedComparison]]", request: Request) -> None:
    if request.json:
        found = [
            {"target": t, "mAP": _object(c.mean_ap), "rank1": _object(c.rank1), "queries": c.queries} for t, c in rows
        ]
        print(json.dumps(found[0] if len(found) == 1 else {"targets": found}))
        return
    console = Console()
    for target, c in rows:
        console.out(f"{target}: mAP {text(c.mean_ap)}; rank-1 {text(c.rank1)}; {c.queries} queries", highlight=False)


def _object(found: "PairedDifference") -> dict[str, object]:
    return {
        "difference": found.difference,
        "interval": [found.interval.low, found.interval.high],
        "p_value": found.p_value,
    }


def text(found: "PairedDifference") -> str:
    """A difference in points, with its interval and p-value."""
    low, high = 100 * found.interval.low, 100 * found.interval.high
    return f"{100 * found.difference:+.1f} points [{low:+.1f}, {high:+.1f}], p = {found.p_value:.4f}"
