"""Protocols and tables, run: every cell that can be filled on this machine is trained and scored, once.

A cell is a row in a case with a seed; its run lives in ``OUT/PRESET/SOURCES/ROW-SEED``, so that two tables that share a row, and two cases
that share their sources, share the training, and what is finished is never done again. Cells without data on disk, and cells whose
training failed, say so; the rest goes on.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from rich.console import Console

from snreid.errors import DataError, DivergenceError
from snreid.experiment import Experiment
from snreid.figures import Domain, SchemeResult, ScoreTable, score_table
from snreid.loading import PixelCache
from snreid.machine import Machine
from snreid.protocols import Budget, Case, Column
from snreid.records import DataSet, ReIDData, Scores, Split
from snreid.results import Result, read_result, require_same_images
from snreid.runs import Run, open_run, train
from snreid.study import score_run
from snreid.tables import Row
from snreid.training.distributed import ProcessGroup

FAILED = "failed.txt"
"""In the folder of a cell: why its training ended."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is to be filled: rows x cases x seeds under a preset."""

    cases: tuple[Case, ...]
    rows: tuple[Row, ...]
    seeds: tuple[int, ...] = (0, 1, 2)
    preset: str = "small"
    budget: Budget | None = None
    """In place of the preset's own length of training, and of what a case says for preset ``small``."""
    case_budget: bool = True
    """False: what a case says for preset ``small`` does not count, the rows say how long they train."""

    def experiment(self, row: Row, case: Case, seed: int) -> Experiment:
        """What is trained for a cell."""
        budget = self.budget or (case.small if self.preset == "small" and self.case_budget else None)
        start = replace(row.experiment(self.preset), sources=case.sources, seed=seed)
        if budget is None:
            return start
        return replace(start, epochs=budget.epochs, batches_per_epoch=budget.batches_per_epoch)

    def folder(self, out: Path, row: Row, case: Case, seed: int) -> Path:
        """Where a cell's run is."""
        return out / self.preset / "+".join(source.name for source in case.sources) / f"{row.name}-{seed}"

    def cells(self) -> Iterator[tuple[Case, int, Row]]:
        """Every cell, in the order in which they are filled: all rows of a seed before the next seed, so that a table that was
        interrupted compares what belongs together."""
        for case in self.cases:
            for seed in self.seeds:
                for row in self.rows:
                    yield case, seed, row


@dataclass(frozen=True)
class Looked:
    """A case and what of it is on this machine."""

    case: Case
    data: Mapping[str, ReIDData]
    """Target name -> what is scored. Only columns all of whose targets are there."""
    absent: Mapping[str, str]
    """Source or column name -> why it cannot be had, in the words of its reader."""

    @property
    def can_train(self) -> bool:
        """Whether every source is there."""
        return not any(source.name in self.absent for source in self.case.sources)

    @property
    def columns(self) -> tuple[Column, ...]:
        """The columns that can be scored."""
        return tuple(column for column in self.case.columns if all(t.name in self.data for t in column.targets))

    @property
    def runs(self) -> bool:
        """Whether any cell of the case can be filled."""
        return self.can_train and bool(self.columns)


def look(case: Case, root: Path) -> Looked:
    """What of a case lies below the data folder. Lists are read, no image is opened; nothing is raised for what is missing."""
    absent: dict[str, str] = {}
    for source in case.sources:
        found, reason = _read(source, root)
        if reason or not found or not len(found.train):
            absent[source.name] = reason or "it has no training images"
    data: dict[str, ReIDData] = {}
    for column in case.columns:
        read = [_read(target, root) for target in column.targets]
        reasons = [reason for _, reason in read if reason]
        if reasons:
            absent[column.name] = reasons[0]
        else:
            data |= {found.name: found for found, _ in read if found is not None}
    return Looked(case, data, absent)


def _read(data: DataSet, root: Path) -> tuple[ReIDData | None, str]:
    try:
        return data.read(root), ""
    except DataError as error:
        return None, str(error)


@dataclass(frozen=True)
class CaseResult:
    """The cells of one case that are filled."""

    looked: Looked
    rows: tuple[Row, ...]
    runs: Mapping[str, tuple[Run, ...]]
    """Row name -> finished runs, one per seed."""
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


@dataclass(frozen=True, slots=True)
class Shard:
    """A share of the cells, for several processes that fill one table side by side."""

    number: int = 0
    of: int = 1

    def has(self, position: int) -> bool:
        """Whether the cell at this position of ``Plan.cells`` is its own."""
        return position % self.of == self.number


@dataclass(frozen=True, slots=True)
class Training:
    """One run that is to be made, for all cells that need it."""

    folder: Path
    experiment: Experiment
    label: str
    """For people: row and seed."""
    cases: tuple[Case, ...]
    """What it is scored for."""


def trainings(plans: Sequence[Plan], out: Path) -> list[Training]:
    """The runs of all plans, in their order; one that several plans or cases need stands once."""
    found: dict[Path, Training] = {}
    for plan in plans:
        for case, seed, row in plan.cells():
            folder = plan.folder(out, row, case, seed)
            new = Training(folder, plan.experiment(row, case, seed), f"{row.label}, seed {seed}", (case,))
            known = found.get(folder)
            found[folder] = new if known is None else replace(known, cases=(*known.cases, case))
    return list(found.values())


def fill(
    plans: Sequence[Plan], machine: Machine, *, group: ProcessGroup, console: Console, shard: Shard | None = None
) -> None:
    """Trains and scores every cell of the plans (of the ``shard``) that is missing below ``machine.out`` and can be had.

    A training that ended in NaN leaves its reason in its folder and the others go on; it is tried again the next time. All else is
    raised as ``train`` and scoring raise it.
    """
    shard = shard or Shard()
    looked = {case.name: look(case, machine.root) for plan in plans for case in plan.cases}
    pixels = PixelCache(workers=machine.workers, memory_gb=machine.memory_gb)
    wanted = [one for one in trainings(plans, machine.out) if any(looked[case.name].runs for case in one.cases)]
    for position, one in enumerate(wanted):
        if not shard.has(position):
            continue
        data = _targets([looked[case.name] for case in one.cases])
        own = replace(machine, out=one.folder)
        sources = " + ".join(source.name for source in one.experiment.sources)
        console.rule(f"{sources}: {one.label} ({position + 1} of {len(wanted)})", align="left")
        try:
            run = train(one.experiment, own, group=group, console=console, pixels=pixels, targets=data)
        except DivergenceError as error:  # one scheme that cannot be trained must not cost the others
            console.out(str(error), highlight=False)
            if group.first:
                own.out.mkdir(parents=True, exist_ok=True)
                (own.out / FAILED).write_text(f"{error}\n", encoding="utf-8")
            continue
        score_run(run, data, own, group=group, console=console, pixels=pixels)


def _targets(looked: Sequence[Looked]) -> list[ReIDData]:
    """What is scored for these cases, each data set once."""
    return list({t.name: one.data[t.name] for one in looked for c in one.columns for t in c.targets}.values())


def collect(plan: Plan, machine: Machine) -> tuple[CaseResult, ...]:
    """What is filled below ``machine.out``: finished runs of just these experiments, with their scores of just these images. Trains and
    scores nothing. A seed counts for a row once every column that can be had is scored."""
    return tuple(_collect(plan, case, machine) for case in plan.cases)


def _collect(plan: Plan, case: Case, machine: Machine) -> CaseResult:
    looked = look(case, machine.root)
    data = _targets([looked])
    first: dict[str, Result] = {}
    runs: dict[str, tuple[Run, ...]] = {}
    scores: dict[str, Mapping[str, tuple[Scores, ...]]] = {}
    for row in plan.rows:
        done = [(run, found) for seed in plan.seeds for run, found in _done(plan, row, case, seed, data, machine)]
        for run, found in done:
            for result in found:
                require_same_images(first.setdefault(result.target, result), result, where=str(run.folder))
        runs[row.name] = tuple(run for run, _ in done)
        scores[row.name] = {d.name: tuple(found[i].scores for _, found in done) for i, d in enumerate(data)}
    used = {name: found.used for name, found in first.items() if found.used is not None}
    failed = {
        f"{row.label}, seed {seed}": place.read_text(encoding="utf-8").strip()
        for row in plan.rows
        for seed in plan.seeds
        if (place := plan.folder(machine.out, row, case, seed) / FAILED).is_file()
        and seed not in [run.experiment.seed for run in runs[row.name]]
    }
    return CaseResult(replace(looked, data={**looked.data, **used}), plan.rows, runs, scores, failed)


def _done(
    plan: Plan, row: Row, case: Case, seed: int, data: Sequence[ReIDData], machine: Machine
) -> Iterator[tuple[Run, list[Result]]]:
    """The finished run of a cell and its results, or nothing."""
    folder = plan.folder(machine.out, row, case, seed)
    if not (folder / "model.safetensors").is_file():
        return
    run = open_run(folder)
    if not run.finished or run.experiment != plan.experiment(row, case, seed):
        return
    found = [read_result(folder, target, skip_bad=machine.skip_bad) for target in data]
    results = [result for result in found if result is not None]
    if data and len(results) == len(found):
        yield run, results
