"""``snreid diagnose``: where a run, or any embeddings, fail on a target."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from rich.console import Console
from rich.table import Table

from snreid import __version__
from snreid.cli.backends import MaybeModel, OnnxFile, OnnxFlags, OnnxInput, named_model, ready, require_one_source
from snreid.cli.flags import Json, Metric, flag, parse
from snreid.cli.machine import Flags, MachineFlags, out_folder
from snreid.cli.names import dataset_named, features_named
from snreid.cli.session import open_session
from snreid.errors import ExperimentError, visible
from snreid.experiments.packaged import beside
from snreid.system.atomic_files import write_json, write_text
from snreid.system.provenance import provenance

if TYPE_CHECKING:
    from snreid.cli.backends import Network
    from snreid.evaluation import Diagnosis, Estimate
    from snreid.experiments.runs import Run
    from snreid.figures.diagnosis_page import DiagnosisPage
    from snreid.figures.rank_lists import RankExample
    from snreid.records import DataSet, Features, ReIDData, Sample
    from snreid.training.session import Session

_Kind = Literal["dark", "blur", "low-resolution", "jpeg", "colour-cast"]
_UNKNOWN = (
    "A file does not tell what its network was trained on, so it is not known whether these cameras are new to it."
)
_NO_NETWORK = "There is no network to embed corrupted images: corruptions are left out."
_ALL: tuple[_Kind, ...] = ("dark", "blur", "low-resolution", "jpeg", "colour-cast")


@dataclass(frozen=True, kw_only=True)
class Request:
    """Find out where a model fails: pairs of cameras, dark, small or blurred images,
    corruptions; and see its worst queries. Writes TARGET.html and TARGET.json.

    Embeddings in a file (--features) are diagnosed by camera pair; with --target,
    the data set of their rows, by their images too. Intervals: 95 % over persons.

    Examples:
      snreid diagnose runs/snr-market1501-0 --target cuhk03
      snreid diagnose theirs.onnx --target night dusk --corruptions dark blur
      snreid diagnose --features mine.npz --target market1501
    """

    run: MaybeModel = None
    target: Annotated[tuple[str, ...], flag("one or more data sets, e.g. market1501", "NAME", "-t")] = ()
    features: Annotated[tuple[Path, ...], flag("embeddings, see snreid evaluate", "FILE")] = ()
    onnx: OnnxFile = None
    file: OnnxInput = OnnxFlags()
    corruptions: Annotated[tuple[_Kind, ...], flag("of query images; none if no KIND follows", "KIND")] = _ALL
    severity: Annotated[tuple[int, ...], flag("of corruptions, 1 to 5 (hard)", "N")] = (1, 3, 5)
    worst: Annotated[int, flag("number of worst queries on the page", "N")] = 6
    images: Annotated[bool, flag("keep images, and thus people, off the page")] = True
    metric: Metric = None
    json: Json = False
    out: Annotated[Path | None, out_folder("RUN/diagnosis")] = None
    machine: MachineFlags = Flags()


def main(arguments: Sequence[str]) -> int:
    """Diagnoses, prints, writes."""
    request = parse(Request, arguments, "snreid diagnose")
    _check(request)
    diagnoses = _from_features(request) if request.features else _from_network(request)
    if request.json and diagnoses:
        objects = [diagnosis.to_json() for diagnosis in diagnoses]
        print(json.dumps(objects[0] if len(objects) == 1 else {"targets": objects}))
    elif diagnoses:
        console = Console()
        wide = Console(width=max(console.width, 120))  # narrower tables would truncate numbers
        for diagnosis in diagnoses:
            _show(diagnosis, wide)
    return 0


def _check(request: Request) -> None:
    from snreid.datasets.corruptions import check_kind

    require_one_source(request, "diagnose")
    if not request.features and not request.target:
        raise ExperimentError(
            "A diagnosis of a network needs a target", found="none", fix="name one: --target market1501"
        )
    if request.features and len(request.target) > 1:
        raise ExperimentError(
            "Embeddings in a file are the rows of one data set", found=" ".join(request.target), fix="name one"
        )
    if request.worst < 0:
        raise ExperimentError("So many worst queries are shown: 0 or more", found=str(request.worst), fix="give 6")
    for severity in request.severity or (0,):
        check_kind(_ALL[0], severity)
    if request.out is not None and (request.out / "experiment.json").exists():
        raise ExperimentError(
            "--out is a folder for pages, and that of a run is none",
            found=str(request.out),
            fix="name another folder; without --out it is the folder diagnosis in the run's",
        )


def _from_features(request: Request) -> list["Diagnosis"]:
    from snreid.analysis.diagnosis import diagnose, require_rows
    from snreid.evaluation import remarks
    from snreid.figures.diagnosis_page import DiagnosisPage

    query, gallery = features_named(request.features)
    file = request.features[0]
    out = request.out or Path("runs") / f"diagnosis-{file.stem}"
    with open_session(request.machine, out) as session:
        for remark in remarks(query):
            session.say(remark)
        data = _targets(request)[0][1] if request.target else None
        if data is not None:
            require_rows(query, gallery, data)
        name = file.stem if data is None else data.name
        result = diagnose(
            query,
            gallery,
            session=session,
            out=out,
            target=name,
            metric=request.metric or "cosine",
            data=data,
            notes=[*_notes(data), _NO_NETWORK],
        )
        page = DiagnosisPage(
            diagnosis=result,
            model=f"embeddings in {file.name}",
            worst=_worst(request, result, query, gallery, data),
            made=_made(),
        )
        _write(page, out, session)
    return [result]


def _from_network(request: Request) -> list["Diagnosis"]:
    """Diagnose a run or a file on every target."""
    from snreid.experiments.runs import open_run

    model, backend = named_model(request.run, request.onnx, request.file, precision=request.machine.precision)
    run = open_run(model) if backend == "torch" else None
    targets = _targets(request, () if run is None else run.experiment.sources)
    out = request.out or (beside(model) / "diagnosis" if run is not None else Path("runs") / f"diagnosis-{model.stem}")
    with open_session(request.machine, out) as session:
        network = ready(model, backend, request.file, session)
        return [
            found
            for target, data in targets
            for found in _of_network(request, network, run or model, target, data, out, session)
        ]


def _targets(request: Request, trained_on: Sequence["DataSet"] = ()) -> list[tuple["DataSet", "ReIDData"]]:
    from snreid.experiments.scoring import read_targets

    named = [dataset_named(name, request.machine.root) for name in request.target]
    return list(zip(named, read_targets(named, request.machine.root, trained_on=trained_on), strict=True))


def _of_network(
    request: Request,
    network: "Network",
    model: "Run | Path",
    target: "DataSet",
    data: "ReIDData",
    out: Path,
    session: "Session",
) -> list["Diagnosis"]:
    """Write the diagnosis of one target; nothing in all processes but the first. ``model``: what the network was opened from."""
    from snreid.analysis.diagnosis import corruption_effects, diagnose
    from snreid.experiments.scoring import score
    from snreid.experiments.targets import embed_target
    from snreid.figures.diagnosis_page import DiagnosisPage

    run = None if isinstance(model, Path) else model
    sources = () if run is None else run.experiment.sources
    metric = request.metric or ("cosine" if run is None else run.experiment.metric)
    embedded = embed_target(network.embed, network.size, data, session, out, by=network.by)
    scores = score(embedded, metric, session.group).scores
    effects = corruption_effects(
        network.embed,
        network.size,
        target,
        embedded.used,
        embedded.gallery,
        scores,
        _wanted(request),
        session,
        out,
        metric=metric,
        by=network.by,
    )
    if not session.first:
        return []
    result = diagnose(
        embedded.query,
        embedded.gallery,
        session=session,
        out=out,
        target=data.name,
        metric=metric,
        data=embedded.used,
        scores=scores,
        effects=effects,
        notes=[*_notes(data, embedded.left_out), *([_UNKNOWN] if run is None else [])],
    )
    page = DiagnosisPage(
        diagnosis=result,
        model=model.name,
        trained_on=", ".join(source.name for source in sources),
        seen=None if run is None else target.collection in {source.collection for source in sources},
        made=_made(),
        corrupted=_looks(request, result, target, embedded.used),
        worst=_worst(request, result, embedded.query, embedded.gallery, embedded.used),
    )
    _write(page, out, session)
    return [result]


def _wanted(request: Request) -> list[tuple[_Kind, int]]:
    """Each corruption once, kind by kind, severities ascending."""
    return [(kind, severity) for kind in dict.fromkeys(request.corruptions) for severity in sorted({*request.severity})]


def _notes(data: "ReIDData | None", left_out: Sequence[str] = ()) -> list[str]:
    from snreid.datasets.copies import copied_queries, copies_note

    if data is None:
        return []
    missing = f"{len(left_out)} images could not be read and were left out of everything." if left_out else ""
    copies = copies_note(len(copied_queries(data)), len(data.query))
    return [*data.remarks, *filter(None, [missing, copies])]


def _made() -> str:
    import time

    return f"snreid {__version__}, {time.strftime('%Y-%m-%d', time.gmtime())}"


def _worst(
    request: Request, found: "Diagnosis", query: "Features", gallery: "Features", data: "ReIDData | None"
) -> tuple["RankExample", ...]:
    from snreid.analysis.diagnosis import worst_queries

    if data is None or not request.images or not request.worst:
        return ()
    return worst_queries(query, gallery, data, found.scores, count=request.worst, metric=found.metric)


def _looks(
    request: Request, found: "Diagnosis", target: "DataSet", data: "ReIDData"
) -> tuple[tuple[str, tuple[tuple[str, "Sample"], ...]], ...]:
    """A preview of each corruption, on the first query that has a match."""
    from snreid.analysis.diagnosis import looks

    if not request.images:
        return ()
    return looks(target, data, int(found.scores.query_index[0]), _wanted(request))


def _write(page: "DiagnosisPage", out: Path, session: "Session") -> None:
    from snreid.datasets import require_name
    from snreid.figures.diagnosis_page import render_diagnosis

    target = page.diagnosis.target
    require_name(target)
    text = render_diagnosis(page)
    about = {"model": page.model, "trained_on": page.trained_on, "provenance": provenance()}
    write_json(out / f"{target}.json", {**page.diagnosis.to_json(), **about})
    write_text(out / f"{target}.html", text)
    session.say(f"Page: {out / f'{target}.html'}")


def _show(result: "Diagnosis", console: Console) -> None:
    """Print the same numbers as text."""
    from snreid.figures.diagnosis_page import diagnosis_findings

    console.out(f"{result.target}", highlight=False)
    for head, rest in diagnosis_findings(result):
        console.print(visible(f"  {head}{rest}"), highlight=False, markup=False, soft_wrap=True)
    for note in result.notes:
        console.print(f"  {visible(note)}", highlight=False, markup=False, soft_wrap=True)
    for table in (_pairs_table(result), _properties_table(result), _corruptions_table(result)):
        if table is not None:
            console.print(table)


def _pairs_table(result: "Diagnosis") -> Table | None:
    if not result.pairs.scored:
        return None
    there = list(dict.fromkeys(pair.gallery_camera for pair in result.pairs.pairs))
    table = _table(
        "mAP of query camera (row) in gallery camera (column), queries with a match", "camera", *map(str, there)
    )
    for start in range(0, len(result.pairs.pairs), len(there)):
        line = result.pairs.pairs[start : start + len(there)]
        cells = [
            "" if p.estimates is None else f"{100 * p.estimates.mean_ap.value:.1f} ({p.estimates.queries})"
            for p in line
        ]
        table.add_row(str(line[0].query_camera), *cells)
    return table


def _properties_table(result: "Diagnosis") -> Table | None:
    table = _table(
        "quarters of the queries by a property of their images", "property", "from", "to", "queries", "mAP", "rank-1"
    )
    for one in result.properties:
        for bucket in one.buckets:
            estimates = bucket.estimates
            bounds = f"{bucket.low:,.1f}", f"{bucket.high:,.1f}"
            table.add_row(one.name, *bounds, str(estimates.queries), _text(estimates.mean_ap), _text(estimates.rank1))
    return table if table.row_count else None


def _corruptions_table(result: "Diagnosis") -> Table | None:
    if not result.effects:
        return None
    table = _table("corrupted queries against clean ones", "corruption", "severity", "mAP", "difference", "rank-1")
    for effect in result.effects:
        change = effect.comparison.mean_ap
        low, high = 100 * change.interval.low, 100 * change.interval.high
        words = rf"{100 * change.difference:+.1f} \[{low:+.1f}, {high:+.1f}]"
        estimates = effect.estimates
        table.add_row(effect.kind, str(effect.severity), _text(estimates.mean_ap), words, _text(estimates.rank1))
    return table


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", header_style="bold")
    for number, name in enumerate(columns):
        table.add_column(name, justify="left" if number == 0 else "right")
    return table


def _text(found: "Estimate") -> str:
    low, high = 100 * found.interval.low, 100 * found.interval.high
    return rf"{100 * found.value:.1f} \[{low:.1f}, {high:.1f}]"
