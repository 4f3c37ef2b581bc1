"""``snreid demo``: what it compares; the training itself is timed by ``make demo``."""

from pathlib import Path

import numpy as np
import pytest

from snreid.cli import demo
from snreid.cli import study as study_command
from snreid.cli.study import Page
from snreid.errors import ExperimentError
from snreid.experiments import packaged
from snreid.experiments.experiment import Experiment
from snreid.experiments.publishing import package
from snreid.studies.plan import Plan, example_names
from snreid.synthetic.pedestrians import DOMAINS
from snreid.system.machine import Machine
from support.tiny import trained

Asked = tuple[Plan, Machine, Path, Page]


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Asked]:
    """What the demo would run, without the packaged model."""
    monkeypatch.setattr(packaged, "HOME", tmp_path / "inside")
    calls: list[Asked] = []
    monkeypatch.setattr(study_command, "run", lambda *arguments: calls.append(arguments))
    return calls


def experiments(plan: Plan) -> list[Experiment]:
    return [plan.experiment(row, case, seed) for case, seed, row in plan.cells()]


def test_it_compares_three_schemes_with_one_budget_on_every_domain(asked: list[Asked]) -> None:
    assert demo.main([]) == 0
    ((plan, _, out, page),) = asked
    assert [row.label for row in plan.rows] == ["Baseline", "Baseline-IN", "SNR"]
    trained = experiments(plan)
    assert len({(e.epochs, e.sampling, e.optimizer, e.schedule, e.sources, e.input) for e in trained}) == 1
    assert tuple(s.name for s in trained[0].sources) == demo.SOURCES
    assert [benchmark.name for benchmark in plan.cases[0].benchmarks] == [d.name for d in DOMAINS]
    assert out == Path("runs/demo") and page.record == out / "record.json"
    # The rank lists are of a domain that training never saw.
    assert example_names(plan, page.examples, ()) == page.examples
    assert page.examples and not set(page.examples) & set(demo.SOURCES)


def test_seed_epochs_and_machine_flags_are_taken(asked: list[Asked]) -> None:
    assert demo.main(["--seed", "4", "--epochs", "2", "--out", "here", "--workers", "0"]) == 0
    ((plan, machine, out, _),) = asked
    assert plan.seeds == (4,) and {e.epochs for e in experiments(plan)} == {2}
    assert out == Path("here") and machine.workers == 0


def test_every_domain_has_its_sentence() -> None:
    assert set(demo.DESCRIPTIONS) == {domain.name for domain in DOMAINS}


def test_a_demo_too_short_is_refused_in_its_own_words(asked: list[Asked], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ExperimentError, match=r"at least 2 epochs.*--epochs 1.*snreid demo --epochs 2") as caught:
        demo.main(["--epochs", "1"])
    assert "--schedule" not in str(caught.value) and asked == []
    with pytest.raises(SystemExit):
        demo.main(["--help"])
    assert "at least 2" in " ".join(capsys.readouterr().out.split())


def test_the_packaged_model_gets_a_page_on_the_same_cameras(
    asked: list[Asked], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    package(trained(tmp_path / "run"), np.zeros((1, 3, 32, 16), np.uint8), packaged.HOME / "people")
    monkeypatch.setattr(demo, "PEOPLE_PER_DOMAIN", 4)
    assert demo.main(["--out", "here", "--workers", "0"]) == 0
    assert "model people that comes with snreid" in capsys.readouterr().out
    page = (tmp_path / "here/people/report.html").read_text(encoding="utf-8")
    assert all(domain.name in page for domain in DOMAINS if domain.name not in demo.SOURCES) and "Rank lists" in page
    assert "The best ranked query" in page and "points of AP against" not in page
    assert not (packaged.HOME / "people/evaluation").exists()
