"""A comparison: several schemes on the same sources, the same budget and the same seeds, scored on the same targets.

Every finished run and every score on disk is taken as it is, so an interrupted study goes on where it stopped. Weights may be deleted
once a run is scored: ``experiment.json`` and ``evaluation/`` are all that a table and its tests need.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from rich.console import Console

from snreid import __version__
from snreid.errors import ExperimentError
from snreid.evaluation import rank_lists, read_features
from snreid.experiments.experiment import Experiment
from snreid.experiments.job import train
from snreid.experiments.runs import Run, open_run
from snreid.experiments.scoring import (
    Result,
    features_path,
    keep_result,
    read_result,
    read_targets,
    require_same_images,
    save_result,
    score,
)
from snreid.experiments.targets import embed_target
from snreid.figures import (
    Domain,
    RankExample,
    Report,
    RunRecord,
    SchemeResult,
    ScoreTable,
    choose_queries,
)
from snreid.images.loading import PixelCache
from snreid.records import DataSet, ReIDData, Scores
from snreid.studies.rows import DESCRIPTIONS, adapted_notes, check_rows, label, require_same_sources
from snreid.system.atomic_files import write_json
from snreid.system.machine import Machine
from snreid.system.provenance import provenance
from snreid.training.distributed import ProcessGroup

RANK_LENGTH = 8
"""Gallery images shown in a rank list."""
SAMPLES = 8
"""Images shown of a domain."""


@dataclass(frozen=True, kw_only=True)
class Study:
    """What is compared: rows, targets, seeds."""

    title: str
    experiments: tuple[Experiment, ...]
    """One per scheme, all on the same sources; each is trained with each seed."""
    targets: tuple[DataSet, ...]
    """Scored by every run. Those of a source's ``collection`` are the seen ones."""
    seeds: tuple[int, ...] = (0,)
    notes: tuple[str, ...] = ()
    """Sentences for the report."""
    descriptions: Mapping[str, str]
    """A sentence on each target by name; may be empty."""

    def __post_init__(self) -> None:
        rows, columns = [label(e) for e in self.experiments], [target.name for target in self.targets]
        for what, found in (("scheme", rows), ("target", columns), ("seed", [str(seed) for seed in self.seeds])):
            if not found or len(set(found)) != len(found):
                raise ExperimentError(
                    f"A study needs at least one {what}, and each once",
                    found=", ".join(found) or "none",
                    fix=f"name every {what} once",
                )
        first = self.experiments[0]
        for other in self.experiments:
            require_same_sources(label(first), first, label(other), other)

    def check_examples(self, names: Sequence[str]) -> None:
        """Raises ``ExperimentError`` when rank lists are asked for a data set that is no target."""
        known = [target.name for target in self.targets]
        unknown = [name for name in names if name not in known]
        if unknown:
            raise ExperimentError(
                "Rank lists are shown of targets only",
                found=unknown[0],
                fix=f"take some of {', '.join(known)}, or add it to --target",
            )


@dataclass(frozen=True)
class StudyResult:
    """All scores of a study."""

    study: Study
    data: tuple[ReIDData, ...]
    """What was scored of each target: without the images that could not be read."""
    scores: Mapping[str, Mapping[str, tuple[Scores, ...]]]
    """Scheme label -> target name -> one ``Scores`` per seed."""
    runs: Mapping[str, tuple[Run, ...]]
    """Scheme label -> one run per seed."""
    left_out: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Target name -> names of its images that could not be read (``--skip-bad``)."""


def run_study(study: Study, machine: Machine, *, group: ProcessGroup, console: Console) -> StudyResult:
    """Trains and scores what is missing below ``machine.out`` (``RECIPE-SEED`` folders) and returns everything."""
    pixels = PixelCache.of(machine, console)
    data = read_targets(study.targets, machine.root, trained_on=study.experiments[0].sources)
    collected = _Collected(study, data)
    for seed in study.seeds:
        for experiment in study.experiments:
            seeded = replace(experiment, seed=seed)
            own = replace(machine, out=machine.out / f"{experiment.recipe}-{seed}")
            console.rule(f"{label(experiment)}, seed {seed}", align="left")
            run = _without_weights(seeded, own, data) or train(
                seeded, own, group=group, console=console, pixels=pixels, targets=data
            )
            keep = seed == study.seeds[0] and run.finished
            collected.add(run, score_run(run, data, own, group=group, console=console, pixels=pixels, keep=keep))
    return collected.result()


def score_runs(
    study: Study, runs: Sequence[Run], machine: Machine, *, group: ProcessGroup, console: Console
) -> StudyResult:
    """The same from runs that are finished already, wherever they are.

    Raises ``ExperimentError`` when runs of one row differ in more than their seed, or rows in their sources.
    """
    check_rows(runs)
    pixels = PixelCache.of(machine, console)
    data = read_targets(study.targets, machine.root, trained_on=runs[0].experiment.sources if runs else ())
    collected = _Collected(study, data)
    for run in runs:
        own = replace(machine, out=run.results)
        keep = run.finished
        collected.add(run, score_run(run, data, own, group=group, console=console, pixels=pixels, keep=keep))
    return collected.result()


def _without_weights(experiment: Experiment, machine: Machine, data: Sequence[ReIDData]) -> Run | None:
    """The finished run in ``machine.out`` whose weights were deleted, if its scores on all targets are there: a study needs no more."""
    if not (machine.out / "experiment.json").is_file():
        return None
    run = open_run(machine.out)
    if "finished" not in run.record or run.finished or run.experiment != experiment:
        return None
    scored = all(read_result(run.folder, target, skip_bad=machine.skip_bad) for target in data)
    return run if scored else None


class _Collected:
    """Runs and their scores by scheme, while they come in."""

    def __init__(self, study: Study, data: tuple[ReIDData, ...]) -> None:
        self.study, self.data = study, data
        self.first: dict[str, tuple[Run, Result]] = {}
        self.runs: dict[str, list[Run]] = {label(e): [] for e in study.experiments}
        self.scores: dict[str, dict[str, list[Scores]]] = {name: {d.name: [] for d in data} for name in self.runs}

    def add(self, run: Run, results: Sequence[Result]) -> None:
        """One run and what it scored. Raises ``ExperimentError`` for scores of other images than those of the runs before it."""
        name = label(run.experiment)
        self.runs[name].append(run)
        for found in results:
            other, before = self.first.setdefault(found.target, (run, found))
            require_same_images(before, found, where=f"{other.folder}, {run.folder}")
            self.scores[name][found.target].append(found.scores)

    def result(self) -> StudyResult:
        """Everything, frozen."""
        scores = {name: {t: tuple(found) for t, found in columns.items()} for name, columns in self.scores.items()}
        runs = {name: tuple(found) for name, found in self.runs.items()}
        used = tuple(self.first[data.name][1].used or data for data in self.data)
        left_out = {target: found.left_out for target, (_, found) in self.first.items()}
        return StudyResult(self.study, used, scores, runs, left_out)


def score_run(
    run: Run,
    data: Sequence[ReIDData],
    machine: Machine,
    *,
    group: ProcessGroup,
    console: Console,
    pixels: PixelCache,
    keep: bool = False,
) -> list[Result]:
    """Scores of a run on every target, from disk where they are there. ``keep``: store the embeddings too, or raise ``OSError``;
    without it a folder that cannot be written costs a remark."""
    results = []
    embedder = None
    for target in data:
        pixels.tell(target, console)
        result = read_result(run.results, target, skip_bad=machine.skip_bad)
        features_there = features_path(run.results, target.name).is_file()
        if result is None or (keep and not features_there):
            embedder = embedder or run.embedder(device=str(group.device), bf16=machine.bf16)
            size = embedder.input.height, embedder.input.width
            found = embed_target(embedder, size, target, machine, group=group, console=console, pixels=pixels)
            result = score(found, run.experiment.metric, group)
            if group.first and keep:
                save_result(run.results, result, found)
            elif group.first:
                keep_result(run.results, result, console)
        results.append(result)
        shown = result.scores
        console.out(
            f"{run.experiment.recipe:>16} on {target.name:<16} mAP {100 * shown.mean_ap:5.1f}  rank-1 {100 * shown.rank(1):5.1f}"
            f"  ({shown.queries} queries, {shown.skipped_queries} without a match"
            f"{f', {len(result.left_out)} images left out' if result.left_out else ''})",
            highlight=False,
        )
    return results


def report(result: StudyResult, *, examples: Sequence[str] = (), commands: Sequence[str] = ()) -> Report:
    """The study as a report page. ``examples``: targets whose rank lists are shown (their embeddings must have been kept)."""
    study = result.study
    sources = study.experiments[0].sources
    collections = {source.collection for source in sources}
    domains = tuple(
        Domain(
            name=d.name,
            seen=target.collection in collections,
            description=study.descriptions.get(d.name, ""),
            samples=_spread(d),
            query=d.query,
        )
        for target, d in zip(study.targets, result.data, strict=True)
    )
    schemes = tuple(
        SchemeResult(
            name=label(one), scores=dict(result.scores[label(one)]), description=DESCRIPTIONS.get(one.recipe, "")
        )
        for one in study.experiments
    )
    missing = tuple(
        f"{name}: {len(images)} images could not be read and were left out."
        for name, images in result.left_out.items()
        if images
    )
    return Report(
        title=study.title,
        trained_on=", ".join(sorted(source.name for source in sources)),
        domains=domains,
        schemes=schemes,
        baseline=next(iter(result.scores)),
        examples=tuple(example for name in examples for example in _examples(result, name)),
        runs=tuple(_record(name, runs, commands) for name, runs in result.runs.items()),
        notes=(
            *study.notes,
            *_remarks(result),
            *adapted_notes([run for runs in result.runs.values() for run in runs]),
            *missing,
        ),
        made=f"snreid {__version__}, {time.strftime('%Y-%m-%d', time.gmtime())}",
    )


def _remarks(result: StudyResult) -> tuple[str, ...]:
    """What the readers of sources and targets noticed, each sentence once."""
    trained = (run.record["training"].get("remarks", ()) for runs in result.runs.values() for run in runs)
    found = (*(remark for one in trained for remark in one), *(r for data in result.data for r in data.remarks))
    return tuple(dict.fromkeys(found))


def _examples(result: StudyResult, target: str) -> list[RankExample]:
    data = next(d for d in result.data if d.name == target)
    first, last = next(iter(result.scores)), list(result.scores)[-1]
    chosen = choose_queries(
        result.scores[first][target][0], result.scores[last][target][0], baseline_name=first, scheme_name=last
    )
    lists: dict[str, dict[int, Any]] = {}
    for name in (first, last):
        query, gallery = read_features(features_path(result.runs[name][0].results, target))
        metric = result.runs[name][0].experiment.metric
        found = rank_lists(query, gallery, [c.query for c in chosen], RANK_LENGTH, metric)
        lists[name] = {one.query: one for one in found}
    return [
        RankExample(
            domain=target,
            query=data.query,
            gallery=data.gallery,
            lists=tuple((name, lists[name][c.query]) for name in (first, last)),
            reason=c.reason,
        )
        for c in chosen
    ]


def _record(name: str, runs: Sequence[Run], commands: Sequence[str]) -> RunRecord:
    first = runs[0].record
    seconds = sum(float(run.record.get("finished", {}).get("seconds", 0.0)) for run in runs)
    versions = {k: str(v) for k, v in first["provenance"]["versions"].items() if v}
    return RunRecord(
        name=name,
        settings={**first["experiment"], "training": first["training"]},
        versions=versions | {"python": first["provenance"]["python"]},
        seeds=tuple(run.experiment.seed for run in runs),
        seconds=seconds,
        commands=tuple(commands) or (first["provenance"]["command"],),
    )


def _spread(data: ReIDData) -> tuple[Any, ...]:
    """Images of different persons and cameras, evenly over the query split."""
    samples = data.query.samples
    return tuple(samples[i * len(samples) // SAMPLES] for i in range(min(SAMPLES, len(samples))))


def _cells(table: ScoreTable) -> list[dict[str, Any]]:
    """A table as data: mean over seeds, interval over persons, paired difference to the first scheme."""
    cells = []
    for metric, rows in table.groups:
        for row in rows:
            for column, cell in zip(table.columns, row.cells, strict=True):
                if cell is None:
                    continue
                gap = cell.difference
                cells.append(
                    {
                        "metric": metric,
                        "scheme": row.scheme,
                        "target": column.name,
                        "kind": column.kind,
                        "value": cell.value,
                        "interval": [cell.interval.low, cell.interval.high],
                        "seeds": list(cell.seeds),
                        "difference": gap
                        and {
                            "value": gap.value,
                            "interval": [gap.interval.low, gap.interval.high],
                            "p_value": gap.p_value,
                        },
                    }
                )
    return cells


def write_record(path: Path, result: StudyResult, seconds: float) -> None:
    """Writes the study's numbers as JSON (``record``)."""
    data = {one.name: one for one in result.data}
    runs = {name: dict.fromkeys(data, found) for name, found in result.runs.items()}
    write_json(path, record(result.study.title, report(result).table(), result.scores, data, runs, seconds))


def record(
    title: str,
    table: ScoreTable,
    scores: Mapping[str, Mapping[str, tuple[Scores, ...]]],
    data: Mapping[str, ReIDData],
    runs: Mapping[str, Mapping[str, tuple[Run, ...]]],
    seconds: float,
) -> dict[str, Any]:
    """A comparison as JSON: its table, and per scheme, target and seed the summary, the time and the commit it was trained at; versions and
    command are those of the process that writes. ``scores``, ``runs``: scheme -> target -> one per seed; ``data``: what was scored."""
    rows = [
        {
            "scheme": name,
            "seed": run.experiment.seed,
            "train_seconds": run.record["finished"]["seconds"],
            "trained_at": (run.record["provenance"].get("git") or {}).get("commit"),
            **Result(target, one, data[target]).to_json(),
        }
        for name, columns in scores.items()
        for target, found in columns.items()
        for run, one in zip(runs[name][target], found, strict=True)
    ]
    trained = {name: found[0] for name, columns in runs.items() for found in columns.values() if found}
    return {
        "title": title,
        "written": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "seconds": round(seconds, 1),
        "training": next(iter(trained.values())).record["training"],
        "provenance": provenance(),
        "experiments": {name: {**run.experiment.to_json(), "seed": 0} for name, run in trained.items()},
        "table": _cells(table),
        "rows": rows,
    }
