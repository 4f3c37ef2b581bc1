"""The command line end to end, as a person uses it: draw people, train, score, compare, report, extract."""

import json
from pathlib import Path

import numpy as np
import pytest

from snreid.cli import main
from support.tiny import FLAGS


def test_from_nothing_to_a_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)

    def say(line: str, *more: str) -> str:
        """Runs a command line that has to succeed; returns what it printed."""
        words = line.split()[1:] + list(more)
        code = main(words)
        streams = capsys.readouterr()
        assert code == 0, f"{line}: {streams.err}"
        return streams.out

    machine = "--workers 0 --device cpu"
    say("snreid data make people --domain noon night --train-persons 6 --test-persons 3")
    assert json.loads(say("snreid data check people/noon --json"))["ok"]

    # The drawn folders are a data set like any other.
    for recipe in ("baseline", "snr"):
        say(f"snreid train {recipe} -s people/noon -t people/night --out runs/{recipe}", *FLAGS)
        assert Path(f"runs/{recipe}/model.safetensors").is_file()
        assert Path(f"runs/{recipe}/evaluation/night.json").is_file()

    scores = json.loads(say(f"snreid evaluate runs/snr -t people/night --json {machine}"))
    assert 0 < scores["mAP"] <= 1 and scores["mAP_interval"][0] <= scores["mAP"] <= scores["mAP_interval"][1]
    assert scores == json.loads(Path("runs/snr/evaluation/night.json").read_text())
    assert "night" in say(f"snreid evaluate runs/snr -t people/night {machine}")

    versus = json.loads(say(f"snreid compare runs/snr runs/baseline -t people/night --json {machine}"))
    baseline = json.loads(Path("runs/baseline/evaluation/night.json").read_text())
    assert versus["mAP"]["difference"] == pytest.approx(scores["mAP"] - baseline["mAP"])

    shown = say(
        f"snreid report runs/baseline runs/snr -t people/noon people/night --examples night --out page {machine}"
    )
    assert "noon (seen)" in shown and "page/report.html" in shown
    page = Path("page/report.html").read_text()
    assert "night" in page and 'src="http' not in page

    query = Path("people/night/query")
    say(f"snreid extract runs/snr {query} --out vectors.npz")
    with np.load("vectors.npz") as vectors:
        assert len(vectors["embeddings"]) == len(list(query.glob("*.jpg"))) == scores["queries"]
    assert f"{100 * scores['mAP']:.1f}" in shown
