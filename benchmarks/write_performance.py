"""Writes ``docs/performance.md`` from the records in ``benchmarks/results/speed``: the targets first, then every comparison.

python benchmarks/write_performance.py [--check]
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RECORDS = ROOT / "benchmarks" / "results" / "speed"
PAGE = ROOT / "docs" / "performance.md"
WORDS = RECORDS / "words.json"
"""What is said about each script's numbers: a title and a paragraph."""


def main() -> None:
    """``--check``: ends with status 1 when the page is not what the records give."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing, fail when the page is stale")
    text = page()
    if parser.parse_args().check:
        if not PAGE.is_file() or PAGE.read_text(encoding="utf-8") != text:
            sys.exit(f"{PAGE.relative_to(ROOT)} is not what the records give")
        return
    PAGE.write_text(text, encoding="utf-8")


def page() -> str:
    """The whole page as Markdown."""
    words = json.loads(WORDS.read_text(encoding="utf-8"))
    records = {name: json.loads((RECORDS / f"{name}.json").read_text(encoding="utf-8")) for name in words}
    gpu = {name: json.loads(path.read_text(encoding="utf-8")) for name in words if (path := _gpu_file(name)).is_file()}
    unknown = {path.stem.removesuffix("-gpu") for path in RECORDS.glob("*.json")} - set(words) - {"words"}
    if unknown:
        sys.exit(f"{WORDS.relative_to(ROOT)} says nothing about {', '.join(sorted(unknown))}")
    lines = [
        "# Speed",
        "",
        "Written by `benchmarks/write_performance.py` from `benchmarks/results/speed/*.json`; `make bench` measures everything again"
        " (`make gpu`: what needs a GPU). Read the ratios: competitors run in turn in one process, so that other load slows"
        " them alike. A ratio is the median over the rounds of the ratio to the first competitor within a round, with its"
        " 95 % interval in brackets where there were six rounds or more. It need not be the quotient of the two times beside it,"
        " which are medians too. Times are CPU time of all threads unless a row says otherwise; the spread is half of the"
        " interquartile range. Targets apply to CPU time (for SNR in ResNet-50 also to a clock within the steps). Exact"
        " evaluation and re-ranking have parts of one thread, so on two cores their clock ratio is worse than their ratio."
        " *Compared with* names limits, and values of other implementations on another computer; the tables hold what the same"
        " ways take on the computer named below them.",
        "",
        "## Targets",
        "",
        "| subject | target | measured | | compared with | remark |",
        "|---|---|---|---|---|---|",
    ]
    for name, record in records.items():
        found = {target["subject"]: target for target in gpu.get(name, {"targets": []})["targets"]}
        lines += [_target(found.get(target["subject"], target)) for target in record["targets"]]
    for name, record in records.items():
        lines += ["", f"## {words[name]['title']}", "", *_paragraph(words[name].get("about")), *_rows(record["rows"])]
        lines += ["", _surroundings(" ".join([f"{name}.py", *record.get("arguments", [])]), record["surroundings"])]
        if name in gpu:
            words_said = " ".join([f"{name}.py", *gpu[name].get("arguments", ["--gpu"])])
            lines += ["", *_rows(gpu[name]["rows"]), "", _surroundings(words_said, gpu[name]["surroundings"])]
    return "\n".join(lines) + "\n"


def _gpu_file(name: str) -> Path:
    return RECORDS / f"{name}-gpu.json"


def _target(target: dict[str, Any]) -> str:
    # Percents above 1 are asked for in thousandths.
    digits = 4 if target["measured"] is not None and 1 <= target["measured"] < 2 else 3
    measured = "not measured" if target["measured"] is None else f"**{target['measured']:.{digits}g}{target['unit']}**"
    verdict = {True: "reached", False: "missed", None: ""}[target["reached"]]
    cells = (target["subject"], target["target"], measured, verdict, target["limit"], target["note"])
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"


def _rows(rows: list[dict[str, Any]]) -> list[str]:
    memory = any(row["peak_mb"] is not None for row in rows)
    head = [
        "comparison",
        "what",
        "CPU s",
        "spread",
        "ratio",
        "clock s",
        "clock ratio",
        *(["extra MB"] if memory else []),
    ]
    lines = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    for row in rows:
        cells = [
            row["comparison"],
            row["name"],
            f"{row['cpu']:.4g}",
            f"{row['spread']:.2g}",
            _ratio(row),
            f"{row['wall']:.4g}",
            f"{row['wall_ratio']:.3f}",
        ]
        if memory:
            cells.append("" if row["peak_mb"] is None else f"{row['peak_mb']:.0f}")
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _ratio(row: dict[str, Any]) -> str:
    """With its 95 % interval, if there were rounds enough for one."""
    said = f"{row['ratio']:.3f}"
    low, high = row.get("low"), row.get("high")
    return said if low is None or low == high else f"{said} ({low:.3f} to {high:.3f})"


def _paragraph(text: str | None) -> list[str]:
    return [text, ""] if text else []


def _surroundings(command: str, about: dict[str, Any]) -> str:
    versions = ", ".join(f"{package} {version}" for package, version in about["versions"].items())
    where = (
        about["gpu"]
        or f"{about['processor']}, {about['cores']} cores, {about['torch_threads']} threads, load {about['load']} at the end"
    )
    commit = ((about["provenance"]["git"] or {}).get("commit") or "no commit")[:7]
    return f"*`python benchmarks/speed/{command}`: {where}; Python {about['python']}, {versions}; commit {commit}.*"


if __name__ == "__main__":
    main()
