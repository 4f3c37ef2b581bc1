"""What ``snreid protocol`` and ``snreid reproduce`` share: their common flags, and filling and printing cells."""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from snreid.cli.machine import MachineFlags

if TYPE_CHECKING:
    from snreid.studies.paper_tables import Table
    from snreid.studies.plans import Plan
    from snreid.system.machine import Machine


@dataclass(frozen=True, kw_only=True)
class CellFlags:
    """Flags of every command that fills cells."""

    preset: Annotated[str, tyro.conf.arg(help="small, mobile, short or paper")] = "small"
    jobs: Annotated[int, tyro.conf.arg(help="processes that fill cells side by side; on 2 cores, 2 are faster")] = 1
    withdrawn: Annotated[
        bool, tyro.conf.arg(help="also use DukeMTMC-reID, which its owners withdrew, where it is on disk")
    ] = False
    list: Annotated[bool, tyro.conf.arg(help="list what there is; trains nothing")] = False
    json: Annotated[bool, tyro.conf.arg(help="print one JSON object")] = False
    records: Annotated[Path | None, tyro.conf.arg(help="also write NAME-CASE.json for each case into this folder")] = (
        None
    )
    shard: Annotated[str, tyro.conf.arg(help="K/N: fill only this share of the cells and print no table")] = ""


def fill_and_show(
    command: str,
    arguments: Sequence[str],
    chosen: "Sequence[tuple[Table, Plan]]",
    flags: CellFlags,
    machine_flags: MachineFlags,
    out: Path,
    *,
    only_show: bool = False,
) -> int:
    """Fills what is missing of the chosen tables below ``out`` (not with ``only_show``), prints them and returns the exit code: 1 when a
    training or an adaptation failed, whose reason the table gives.

    ``arguments`` are those of ``command``, for the processes that ``--jobs`` starts.
    """
    from snreid.cli.jobs import check_jobs, fill_in_jobs, shard_named, without_jobs
    from snreid.cli.session import machine, require_folder, resumable, session
    from snreid.studies.reproduction import fill

    plans = [plan for _, plan in chosen]
    shard = shard_named(flags.shard) if flags.shard else None
    if flags.records is not None:
        require_folder(flags.records, "--records")
    began = time.monotonic()
    failed = False
    with session(machine_flags) as opened, resumable(out):
        check_jobs(flags.jobs, opened.group.world, flags.shard)
        own = machine(machine_flags, out)
        if flags.jobs > 1 and not only_show:
            fill_in_jobs([command, *without_jobs(arguments)], flags.jobs, plans, own, opened.console)
        elif not only_show:
            fill(plans, own, group=opened.group, console=opened.console, shard=shard)
        if opened.group.first and shard is None:
            failed = _show(chosen, own, flags, time.monotonic() - began)
    return int(failed and not only_show)


def _show(chosen: "Sequence[tuple[Table, Plan]]", own: "Machine", flags: CellFlags, seconds: float) -> bool:
    """Prints every table as far as it is filled, and writes ``TABLE-CASE.json`` into the folder of records if there is one. Returns whether
    a cell has failed."""
    from snreid.studies.published_table import case_record, comparison_text
    from snreid.studies.reproduction import collect
    from snreid.system.atomic_files import write_json

    objects, failed = [], False
    for table, plan in chosen:
        results = collect(plan, own)
        if not flags.json:
            print(comparison_text(table, results), end="\n\n", flush=True)
        for result in results:
            found = {"absent": dict(result.looked.absent)}
            failed = failed or bool(result.failed)
            if result.filled:
                found = case_record(table, result, seconds)
                if flags.records is not None:
                    write_json(flags.records / f"{table.name}-{result.case.name}.json", found)
            objects.append({"table": table.name, "case": result.case.name, **found})
    if flags.json:
        print(json.dumps({"cases": objects}))
    return failed
