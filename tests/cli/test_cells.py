"""What protocol and reproduce share: the flags are the same ones, and a cell that failed shows in the exit code."""

from dataclasses import fields
from pathlib import Path

import pytest

from snreid.cli import protocol, reproduce
from snreid.cli.cells import CellFlags
from snreid.errors import BusyError, DivergenceError
from snreid.system.locks import folder_lock
from support.tiny_tables import tiny_table


@pytest.mark.parametrize("command", [protocol, reproduce])
def test_both_commands_have_the_same_flags(command: object) -> None:
    own = command.Request.__annotations__  # type: ignore[attr-defined]
    assert not {field.name for field in fields(CellFlags)} & set(own), "one of them says it anew"


def test_a_failed_cell_is_told_by_the_exit_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def diverges(*_: object, **__: object) -> None:
        raise DivergenceError("Losses must be finite", found="NaN at step 3")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("snreid.studies.paper_tables.tables", lambda: (tiny_table(),))
    monkeypatch.setattr("snreid.studies.run.train", diverges)
    words = ["tiny", "--seeds", "0", "--workers", "0", "--device", "cpu", "--root", "no-data"]
    assert reproduce.main(words) == 1
    assert "NaN at step 3" in capsys.readouterr().out
    assert reproduce.main([*words, "--show"]) == 0, "looking fails at nothing"


def test_a_cell_that_another_process_trains_has_not_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("snreid.studies.paper_tables.tables", lambda: (tiny_table(),))
    words = ["tiny", "--seeds", "0", "--workers", "0", "--device", "cpu", "--root", "no-data"]
    with (
        folder_lock(Path("runs/reproduce/small/noon/baseline-0"), "training"),
        pytest.raises(BusyError, match="has been training in"),
    ):
        reproduce.main(words)
    assert not list(tmp_path.rglob("failed.txt"))
    with (
        folder_lock(Path("runs/reproduce"), "filling tables"),
        pytest.raises(BusyError, match="has been filling tables"),
    ):
        reproduce.main(words)
    with folder_lock(Path("runs/reproduce"), "filling tables"):
        assert reproduce.main([*words, "--show"]) == 0, "whoever looks disturbs nobody"
