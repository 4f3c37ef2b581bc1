"""``snreid reproduce``: the tables of the paper, filled on this machine as far as its data go."""

import difflib
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from snreid.cli.machine import MachineFlags, out_folder

if TYPE_CHECKING:
    from snreid.machine import Machine
    from snreid.plans import Looked, Plan
    from snreid.protocols import Case, Protocol
    from snreid.tables import Table


@dataclass(frozen=True, kw_only=True)
class _Flags(MachineFlags):
    out: Annotated[Path | None, out_folder("runs/reproduce")] = None


@dataclass(frozen=True, kw_only=True)
class Request:
    """Fill tables of the paper: train and score the cells that are missing, print published | ours | difference with intervals.

    Tables that share a row share its training. Interrupted, the same command goes on with what is missing. Cells whose data are not on
    disk say so. snreid reproduce --list shows every table and what of it can be run here.
    """

    table: Annotated[
        tyro.conf.Positional[tuple[str, ...]], tyro.conf.arg(help="names of tables, or all; see --list")
    ] = ()
    on: Annotated[
        tuple[str, ...], tyro.conf.arg(help="where: drawn, real, paper, ...; left out: wherever the data are here")
    ] = ()
    seeds: Annotated[tuple[int, ...], tyro.conf.arg(help="each row is trained once with each")] = (0, 1, 2)
    preset: Annotated[str, tyro.conf.arg(help="small, short or paper")] = "small"
    epochs: Annotated[int | None, tyro.conf.arg(help="in place of what preset and case say")] = None
    batches_per_epoch: Annotated[int | None, tyro.conf.arg(help="with --epochs: steps in an epoch")] = None
    jobs: Annotated[int, tyro.conf.arg(help="processes that fill cells side by side; on 2 cores, 2 are faster")] = 1
    withdrawn: Annotated[
        bool, tyro.conf.arg(help="also use DukeMTMC-reID, which its owners withdrew, where it is on disk")
    ] = False
    list: Annotated[bool, tyro.conf.arg(help="list the tables and what can be run here; trains nothing")] = False
    show: Annotated[bool, tyro.conf.arg(help="print what is filled already; trains nothing")] = False
    json: Annotated[bool, tyro.conf.arg(help="print one JSON object")] = False
    records: Annotated[Path | None, tyro.conf.arg(help="also write TABLE-CASE.json for each case into this folder")] = (
        None
    )
    shard: Annotated[str, tyro.conf.arg(help="K/N: fill only this share of the cells and print no table")] = ""
    machine: Annotated[_Flags, tyro.conf.arg(name="")] = _Flags()


def main(arguments: Sequence[str]) -> int:
    """Fills and prints."""
    request = tyro.cli(Request, args=list(arguments), prog="snreid reproduce")
    if request.list:
        _list(request)
        return 0
    from snreid.cli.jobs import check_jobs, fill_in_jobs, shard_named, without_jobs
    from snreid.cli.session import machine, require_folder, session
    from snreid.reproduction import fill

    chosen = _chosen(request)
    plans = [plan for _, plan in chosen]
    shard = shard_named(request.shard) if request.shard else None
    if request.records is not None:
        require_folder(request.records, "--records")
    began = time.monotonic()
    with session(request.machine) as opened:
        check_jobs(request.jobs, opened.group.world, request.shard)
        own = machine(request.machine, request.machine.out or Path("runs") / "reproduce")
        if request.show:
            pass
        elif request.jobs > 1:
            fill_in_jobs(["reproduce", *without_jobs(arguments)], request.jobs, plans, own, opened.console)
        else:
            fill(plans, own, group=opened.group, console=opened.console, shard=shard)
        if opened.group.first and shard is None:
            show(chosen, own, as_json=request.json, records=request.records, seconds=time.monotonic() - began)
    return 0


def _chosen(request: Request) -> "list[tuple[Table, Plan]]":
    """Tables and what is to be filled of them. Raises ``ExperimentError`` for a name that is none."""
    from snreid.errors import ExperimentError
    from snreid.tables import tables

    known = {table.name: table for table in tables()}
    names = list(dict.fromkeys(name for word in request.table for name in (known if word == "all" else (word,))))
    if not names:
        raise ExperimentError(
            f"Name the tables to fill: {', '.join(known)}, or all",
            came="none",
            repair="snreid reproduce main --on drawn",
        )
    for name in names:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            raise ExperimentError(
                f"A table is one of {', '.join(known)}, or all",
                came=repr(name),
                repair=f"did you mean {close[0]!r}?" if close else "see snreid reproduce --list",
            )
    places = dict.fromkeys(place for name in names for place in known[name].settings)
    for place in request.on:
        if place not in places:
            raise ExperimentError(
                f"These tables can be run on {', '.join(places)}",
                came=repr(place),
                repair="see snreid reproduce --list",
            )
    found = [(known[name], _cases(known[name], request)) for name in names]
    return [(table, _plan(request, table, cases)) for table, cases in found if cases]


def _cases(table: "Table", request: Request) -> "tuple[Case, ...]":
    chosen = [place for place in table.settings if not request.on or place in request.on]
    return tuple(case for place in chosen for case in _opted(table.settings[place], request))


def _opted(protocol: "Protocol", request: Request) -> "tuple[Case, ...]":
    """The protocol's cases, with withdrawn data where the request says so."""
    from snreid.protocols import with_withdrawn

    return tuple(with_withdrawn(case) if request.withdrawn else case for case in protocol.cases())


def _plan(request: Request, table: "Table", cases: "tuple[Case, ...]") -> "Plan":
    from snreid.errors import ExperimentError
    from snreid.plans import Plan
    from snreid.protocols import Budget

    if request.epochs is None and request.batches_per_epoch is not None:
        raise ExperimentError("--batches-per-epoch goes with --epochs", came="it alone", repair="give both")
    budget = None
    if request.epochs is not None:
        budget = Budget(epochs=request.epochs, batches_per_epoch=request.batches_per_epoch)
    return Plan(cases=cases, rows=table.rows, seeds=request.seeds, preset=request.preset, budget=budget)


def show(
    chosen: "Sequence[tuple[Table, Plan]]", own: "Machine", *, as_json: bool, records: Path | None, seconds: float
) -> None:
    """Prints every table as far as it is filled, and writes ``TABLE-CASE.json`` into the folder ``records`` if there is one."""
    from snreid.comparison import case_record, comparison_text
    from snreid.reproduction import collect
    from snreid.study import write_json

    objects = []
    for table, plan in chosen:
        results = collect(plan, own)
        if not as_json:
            print(comparison_text(table, results), end="\n\n", flush=True)
        for result in results:
            found = {"absent": dict(result.looked.absent)}
            if result.filled:
                found = case_record(table, result, seconds)
                if records is not None:
                    write_json(records / f"{table.name}-{result.case.name}.json", found)
            objects.append({"table": table.name, "case": result.case.name, **found})
    if as_json:
        print(json.dumps({"cases": objects}))


def _list(request: Request) -> None:
    """What there is, and what of it the data on this machine allow."""
    from snreid.plans import look
    from snreid.tables import tables

    looked: dict[Case, Looked] = {}
    for table in tables():
        print(f"{table.name:<16} {table.title}: {', '.join(row.label for row in table.rows)}")
        for place, protocol in table.settings.items():
            for case in _opted(protocol, request):
                if case not in looked:
                    looked[case] = look(case, request.machine.root)
                print(f"  --on {place:<8} {case.name}: {_can(looked[case])}")
    print(f"\nData sets are looked for in {request.machine.root} (--root). Nothing is downloaded.")


def _can(looked: "Looked") -> str:
    names = ", ".join(column.name for column in looked.columns)
    missing = ", ".join(looked.absent)
    if looked.runs:
        return f"can run here ({names})" + (f"; not here: {missing}" if missing else "")
    return f"cannot run here: {missing} missing"
