"""Writes docs/results.md, a page below docs/results/ for each record, and the results table of README.md; ``--check`` only compares.

Every number comes from a record in ``docs/records``, and a record from ``snreid reproduce --records``, ``snreid study --record`` or
``snreid demo``. ``docs/records/words.json`` holds what is said about them:

- ``records``: title and description of each record, in the order of the list of all records,
- ``findings``: a question, an answer in one sentence, the records whose rows make its table, and further records to link,
- ``readme``: the rows of the README's table.

A selection of rows is ``{record: {row: label}}``; an empty inner mapping takes every row under its own name.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from snreid.evaluation import disagreement
from snreid.records import Interval

ROOT = Path(__file__).resolve().parent.parent
PAGES = ROOT / "docs" / "results"
RECORDS = ROOT / "docs" / "records"
WORDS = RECORDS / "words.json"
BEGIN, END = "<!-- results: written by benchmarks/write_results.py -->", "<!-- end of results -->"
README_ROWS = 6
SEEN = " (seen)"

Record = dict[str, Any]
Selection = Mapping[str, str]


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns 1 when ``--check`` finds a page that differs from what the records give, or a page without a record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing, exit with 1 when a page is stale")
    check = parser.parse_args(arguments).check
    words, records = read_records()
    wanted = {PAGES / f"{name}.md": record_page(record) for name, record in records.items()}
    wanted |= {ROOT / "docs" / "results.md": findings_page(words, records), ROOT / "README.md": readme(words, records)}
    stale = [path for path, text in wanted.items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    surplus = sorted(set(PAGES.glob("*.md")) - set(wanted))
    for path in [*stale, *surplus]:
        print(f"{'stale' if check else 'removed' if path in surplus else 'written'}: {path.relative_to(ROOT)}")
    if not check:
        PAGES.mkdir(exist_ok=True)
        for path in stale:
            path.write_text(wanted[path], encoding="utf-8")
        for path in surplus:
            path.unlink()
    return int(check and bool(stale or surplus))


def read_records() -> tuple[dict[str, Any], dict[str, Record]]:
    """``words.json``, and the records by name with their title and description; both must name the same records."""
    words = json.loads(WORDS.read_text(encoding="utf-8"))
    files = {path.stem for path in RECORDS.glob("*.json") if path != WORDS}
    if files != set(words["records"]):
        raise SystemExit(f"docs/records and its words.json differ: {', '.join(sorted(files ^ set(words['records'])))}")
    read = {name: json.loads((RECORDS / f"{name}.json").read_text(encoding="utf-8")) for name in words["records"]}
    return words, {name: record | words["records"][name] | {"name": name} for name, record in read.items()}


def findings_page(words: Mapping[str, Any], records: Mapping[str, Record]) -> str:
    """docs/results.md: the findings, then the list of all records."""
    lines = [
        "# Results",
        "",
        "Each finding is a question, a table and one sentence. The linked pages hold the full tables, every seed and the command.",
        "`benchmarks/write_results.py` writes these pages from the records in `docs/records`; a test fails when they are stale.",
        "",
        "The tables show mAP in percent: the mean over seeds, with a 95 % bootstrap interval over the persons queried. The intervals",
        "do not cover variation between seeds. *(seen)* marks a domain of the training set, tested on other persons. Target labels",
        "choose nothing: the last checkpoint counts.",
    ]
    for finding in words["findings"]:
        links = [
            f"[{records[name]['title']}](results/{name}.md)" for name in [*finding["records"], *finding.get("see", [])]
        ]
        lines += [
            "",
            f"## {finding['question']}",
            "",
            *_finding_table(finding["records"], records),
            "",
            finding["answer"],
        ]
        lines += ["", "Records: " + "; ".join(links) + "."]
    lines += [
        "",
        "## All records",
        "",
        *(f"- [{record['title']}](results/{name}.md)" for name, record in records.items()),
    ]
    return "\n".join(lines) + "\n"


def readme(words: Mapping[str, Any], records: Mapping[str, Record]) -> str:
    """README.md with its table of results filled: mAP with its interval, and rank-1."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    head, rest = text.split(BEGIN)
    rows = []
    for name, selection in words["readme"].items():
        record = records[name]
        preset = next(iter(record["experiments"].values()))["preset"]
        for scheme, label in _selected(record, selection):
            adapted = {run.get("adapted_to") for run in record["rows"] if run["scheme"] == scheme}
            cells = {True: [], False: []}
            for column in _main_columns(record):
                name = column.removesuffix(SEEN)
                value = f"{name}{' without labels' * (name in adapted)} {_value(record, 'mAP', scheme, column)}"
                rank1 = _cell(record, "rank-1", scheme, column)
                seen = column.endswith(SEEN) or name in adapted
                cells[seen].append(f"{value} / {100 * rank1['value']:.1f}" if rank1 else value)
            rows.append([f"`{preset}`", label, _sources(record), "<br>".join(cells[False]), "<br>".join(cells[True])])
    if len(rows) > README_ROWS:
        raise SystemExit(f"words.json selects {len(rows)} rows for the README; it has room for {README_ROWS}")
    table = _markdown(
        ["preset", "method", "trained on", "never seen: mAP / rank-1", "seen, other persons: mAP / rank-1"], rows
    )
    return "\n".join([f"{head}{BEGIN}", "", *table, "", f"{END}{rest.split(END)[1]}"])


def record_page(record: Record) -> str:
    """docs/results/NAME.md: all tables of one record, how they were made, and how long it took."""
    columns, schemes = _columns(record), _schemes(record)
    lines = [
        f"# {record['title']}",
        "",
        "Percent, with 95 % bootstrap intervals over the persons queried. A difference is paired with the first row, query by query."
        " How to read the tables: [Results](../results.md).",
        "",
        f"{_budget(record)}.",
        "",
    ]
    if record.get("about"):
        lines += [record["about"], ""]
    for metric in ("mAP", "rank-1"):
        rows = [[scheme, *(_value(record, metric, scheme, column) for column in columns)] for scheme in schemes]
        lines += [*_markdown([metric, *columns], rows), ""]
    lines += _published(record)
    if len(schemes) > 1:
        rows = [
            [f"{scheme}, mAP", *(_difference(_cell(record, "mAP", scheme, column)) for column in columns)]
            for scheme in schemes[1:]
        ]
        lines += [*_markdown(["difference to the first row", *columns], rows), "", *_unsettled(record)]
    rows = []
    for scheme in schemes:
        for target in dict.fromkeys(row["target"] for row in record["rows"]):
            runs = [run for run in record["rows"] if run["scheme"] == scheme and run["target"] == target]
            each = ", ".join(f"{run['seed']}: {100 * run['mAP']:.1f} / {100 * run['rank1']:.1f}" for run in runs)
            rows += [[scheme, target, each]] if each else []
    lines += ["## Every seed", "", *_markdown(["method", "target", "seed: mAP / rank-1"], rows), ""]
    return "\n".join([*lines, "## How it was made", "", *_provenance(record)]) + "\n"


def _provenance(record: Record) -> list[str]:
    about = record["provenance"]
    versions = ", ".join(f"{name} {version}" for name, version in about["versions"].items() if version)
    written_at = (about.get("git") or {}).get("commit") or "unknown"
    commits = dict.fromkeys(row.get("trained_at") or written_at for row in record["rows"])
    seconds = [row["train_seconds"] for row in record["rows"]]
    low, high, threads = f"{min(seconds):.0f}", f"{max(seconds):.0f}", record["training"]["threads"]
    return [
        *("```", about["command"], "```", ""),
        f"The record is [{record['name']}.json](../records/{record['name']}.json).",
        f"Trained at commit {', '.join(commit[:12] for commit in commits)}, with {versions} and Python {about['python']}."
        f" One training took {low if low == high else f'{low} to {high}'} s by the clock, with {threads} thread{'s' * (threads > 1)}.",
    ]


def _finding_table(selection: Mapping[str, Selection], records: Mapping[str, Record]) -> list[str]:
    """mAP of the selected rows; rows and columns that several records share are merged."""
    cells: dict[str, dict[str, str]] = {}
    for name, rows in selection.items():
        record = records[name]
        for scheme, label in _selected(record, rows):
            for column in _main_columns(record):
                one_target = not column.endswith(SEEN) and not column.startswith("mean of ")
                head = f"{_sources(record)} → {column}" if one_target else column
                value = _value(record, "mAP", scheme, column)
                if cells.setdefault(label, {}).setdefault(head, value) != value:
                    raise SystemExit(
                        f"a finding has two values for {label!r}, {head}: give one of the rows another label"
                    )
    columns = list(dict.fromkeys(head for row in cells.values() for head in row))
    return _markdown(["mAP", *columns], [[label, *(row.get(c, "-") for c in columns)] for label, row in cells.items()])


def _selected(record: Record, selection: Selection) -> list[tuple[str, str]]:
    """Rows of a record with their labels; an empty selection is all of them."""
    unknown = set(selection) - set(_schemes(record))
    if unknown:
        raise SystemExit(
            f"words.json selects rows that {record['title']!r} does not have: {', '.join(sorted(unknown))}"
        )
    return list(selection.items()) or [(scheme, scheme) for scheme in _schemes(record)]


def _main_columns(record: Record) -> list[str]:
    """The columns of a small table: the seen targets, and the unseen ones, as their mean where they are more than three."""
    kinds = [cell["kind"] for cell in {cell["target"]: cell for cell in record["table"]}.values()]
    left_out = "mean" if kinds.count("unseen") <= 3 else "unseen"
    return [column for column, kind in zip(_columns(record), kinds, strict=True) if kind != left_out]


def _sources(record: Record) -> str:
    return " + ".join(record["training"]["sources"])


def _markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(head)} |", "|---" * len(head) + "|", *(f"| {' | '.join(row)} |" for row in rows)]


def _published(record: Record) -> list[str]:
    """Published numbers beside ours, whether the rows have the paper's order, and what could not be run."""
    lines = []
    if record.get("published"):
        rows = []
        for cell in record["published"]:
            column = next((c for c in _columns(record) if c.removesuffix(SEEN) == cell["target"]), None)
            cells = [_cell(record, metric, cell["scheme"], column) for metric in ("mAP", "rank-1")] if column else []
            own = [100 * found["value"] for found in cells if found]
            published = [cell["mAP"], cell["rank1"]]
            gaps = [
                "-" if theirs is None else f"{ours - theirs:+.1f}" for ours, theirs in zip(own, published, strict=False)
            ]
            ours = " / ".join(f"{value:.1f}" for value in own) or "not run"
            theirs = " / ".join("-" if value is None else f"{value:.1f}" for value in published)
            rows.append([cell["scheme"], cell["target"], f"{theirs} ({cell['source']})", ours, " / ".join(gaps)])
        lines += [*_markdown(["mAP / rank-1", "target", "published (source)", "ours", "difference"], rows), ""]
    lines += [f"- note: {note}" for note in record.get("notes", [])]
    for split in record.get("splits", []):
        lines.append(
            f"- {split['scheme']} on {split['target']}: standard deviation {100 * split['std']:.1f} over {split['splits']} splits"
        )
    lines += [f"- {sentence}" for sentence in record.get("order", [])]
    lines += [f"- not run, {name}: {why}" for name, why in record.get("absent", {}).items()]
    lines += [f"- failed, {name}: {why}" for name, why in record.get("failed", {}).items()]
    return [*lines, ""] if lines else []


def _budget(record: Record) -> str:
    experiment = next(iter(record["experiments"].values()))
    backbone, size = experiment["model"]["backbone"], experiment["input"]
    widths = f", widths {'-'.join(map(str, backbone['channels']))}" if backbone["channels"] else ""
    batch = experiment["sampling"]["persons"] * experiment["sampling"]["images"]
    per_epoch = experiment["batches_per_epoch"] or record["training"]["images"] // batch
    images = experiment["epochs"] * per_epoch * batch
    seeds = len({row["seed"] for row in record["rows"]})
    return (
        f"preset `{experiment['preset']}`: {backbone['name']}{widths}, {backbone['weights']} initialization, "
        f"{size['height']} x {size['width']}, {images:,} training images a run, {seeds} seed{'s' if seeds > 1 else ''}, "
        f"{record['training']['precision']}"
    )


def _value(record: Record, metric: str, scheme: str, column: str) -> str:
    """A value with its interval; a dash where the scheme was not scored, as an adapted one is on its target alone."""
    cell = _cell(record, metric, scheme, column)
    if cell is None:
        return "-"
    low, high = (100 * x for x in cell["interval"])
    return f"{100 * cell['value']:.1f} [{low:.1f}, {high:.1f}]"


def _difference(cell: dict[str, Any] | None) -> str:
    gap = cell["difference"] if cell else None
    if gap is None:
        return ""
    low, high = (100 * x for x in gap["interval"])
    value = gap["p_value"]
    p = "" if value is None else ", p < 0.001" if value < 0.001 else f", p {value:.3f}"
    return f"{100 * gap['value']:+.1f} [{low:+.1f}, {high:+.1f}]{p}"


def _unsettled(record: Record) -> list[str]:
    """A sentence for each difference of mAP whose interval and test contradict each other."""
    found = []
    for cell in record["table"]:
        gap = cell["difference"]
        text = disagreement(Interval(*gap["interval"]), gap["p_value"]) if gap and cell["metric"] == "mAP" else ""
        found += [f"- {cell['scheme']} on {cell['target']}: {text}"] if text else []
    return [*found, ""] if found else []


def _columns(record: Record) -> list[str]:
    kinds = {cell["target"]: cell["kind"] for cell in record["table"]}
    return [f"{target} ({kind})" if kind == "seen" else target for target, kind in kinds.items()]


def _schemes(record: Record) -> list[str]:
    return list(dict.fromkeys(cell["scheme"] for cell in record["table"]))


def _cell(record: Record, metric: str, scheme: str, column: str) -> dict[str, Any] | None:
    target = column.removesuffix(SEEN)
    wanted = (metric, scheme, target)
    return next((c for c in record["table"] if (c["metric"], c["scheme"], c["target"]) == wanted), None)


if __name__ == "__main__":
    sys.exit(main())
