"""``snreid protocol``: recipes under a protocol of the field, from training to the table."""

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from snreid.cli.cells import CellFlags, fill_and_show
from snreid.cli.machine import MachineFlags, out_folder
from snreid.system.machine import Machine

if TYPE_CHECKING:
    from snreid.studies.plan import Plan, Row
    from snreid.studies.protocols import Protocol


@dataclass(frozen=True, kw_only=True)
class Request(CellFlags):
    """Train and score recipes under a protocol: snreid protocol p1 --recipe snr. Prints the whole table with means, intervals and, where a
    column is the mean of random splits, their standard deviation.

    A name is one of snreid protocol --list, or A-to-B for any two data sets: snreid protocol market1501-to-night --recipe snr. Settings of
    the experiment are flags, as for snreid train; a row of its own is written "NAME: RECIPE FLAGS". What is done is not done again.
    """

    name: Annotated[tyro.conf.Positional[str], tyro.conf.arg(help="see --list, or A-to-B")] = ""
    recipe: Annotated[
        tuple[str, ...], tyro.conf.arg(help='see snreid recipes; or "NAME: RECIPE FLAGS" for a row of its own')
    ] = ("baseline", "snr")
    seeds: Annotated[tuple[int, ...], tyro.conf.arg(help="one run of every recipe for each")] = (0,)
    out: Annotated[Path | None, out_folder("runs/protocol-NAME")] = None
    machine: MachineFlags = Machine()


def main(arguments: Sequence[str]) -> int:
    """Trains, scores, prints."""
    request, rest = tyro.cli(Request, args=list(arguments), return_unknown_args=True, prog="snreid protocol")
    if request.list:
        _list()
        return 0
    from snreid.studies.paper_tables import PaperTable
    from snreid.studies.plan import Plan
    from snreid.studies.protocols import with_withdrawn

    protocol = _protocol(request)
    rows = _rows(request, rest)
    cases = tuple(with_withdrawn(case) if request.withdrawn else case for case in protocol.cases())
    plan = Plan(
        cases=cases,
        rows=rows,
        seeds=request.seeds,
        preset=request.preset,
        case_budget=not _says_how_long([*request.recipe, *rest]),
    )
    table = PaperTable(
        name=protocol.name, title=f"Protocol {protocol.name}", rows=rows, settings={protocol.name: protocol}
    )
    _require_some(plan, request.machine.root)
    out = request.out or Path("runs") / f"protocol-{protocol.name}"
    return fill_and_show("protocol", arguments, [(table, plan)], request, request.machine, out)


def _protocol(request: Request) -> "Protocol":
    """The protocol of that name, or the single-source one that A-to-B says."""
    from snreid.cli.names import dataset_named
    from snreid.errors import ExperimentError
    from snreid.studies.protocols import SingleSource, protocols

    known = {protocol.name: protocol for protocol in protocols()}
    if request.name in known:
        return known[request.name]
    source, to, target = request.name.partition("-to-")
    if to:
        root = request.machine.root
        single, whole = dataset_named(source, root), dataset_named(target, root)
        return SingleSource(source=single, target=whole, all_splits="split=" not in target)
    close = difflib.get_close_matches(request.name, known, n=1)
    raise ExperimentError(
        f"A protocol is one of {', '.join(known)}, or A-to-B for two data sets",
        found=repr(request.name),
        fix=f"did you mean {close[0]!r}?" if close else "see snreid protocol --list",
    )


def _rows(request: Request, words: list[str]) -> "tuple[Row, ...]":
    """The rows as they are typed. Raises ``ExperimentError`` for none, or two that would be one in folders or in the table."""
    from snreid.cli.study import row_experiment
    from snreid.errors import ExperimentError
    from snreid.studies.plan import Row

    rows = tuple(Row.of(row_experiment(text, request.preset, (), words)) for text in request.recipe)
    for names in ([row.name for row in rows], [row.label for row in rows]):
        if not names or len(set(names)) < len(names):
            raise ExperimentError(
                "A protocol is run with one recipe or more, and each once",
                found=f"--recipe {' '.join(map(repr, request.recipe))}".strip(),
                fix='leave one out, or give a row a name of its own: "NAME: RECIPE FLAGS"',
            )
    return rows


def _says_how_long(words: Sequence[str]) -> bool:
    """Whether the length of training is given by flags, so that the case's own for preset small does not count."""
    return any(re.search(r"--(epochs|batches[-_]per[-_]epoch)\b", word) for word in words)


def _require_some(plan: "Plan", root: Path) -> None:
    """Raise ``DataError`` when no case of the protocol can be run, saying what is missing."""
    from snreid.errors import DataError
    from snreid.studies.plan import availability

    available = [availability(case, root) for case in plan.cases]
    if any(case.can_run for case in available):
        return
    absent = {name: why for case in available for name, why in case.absent.items()}
    raise DataError(
        "A protocol needs its data sets in the data folder",
        found="; ".join(f"{name}: {why}" for name, why in absent.items()),
        fix=f"put them below {root} or name another data folder by --root (nothing is downloaded), or name other data sets",
    )


def _list() -> None:
    from snreid.studies.protocols import protocols

    for protocol in protocols():
        print(f"{protocol.name:<28} {protocol.about}")
    print(f"{'A-to-B':<28} train on data set A, test on B (any two: snreid data list)")
