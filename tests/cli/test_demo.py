"""``snreid demo``: what it compares; the training itself is timed by ``make demo``."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from snreid.cli import demo
from snreid.cli import study as study_command
from snreid.cli.machine import MachineFlags
from snreid.errors import ExperimentError
from snreid.studies.study import Study, label
from snreid.synthetic.pedestrians import DOMAINS

Asked = tuple[Study, MachineFlags, Path, Sequence[str], Path | None]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Asked]:
    """What the demo would run."""
    calls: list[Asked] = []

    def run(study: Study, flags: MachineFlags, out: Path, **more: Any) -> None:
        calls.append((study, flags, out, more["examples"], more["record"]))

    monkeypatch.setattr(study_command, "run", run)
    return calls


def test_it_compares_three_schemes_with_one_budget_on_every_domain(asked: list[Asked]) -> None:
    assert demo.main([]) == 0
    ((study, _, out, examples, record),) = asked
    assert [label(e) for e in study.experiments] == ["Baseline", "Baseline-IN", "SNR"]
    assert len({(e.epochs, e.sampling, e.optimizer, e.schedule, e.sources, e.input) for e in study.experiments}) == 1
    assert tuple(s.name for s in study.experiments[0].sources) == demo.SOURCES
    assert [t.name for t in study.targets] == [d.name for d in DOMAINS]
    assert out == Path("runs/demo") and record == out / "record.json"
    # The rank lists are of a domain that training never saw.
    study.check_examples(examples)
    assert examples and not set(examples) & set(demo.SOURCES)


def test_seed_epochs_and_machine_flags_are_taken(asked: list[Asked]) -> None:
    assert demo.main(["--seed", "4", "--epochs", "2", "--out", "here", "--workers", "0"]) == 0
    ((study, flags, out, _, _),) = asked
    assert study.seeds == (4,) and {e.epochs for e in study.experiments} == {2}
    assert out == Path("here") and flags.workers == 0


def test_every_domain_has_its_sentence() -> None:
    assert set(demo.DESCRIPTIONS) == {domain.name for domain in DOMAINS}


def test_a_demo_too_short_is_refused_in_its_own_words(asked: list[Asked], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ExperimentError, match=r"at least 2 epochs.*--epochs 1.*snreid demo --epochs 2") as caught:
        demo.main(["--epochs", "1"])
    assert "--schedule" not in str(caught.value) and asked == []
    with pytest.raises(SystemExit):
        demo.main(["--help"])
    assert "at least 2" in " ".join(capsys.readouterr().out.split())
