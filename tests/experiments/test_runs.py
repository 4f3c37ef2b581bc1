"""A run folder is read back as it was left, or the message says what is wrong with it."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import snreid
from snreid.errors import CheckpointError, ExperimentError
from snreid.experiments.runs import Run, open_run
from snreid.models.weights import load_model
from support.tiny import trained


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return trained(tmp_path_factory.mktemp("runs") / "snr", "snr")


def test_the_model_embeds_what_training_left(run: Run) -> None:
    embedder = snreid.load(run.folder)
    model = run.experiment.model.build(6)
    model.load_state_dict(load_model(run.folder / "model.safetensors").tensors)
    images = torch.randint(0, 256, (3, 3, 32, 16), dtype=torch.uint8)
    with torch.no_grad():
        expected = model.eval().embed(run.experiment.input.normalize(images))
    # Folded, it rounds otherwise: 1.05e-5 on an AMD EPYC, of embeddings up to 0.5.
    np.testing.assert_allclose(embedder(images), expected.numpy(), atol=5e-5)
    assert not embedder.model.training


def test_an_unfinished_run_says_how_to_go_on(run: Run, tmp_path: Path) -> None:
    (tmp_path / "experiment.json").write_bytes((run.folder / "experiment.json").read_bytes())
    assert not open_run(tmp_path).finished
    with pytest.raises(CheckpointError, match=r"continue it: snreid train .*experiment\.json --out"):
        open_run(tmp_path).embedder()


@pytest.mark.parametrize("content", [None, "", "{", "[]", "{}", '{"experiment": 3}'])
def test_a_folder_that_is_no_run_is_refused(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "experiment.json").write_text(content)
    with pytest.raises((CheckpointError, ExperimentError)) as caught:
        open_run(tmp_path)
    assert caught.value.exit_code == 2


def test_a_run_whose_mean_is_no_number_is_refused(run: Run, tmp_path: Path) -> None:
    record = json.loads((run.folder / "experiment.json").read_text())
    record["experiment"]["input"]["mean"][1] = float("nan")
    (tmp_path / "experiment.json").write_text(json.dumps(record))
    with pytest.raises(ExperimentError, match=r"experiment\.input\.mean\[1\] must be a finite number"):
        open_run(tmp_path)
