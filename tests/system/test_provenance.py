"""Where a result comes from: what is recorded, and what is said where there is no git."""

import json
import subprocess
from pathlib import Path

import pytest

from snreid.system import provenance as module
from snreid.system.provenance import git_state, program, provenance


def test_it_is_json_and_names_what_decides_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["/somewhere/snreid", "train", "snr", "--seed", "3", "--recipe", "a b: snr --x 1"])
    found = json.loads(json.dumps(provenance()))
    assert found["command"] == "snreid train snr --seed 3 --recipe 'a b: snr --x 1'"
    assert {"snreid", "torch", "timm", "numpy"} <= set(found["versions"])
    assert found["versions"]["torch"]
    assert found["started"].endswith("+00:00")
    assert found["cores"] >= 1


def test_a_package_that_is_not_installed_has_no_version(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PACKAGES", ("surely-not-a-package",))
    assert provenance()["versions"] == {"surely-not-a-package": None}


def _git(folder: Path, *words: str) -> str:
    identity = ["-c", "user.name=Test", "-c", "user.email=test@localhost"]
    done = subprocess.run(["git", *identity, *words], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def test_a_checkout_has_a_commit_and_says_whether_files_were_changed(tmp_path: Path) -> None:
    _git(tmp_path, "init", "-q")
    (tmp_path / "file").write_text("one")
    _git(tmp_path, "add", "file")
    _git(tmp_path, "commit", "-q", "-m", "first")
    commit = _git(tmp_path, "rev-parse", "HEAD")
    assert git_state(tmp_path) == {"commit": commit, "changed": False}
    (tmp_path / "new").write_text("not tracked")
    assert git_state(tmp_path) == {"commit": commit, "changed": False}
    (tmp_path / "file").write_text("two")
    assert git_state(tmp_path) == {"commit": commit, "changed": True}


def test_a_change_of_files_that_do_not_count_is_none(tmp_path: Path) -> None:
    _git(tmp_path, "init", "-q")
    (tmp_path / "inner").mkdir()
    for name in ("mine", "inner/record", "inner/words", "*"):
        (tmp_path / name).write_text("one")
    _git(tmp_path, "add", ".")
    _git(tmp_path, "commit", "-q", "-m", "first")

    def changed(folder: Path = tmp_path) -> bool:
        found = git_state(folder, but=["inner/record", "*"])
        assert found is not None
        return bool(found["changed"])

    (tmp_path / "inner" / "record").write_text("two")
    assert not changed() and not changed(tmp_path / "inner")
    for name in ("mine", "inner/words"):
        (tmp_path / name).write_text("two")
        assert changed() and changed(tmp_path / "inner"), "also of a file beside the folder, and the star is a name"
        (tmp_path / name).write_text("one")


def test_outside_a_checkout_there_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert git_state(tmp_path) is None
    monkeypatch.setenv("PATH", "")
    assert git_state(tmp_path) is None


def test_a_program_is_its_source(tmp_path: Path) -> None:
    package, other = tmp_path / "__init__.py", tmp_path / "other.py"
    hashes = []
    for text in ("a = 1", "a = 2"):
        package.write_text("")
        other.write_text(text)
        program.cache_clear()
        hashes += [program(str(package)), program(str(other))]
        assert hashes[-1] == program(str(other))
    program.cache_clear()
    assert len(set(hashes)) == 4
