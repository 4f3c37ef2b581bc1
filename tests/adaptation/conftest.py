"""Finished tiny runs to adapt, made once, and a target."""

from pathlib import Path

import pytest

from snreid.adaptation import Unlabelled
from snreid.experiments.runs import Run
from support.tiny import drawn, trained


@pytest.fixture(scope="session")
def baseline(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A finished Baseline on drawn people."""
    return trained(tmp_path_factory.mktemp("adapted") / "baseline")


@pytest.fixture(scope="session")
def snr(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A finished SNR run with its loss."""
    return trained(tmp_path_factory.mktemp("adapted") / "snr", "snr")


@pytest.fixture
def dusk() -> Unlabelled:
    """24 images of a domain that neither run has seen."""
    return Unlabelled.of(drawn("dusk").read(Path()))
