"""Runs plans: trains, adapts and scores every cell that can be filled on this machine, once.

Finished runs and scores on disk are reused, so an interrupted table or study continues where it stopped. Weights may be deleted once a
run is scored: a table and its tests need only ``experiment.json`` and ``evaluation/``. Cells without data on disk and cells whose training
failed give the reason; the others are filled.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from snreid.adaptation import Unlabelled, adapt_run, methods
from snreid.errors import DivergenceError, ExperimentError
from snreid.experiments.experiment import Experiment
from snreid.experiments.job import train
from snreid.experiments.runs import Run, open_run
from snreid.experiments.scoring import Result, read_result, require_same_images, score_run, tell
from snreid.figures.score_table import SchemeResult, ScoredDomain, ScoreTable, score_table
from snreid.records import ReIDData, Scores
from snreid.studies.others import OtherModel
from snreid.studies.plan import Availability, Plan, Row, Training, require_available, wanted
from snreid.studies.protocols import Benchmark, Case
from snreid.studies.rows import check_rows
from snreid.system.atomic_files import write_text
from snreid.training.session import Session

FAILED = "failed.txt"
"""File in the folder of a cell with the reason why its training failed."""


@dataclass(frozen=True)
class CaseResult:
    """The filled cells of one case."""

    available: Availability
    rows: tuple[Row | OtherModel, ...]
    runs: Mapping[str, Mapping[str, tuple[Run, ...]]]
    """Row name -> target name -> the finished runs scored on it, one per seed; none for a model that was not trained here."""
    scores: Mapping[str, Mapping[str, tuple[Scores, ...]]]
    """Row name -> target name -> scores, one per seed."""
    left_out: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Target name -> names of its unreadable images (``--skip-bad``)."""
    failed: Mapping[str, str] = field(default_factory=dict)
    """``ROW, seed N`` -> why its last training failed."""

    @property
    def case(self) -> Case:
        """The case."""
        return self.available.case

    @property
    def filled(self) -> bool:
        """Whether there is anything to show."""
        return any(self.runs.values())

    def domains(self) -> tuple[ScoredDomain, ...]:
        """The benchmarks in the form of a score table: the queries of several splits are concatenated."""
        known = bool(self.case.sources)
        return tuple(
            ScoredDomain(name=b.name, seen=self.case.seen(b) if known else None) for b in self.available.benchmarks
        )

    def scheme(self, row: Row | OtherModel) -> SchemeResult:
        """Returns a row in the form of a score table. Pools the queries of several splits: all splits have equally many, so the mean over
        queries is the mean over splits."""
        scores = self.scores.get(row.name, {})
        columns = {
            b.name: tuple(map(pooled_scores, zip(*(scores[target.name] for target in b.targets), strict=True)))
            for b in self.available.benchmarks
            if all(scores.get(target.name) for target in b.targets)
        }
        return SchemeResult(name=row.label, scores=columns)

    @cached_property
    def table(self) -> ScoreTable:
        """Returns values, intervals over persons, and paired differences to the first row."""
        schemes = tuple(self.scheme(row) for row in self.rows)
        return score_table(self.domains(), schemes, baseline=self.rows[0].label)

    def spread(self, row: Row, benchmark: Benchmark) -> float | None:
        """Returns the standard deviation (n - 1) over random splits of a benchmark's mAP (0 to 1, averaged over seeds); None for a
        benchmark of one data set."""
        scores = self.scores.get(row.name, {})
        if len(benchmark.targets) < 2 or not all(scores.get(target.name) for target in benchmark.targets):
            return None
        means = [np.mean([seed.mean_ap for seed in scores[target.name]]) for target in benchmark.targets]
        return float(np.std(means, ddof=1))


def pooled_scores(parts: Sequence[Scores]) -> Scores:
    """Concatenates the scores of several query sets."""
    if len(parts) == 1:
        return parts[0]
    starts = np.cumsum([0, *(part.queries for part in parts[:-1])])
    return Scores(
        average_precision=np.concatenate([part.average_precision for part in parts]),
        inverse_negative_penalty=np.concatenate([part.inverse_negative_penalty for part in parts]),
        first_rank=np.concatenate([part.first_rank for part in parts]),
        query_index=np.concatenate([part.query_index + start for part, start in zip(parts, starts, strict=True)]),
        queries=sum(part.queries for part in parts),
        persons=np.concatenate([part.persons for part in parts]),
    )


def run_study(plan: Plan, out: Path, session: Session) -> CaseResult:
    """Trains and scores the missing cells of a ``study_plan`` below ``out`` and returns all cells.

    Raises:
        DataError: A target or source is missing, or an image cannot be read.
        ExperimentError: A target's people are trained on, or a folder holds another run.
        DivergenceError: A loss is no longer finite.
    """
    (case,) = plan.cases
    available = require_available(case, session.machine.root)
    fill([plan], {case: available}, out, session)
    session.group.barrier()  # wait until rank 0 has written all scores
    return collect_case(plan, available, out, skip_bad=session.machine.skip_bad)


def score_models(plan: Plan, models: Sequence[Run | OtherModel], session: Session) -> CaseResult:
    """Like ``run_study``, but scores finished runs from any folders, and models that were not trained here.

    Raises:
        ExperimentError: Runs of one row differ in more than their seed, or rows in their sources.
        DataError: Embeddings in a file are not those of the target.
    """
    check_rows([model for model in models if isinstance(model, Run)])
    available = require_available(plan.cases[0], session.machine.root)
    trained = {row.name: row for row in plan.rows}
    row_of = {id(model): trained[model.experiment.recipe] if isinstance(model, Run) else model for model in models}
    cells = _Cells(available, tuple(dict.fromkeys(row_of.values())))
    targets = list(available.data.values())
    for model in models:
        if isinstance(model, Run):
            for result in score_run(model, targets, session, embeddings=model.finished):
                cells.add(row_of[id(model)], model, result)
            continue
        for target in targets:
            result = model.score(target, session)
            tell(model.name, result, session)
            cells.add(model, None, result)
    return cells.result()


def fill(
    plans: Sequence[Plan],
    available: Mapping[Case, Availability],
    out: Path,
    session: Session,
    *,
    shard: tuple[int, int] = (0, 1),
) -> None:
    """Trains, adapts and scores every cell of the plans that is missing below ``out`` and whose data are available.

    In a table, a training that ends in NaN or an adaptation that fails leaves its reason in its folder, and the others continue; the next
    call retries it. Any other error of training or scoring is raised.

    ``available``: the data on this machine, for every case. ``shard``: (k, n) fills only every n-th training, from the k-th on, so that
    several processes fill one table.
    """
    number, of = shard
    todo = wanted(plans, available, out)
    for position, training in list(enumerate(todo))[number::of]:
        data = _targets([available[case] for case in training.cases])
        sources = " + ".join(source.name for source in training.experiment.sources)
        session.console.rule(f"{sources}: {training.label} ({position + 1} of {len(todo)})", align="left")
        run = None
        with _failure_recorded(training, training.folder, session):
            run = _without_weights(training, data, session) or train(
                training.experiment, training.folder, session, targets=data
            )
            score_run(run, data, session, embeddings=training.embeddings and run.finished)
        for method, folder, name in training.adaptations if run is not None else ():
            target = next((target for target in data if target.name == name), None)
            if target is not None:
                with _failure_recorded(training, folder, session):
                    _adapt_and_score(run, method, target, folder, session)


def _without_weights(training: Training, data: Sequence[ReIDData], session: Session) -> Run | None:
    """The finished run whose weights were deleted, if it has scores on all targets and no adaptation starts from it."""
    if training.adaptations or not (training.folder / "experiment.json").is_file():
        return None
    run = open_run(training.folder)
    if run.finished or run.experiment != training.experiment:
        return None
    return run if _results(run, data, skip_bad=session.machine.skip_bad) else None


def _adapt_and_score(run: Run, method: str, target: ReIDData, folder: Path, session: Session) -> None:
    """Runs one adaptation and scores it; only the scoring reads the target's labels."""
    value = methods()[method].for_experiment(run.experiment)
    adapted = adapt_run(value, run, Unlabelled.of(target), folder, session)
    score_run(adapted, [target], session)


@contextmanager
def _failure_recorded(training: Training, folder: Path, session: Session) -> Iterator[None]:
    """Stores the reason of a failed cell in its folder until it is retried, and continues with the others. A study ends instead."""
    if session.first:
        (folder / FAILED).unlink(missing_ok=True)
    try:
        yield
    except (DivergenceError, ExperimentError) as error:
        if training.study:
            raise
        session.say(str(error))
        if session.first:
            write_text(folder / FAILED, f"{error}\n")


def _targets(available: Sequence[Availability]) -> list[ReIDData]:
    """The targets of these cases, each data set once."""
    scored = [(case, target.name) for case in available for column in case.benchmarks for target in column.targets]
    return list({name: case.data[name] for case, name in scored}.values())


def collect(
    plan: Plan, available: Mapping[Case, Availability], out: Path, *, skip_bad: bool = False
) -> tuple[CaseResult, ...]:
    """Collects the filled cells below ``out``: finished runs of exactly these experiments, with scores on exactly these images.

    Trains and scores nothing. A seed of a trained row counts once every available benchmark is scored. ``available``: the data on this
    machine, for every case. ``skip_bad``: accept scores without images that cannot be read.
    """
    return tuple(collect_case(plan, available[case], out, skip_bad=skip_bad) for case in plan.cases)


def collect_case(plan: Plan, available: Availability, out: Path, *, skip_bad: bool) -> CaseResult:
    """``collect`` for one case of the plan."""
    cells = _Cells(available, plan.rows)
    failed: dict[str, str] = {}
    for row in plan.rows:
        for seed in plan.seeds:
            planned = plan.experiment(row, available.case, seed)
            for folder, targets in _folders(plan, row, available, seed, out):
                scored = _finished(folder, planned, row, targets, skip_bad=skip_bad)
                for run, result in scored:
                    cells.add(row, run, result)
                if not scored and (folder / FAILED).is_file():
                    failed[f"{row.label}, seed {seed}"] = (folder / FAILED).read_text(encoding="utf-8").strip()
    return cells.result(failed)


class _Cells:
    """Collects runs and their scores by row and target."""

    def __init__(self, available: Availability, rows: tuple[Row | OtherModel, ...]) -> None:
        self.available, self.rows = available, rows
        self.first: dict[str, tuple[str, Result]] = {}
        self.runs: dict[str, dict[str, list[Run]]] = {row.name: {} for row in rows}
        self.scores: dict[str, dict[str, list[Scores]]] = {row.name: {} for row in rows}

    def add(self, row: Row | OtherModel, run: Run | None, result: Result) -> None:
        """Adds a result of a row, and its run if it has one. Raises ``ExperimentError`` if its images differ from those of earlier
        results."""
        owner = row.label if run is None else str(run.folder)
        other, before = self.first.setdefault(result.target, (owner, result))
        require_same_images(before, result, where=f"{other}, {owner}")
        if run is not None:
            self.runs[row.name].setdefault(result.target, []).append(run)
        self.scores[row.name].setdefault(result.target, []).append(result.scores)

    def result(self, failed: Mapping[str, str] | None = None) -> CaseResult:
        """Returns the collected cells."""
        used = {target: result.used for target, (_, result) in self.first.items() if result.used is not None}
        return CaseResult(
            replace(self.available, data={**self.available.data, **used}),
            self.rows,
            {row: {target: tuple(runs) for target, runs in by.items()} for row, by in self.runs.items()},
            {row: {target: tuple(scores) for target, scores in by.items()} for row, by in self.scores.items()},
            {target: result.left_out for target, (_, result) in self.first.items()},
            failed or {},
        )


def _folders(plan: Plan, row: Row, available: Availability, seed: int, out: Path) -> list[tuple[Path, list[ReIDData]]]:
    """The folders of a row with one seed, and the targets each is scored on."""
    case, data = available.case, _targets([available])
    if not row.adaptation:
        return [(plan.folder(out, row, case, seed), data)]
    names = row.adapted_to(case)
    return [(plan.adapted(out, row, case, seed, d.name), [d]) for d in data if d.name in names]


def _finished(
    folder: Path, planned: Experiment, row: Row, targets: Sequence[ReIDData], *, skip_bad: bool
) -> list[tuple[Run, Result]]:
    """The run in a folder with its result on each target; empty unless it is this cell's finished run, scored on all."""
    if not targets or not (folder / "experiment.json").is_file():
        return []
    run = open_run(folder)
    # The recipe of an adapted run also names method and target; the rest matches the run it started from.
    same = replace(run.experiment, recipe=planned.recipe) == planned and _adapted_as(run, row)
    return [(run, result) for result in _results(run, targets, skip_bad=skip_bad)] if same else []


def _results(run: Run, targets: Sequence[ReIDData], *, skip_bad: bool) -> list[Result]:
    """The stored results of a finished run; empty unless it is scored on every target. Its weights may be deleted."""
    if "finished" not in run.record:
        return []
    results = [read_result(run.folder, target, skip_bad=skip_bad) for target in targets]
    known = [result for result in results if result is not None]
    return known if len(known) == len(results) else []


def _adapted_as(run: Run, row: Row) -> bool:
    """Whether a run was adapted by the row's method with its current settings, or not at all for a trained row."""
    stored = run.record.get("adaptation")
    if not row.adaptation or not isinstance(stored, dict):
        return not row.adaptation and stored is None
    return methods()[row.adaptation].for_experiment(run.experiment).is_in(stored.get("method"))
