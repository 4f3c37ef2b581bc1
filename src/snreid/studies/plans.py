"""What is to be filled of a table: rows x cases x seeds, where each run lives, and what of it the data on this machine allow.

A run lives in ``OUT/PRESET/SOURCES/ROW-SEED``, so that two tables that share a row, and two cases that share their sources, share the
training. What a row adapts to a target lies beside the run that it starts from: ``ROW-SEED-METHOD-TARGET``.
"""

from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from pathlib import Path

from snreid.errors import DataError, ExperimentError
from snreid.experiments.experiment import Experiment
from snreid.records import DataSet, ReIDData
from snreid.studies.paper_tables import Row
from snreid.studies.protocols import Budget, Case, Column


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

    def __post_init__(self) -> None:
        if not self.seeds or len(set(self.seeds)) < len(self.seeds):
            raise ExperimentError(
                "A cell is filled by at least one seed, and by each once: a seed that counts twice is no second training",
                found=f"--seeds {' '.join(map(str, self.seeds))}".strip(),
                fix="name every seed once: --seeds 0 1 2",
            )

    def experiment(self, row: Row, case: Case, seed: int) -> Experiment:
        """What is trained for a cell."""
        budget = self.budget or (case.small if self.preset == "small" and self.case_budget else None)
        start = replace(row.experiment(self.preset), sources=case.sources, seed=seed)
        if budget is None:
            return start
        return replace(start, epochs=budget.epochs, batches_per_epoch=budget.batches_per_epoch)

    def folder(self, out: Path, row: Row, case: Case, seed: int) -> Path:
        """Where the run of a row is; of an adapted one the run that it starts from."""
        return out / self.preset / "+".join(source.name for source in case.sources) / f"{row.trained}-{seed}"

    def adapted(self, out: Path, row: Row, case: Case, seed: int, target: str) -> Path:
        """Where a row's adaptation to a target is."""
        start = self.folder(out, row, case, seed)
        return start.with_name(f"{start.name}-{row.adaptation}-{target}")

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
    """Source or column name -> why it cannot be had, in the words of its reader. A column that was read and cannot be scored here stands
    as ``NAME as a target``: its images may still be trained on."""
    remarks: tuple[str, ...] = ()
    """What the readers of its sources and targets noticed (``ReIDData.remarks``), each sentence once."""

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
    sources: list[ReIDData] = []
    for source in case.sources:
        found, reason = _read(source, root)
        if found is None or not len(found.train):
            absent[source.name] = reason or "it has no training images"
        else:
            sources.append(found)
    trained = {sample.image.name for found in sources for sample in found.train.samples}
    data: dict[str, ReIDData] = {}
    for column in case.columns:
        read = [_read(target, root) for target in column.targets]
        there = [found for found, _ in read if found is not None]
        if len(there) < len(read):
            absent[column.name] = next(reason for _, reason in read if reason)
        elif why := next(filter(None, (_unfit(found, trained) for found in there)), ""):
            absent[f"{column.name} as a target"] = why
        else:
            data |= {found.name: found for found in there}
    remarks = (remark for found in (*sources, *data.values()) for remark in found.remarks)
    return Looked(case, data, absent, tuple(dict.fromkeys(remarks)))


def _unfit(data: ReIDData, trained: Set[str]) -> str:
    """Why a data set cannot be scored after training on the images of these names, or ""."""
    if not len(data.query) or not len(data.gallery):
        return "it has no query and gallery images"
    asked = {sample.image.name for split in (data.query, data.gallery) for sample in split.samples}
    return f"{len(asked & trained):,} of its {len(asked):,} test images are trained on" if asked & trained else ""


def look_all(plans: Sequence[Plan], root: Path) -> dict[Case, Looked]:
    """``look`` for every case of the plans."""
    return {case: look(case, root) for plan in plans for case in plan.cases}


def _read(data: DataSet, root: Path) -> tuple[ReIDData | None, str]:
    try:
        return data.read(root), ""
    except DataError as error:
        return None, str(error)


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
    adaptations: tuple[tuple[str, Path, str], ...] = ()
    """(method, folder, target) of what is adapted from it."""


def trainings(plans: Sequence[Plan], out: Path) -> list[Training]:
    """The runs of all plans, in their order; one that several plans or cases need, or adapted rows start from, stands once."""
    found: dict[Path, Training] = {}
    for plan in plans:
        for case, seed, row in plan.cells():
            folder = plan.folder(out, row, case, seed)
            known = found.get(folder)
            if known is None:
                known = Training(folder, plan.experiment(row, case, seed), f"{row.label}, seed {seed}", ())
            if case not in known.cases:
                known = replace(known, cases=(*known.cases, case))
            new = [(row.adaptation, plan.adapted(out, row, case, seed, name), name) for name in adapted_to(row, case)]
            found[folder] = replace(known, adaptations=tuple(dict.fromkeys((*known.adaptations, *new))))
    return list(found.values())


def wanted(plans: Sequence[Plan], looked: Mapping[Case, Looked], out: Path) -> list[Training]:
    """The ``trainings`` that the data on this machine allow, each with the adaptations to targets that are here. ``looked``: every case."""
    found = []
    for one in trainings(plans, out):
        here = {name for case in one.cases for name in looked[case].data}
        if any(looked[case].runs for case in one.cases):
            found.append(replace(one, adaptations=tuple(made for made in one.adaptations if made[2] in here)))
    return found


def adapted_to(row: Row, case: Case) -> tuple[str, ...]:
    """Names of the targets that a row is adapted to: the unseen ones of a case that are one data set; none for a row as it was trained."""
    if not row.adaptation:
        return ()
    return tuple(c.targets[0].name for c in case.columns if len(c.targets) == 1 and not case.seen(c))
