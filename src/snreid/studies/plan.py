"""The plan of a comparison: rows x cases x seeds, the folder of each run, and what the data on this machine allow.

The folder of a table's run is ``OUT/PRESET/SOURCES/ROW-SEED``, so that two tables that share a row, and two cases that share their
sources, share the training. A study has one case; its runs are in ``OUT/ROW-SEED``. An adapted run is next to the run that it starts
from: ``ROW-SEED-METHOD-TARGET``.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from snreid.errors import DataError, ExperimentError
from snreid.experiments.experiment import Experiment
from snreid.experiments.scoring import read_targets
from snreid.records import DataSet, ReIDData
from snreid.studies.protocols import Benchmark, Budget, Case, single
from snreid.studies.rows import label, require_same_sources


@dataclass(frozen=True, kw_only=True)
class Row:
    """One scheme of a comparison."""

    name: str
    """Identifies the row and is part of folder names: ``snr-no-loss``. Rows of the same name in two tables share their training."""
    label: str
    """Name in tables."""
    make: Callable[[str], Experiment]
    """Preset name -> the experiment to train, without sources."""
    adaptation: str = ""
    """Method that then adapts the run to each unseen target without labels (``snreid adapt --method``); empty for none."""
    start: str = ""
    """Name of the row whose run is to be adapted."""

    @classmethod
    def of(cls, experiment: Experiment) -> Self:
        """Returns a row that trains the experiment under every preset."""
        return cls(name=experiment.recipe, label=label(experiment), make=lambda preset: experiment)

    @property
    def trained(self) -> str:
        """Name of the trained run."""
        return self.start if self.adaptation else self.name

    def experiment(self, preset: str) -> Experiment:
        """Returns the experiment to train under a preset."""
        return replace(self.make(preset), recipe=self.trained)

    def adapted_to(self, case: Case) -> tuple[str, ...]:
        """Returns the targets that the row is adapted to: the unseen benchmarks of a case that are a single data set."""
        if not self.adaptation:
            return ()
        unseen = (benchmark for benchmark in case.benchmarks if not case.seen(benchmark))
        return tuple(benchmark.targets[0].name for benchmark in unseen if len(benchmark.targets) == 1)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The cells to fill: rows x cases x seeds under a preset."""

    cases: tuple[Case, ...]
    rows: tuple[Row, ...]
    seeds: tuple[int, ...] = (0, 1, 2)
    preset: str = "small"
    budget: Budget | None = None
    """Replaces the preset's length of training, and a case's budget for preset ``small``."""
    case_budget: bool = True
    """Whether a case's budget for preset ``small`` applies; if not, each row's own length does."""
    study: bool = False
    """Whether this is a study (``study_plan``): its runs are directly in the output folder, embeddings of the first seed are kept for
    rank lists, and a failed training ends it. In a table the other cells are still filled."""

    def __post_init__(self) -> None:
        if not self.seeds or len(set(self.seeds)) < len(self.seeds):
            raise ExperimentError(
                "A cell is filled by at least one seed, and by each once: a seed that counts twice is no second training",
                found=f"--seeds {' '.join(map(str, self.seeds))}".strip(),
                fix="name every seed once: --seeds 0 1 2",
            )

    def experiment(self, row: Row, case: Case, seed: int) -> Experiment:
        """Returns the experiment to train for a cell."""
        budget = self.budget or (case.small if self.preset == "small" and self.case_budget else None)
        experiment = replace(row.experiment(self.preset), sources=case.sources, seed=seed)
        if budget is None:
            return experiment
        return replace(experiment, epochs=budget.epochs, batches_per_epoch=budget.batches_per_epoch)

    def folder(self, out: Path, row: Row, case: Case, seed: int) -> Path:
        """Returns the folder of a row's run; for an adapted row, that of the run it starts from."""
        if not self.study:
            out = out / self.preset / "+".join(source.name for source in case.sources)
        return out / f"{row.trained}-{seed}"

    def adapted(self, out: Path, row: Row, case: Case, seed: int, target: str) -> Path:
        """Returns the folder of a row's adaptation to a target."""
        start = self.folder(out, row, case, seed)
        return start.with_name(f"{start.name}-{row.adaptation}-{target}")

    def cells(self) -> Iterator[tuple[Case, int, Row]]:
        """Yields every cell in filling order: all rows of a seed before the next seed, so that an interrupted table compares the same
        seeds."""
        for case in self.cases:
            for seed in self.seeds:
                for row in self.rows:
                    yield case, seed, row


def study_plan(experiments: Sequence[Experiment], targets: Sequence[DataSet], seeds: Sequence[int]) -> Plan:
    """Returns the plan of a study: experiments on the same sources, one per row, trained with the same seeds (their own are ignored) and
    scored on the same targets. Those of a source's ``collection`` count as seen.

    Raises ``ExperimentError`` if there is no experiment, target or seed, one is repeated, or the sources differ.
    """
    names = [label(experiment) for experiment in experiments], [target.name for target in targets], [*map(str, seeds)]
    for kind, given in zip(("scheme", "target", "seed"), names, strict=True):
        if not given or len(set(given)) != len(given):
            raise ExperimentError(
                f"A study needs at least one {kind}, and each once",
                found=", ".join(given) or "none",
                fix=f"name every {kind} once",
            )
    first = experiments[0]
    for experiment in experiments:
        require_same_sources(label(first), first, label(experiment), experiment)
    case = Case(name="study", sources=first.sources, benchmarks=tuple(map(single, targets)))
    rows = tuple(map(Row.of, experiments))
    return Plan(cases=(case,), rows=rows, seeds=tuple(seeds), case_budget=False, study=True)


def example_names(plan: Plan, typed: Sequence[str], targets: Sequence[str]) -> tuple[str, ...]:
    """Returns the names of the targets of a study whose rank lists are requested.

    ``typed``: the request, by names of targets or by words of ``targets``, which are those by which the plan's targets were requested, in
    order. Raises ``ExperimentError`` for a data set that is no target.
    """
    known = [benchmark.name for case in plan.cases for benchmark in case.benchmarks]
    names = dict(zip(known, known, strict=True)) | dict(zip(targets, known, strict=False))
    unknown = [name for name in typed if name not in names]
    if unknown:
        raise ExperimentError(
            "Rank lists are shown of targets only",
            found=unknown[0],
            fix=f"take some of {', '.join(known)}, or add it to --target",
        )
    return tuple(names[name] for name in typed)


@dataclass(frozen=True)
class Availability:
    """A case, and which of its data are on this machine."""

    case: Case
    data: Mapping[str, ReIDData]
    """Target name -> its data; only for benchmarks with all targets present."""
    absent: Mapping[str, str]
    """Name of a source or benchmark -> its reader's reason why it is not available. A benchmark that was read but cannot be scored is
    listed as ``NAME as a target``: it can still be a source."""
    remarks: tuple[str, ...] = ()
    """Remarks of the readers of its sources and targets (``ReIDData.remarks``), each sentence once."""

    @property
    def can_train(self) -> bool:
        """Whether every source is available."""
        return not any(source.name in self.absent for source in self.case.sources)

    @property
    def benchmarks(self) -> tuple[Benchmark, ...]:
        """The benchmarks that can be scored."""
        return tuple(b for b in self.case.benchmarks if all(target.name in self.data for target in b.targets))

    @property
    def can_run(self) -> bool:
        """Whether any cell of the case can be filled."""
        return self.can_train and bool(self.benchmarks)


def availability(case: Case, root: Path) -> Availability:
    """Checks which data of a case are below the data folder ``root``. Opens no image and does not raise for missing data."""
    absent: dict[str, str] = {}
    sources: list[ReIDData] = []
    for source in case.sources:
        data, reason = _read(source, root)
        if data is None or not len(data.train):
            absent[source.name] = reason or "it has no training images"
        else:
            sources.append(data)
    trained = {sample.image.name for source in sources for sample in source.train.samples}
    targets: dict[str, ReIDData] = {}
    for benchmark in case.benchmarks:
        read = [_read(target, root) for target in benchmark.targets]
        readable = [data for data, _ in read if data is not None]
        if len(readable) < len(read):
            absent[benchmark.name] = next(reason for _, reason in read if reason)
        elif reason := next(filter(None, (_unfit(data, trained) for data in readable)), ""):
            absent[f"{benchmark.name} as a target"] = reason
        else:
            targets |= {data.name: data for data in readable}
    remarks = (remark for data in (*sources, *targets.values()) for remark in data.remarks)
    return Availability(case, targets, absent, tuple(dict.fromkeys(remarks)))


def require_available(case: Case, root: Path) -> Availability:
    """Like ``availability``, but every target must exist. Raises as ``read_targets`` does; sources are read when training starts."""
    targets = [target for benchmark in case.benchmarks for target in benchmark.targets]
    data = read_targets(targets, root, trained_on=case.sources)
    return Availability(case, {target.name: target for target in data}, {})


def availabilities(plans: Sequence[Plan], root: Path) -> dict[Case, Availability]:
    """Returns the ``availability`` of every case of the plans."""
    return {case: availability(case, root) for plan in plans for case in plan.cases}


def _unfit(data: ReIDData, trained: Set[str]) -> str:
    """Why a data set cannot be scored after training on the images with these names, or ""."""
    if not len(data.query) or not len(data.gallery):
        return "it has no query and gallery images"
    test = {sample.image.name for split in (data.query, data.gallery) for sample in split.samples}
    return f"{len(test & trained):,} of its {len(test):,} test images are trained on" if test & trained else ""


def _read(data: DataSet, root: Path) -> tuple[ReIDData | None, str]:
    try:
        return data.read(root), ""
    except DataError as error:
        return None, str(error)


@dataclass(frozen=True, slots=True)
class Training:
    """A run to train, for all cells that need it."""

    folder: Path
    experiment: Experiment
    label: str
    """Row and seed, for messages."""
    cases: tuple[Case, ...]
    """The cases that it is scored for."""
    adaptations: tuple[tuple[str, Path, str], ...] = ()
    """(method, folder, target) of each adaptation that starts from it."""
    study: bool = False
    """Whether it belongs to a study."""
    embeddings: bool = False
    """Whether its embeddings of the targets are kept."""


def trainings(plans: Sequence[Plan], out: Path) -> list[Training]:
    """Returns the runs of all plans in order, each once, even if several plans, cases or adapted rows need it."""
    by_folder: dict[Path, Training] = {}
    for plan in plans:
        for case, seed, row in plan.cells():
            folder = plan.folder(out, row, case, seed)
            training = by_folder.get(folder) or Training(
                folder,
                plan.experiment(row, case, seed),
                f"{row.label}, seed {seed}",
                (),
                study=plan.study,
                embeddings=plan.study and seed == plan.seeds[0],
            )
            if case not in training.cases:
                training = replace(training, cases=(*training.cases, case))
            names = row.adapted_to(case)
            new = [(row.adaptation, plan.adapted(out, row, case, seed, name), name) for name in names]
            adaptations = tuple(dict.fromkeys((*training.adaptations, *new)))
            by_folder[folder] = replace(training, adaptations=adaptations)
    return list(by_folder.values())


def wanted(plans: Sequence[Plan], available: Mapping[Case, Availability], out: Path) -> list[Training]:
    """Returns the ``trainings`` that the data on this machine allow, each with its adaptations to available targets."""
    possible = []
    for training in trainings(plans, out):
        here = {name for case in training.cases for name in available[case].data}
        if any(available[case].can_run for case in training.cases):
            adaptations = tuple(adaptation for adaptation in training.adaptations if adaptation[2] in here)
            possible.append(replace(training, adaptations=adaptations))
    return possible
