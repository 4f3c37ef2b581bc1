"""Settings, times and commands of the runs."""

import dataclasses

import pytest

from snreid.figures.report_page import render_report
from snreid.figures.run_details import RunDetails, duration, flat
from support.report_samples import Node, make_report, read_html


def experiment(*runs: RunDetails) -> Node:
    """The section of a report with these runs."""
    report = dataclasses.replace(make_report(), runs=runs, examples=())
    return read_html(render_report(report)).part("Experiment")


def test_nested_settings_become_one_level() -> None:
    settings = {
        "a": {"b": 1, "c": {"d": None}},
        "losses": [{"margin": 0.3}, {"kind": "x"}],
        "stages": [1, 2],
        "empty": [],
        "nothing": {},
        "on": True,
        "off": False,
        "text": "abc",
    }
    assert flat(settings) == {
        "a.b": "1",
        "a.c.d": "none",
        "losses.0.margin": "0.3",
        "losses.1.kind": "x",
        "stages": "1, 2",
        "empty": "none",
        "nothing": "none",
        "on": "yes",
        "off": "no",
        "text": "abc",
    }


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.4, "0 s"), (59.7, "1 min 0 s"), (725, "12 min 5 s"), (12000, "3 h 20 min")]
)
def test_durations(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_what_differs_is_visible_and_what_is_shared_is_folded() -> None:
    report = make_report()
    root = read_html(render_report(report)).part("Experiment")
    first = root.all("table", "settings")[0]
    rows = {line.all("th")[0].text: [td.text for td in line.all("td")] for line in first.all("tr")[1:]}
    assert rows == {
        "seeds": ["0", "0", "0"],
        "training time": ["1 min 15 s"] * 3,
        "norm": ["Baseline", "Baseline-IN", "SNR"],
    }
    folded = {part.all("summary")[0].text: part.text for part in root.all("details")}
    assert list(folded) == ["Settings that all runs share (4)", "Versions"]
    assert "optim.lr0.00035" in folded["Settings that all runs share (4)"]
    assert [code.text for code in root.all("code")] == [f"snreid train {run.name}" for run in report.runs]


def test_a_command_that_made_several_runs_stands_once() -> None:
    runs = tuple(RunDetails(name=name, commands=("snreid compare <out>",)) for name in ("a", "b"))
    root = experiment(*runs, RunDetails(name="c", commands=("x", "y")))
    assert [h4.text for h4 in root.all("h4")] == ["a, b", "c"]
    assert [code.source for code in root.all("code")] == ["snreid compare <out>", "x\ny"]


def test_a_bare_run_says_what_it_does_not_know() -> None:
    root = experiment(RunDetails(name="a", settings={"x": 1}), RunDetails(name="b"))
    rows = {line.all("th")[0].text: [td.text for td in line.all("td")] for line in root.all("tr")[1:]}
    assert rows == {"seeds": ["not given"] * 2, "training time": ["not given"] * 2, "x": ["1", "not set"]}
    assert not root.all("details") and not root.all("pre")
