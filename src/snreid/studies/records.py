"""The report page of a comparison, and its record: a JSON object with all its numbers."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from snreid import __version__
from snreid.evaluation import rank_lists, read_features
from snreid.experiments.runs import Run
from snreid.experiments.scoring import Result, features_path
from snreid.figures.query_choice import choose_queries, typical_queries
from snreid.figures.rank_lists import RankExample
from snreid.figures.report_page import SELECTION, Report
from snreid.figures.run_details import RunDetails
from snreid.figures.score_table import Difference, ScoreTable
from snreid.images.reading import FileImage
from snreid.records import Features, ReIDData, Sample
from snreid.studies.others import OtherModel
from snreid.studies.plan import Row
from snreid.studies.rows import DESCRIPTIONS, adapted_notes
from snreid.studies.run import CaseResult
from snreid.system.provenance import provenance

RANK_LENGTH = 8
"""Gallery images shown per rank list."""
SAMPLES = 8
"""Images shown per domain."""


def report(
    result: CaseResult,
    title: str,
    *,
    descriptions: Mapping[str, str] | None = None,
    notes: Sequence[str] = (),
    examples: Sequence[str] = (),
    commands: Sequence[str] = (),
) -> Report:
    """Builds the report page of a study.

    ``descriptions``: target name -> a sentence about it. ``notes``: sentences below the table. ``examples``: targets whose rank lists are
    shown; their embeddings must be stored. ``commands``: those that reproduce the study; if empty, those of the runs.
    """
    runs = {row.label: _runs(result, row.name) for row in result.rows}
    unreadable = tuple(
        f"{name}: {len(images)} images could not be read and were left out."
        for name, images in result.left_out.items()
        if images
    )
    return Report(
        title=title,
        trained_on=", ".join(sorted(source.name for source in result.case.sources)) or "not known",
        domains=tuple(
            replace(
                domain,
                description=(descriptions or {}).get(domain.name, ""),
                samples=_spread(result.available.data[domain.name]),
            )
            for domain in result.domains()
        ),
        schemes=tuple(replace(result.scheme(row), description=_description(row)) for row in result.rows),
        baseline=result.rows[0].label,
        examples=tuple(example for name in examples for example in _examples(result, name)),
        runs=tuple(_run_record(name, of_row, commands) for name, of_row in runs.items() if of_row),
        notes=(
            *notes,
            *_remarks(result),
            *_unknown(result),
            *adapted_notes([run for of_row in runs.values() for run in of_row]),
            *unreadable,
        ),
        selection=SELECTION if all(runs.values()) else _selection(runs),
        made=f"snreid {__version__}, {time.strftime('%Y-%m-%d', time.gmtime())}",
    )


def _description(row: Row | OtherModel) -> str:
    return row.about if isinstance(row, OtherModel) else DESCRIPTIONS.get(row.name, "")


def _unknown(result: CaseResult) -> tuple[str, ...]:
    """A sentence on models that may have been trained on the cameras of a target."""
    others = [row.label for row in result.rows if isinstance(row, OtherModel)]
    if not others or not result.case.sources:
        return ()
    return (f"Unseen is said of the runs; what {' and '.join(others)} was trained on is not known.",)


def _selection(runs: Mapping[str, Sequence[Run]]) -> str:
    """How the models of a report were chosen if some of them are no runs."""
    others = " and ".join(name for name, of_row in runs.items() if not of_row)
    ours = f"Of the runs: {SELECTION} " if any(runs.values()) else ""
    return f"{ours}How {others} was chosen is not known."


def _runs(result: CaseResult, row: str) -> tuple[Run, ...]:
    """The runs of a row, one per seed; in a study each is scored on every target. None for a model that was not trained here."""
    return next(iter(result.runs[row].values()), ())


def _spread(data: ReIDData) -> tuple[Sample, ...]:
    """Images of different persons and cameras, evenly spaced in the query split, without names that are no files."""
    samples = data.query.samples
    chosen = [samples[i * len(samples) // SAMPLES] for i in range(min(SAMPLES, len(samples)))]
    return tuple(s for s in chosen if not isinstance(s.image, FileImage) or Path(s.image.path).is_file())


def _remarks(result: CaseResult) -> tuple[str, ...]:
    """Remarks of the readers of sources and targets, each sentence once."""
    runs = (run for row in result.rows for run in _runs(result, row.name))
    trained = (remark for run in runs for remark in run.record["training"].get("remarks", ()))
    scored = (remark for data in result.available.data.values() for remark in data.remarks)
    return tuple(dict.fromkeys((*trained, *scored)))


def _examples(result: CaseResult, target: str) -> list[RankExample]:
    """Rank lists of the first and the last row, for queries on which they differ; of a single row, for its best to its worst."""
    data = result.available.data[target]
    ends = [result.rows[0], result.rows[-1]][: len(result.rows)]
    scores = [result.scores[row.name][target][0] for row in ends]
    if len(ends) == 1:
        chosen = typical_queries(scores[0])
    else:
        chosen = choose_queries(*scores, baseline_name=ends[0].label, scheme_name=ends[1].label)
    queries, lists = [choice.query for choice in chosen], []
    for row in ends:
        query, gallery, metric = _embedded(result, row, target)
        lists.append(rank_lists(query, gallery, queries, RANK_LENGTH, metric))
    return [
        RankExample(
            domain=target,
            query=data.query,
            gallery=data.gallery,
            lists=tuple((row.label, ranks) for row, ranks in zip(ends, of_query, strict=True)),
            reason=choice.reason,
        )
        for choice, *of_query in zip(chosen, *lists, strict=True)
    ]


def _embedded(result: CaseResult, row: Row | OtherModel, target: str) -> tuple[Features, Features, str]:
    """Query, gallery and metric of a row's first seed."""
    if isinstance(row, OtherModel):
        return (*row.features(target), "cosine")
    run = _runs(result, row.name)[0]
    return (*read_features(features_path(run.results, target)), run.experiment.metric)


def _run_record(name: str, runs: Sequence[Run], commands: Sequence[str]) -> RunDetails:
    first = runs[0].record
    seconds = sum(float(run.record.get("finished", {}).get("seconds", 0.0)) for run in runs)
    versions = {k: str(v) for k, v in first["provenance"]["versions"].items() if v}
    return RunDetails(
        name=name,
        settings={**first["experiment"], "training": first["training"]},
        versions=versions | {"python": first["provenance"]["python"]},
        seeds=tuple(run.experiment.seed for run in runs),
        seconds=seconds,
        commands=tuple(commands) or (first["provenance"]["command"],),
    )


def record(result: CaseResult, title: str, seconds: float) -> dict[str, Any]:
    """Builds the record of one case, whose comparison took so many ``seconds``.

    It holds the table, and per row, target and seed the scores, the training time and the commit trained at. Versions and command are
    those of the current process.
    """
    data = result.available.data
    rows = [
        {
            "scheme": row.label,
            "seed": run.experiment.seed,
            "train_seconds": run.record["finished"]["seconds"],
            "trained_at": (run.record["provenance"].get("git") or {}).get("commit"),
            **({"adapted_to": run.record["adaptation"]["target"]} if "adaptation" in run.record else {}),
            **Result(target, scores, data[target]).to_json(),
        }
        for row in result.rows
        for target, of_target in result.scores[row.name].items()
        for run, scores in zip(result.runs[row.name][target], of_target, strict=True)
    ]
    trained = {row.label: [*result.runs[row.name].values()][-1][0] for row in result.rows if result.runs[row.name]}
    return {
        "title": title,
        "written": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "seconds": round(seconds, 1),
        "training": next(iter(trained.values())).record["training"],
        "provenance": provenance(),
        "experiments": {name: {**run.experiment.to_json(), "seed": 0} for name, run in trained.items()},
        "table": _cells(result.table),
        "rows": rows,
    }


def _cells(table: ScoreTable) -> list[dict[str, Any]]:
    """The table's cells as data: mean over seeds, interval over persons, paired difference to the first row."""
    return [
        {
            "metric": metric,
            "scheme": row.scheme,
            "target": column.name,
            "kind": column.kind,
            "value": cell.value,
            "interval": [cell.interval.low, cell.interval.high],
            "seeds": list(cell.seeds),
            "difference": None if (gap := cell.difference) is None else _gap(gap),
        }
        for metric, rows in table.groups
        for row in rows
        for column, cell in zip(table.columns, row.cells, strict=True)
        if cell is not None
    ]


def _gap(gap: Difference) -> dict[str, Any]:
    return {"value": gap.value, "interval": [gap.interval.low, gap.interval.high], "p_value": gap.p_value}
