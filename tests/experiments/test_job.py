"""A run folder: what training leaves there, what it refuses to mix, and how it is read back."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from snreid.errors import CheckpointError, DataError, DivergenceError, ExperimentError
from snreid.experiments import job
from snreid.experiments.job import train
from snreid.experiments.runs import Run, open_run
from snreid.images.reading import FileImage, resize
from snreid.inference.embedder import Embedder
from snreid.losses import CrossEntropy
from snreid.models.backbone import Backbone
from snreid.models.reid import ModelConfig
from snreid.models.schemes import IBN
from snreid.models.weights import load_model
from snreid.records import ReIDData, Sample, Split
from snreid.training.checkpoint import CheckpointStore
from snreid.training.finite_guard import FiniteGuard
from snreid.training.log import read_metrics
from snreid.training.optim import Adam
from snreid.training.sampling import Sampling
from snreid.training.training_set import Validation
from support.tiny import Files, console, drawn, experiment, session, trained


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return trained(tmp_path_factory.mktemp("runs") / "snr", "snr")


def weights(of: Run) -> dict[str, torch.Tensor]:
    return dict(load_model(of.folder / "model.safetensors").tensors)


def test_a_finished_run_has_its_experiment_numbers_and_weights_and_nothing_else(run: Run) -> None:
    files = {p.relative_to(run.folder).as_posix() for p in run.folder.rglob("*") if p.is_file()}
    assert {f for f in files if not f.startswith("tensorboard/")} == {
        "experiment.json",
        "metrics.jsonl",
        "model.safetensors",
    }
    assert run.finished and run.name == "snr" and run.experiment == experiment("snr")
    record = json.loads((run.folder / "experiment.json").read_text())
    assert record["training"]["images"] == 24 and record["training"]["persons"] == 6
    assert record["training"]["sources"] == ["noon"]
    assert record["finished"]["checkpoint"] == "last" and record["finished"]["seconds"] > 0
    assert record["provenance"]["versions"]["torch"]


def test_every_step_has_a_line_with_the_loss_and_its_parts(run: Run) -> None:
    lines = read_metrics(run.folder)
    assert [line["step"] for line in lines] == list(range(1, 9))  # 24 images / 6 a batch, two epochs
    assert all({"rate", "seconds", "CrossEntropy", "Triplet", "DualCausality"} <= set(line) for line in lines)


def test_the_same_experiment_gives_the_same_bits_and_another_seed_others(run: Run, tmp_path: Path) -> None:
    again, other = trained(tmp_path / "again", "snr"), trained(tmp_path / "other", "snr", seed=1)
    assert all(torch.equal(value, weights(again)[name]) for name, value in weights(run).items())
    assert any(not torch.equal(value, weights(other)[name]) for name, value in weights(run).items())


def test_a_finished_run_is_taken_as_it_is(run: Run) -> None:
    before = {p: p.stat().st_mtime_ns for p in run.folder.rglob("*")}
    talk = console()
    assert train(run.experiment, run.folder, session(talk=talk)).record == run.record
    assert {p: p.stat().st_mtime_ns for p in run.folder.rglob("*")} == before
    assert "nothing is trained" in talk.file.getvalue()  # type: ignore[attr-defined]


def test_a_folder_holds_one_experiment(run: Run) -> None:
    with pytest.raises(ExperimentError, match=r"holds one with seed 0, now 4\. Fix: give another --out folder\.$"):
        trained(run.folder, "snr", seed=4)
    several = replace(run.experiment, optimizer=Adam(lr=0.5), losses=(), sources=(drawn("dusk"),))
    with pytest.raises(
        ExperimentError, match=r"sources\.0\.domain noon, now dusk; losses Cross.*; optimizer\.lr .*, now 0\.5"
    ):
        train(several, run.folder, session())
    with pytest.raises(ExperimentError, match=r"batches_per_epoch none, now 3\. Fix: give another --out folder\.$"):
        trained(run.folder, "snr", batches_per_epoch=3)
    assert open_run(run.folder).experiment.seed == 0


def test_more_epochs_are_trained_from_the_weights_of_a_finished_run(run: Run, tmp_path: Path) -> None:
    with pytest.raises(ExperimentError, match=rf"epochs 2, now 5\. Fix: .*add --start {run.folder}\.$"):
        trained(run.folder, "snr", epochs=5)
    assert trained(tmp_path / "longer", "snr", epochs=5, start=str(run.folder)).finished
    (tmp_path / "half").mkdir()
    unfinished = replace(run, folder=tmp_path / "half")
    with pytest.raises(ExperimentError, match=r"once it is finished with --epochs 2\.$"):
        job._require_same(unfinished, replace(run.experiment, epochs=5))


def forget(folder: Path, part: str, field: str) -> None:
    """Take a field out of a run's record, as if an earlier version had written it."""
    record = json.loads((folder / "experiment.json").read_text())
    del record[part][field]
    (folder / "experiment.json").write_text(json.dumps(record))


@pytest.fixture
def cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folder of a run of ``Files`` that is trained, but for its weights: the next start goes on from its last checkpoint."""

    def power_cut(*_: object) -> None:
        raise RuntimeError("power cut")

    with monkeypatch.context() as patch:
        patch.setattr(job, "save_model", power_cut)
        with pytest.raises(RuntimeError, match="power cut"):
            resumed(tmp_path / "run")
    return tmp_path / "run"


def resumed(folder: Path) -> Run:
    return trained(folder, sources=(Files(folder=folder.parent / "data"),))


def test_a_run_of_an_earlier_version_without_a_newer_setting_goes_on(cut: Path) -> None:
    forget(cut, "experiment", "metric")
    checkpoints = CheckpointStore(cut / "checkpoints")
    state = checkpoints.load()
    assert state is not None
    older = {name: value for name, value in state.values["experiment"].items() if name != "metric"}
    checkpoints.save(replace(state, values={**state.values, "experiment": older}))
    assert resumed(cut).finished
    assert open_run(cut).record["experiment"]["metric"] == "cosine"


def test_checkpoints_of_another_experiment_are_not_gone_on_with(cut: Path) -> None:
    checkpoints = CheckpointStore(cut / "checkpoints")
    state = checkpoints.load()
    assert state is not None
    for other in ({**state.values["experiment"], "seed": 7}, {"kind": "Nothing"}, None):
        checkpoints.save(replace(state, values={**state.values, "experiment": other}))
        with pytest.raises(CheckpointError, match="belong to other settings"):
            resumed(cut)


def test_a_finished_run_of_an_earlier_version_is_taken(tmp_path: Path) -> None:
    run = trained(tmp_path / "run")
    forget(run.folder, "experiment", "metric")
    before = (run.folder / "model.safetensors").stat().st_mtime_ns
    assert trained(run.folder).finished
    assert (run.folder / "model.safetensors").stat().st_mtime_ns == before


def changed(samples: list[Sample], how: str) -> list[Sample]:
    """As many images and persons: two labels swapped, or a file replaced, or all files moved."""
    if how == "labels":
        return [replace(samples[0], person=2), *samples[1:4], replace(samples[4], person=1), *samples[5:]]
    paths = [Path(sample.image.name) for sample in samples]
    moved = paths[0].parents[1] / "elsewhere"
    moved.mkdir(exist_ok=True)
    names = [moved / path.name for path in paths] if how == "moved" else [moved / "new.png", *paths[1:]]
    for name, path in zip(names, paths, strict=True):
        if name != path:
            name.write_bytes(path.read_bytes())
    return [replace(s, image=FileImage(str(name))) for s, name in zip(samples, names, strict=True)]


@pytest.mark.parametrize("how", ["labels", "file", "moved"])
def test_a_run_goes_on_with_the_same_images_only_wherever_they_are(
    cut: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    read, saved = Files.read, (cut / "experiment.json").read_text()

    def other(source: Files, root: Path) -> ReIDData:
        data = read(source, root)
        return replace(data, train=Split(tuple(changed(list(data.train.samples), how))))

    monkeypatch.setattr(Files, "read", other)
    if how == "moved":
        assert resumed(cut).finished
        return
    with pytest.raises(DataError, match="as many images and persons, but other files or labels"):
        resumed(cut)
    assert (cut / "experiment.json").read_text() == saved
    forget(cut, "training", "fingerprint")  # a run of an earlier version has only its counts to go by
    assert resumed(cut).finished and open_run(cut).record["training"]["fingerprint"]


def test_a_request_that_failed_at_its_start_does_not_bar_the_corrected_one(tmp_path: Path) -> None:
    with pytest.raises(ExperimentError, match="the sources have 6"):
        trained(tmp_path / "run", sampling=Sampling(persons=7, images=2))
    assert trained(tmp_path / "run").finished


def test_nothing_is_trained_without_a_source(tmp_path: Path) -> None:
    with pytest.raises(ExperimentError, match="--source"):
        trained(tmp_path / "run", sources=())


def test_bad_images_stop_a_run_before_training_and_are_all_listed(tmp_path: Path) -> None:
    source, out = Files(folder=tmp_path / "data", damaged=(2, 9)), tmp_path / "run"
    with pytest.raises(DataError, match=r"2 of 24 are not.*002\.png.*009\.png.*--skip-bad"):
        train(experiment(sources=(source,)), out, session())
    lines = [json.loads(line) for line in (out / "bad_files.jsonl").read_text().splitlines()]
    assert [Path(line["name"]).name for line in lines] == ["002.png", "009.png"] and all(
        line["reason"] for line in lines
    )
    assert not (out / "metrics.jsonl").exists() and not (out / "model.safetensors").exists()


def test_with_skip_bad_a_run_goes_on_without_them(tmp_path: Path) -> None:
    # Three of the four images of person 1 are bad: the last one has no pair and goes too.
    source = Files(folder=tmp_path / "data", damaged=(0, 1, 2, 9))
    skipping = session(skip_bad=True)
    run = train(experiment(sources=(source,)), tmp_path / "run", skipping)
    assert run.record["training"]["images"] == 19 and run.record["training"]["persons"] == 5
    assert len((run.folder / "bad_files.jsonl").read_text().splitlines()) == 4


def test_nothing_but_bad_images_is_an_error(tmp_path: Path) -> None:
    source = Files(folder=tmp_path / "data", damaged=tuple(i for i in range(24) if i % 4))
    with pytest.raises(DataError, match="none that can be used"):
        train(experiment(sources=(source,)), tmp_path / "run", session(skip_bad=True))


def test_the_best_epoch_on_held_out_source_people_is_what_is_kept(tmp_path: Path) -> None:
    chosen = Validation(fraction=0.25, every=1)
    run = trained(
        tmp_path / "run", sources=(drawn(train_persons=16),), validation=chosen, epochs=3, losses=(CrossEntropy(),)
    )
    lines = [line for line in read_metrics(run.folder) if "validation_mAP" in line]
    assert [line["epoch"] for line in lines] == [1, 2, 3]
    best = max(lines, key=lambda line: float(line["validation_mAP"]))
    assert f"(epoch {int(best['epoch'])}, mAP {best['validation_mAP']:.4f})" in run.record["finished"]["checkpoint"]
    assert run.record["training"]["persons"] == 12
    assert not (run.folder / "checkpoints").exists()


def test_with_held_out_people_every_image_keeps_its_own_pixels(tmp_path: Path) -> None:
    sources = (drawn(train_persons=8), drawn(train_persons=8, people="dusk"))
    chosen = experiment(sources=sources, validation=Validation(fraction=0.5))
    training, store, held = job.training_set(chosen, session(), tmp_path)
    assert held is not None and len(training.split) == len(held.images.split) == 32
    for images, decoded in ((training, store), (held.images, held.store)):
        (found,) = decoded.batches([np.arange(32)])
        for sample, one in zip(images.split.samples, found, strict=True):
            assert np.array_equal(one.numpy().transpose(1, 2, 0), resize(sample.image.read(), 32, 16))


def test_held_out_people_of_one_camera_are_refused_before_training(tmp_path: Path) -> None:
    source = Files(folder=tmp_path / "data", cameras=1)
    with pytest.raises(DataError, match=r"two cameras see.*--validation\.fraction 0"):
        trained(tmp_path / "run", sources=(source,), validation=Validation(fraction=0.5, every=2))
    assert not (tmp_path / "run" / "metrics.jsonl").exists() and not (tmp_path / "run" / "experiment.json").exists()


def test_a_model_that_cannot_be_built_is_refused_before_images_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job, "training_set", lambda *_: pytest.fail("images were read"))
    model = ModelConfig(backbone=Backbone(name="convnext_atto", weights="random"), scheme=IBN())
    with pytest.raises(ExperimentError, match="IBN"):
        trained(tmp_path / "run", model=model)
    assert not (tmp_path / "run").exists()


def test_a_run_whose_model_broke_down_is_not_finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    embed = Embedder.__call__
    monkeypatch.setattr(Embedder, "__call__", lambda *values: embed(*values) * np.float32(np.inf))
    for _ in range(2):  # and starting it again does not make it whole
        with pytest.raises(
            DivergenceError, match=r"finite numbers.*NaN or infinity for training images.*--optimizer\.lr"
        ):
            trained(tmp_path / "run")
        assert not open_run(tmp_path / "run").finished and not (tmp_path / "run" / "model.safetensors").exists()
    held_out = {"sources": (drawn(train_persons=16),), "validation": Validation(fraction=0.25, every=1)}
    with pytest.raises(DivergenceError, match="held-out images after epoch 1"):
        trained(tmp_path / "validated", **held_out)


def test_steps_that_were_skipped_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def told(folder: Path) -> str:
        talk = console()
        train(experiment(), folder, session(talk=talk))
        return str(talk.file.getvalue())  # type: ignore[attr-defined]

    assert "skipped" not in told(tmp_path / "good")
    verdict, calls = FiniteGuard.verdict, iter(range(100))
    monkeypatch.setattr(FiniteGuard, "verdict", lambda guard, loss: verdict(guard, loss) + float(next(calls) in (2, 5)))
    assert "2 of 8 steps were skipped" in told(tmp_path / "bad")
