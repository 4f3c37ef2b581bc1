"""What ``snreid protocol`` and ``snreid reproduce`` share: their common flags, and filling and printing cells."""

import json
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from snreid.cli.flags import Json, Preset, flag
from snreid.cli.jobs import check_jobs, fill_in_jobs, shard_named
from snreid.cli.session import open_session, require_folder, resumable
from snreid.system.atomic_files import write_json
from snreid.system.locks import folder_lock
from snreid.system.machine import Machine

if TYPE_CHECKING:
    from snreid.studies.paper_tables import PaperTable
    from snreid.studies.plan import Plan
    from snreid.studies.run import CaseResult


@dataclass(frozen=True, kw_only=True)
class CellFlags:
    """Flags of every command that fills cells."""

    preset: Preset = "small"
    jobs: Annotated[int, flag("processes side by side; 2 are faster on 2 cores", "N")] = 1
    withdrawn: Annotated[bool, flag("use DukeMTMC-reID too, which its owners withdrew")] = False
    list: Annotated[bool, flag("list what there is, and train nothing")] = False
    json: Json = False
    records: Annotated[Path | None, flag("also write NAME-CASE.json of each case here", "DIR")] = None
    shard: Annotated[str, flag("fill only this part of the cells, print no table", "K/N")] = ""


def fill_and_show(
    command: str,
    arguments: Sequence[str],
    chosen: "Sequence[tuple[PaperTable, Plan]]",
    flags: CellFlags,
    machine: Machine,
    out: Path,
    *,
    only_show: bool = False,
) -> int:
    """Fills the missing cells of the chosen tables below ``out`` (not with ``only_show``), prints them and returns the exit code: 1 when
    a training or an adaptation failed; the table gives the reason.

    ``arguments`` are those of ``command``, for the processes that ``--jobs`` starts.
    """
    from snreid.studies.plan import availabilities, wanted
    from snreid.studies.run import collect, fill

    plans = [plan for _, plan in chosen]
    shard = shard_named(flags.shard) if flags.shard else (0, 1)
    if flags.records is not None:
        require_folder(flags.records, "--records")
    began = time.monotonic()
    failed = False
    with open_session(machine, out) as session, resumable(out):
        check_jobs(flags.jobs, session.group.world, flags.shard)
        available = availabilities(plans, machine.root)
        with nullcontext() if only_show else session.holding(folder_lock(out, "filling tables", part=flags.shard)):
            if flags.jobs > 1 and not only_show:
                fill_in_jobs([command, *arguments], flags.jobs, wanted(plans, available, out), out, session)
            elif not only_show:
                fill(plans, available, out, session, shard=shard)
        if session.first and not flags.shard:
            filled = [(table, collect(plan, available, out, skip_bad=machine.skip_bad)) for table, plan in chosen]
            failed = _show(filled, flags, time.monotonic() - began)
    return int(failed and not only_show)


def _show(filled: "Sequence[tuple[PaperTable, Sequence[CaseResult]]]", flags: CellFlags, seconds: float) -> bool:
    """Prints every table as far as it is filled, and writes ``TABLE-CASE.json`` into the folder of records if there is one. Returns
    whether a cell has failed."""
    from snreid.studies.published_table import case_record, comparison_text

    objects, failed = [], False
    for table, results in filled:
        if not flags.json:
            print(comparison_text(table, results), end="\n\n", flush=True)
        for result in results:
            numbers = {"absent": dict(result.available.absent)}
            failed = failed or bool(result.failed)
            if result.filled:
                numbers = case_record(table, result, seconds)
                if flags.records is not None:
                    write_json(flags.records / f"{table.name}-{result.case.name}.json", numbers)
            objects.append({"table": table.name, "case": result.case.name, **numbers})
    if flags.json:
        print(json.dumps({"cases": objects}))
    return failed
