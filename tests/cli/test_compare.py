"""``snreid compare``: the paired test on what both runs score, query by query."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from snreid.cli.compare import main, remarks
from snreid.cli.names import dataset_named
from snreid.evaluation import compare
from snreid.experiments.scoring import read_result
from snreid.records import Scores
from snreid.training.distributed import ProcessGroup
from support.tiny import TARGET

Captured = pytest.CaptureFixture[str]
QUIET = ["--workers", "0", "--device", "cpu"]


def test_it_is_the_paired_test_of_the_saved_scores(pair: tuple[Path, Path], capsys: Captured) -> None:
    a, b = pair
    assert main([str(a), str(b), "-t", TARGET, "--json", *QUIET]) == 0
    shown = json.loads(capsys.readouterr().out)
    data = dataset_named(TARGET).read(Path())
    first, second = read_result(a, data), read_result(b, data)
    assert first is not None and second is not None
    expected = compare(first.scores, second.scores)
    assert first.scores.persons.tolist() == data.query.persons[first.scores.query_index].tolist()
    assert shown["persons"] == len(set(first.scores.persons.tolist())) < len(first.scores.persons)
    assert shown["target"] == "dusk" and shown["queries"] == len(data.query)
    assert shown["mAP"]["difference"] == pytest.approx(first.scores.mean_ap - second.scores.mean_ap)
    assert shown["mAP"]["p_value"] == expected.mean_ap.p_value
    assert shown["rank1"]["interval"] == [expected.rank1.interval.low, expected.rank1.interval.high]


def test_a_run_is_as_good_as_itself(pair: tuple[Path, Path], capsys: Captured) -> None:
    assert main([str(pair[0]), str(pair[0]), "-t", TARGET, "--json", *QUIET]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["mAP"]["difference"] == 0 and shown["mAP"]["p_value"] == 1


def test_one_process_of_several_prints(
    pair: tuple[Path, Path], capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ProcessGroup, "first", False)
    assert main([str(pair[0]), str(pair[1]), "-t", TARGET, "--json", *QUIET]) == 0
    assert capsys.readouterr().out == ""


def test_without_json_there_is_a_line_for_each_target(pair: tuple[Path, Path], capsys: Captured) -> None:
    noon = TARGET.replace("dusk", "noon")
    assert main([str(pair[0]), str(pair[1]), "-t", TARGET, noon, *QUIET]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if not line.startswith("  ")]
    assert [line.partition(":")[0] for line in lines] == ["dusk", "noon"]
    assert all("points" in line and "p = " in line for line in lines)


def test_what_cannot_be_settled_is_told() -> None:
    gain, persons = np.where(np.arange(12) < 4, 0.4, 0.0), np.arange(12)
    base, better = (Scores(v, v, np.full(12, 2), persons, 12, persons) for v in (gain * 0, gain))
    assert [text.split(":")[0] for text in remarks(compare(better, base))] == ["mAP"]
    few = replace(base, persons=np.repeat(np.arange(4), 3))
    assert [text.split(":")[0] for text in remarks(compare(few, few))] == ["Only 4 persons were queried"]


def test_a_folder_for_nothing_is_refused(pair: tuple[Path, Path], tmp_path: Path, capsys: Captured) -> None:
    with pytest.raises(SystemExit):
        main([str(pair[0]), str(pair[1]), "-t", TARGET, "--out", str(tmp_path / "x")])
    assert "--out" in capsys.readouterr().err


def test_a_second_run_behind_the_targets_is_asked_for(pair: tuple[Path, Path], capsys: Captured) -> None:
    with pytest.raises(SystemExit):
        main([str(pair[0]), "-t", TARGET, str(pair[1]), "--json", *QUIET])
    assert "folder of run B" in capsys.readouterr().err
