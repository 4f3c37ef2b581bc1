"""A run folder: what training leaves there, what it refuses to mix, and how it is read back."""

import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch

import snreid
from snreid.errors import CheckpointError, DataError, ExperimentError
from snreid.loading import PixelCache
from snreid.losses import CrossEntropy
from snreid.models.weights import load_model
from snreid.records import DataSet, ReIDData
from snreid.runs import Run, embed_target, open_run, train
from snreid.sampling import Sampling
from snreid.sources import Validation
from snreid.training.log import read_metrics
from tiny import ALONE, console, data_of, drawn, experiment, machine, picture_files, trained


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
    assert train(run.experiment, machine(run.folder), group=ALONE, console=talk).record == run.record
    assert {p: p.stat().st_mtime_ns for p in run.folder.rglob("*")} == before
    assert "nothing is trained" in talk.file.getvalue()  # type: ignore[attr-defined]


def test_a_folder_holds_one_experiment(run: Run) -> None:
    with pytest.raises(ExperimentError, match=r"holds another one \(snr, seed 0\).*another --out"):
        trained(run.folder, "snr", seed=4)
    assert open_run(run.folder).experiment.seed == 0


def test_a_request_that_failed_at_its_start_does_not_bar_the_corrected_one(tmp_path: Path) -> None:
    with pytest.raises(ExperimentError, match="the sources have 6"):
        trained(tmp_path / "run", sampling=Sampling(persons=7, images=2))
    assert trained(tmp_path / "run").finished


def test_nothing_is_trained_without_a_source(tmp_path: Path) -> None:
    with pytest.raises(ExperimentError, match="--source"):
        trained(tmp_path / "run", sources=())


def test_the_model_embeds_what_training_left(run: Run) -> None:
    embedder = snreid.load(run.folder)
    model = run.experiment.model.build(6)
    model.load_state_dict(weights(run))
    images = torch.randint(0, 256, (3, 3, 32, 16), dtype=torch.uint8)
    with torch.no_grad():
        expected = model.eval().embed(run.experiment.input.normalize(images))
    np.testing.assert_allclose(embedder(images), expected.numpy(), atol=1e-5)
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


@dataclass(frozen=True, kw_only=True)
class Files(DataSet):
    """Six people with four pictures each, in files; ``damaged`` of them cut short."""

    folder: Path
    damaged: tuple[int, ...] = ()

    @property
    def name(self) -> str:
        return "files"

    def read(self, root: Path) -> ReIDData:
        paths = picture_files(self.folder, 24, damaged=self.damaged)
        data = data_of(paths, [1 + i // 4 for i in range(24)], [1 + i % 2 for i in range(24)])
        return replace(data, query=data.train, gallery=data.train)


def test_bad_images_stop_a_run_before_training_and_are_all_listed(tmp_path: Path) -> None:
    source, out = Files(folder=tmp_path / "data", damaged=(2, 9)), tmp_path / "run"
    with pytest.raises(DataError, match=r"2 of 24 are not.*002\.png.*009\.png.*--skip-bad"):
        train(experiment(sources=(source,)), machine(out), group=ALONE, console=console())
    lines = [json.loads(line) for line in (out / "bad_files.jsonl").read_text().splitlines()]
    assert [Path(line["name"]).name for line in lines] == ["002.png", "009.png"] and all(
        line["reason"] for line in lines
    )
    assert not (out / "metrics.jsonl").exists() and not (out / "model.safetensors").exists()


def test_with_skip_bad_a_run_goes_on_without_them(tmp_path: Path) -> None:
    # Three of the four images of person 1 are bad: the last one has no pair and goes too.
    source = Files(folder=tmp_path / "data", damaged=(0, 1, 2, 9))
    skipping = machine(tmp_path / "run", skip_bad=True)
    run = train(experiment(sources=(source,)), skipping, group=ALONE, console=console())
    assert run.record["training"]["images"] == 19 and run.record["training"]["persons"] == 5
    assert len((run.folder / "bad_files.jsonl").read_text().splitlines()) == 4


def test_nothing_but_bad_images_is_an_error(tmp_path: Path) -> None:
    source = Files(folder=tmp_path / "data", damaged=tuple(i for i in range(24) if i % 4))
    with pytest.raises(DataError, match="none that can be used"):
        train(experiment(sources=(source,)), machine(tmp_path / "run", skip_bad=True), group=ALONE, console=console())


def test_a_target_is_embedded_without_its_bad_images(run: Run, tmp_path: Path) -> None:
    data = Files(folder=tmp_path / "data", damaged=(5,)).read(Path())
    embedder, talk = run.embedder(), console()
    with pytest.raises(DataError, match=r"1 of 24 are not.*005\.png"):
        embed_target(embedder, (32, 16), data, machine(tmp_path / "out"), console=talk)
    found = embed_target(
        embedder, (32, 16), data, machine(tmp_path / "out", skip_bad=True), console=talk, pixels=PixelCache()
    )
    assert len(found.query.embeddings) == len(found.gallery.names) == 23
    assert not any("005.png" in name for name in found.query.names)


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
