"""A run folder is read back as it was left, or the message says what is wrong with it."""

import json
import math
import resource
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import snreid
from snreid.errors import CheckpointError
from snreid.experiments.runs import Run, open_run
from snreid.models.weights import load_model, save_tensors
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


@pytest.mark.parametrize(
    "content",
    [None, "", "{", "[]", "{}", "3", '{"experiment": 3}', '{"experiment": {}}', '{"experiment": ' + "[" * 100_000],
)
def test_a_folder_that_is_no_run_is_refused(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "experiment.json").write_text(content)
    with pytest.raises(CheckpointError) as caught:
        open_run(tmp_path)
    assert caught.value.exit_code == 2


def test_a_run_whose_mean_is_no_number_is_refused(run: Run, tmp_path: Path) -> None:
    record = json.loads((run.folder / "experiment.json").read_text())
    record["experiment"]["input"]["mean"][1] = float("nan")
    (tmp_path / "experiment.json").write_text(json.dumps(record))
    with pytest.raises(CheckpointError, match=r"experiment\.input\.mean\[1\] must be a finite number"):
        open_run(tmp_path)


def nested(depth: int) -> Any:
    """A data set made worse again and again."""
    inner: Any = {"kind": "Market1501"}
    for _ in range(depth):
        inner = {"kind": "AllImages", "of": inner}
    return inner


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("training", None),
        ("training", [1]),
        ("training.images", "many"),
        ("training.persons", math.nan),
        ("training.persons", -1),
        ("training.persons", 10**40),
        ("training.sources", "noon"),
        ("training.remarks", [1]),
        ("provenance", "mine"),
        ("provenance.git", "clean"),
        ("provenance.versions", []),
        ("finished", True),
        ("finished.seconds", "long"),
        ("finished.seconds", math.nan),
        ("finished.seconds", 10**400),
        ("experiment.epochs", "two"),
        ("experiment.model.backbone.channels", [100_000] * 4),
        ("experiment.model.backbone.layers", [100_000] * 4),
        ("experiment.model.backbone.image_size", [10**9, 10**9]),
        ("experiment.input.height", 10**12),
    ],
)
def test_a_field_that_no_training_wrote_is_named(run: Run, tmp_path: Path, field: str, value: Any) -> None:
    record = json.loads((run.folder / "experiment.json").read_text())
    *path, last = field.split(".")
    part = record
    for name in path:
        part = part[name]
    part[last] = value
    (tmp_path / "experiment.json").write_text(json.dumps(record))
    with pytest.raises(CheckpointError, match=last):
        open_run(tmp_path)


def test_settings_without_a_bottom_are_refused(run: Run, tmp_path: Path) -> None:
    record = json.loads((run.folder / "experiment.json").read_text())
    record["experiment"]["sources"] = [nested(400)]
    (tmp_path / "experiment.json").write_text(json.dumps(record))
    with pytest.raises(CheckpointError, match="nested"):
        open_run(tmp_path)


@pytest.mark.parametrize("field", ["training", "training.persons", "provenance", "finished.seconds", "experiment"])
def test_a_field_that_is_missing_is_named(run: Run, tmp_path: Path, field: str) -> None:
    record = json.loads((run.folder / "experiment.json").read_text())
    outer, _, inner = field.partition(".")
    del (record[outer] if inner else record)[inner or outer]
    (tmp_path / "experiment.json").write_text(json.dumps(record))
    with pytest.raises(CheckpointError, match=field):
        open_run(tmp_path)


def without_persons(metadata: dict[str, Any]) -> None:
    del metadata["persons"]


@pytest.mark.parametrize(
    "forge",
    [without_persons, *(lambda m, v=v: m.update(persons=v) for v in ("6", 6.0, True, None, 0, -6, 7, 10**12, 10**40))],
)
def test_weights_whose_header_gives_other_persons_are_refused(
    run: Run, tmp_path: Path, forge: Callable[[dict[str, Any]], None]
) -> None:
    saved = load_model(run.folder / "model.safetensors")
    shutil.copy(run.folder / "experiment.json", tmp_path)
    forge(saved.metadata)
    save_tensors(tmp_path / "model.safetensors", saved.tensors, saved.metadata)
    with pytest.raises(CheckpointError, match=r"persons .*6 rows"):
        open_run(tmp_path).embedder()


def test_settings_that_do_not_fit_the_weights_cost_no_memory(run: Run, tmp_path: Path) -> None:
    record = json.loads((run.folder / "experiment.json").read_text())
    record["experiment"]["model"]["backbone"]["channels"] = [8192] * 4  # 20 GB
    (tmp_path / "experiment.json").write_text(json.dumps(record))
    shutil.copy(run.folder / "model.safetensors", tmp_path)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(CheckpointError, match=r"\(4, 3, 7, 7\) float32 instead of \(8192, 3, 7, 7\)|backbone\.\w+"):
        open_run(tmp_path).embedder()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000, "KiB"


def test_what_lies_in_the_place_of_a_run_is_told(run: Run, tmp_path: Path) -> None:
    study = tmp_path / "study"
    for name in ("a", "b"):
        shutil.copytree(run.folder, study / name)
    (tmp_path / "model.onnx").touch()
    for place, said in (
        (study, rf"without one\. Fix: name a run in it: {study / 'a'}, {study / 'b'}"),
        (tmp_path / "model.onnx", r"model\.onnx is a file"),
        (tmp_path / "nowhere", "no folder .*nowhere"),
    ):
        with pytest.raises(CheckpointError, match=said):
            open_run(place)
