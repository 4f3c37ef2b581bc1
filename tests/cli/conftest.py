"""Two finished tiny runs, for every command that needs some; made once."""

import shutil
from pathlib import Path

import pytest

from support.tiny import trained


@pytest.fixture(scope="session")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Folders of a finished Baseline and a finished SNR run."""
    folder = tmp_path_factory.mktemp("pair")
    return trained(folder / "baseline").folder, trained(folder / "snr", "snr").folder


@pytest.fixture(scope="session")
def euclidean(pair: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the Baseline run with another metric; its weights stay."""
    folder = Path(shutil.copytree(pair[0], tmp_path_factory.mktemp("euclidean") / "run"))
    settings = (folder / "experiment.json").read_text()
    assert settings.count('"metric": "cosine"') == 1
    (folder / "experiment.json").write_text(settings.replace('"metric": "cosine"', '"metric": "euclidean"'))
    return folder
