"""Writes docs/results.md and the results block of README.md from the run records in docs/records; ``--check`` only says if they are stale.

A number in the documents comes from a record, a record from ``snreid reproduce --records``, ``snreid study --record`` or ``snreid demo``,
and stays as it was written. What is said about it (title, a sentence, whether the README shows it, the order) stands in
``docs/records/words.json``.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
RECORDS = ROOT / "docs" / "records"
WORDS = RECORDS / "words.json"
BEGIN, END = "<!-- results: written by benchmarks/write_results.py -->", "<!-- end of results -->"


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns 1 when ``--check`` finds a document that is not what the records say."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing, exit with 1 when stale")
    check = parser.parse_args(arguments).check
    records = read_records()
    wanted = {ROOT / "docs" / "results.md": results_page(records), ROOT / "README.md": readme(records)}
    stale = [path for path, text in wanted.items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    for path in stale:
        print(f"{'stale' if check else 'written'}: {path.relative_to(ROOT)}")
        if not check:
            path.write_text(wanted[path], encoding="utf-8")
    return int(check and bool(stale))


def read_records() -> list[dict[str, Any]]:
    """The records in the order of ``words.json``, each with its words. Every record must have words and the other way round."""
    words = json.loads(WORDS.read_text(encoding="utf-8"))
    files = {path.stem for path in RECORDS.glob("*.json") if path != WORDS}
    if files != set(words):
        raise SystemExit(f"docs/records and its words.json differ: {', '.join(sorted(files ^ set(words)))}")
    return [json.loads((RECORDS / f"{name}.json").read_text(encoding="utf-8")) | said for name, said in words.items()]


def results_page(records: Sequence[dict[str, Any]]) -> str:
    """docs/results.md: for each record its tables, how they were made, and how long it took."""
    parts = [
        "# Results\n",
        "Written by `benchmarks/write_results.py` from the run records in `docs/records/`; a test fails when this page is stale.\n",
        "Numbers are percent, means over the seeds named; brackets are 95 % bootstrap intervals over the people asked for (they do not",
        "cover what another seed would change: the seeds stand beside them). A difference is paired with the first row, query by query.",
        "*seen* is the domain trained on (unseen people), all others were never seen. No target label chose anything: the last",
        "checkpoint counts.\n",
    ]
    for record in records:
        parts += _section(record)
    return "\n".join(parts).rstrip() + "\n"


def readme(records: Sequence[dict[str, Any]]) -> str:
    """README.md with its results block filled."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    head, rest = text.split(BEGIN)
    tail = rest.split(END)[1]
    tables = "\n".join(
        f"**{record['title']}** ({_budget(record)})\n\n{_short_table(record)}\n"
        for record in records
        if record.get("readme")
    )
    return f"{head}{BEGIN}\n\n{tables}\n{END}{tail}"


def _section(record: dict[str, Any]) -> list[str]:
    lines = [f"\n## {record['title']}\n", f"{_budget(record)}.\n"]
    if record.get("about"):
        lines.append(record["about"] + "\n")
    for metric in ("mAP", "rank-1"):
        lines += [_table(record, metric), ""]
    lines += _published(record)
    if len(_schemes(record)) > 1:
        lines.append("| difference to the first row | " + " | ".join(_columns(record)) + " |")
        lines.append("|---" * (1 + len(_columns(record))) + "|")
    for scheme in _schemes(record)[1:]:
        cells = [_difference(_cell(record, "mAP", scheme, column)) for column in _columns(record)]
        lines.append(f"| {scheme}, mAP | " + " | ".join(cells) + " |")
    lines += ["", "Every seed:", "", "| scheme | target | seed: mAP / rank-1 |", "|---|---|---|"]
    for scheme in _schemes(record):
        for target in dict.fromkeys(row["target"] for row in record["rows"]):
            found = [r for r in record["rows"] if r["scheme"] == scheme and r["target"] == target]
            each = ", ".join(f"{r['seed']}: {100 * r['mAP']:.1f} / {100 * r['rank1']:.1f}" for r in found)
            lines += [f"| {scheme} | {target} | {each} |"] if each else []
    lines += ["", "```", record["provenance"]["command"], "```", ""]
    versions = ", ".join(f"{k} {v}" for k, v in record["provenance"]["versions"].items() if v)
    written_at = (record["provenance"].get("git") or {}).get("commit") or "unknown"
    commits = dict.fromkeys(row.get("trained_at") or written_at for row in record["rows"])
    lines.append(
        f"Trained at commit {', '.join(c[:12] for c in commits)}; {versions}; Python {record['provenance']['python']}; {_times(record)}."
    )
    return lines


def _published(record: dict[str, Any]) -> list[str]:
    """What others printed beside ours, what is said of the order of the rows, and what was not to be had."""
    lines = []
    if record.get("published"):
        lines += ["| mAP / rank-1 | on | published (source) | ours | difference |", "|---|---|---|---|---|"]
        for cell in record["published"]:
            column = next((c for c in _columns(record) if c.removesuffix(" (seen)") == cell["target"]), None)
            cells = [_cell(record, m, cell["scheme"], column) for m in ("mAP", "rank-1")] if column else []
            own = [found["value"] for found in cells if found]
            said = [cell["mAP"], cell["rank1"]]
            gaps = [f"{100 * o - p:+.1f}" if p is not None else "-" for o, p in zip(own, said, strict=False)]
            ours = " / ".join(f"{100 * o:.1f}" for o in own) or "not run"
            shown = " / ".join("-" if p is None else f"{p:.1f}" for p in said)
            lines.append(
                f"| {cell['scheme']} | {cell['target']} | {shown} ({cell['source']}) | {ours} | {' / '.join(gaps)} |"
            )
        lines.append("")
    lines += [f"- note: {note}" for note in record.get("notes", [])]
    for split in record.get("splits", []):
        lines.append(
            f"- {split['scheme']} on {split['target']}: standard deviation {100 * split['std']:.1f} over {split['splits']} splits"
        )
    lines += [f"- {sentence}" for sentence in record.get("order", [])]
    lines += [f"- not run, {name}: {why}" for name, why in record.get("absent", {}).items()]
    lines += [f"- failed, {name}: {why}" for name, why in record.get("failed", {}).items()]
    return [*lines, ""] if lines else []


def _budget(record: dict[str, Any]) -> str:
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


def _short_table(record: dict[str, Any]) -> str:
    def shown(scheme: str, column: str) -> str:
        """mAP with its interval, and rank-1."""
        rank1 = _cell(record, "rank-1", scheme, column)
        return f"{_value(record, 'mAP', scheme, column)} / {100 * rank1['value']:.1f}" if rank1 else "-"

    columns = _columns(record)
    lines = ["| mAP / rank-1 | " + " | ".join(columns) + " |", "|---" * (1 + len(columns)) + "|"]
    for scheme in _schemes(record):
        lines.append(f"| {scheme} | " + " | ".join(shown(scheme, column) for column in columns) + " |")
    return "\n".join(lines)


def _table(record: dict[str, Any], metric: str) -> str:
    columns = _columns(record)
    lines = [f"| {metric} | " + " | ".join(columns) + " |", "|---" * (1 + len(columns)) + "|"]
    for scheme in _schemes(record):
        lines.append(f"| {scheme} | " + " | ".join(_value(record, metric, scheme, column) for column in columns) + " |")
    return "\n".join(lines)


def _value(record: dict[str, Any], metric: str, scheme: str, column: str) -> str:
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


def _columns(record: dict[str, Any]) -> list[str]:
    kinds = {cell["target"]: cell["kind"] for cell in record["table"]}
    return [f"{target} ({kind})" if kind == "seen" else target for target, kind in kinds.items()]


def _schemes(record: dict[str, Any]) -> list[str]:
    return list(dict.fromkeys(cell["scheme"] for cell in record["table"]))


def _cell(record: dict[str, Any], metric: str, scheme: str, column: str) -> dict[str, Any] | None:
    target = column.removesuffix(" (seen)")
    wanted = (metric, scheme, target)
    return next((c for c in record["table"] if (c["metric"], c["scheme"], c["target"]) == wanted), None)


def _times(record: dict[str, Any]) -> str:
    seconds = [row["train_seconds"] for row in record["rows"]]
    threads = record["training"]["threads"]
    return f"training took {min(seconds):.0f} to {max(seconds):.0f} s a run, {threads} thread(s), on a machine shared with other work"


if __name__ == "__main__":
    sys.exit(main())
