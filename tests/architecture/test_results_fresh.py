"""The numbers in the documents are those of the run records."""

import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location
from math import comb
from pathlib import Path
from typing import Any

import pytest


@pytest.mark.parametrize("script", ["write_results.py", "write_performance.py"])
def test_the_pages_are_those_of_the_records(root: Path, script: str) -> None:
    done = subprocess.run(
        [sys.executable, f"benchmarks/{script}", "--check"],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"run python benchmarks/{script}: {done.stdout}{done.stderr}"


def _script(path: Path) -> Any:
    found = spec_from_file_location(path.stem, path)
    assert found is not None and found.loader is not None
    made = module_from_spec(found)
    found.loader.exec_module(made)
    return made


def test_what_the_speed_scripts_write_does_not_count_as_changed(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    race = _script(root / "benchmarks" / "speed" / "race.py")
    folder = root / "benchmarks" / "results" / "speed"
    records = {f"benchmarks/results/speed/{path.name}" for path in folder.glob("*.json")}
    assert records - set(race.written()) == {"benchmarks/results/speed/words.json"}, "which is written by hand"

    for name in (*race.written(), "benchmarks/results/speed/words.json", "src/program.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("one")
    identity = ["-c", "user.name=Test", "-c", "user.email=test@localhost"]
    for words in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "first"]):
        subprocess.run(["git", *identity, *words], cwd=tmp_path, check=True)
    monkeypatch.setattr(race, "ROOT", tmp_path)

    def changed() -> bool:
        return bool(race.surroundings()["provenance"]["git"]["changed"])

    for name in race.written():
        (tmp_path / name).write_text("two")
    assert not changed()
    for name in ("benchmarks/results/speed/words.json", "src/program.py"):
        (tmp_path / name).write_text("two")
        assert changed()
        (tmp_path / name).write_text("one")


@pytest.mark.parametrize("count", [1, 5, 6, 7, 10, 25, 100])
def test_the_interval_of_a_median_holds_it_in_95_of_100_cases(root: Path, count: int) -> None:
    """By definition: of all ways in which values can fall on both sides of the median, how many leave it outside."""
    found = _script(root / "benchmarks" / "speed" / "race.py").interval(list(range(count)))
    if found is None:
        assert 2 / 2**count > 0.05, "even the smallest and the largest value leave it outside too often"
        return
    low, high = found
    assert high == count - 1 - low

    def outside(k: int) -> float:
        """How often fewer than k values fall below the median, or fewer than k above it."""
        return 2 * sum(comb(count, below) for below in range(k)) / 2**count

    assert outside(low + 1) <= 0.05 < outside(low + 2)


def test_a_row_that_was_not_scored_everywhere_is_written_with_dashes(root: Path) -> None:
    """An adapted row is scored on its target alone."""
    writer = _script(root / "benchmarks" / "write_results.py")
    record = next(record for record in writer.read_records()[1].values() if len(record["table"]) > 8)
    last, column = record["table"][-1]["scheme"], record["table"][0]["target"]
    left = [cell for cell in record["table"] if (cell["scheme"], cell["target"]) != (last, column)]
    published = [{"scheme": last, "target": column, "mAP": 33.6, "rank1": 55.1, "source": "SNR"}]
    lines = writer.record_page({**record, "table": left, "published": published}).splitlines()
    assert [line.split("|")[2].strip() for line in lines if line.startswith(f"| {last} |") and "[" in line] == [
        "-",
        "-",
    ]
    assert f"| {last} | {column} | 33.6 / 55.1 (SNR) | not run |  |" in lines
    assert writer.record_page(record).count("not run") == 0


def test_cameras_that_a_row_was_adapted_to_are_not_called_never_seen(root: Path) -> None:
    writer = _script(root / "benchmarks" / "write_results.py")
    words, records = writer.read_records()
    record = records["people"]
    scheme, target = record["rows"][0]["scheme"], record["rows"][0]["target"]
    rows = [{**row, "adapted_to": target} for row in record["rows"]]
    page = writer.readme(
        {**words, "readme": {"people": {scheme: "X"}}}, {**records, "people": {**record, "rows": rows}}
    )
    never, seen = next(line for line in page.splitlines() if "| X |" in line).split("|")[4:6]
    assert f"{target} without labels" in seen and target not in never and never.strip()


def test_a_record_that_no_finding_names_is_listed_all_the_same(root: Path) -> None:
    writer = _script(root / "benchmarks" / "write_results.py")
    words, records = writer.read_records()
    new = {**records, "mobile-new": {**records["mobile-full"], "title": "A new record"}}
    assert "- [A new record](results/mobile-new.md)" in writer.findings_page(words, new).splitlines()


@pytest.mark.parametrize(
    ("selection", "message"),
    [
        ({"drawn": {"no such row": ""}}, "does not have: no such row"),
        ({"market1501": {"SNR": "x"}, "market1501-code": {"SNR": "x"}}, "two values for 'x'"),
    ],
)
def test_a_finding_that_the_records_do_not_give_is_refused(root: Path, selection: Any, message: str) -> None:
    writer = _script(root / "benchmarks" / "write_results.py")
    words, records = writer.read_records()
    finding = {"question": "?", "answer": ".", "records": selection}
    with pytest.raises(SystemExit, match=message):
        writer.findings_page({**words, "findings": [finding]}, records)
