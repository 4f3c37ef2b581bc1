"""Two finished tiny runs, for every command that needs some; made once."""

from pathlib import Path

import pytest

from support.tiny import trained


@pytest.fixture(scope="session")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Folders of a finished Baseline and a finished SNR run."""
    folder = tmp_path_factory.mktemp("pair")
    return trained(folder / "baseline").folder, trained(folder / "snr", "snr").folder
