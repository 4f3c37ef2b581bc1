"""``snreid protocol``: recipes under a protocol of the field, from training to the table."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from snreid.cli.cells import CellFlags, fill_and_show
from snreid.cli.flags import HELP_ALL, Seeds, flag, parse_known, pick
from snreid.cli.machine import TrainingFlags, TrainingMachineFlags, out_folder
from snreid.cli.names import dataset_named
from snreid.cli.study import row_experiment
from snreid.cli.train import help_all
from snreid.errors import DataError, ExperimentError

if TYPE_CHECKING:
    from snreid.studies.plan import Plan, Row
    from snreid.studies.protocols import Protocol


@dataclass(frozen=True, kw_only=True)
class Request(CellFlags):
    """Train and score recipes under a published protocol and print its table, with
    intervals. What is done already is not done again.

    Settings of the experiment are flags too, see --help-all. A row with settings
    of its own is written "NAME: RECIPE FLAGS".

    Examples:
      snreid protocol p1 --recipe snr baseline
      snreid protocol market1501-to-night --recipe snr --epochs 4
      snreid protocol --list
    """

    name: Annotated[tyro.conf.Positional[str], flag("a protocol of --list, or A-to-B for two data sets", "NAME")] = ""
    recipe: Annotated[tuple[str, ...], flag("recipes, or rows of your own", "NAME")] = ("baseline", "snr")
    seeds: Seeds = (0,)
    out: Annotated[Path | None, out_folder("runs/protocol-NAME")] = None
    machine: TrainingMachineFlags = TrainingFlags()


def main(arguments: Sequence[str]) -> int:
    """Train, score, print."""
    request, rest = parse_known(Request, arguments, "snreid protocol")
    if HELP_ALL in rest:
        return help_all(Request, "snreid protocol", row_experiment(request.recipe[0], request.preset, (), []))
    if request.list:
        _list()
        return 0
    from snreid.studies.paper_tables import PaperTable
    from snreid.studies.plan import Plan
    from snreid.studies.protocols import with_withdrawn

    protocol = _protocol(request)
    rows = _rows(request, rest)
    cases = tuple(with_withdrawn(case) if request.withdrawn else case for case in protocol.cases)
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
    """The protocol of that name, or the single-source protocol for ``A-to-B``."""
    from snreid.studies.protocols import protocols, single_source

    known = {protocol.name: protocol for protocol in protocols()}
    source, to, target = request.name.partition("-to-")
    if to and request.name not in known:
        root = request.machine.root
        return single_source(
            dataset_named(source, root), dataset_named(target, root), all_splits="split=" not in target
        )
    return pick(known, request.name, "A protocol is A-to-B for two data sets, or", "see snreid protocol --list")


def _rows(request: Request, words: list[str]) -> "tuple[Row, ...]":
    """The rows as typed. Raises ``ExperimentError`` for none, or for two with the same folder or table name."""
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
    """Whether flags set the length of training, so that the case's own for preset small does not apply."""
    return any(re.search(r"--(epochs|batches[-_]per[-_]epoch)\b", word) for word in words)


def _require_some(plan: "Plan", root: Path) -> None:
    """Raise ``DataError``, naming what is missing, when no case of the protocol can run."""
    from snreid.studies.plan import availability

    available = [availability(case, root) for case in plan.cases]
    if any(case.can_run for case in available):
        return
    absent = {name: why for case in available for name, why in case.absent.items()}
    raise DataError(
        "A protocol needs its data sets in the data folder",
        found="; ".join(f"{name}: {why}" for name, why in absent.items()),
        fix=f"put them below {root} or name another data folder by --root (no data set is downloaded), or name other data sets",
    )


def _list() -> None:
    from snreid.studies.protocols import protocols

    for protocol in protocols():
        print(f"{protocol.name:<28} {protocol.about}")
    print(f"{'A-to-B':<28} train on data set A, test on B (any two: snreid data list)")
