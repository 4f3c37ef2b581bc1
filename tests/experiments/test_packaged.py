"""The name of a packaged run stands for its folder, and nothing is ever written there."""

import shutil
from pathlib import Path

import pytest

from snreid.errors import CheckpointError
from snreid.experiments import packaged
from snreid.experiments.packaged import beside, is_packaged, located
from snreid.experiments.runs import open_run


def test_a_name_is_a_folder_of_the_package_unless_a_run_here_is_called_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(packaged, "HOME", tmp_path / "inside")
    with pytest.raises(CheckpointError, match=r"comes with the package.*without its weights"):
        located(Path("people"))
    (tmp_path / "inside" / "people").mkdir(parents=True)
    (tmp_path / "inside" / "people" / "model.safetensors").touch()
    (tmp_path / "inside" / "people" / "experiment.json").write_text('{"packaged": {"sha256": "0123456789abcdef"}}')
    assert located(Path("people")) == tmp_path / "inside" / "people"
    assert beside(Path("people")) == beside(located(Path("people"))) == Path("runs/people-01234567")
    for own in (Path("runs/people"), Path("./other"), tmp_path / "people"):
        assert located(own) == beside(own) == own and not is_packaged(own)
    Path("people").mkdir()  # of images, for example
    assert located(Path("people")) == tmp_path / "inside" / "people"
    Path("people/experiment.json").touch()
    assert located(Path("people")) == beside(Path("people")) == Path("people")


def test_damaged_weights_of_the_package_are_mended_by_installing_it_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "people"
    shutil.copytree(packaged.HOME / "people", run)
    weights = run / packaged.WEIGHTS
    weights.write_bytes(weights.read_bytes()[:-1000])
    monkeypatch.setattr(packaged, "HOME", tmp_path)
    with pytest.raises(CheckpointError, match=r"whole.*install snreid again"):
        open_run("people").embedder()
