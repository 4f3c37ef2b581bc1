"""``snreid reproduce``: the tables of the paper, filled on this machine as far as its data allow."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from snreid.cli.cells import CellFlags, fill_and_show
from snreid.cli.flags import Seeds, flag, parse, pick
from snreid.cli.machine import TrainingFlags, TrainingMachineFlags, out_folder
from snreid.errors import ExperimentError

if TYPE_CHECKING:
    from snreid.studies.paper_tables import PaperTable
    from snreid.studies.plan import Availability, Plan
    from snreid.studies.protocols import Case, Protocol


@dataclass(frozen=True, kw_only=True)
class Request(CellFlags):
    """Fill tables of the paper: train and score the missing cells, and print
    published | ours | difference with intervals. What is done is not done again.

    Tables that share a row share its training. Cells without data on disk say so.

    Examples:
      snreid reproduce --list
      snreid reproduce main --on drawn
      snreid reproduce all --preset paper --root /data/reid
    """

    table: Annotated[tyro.conf.Positional[tuple[str, ...]], flag("tables of --list, or all", "TABLE...")] = ()
    on: Annotated[tuple[str, ...], flag("drawn, real, paper, ... (default: all with data)", "NAME")] = ()
    seeds: Seeds = (0, 1, 2)
    epochs: Annotated[int | None, flag("epochs, in place of those of the preset", "N")] = None
    batches_per_epoch: Annotated[int | None, flag("with --epochs: steps of an epoch", "N")] = None
    show: Annotated[bool, flag("print what is there, and train nothing")] = False
    out: Annotated[Path | None, out_folder("runs/reproduce")] = None
    machine: TrainingMachineFlags = TrainingFlags()


def main(arguments: Sequence[str]) -> int:
    """Fill and print."""
    request = parse(Request, arguments, "snreid reproduce")
    if request.list:
        _list(request)
        return 0
    out = request.out or Path("runs") / "reproduce"
    return fill_and_show(
        "reproduce", arguments, _chosen(request), request, request.machine, out, only_show=request.show
    )


def _chosen(request: Request) -> "list[tuple[PaperTable, Plan]]":
    """The tables and their plans. Raises ``ExperimentError`` for an unknown name."""
    from snreid.studies.paper_tables import tables

    known = {table.name: table for table in tables()}
    names = list(dict.fromkeys(name for word in request.table for name in (known if word == "all" else (word,))))
    if not names:
        raise ExperimentError(
            f"Name the tables to fill: {', '.join(known)}, or all",
            found="none",
            fix="snreid reproduce main --on drawn",
        )
    chosen = [pick(known, name, "A table is all, or", "see snreid reproduce --list") for name in names]
    places = {place: place for table in chosen for place in table.settings}
    for place in request.on:
        pick(places, place, "A place of these tables", "see snreid reproduce --list")
    return [(table, _plan(request, table, cases)) for table in chosen if (cases := _cases(table, request))]


def _cases(table: "PaperTable", request: Request) -> "tuple[Case, ...]":
    chosen = [place for place in table.settings if not request.on or place in request.on]
    return tuple(case for place in chosen for case in _opted(table.settings[place], request))


def _opted(protocol: "Protocol", request: Request) -> "tuple[Case, ...]":
    """The protocol's cases, with withdrawn data if requested."""
    from snreid.studies.protocols import with_withdrawn

    return tuple(with_withdrawn(case) if request.withdrawn else case for case in protocol.cases)


def _plan(request: Request, table: "PaperTable", cases: "tuple[Case, ...]") -> "Plan":
    from snreid.studies.plan import Plan
    from snreid.studies.protocols import Budget

    if request.epochs is None and request.batches_per_epoch is not None:
        raise ExperimentError("--batches-per-epoch needs --epochs", found="it alone", fix="give both")
    budget = None
    if request.epochs is not None:
        budget = Budget(epochs=request.epochs, batches_per_epoch=request.batches_per_epoch)
    plan = Plan(cases=cases, rows=table.rows, seeds=request.seeds, preset=request.preset, budget=budget)
    try:
        for case, seed, row in plan.cells():
            plan.experiment(row, case, seed)
    except ExperimentError as error:
        if budget is None:
            raise
        raise ExperimentError(
            "--epochs must fit what the rows of the table are trained with",
            found=f"--epochs {budget.epochs}: {error.rule} ({error.found})",
            fix="give more epochs; --batches-per-epoch makes them shorter",
        ) from error
    return plan


def _list(request: Request) -> None:
    """List the tables, and the cells that the data on this machine allow."""
    from snreid.studies.paper_tables import tables
    from snreid.studies.plan import availability

    available: dict[Case, Availability] = {}
    for table in tables():
        print(f"{table.name:<16} {table.title}: {', '.join(row.label for row in table.rows)}")
        for place, protocol in table.settings.items():
            for case in _opted(protocol, request):
                if case not in available:
                    available[case] = availability(case, request.machine.root)
                print(f"  --on {place:<8} {case.name}: {_can(available[case])}")
    print(f"\nData sets are looked for in {request.machine.root} (--root). No data set is downloaded.")


def _can(available: "Availability") -> str:
    names = ", ".join(benchmark.name for benchmark in available.benchmarks)
    missing = ", ".join(available.absent)
    if available.can_run:
        return f"can run here ({names})" + (f"; not here: {missing}" if missing else "")
    return f"cannot run here: {missing} missing"
