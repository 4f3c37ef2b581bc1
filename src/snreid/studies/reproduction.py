"""Protocols and tables, run: every cell that can be filled on this machine is trained, adapted and scored, once.

What is finished is never done again. Cells without data on disk, and cells whose training failed, say so; the rest goes on.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from rich.console import Console

from snreid.adaptation import Adaptation, Unlabelled, adapt_run, methods
from snreid.errors import DivergenceError, ExperimentError
from snreid.experiments.job import train
from snreid.experiments.runs import Run, open_run
from snreid.experiments.scoring import Result, read_result, require_same_images
from snreid.figures import Domain, SchemeResult, ScoreTable, score_table
from snreid.images.loading import PixelCache
from snreid.records import ReIDData, Scores, Split
from snreid.studies.paper_tables import Row
from snreid.studies.plans import Looked, Plan, Shard, adapted_to, look, look_all, wanted
from snreid.studies.protocols import Case, Column
from snreid.studies.study import score_run
from snreid.system.machine import Machine
from snreid.training.distributed import ProcessGroup

FAILED = "failed.txt"
"""In the folder of a cell: why its training ended."""


@dataclass(frozen=True)
class CaseResult:
    """The cells of one case that are filled."""

    looked: Looked
    rows: tuple[Row, ...]
    runs: Mapping[str, Mapping[str, tuple[Run, ...]]]
    """Row name -> target name -> the finished runs that were scored on it, one per seed."""
    scores: Mapping[str, Mapping[str, tuple[Scores, ...]]]
    """Row name -> target name -> one per seed."""
    failed: Mapping[str, str] = field(default_factory=dict)
    """``ROW, seed N`` -> why its training failed, the last time it was tried."""

    @property
    def case(self) -> Case:
        """Which one."""
        return self.looked.case

    @property
    def filled(self) -> bool:
        """Whether there is anything to show."""
        return any(self.runs.values())

    def domains(self) -> tuple[Domain, ...]:
        """The columns as a score table takes them: the queries of several splits one after the other."""
        return tuple(
            Domain(
                name=column.name,
                seen=self.case.seen(column),
                query=Split(tuple(s for t in column.targets for s in self.looked.data[t.name].query.samples)),
            )
            for column in self.looked.columns
        )

    def scheme(self, row: Row) -> SchemeResult:
        """A row as a score table takes it. Of several splits the queries are pooled: as every split asks as often, the mean over all
        of them is the mean over the splits."""
        found = self.scores.get(row.name, {})
        columns = {
            column.name: tuple(map(pooled, zip(*(found[t.name] for t in column.targets), strict=True)))
            for column in self.looked.columns
            if all(found.get(t.name) for t in column.targets)
        }
        return SchemeResult(name=row.label, scores=columns)

    def table(self) -> ScoreTable:
        """Values, intervals over persons, paired differences to the first row."""
        schemes = tuple(self.scheme(row) for row in self.rows)
        return score_table(self.domains(), schemes, baseline=self.rows[0].label)

    def spread(self, row: Row, column: Column) -> float | None:
        """Standard deviation (n - 1) of mAP over the random splits of a column, a share; of each split the mean over seeds. None for a
        column that is one data set."""
        found = self.scores.get(row.name, {})
        if len(column.targets) < 2 or not all(found.get(t.name) for t in column.targets):
            return None
        means = [np.mean([scores.mean_ap for scores in found[t.name]]) for t in column.targets]
        return float(np.std(means, ddof=1))


def pooled(parts: Sequence[Scores]) -> Scores:
    """The scores of several query sets, one after the other, as those of one."""
    if len(parts) == 1:
        return parts[0]
    starts = np.cumsum([0, *(part.queries for part in parts[:-1])])
    return Scores(
        average_precision=np.concatenate([part.average_precision for part in parts]),
        inverse_negative_penalty=np.concatenate([part.inverse_negative_penalty for part in parts]),
        first_rank=np.concatenate([part.first_rank for part in parts]),
        query_index=np.concatenate([part.query_index + start for part, start in zip(parts, starts, strict=True)]),
        queries=sum(part.queries for part in parts),
    )


def fill(
    plans: Sequence[Plan], machine: Machine, *, group: ProcessGroup, console: Console, shard: Shard | None = None
) -> None:
    """Trains, adapts and scores every cell of the plans (of the ``shard``) that is missing below ``machine.out`` and can be had.

    A training that ended in NaN, or an adaptation that cannot be made, leaves its reason in its folder and the others go on; it is tried
    again the next time. All else is raised as ``train`` and scoring raise it.
    """
    shard = shard or Shard()
    looked = look_all(plans, machine.root)
    pixels = PixelCache.of(machine, console)
    todo = wanted(plans, looked, machine.out)
    for position, one in enumerate(todo):
        if not shard.has(position):
            continue
        data = _targets([looked[case] for case in one.cases])
        own = replace(machine, out=one.folder)
        sources = " + ".join(source.name for source in one.experiment.sources)
        console.rule(f"{sources}: {one.label} ({position + 1} of {len(todo)})", align="left")
        run = None
        with _kept(own.out, group, console):
            run = train(one.experiment, own, group=group, console=console, pixels=pixels, targets=data)
            score_run(run, data, own, group=group, console=console, pixels=pixels)
        for method, folder, name in one.adaptations if run is not None else ():
            target = next((found for found in data if found.name == name), None)
            if target is not None:
                with _kept(folder, group, console):
                    _adapt(run, method, target, replace(machine, out=folder), group, console, pixels)


def _adapt(
    run: Run, method: str, target: ReIDData, own: Machine, group: ProcessGroup, console: Console, pixels: PixelCache
) -> None:
    """One adaptation, and its score: only that reads labels of the target."""
    value = methods()[method].for_experiment(run.experiment)
    adapted = adapt_run(value, run, Unlabelled.of(target), own, group=group, console=console, pixels=pixels)
    score_run(adapted, [target], own, group=group, console=console, pixels=pixels)


@contextmanager
def _kept(folder: Path, group: ProcessGroup, console: Console) -> Iterator[None]:
    """What ends one cell must not cost the others: its reason is kept in its folder, until the cell is tried again."""
    if group.first:
        (folder / FAILED).unlink(missing_ok=True)
    try:
        yield
    except (DivergenceError, ExperimentError) as error:
        console.out(str(error), highlight=False)
        if group.first:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / FAILED).write_text(f"{error}\n", encoding="utf-8")


def _targets(looked: Sequence[Looked]) -> list[ReIDData]:
    """What is scored for these cases, each data set once."""
    return list({t.name: one.data[t.name] for one in looked for c in one.columns for t in c.targets}.values())


def collect(plan: Plan, machine: Machine) -> tuple[CaseResult, ...]:
    """What is filled below ``machine.out``: finished runs of just these experiments, with their scores of just these images. Trains and
    scores nothing. A seed counts for a trained row once every column that can be had is scored."""
    return tuple(_collect(plan, case, machine) for case in plan.cases)


def _collect(plan: Plan, case: Case, machine: Machine) -> CaseResult:
    looked = look(case, machine.root)
    data = _targets([looked])
    first: dict[str, Result] = {}
    runs: dict[str, Mapping[str, tuple[Run, ...]]] = {}
    scores: dict[str, Mapping[str, tuple[Scores, ...]]] = {}
    failed: dict[str, str] = {}
    for row in plan.rows:
        own_runs: dict[str, list[Run]] = {}
        own_scores: dict[str, list[Scores]] = {}
        for seed in plan.seeds:
            for folder, targets in _places(plan, row, case, seed, data, machine):
                done = list(_done(plan, row, case, seed, folder, targets, machine))
                for run, result in done:
                    require_same_images(first.setdefault(result.target, result), result, where=str(folder))
                    own_runs.setdefault(result.target, []).append(run)
                    own_scores.setdefault(result.target, []).append(result.scores)
                if not done and (folder / FAILED).is_file():
                    failed[f"{row.label}, seed {seed}"] = (folder / FAILED).read_text(encoding="utf-8").strip()
        runs[row.name] = {name: tuple(found) for name, found in own_runs.items()}
        scores[row.name] = {name: tuple(found) for name, found in own_scores.items()}
    used = {name: found.used for name, found in first.items() if found.used is not None}
    return CaseResult(replace(looked, data={**looked.data, **used}), plan.rows, runs, scores, failed)


def _places(
    plan: Plan, row: Row, case: Case, seed: int, data: Sequence[ReIDData], machine: Machine
) -> list[tuple[Path, list[ReIDData]]]:
    """The folders of a row with one seed, and what each is scored on."""
    if not row.adaptation:
        return [(plan.folder(machine.out, row, case, seed), list(data))]
    names = adapted_to(row, case)
    return [(plan.adapted(machine.out, row, case, seed, d.name), [d]) for d in data if d.name in names]


def _done(
    plan: Plan, row: Row, case: Case, seed: int, folder: Path, targets: Sequence[ReIDData], machine: Machine
) -> Iterator[tuple[Run, Result]]:
    """The finished run in a folder with its result on each target, or nothing."""
    if not targets or not (folder / "experiment.json").is_file():
        return
    run = open_run(folder)
    planned = plan.experiment(row, case, seed)
    # The run of an adaptation is called by its method and target; all else is that of the run it started from.
    if not run.finished or replace(run.experiment, recipe=planned.recipe) != planned or not _adapted_so(run, row):
        return
    found = [read_result(folder, target, skip_bad=machine.skip_bad) for target in targets]
    results = [result for result in found if result is not None]
    if len(results) == len(found):
        yield from ((run, result) for result in results)


def _adapted_so(run: Run, row: Row) -> bool:
    """Whether a run was adapted as the row says, by a method with the settings that it has now; a trained row's by none."""
    stored = run.record.get("adaptation")
    if not row.adaptation or not isinstance(stored, dict):
        return not row.adaptation and stored is None
    method = methods()[row.adaptation].for_experiment(run.experiment)
    try:
        return Adaptation.from_json(stored["method"]) == method
    except (KeyError, ExperimentError):
        return False
