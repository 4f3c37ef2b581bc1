"""``snreid machine-check`` tells a model that computes otherwise here from one that is the same, and one that is not there."""

import json
from pathlib import Path

import numpy as np
import pytest

from snreid.cli import main
from snreid.experiments import packaged
from snreid.experiments.publishing import package
from support.tiny import trained

IMAGES = np.random.default_rng(0).integers(0, 256, (3, 3, 32, 16), dtype=np.uint8)


def test_machine_check_tells_other_embeddings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    people = tmp_path / "inside" / "people"
    monkeypatch.setattr(packaged, "HOME", people.parent)
    assert main(["machine-check"]) == 0
    assert "without its weights" in capsys.readouterr().out
    package(trained(tmp_path / "run"), IMAGES, people)
    assert main(["machine-check", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["model people"] == pytest.approx(1, abs=1e-5)
    with np.load(people / "self_test.npz") as stored:
        arrays = dict(stored)
    for wrong in (-1, np.nan):
        np.savez(people / "self_test.npz", images=arrays["images"], embeddings=wrong * arrays["embeddings"])
        assert main(["machine-check"]) == 1
