"""``snreid train``: flags become the experiment, a file is trained as it says, targets are scored at the end."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from snreid.cli.evaluate import main as evaluate
from snreid.cli.train import main, overridden
from snreid.datasets import DrawnImage
from snreid.datasets.market_writer import write_market_format
from snreid.errors import DataError, ExperimentError
from snreid.experiments import recipes
from snreid.experiments.runs import open_run
from snreid.images.second_view import SecondView
from snreid.losses import Alignment, DualCausality
from snreid.models.weights import load_model
from support.tiny import FLAGS, SOURCE, TARGET, drawn, experiment
from support.trees import draw


def test_flags_become_the_experiment_of_the_run_and_targets_are_scored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["snr", "-s", SOURCE, "-t", SOURCE, TARGET, *FLAGS, "--seed", "5"]) == 0
    run = open_run(Path("runs/snr-noon-5"))
    assert run.finished and run.experiment == experiment("snr", seed=5)
    assert {p.name for p in (run.folder / "evaluation").iterdir()} == {
        f"{t}.{e}" for t in ("noon", "dusk") for e in ("json", "npz")
    }
    streams = capsys.readouterr()
    assert streams.out == "", "progress belongs on stderr"
    assert "snr on dusk" in streams.err and "The run is in runs/snr-noon-5" in streams.err


def test_the_file_of_a_run_is_a_recipe_that_gives_the_same_weights(pair: tuple[Path, Path], tmp_path: Path) -> None:
    words = [str(pair[0] / "experiment.json"), "--out", str(tmp_path / "again"), "--workers", "0", "--device", "cpu"]
    assert main(words) == 0
    again, former = (dict(load_model(f / "model.safetensors").tensors) for f in (tmp_path / "again", pair[0]))
    assert all(torch.equal(again[name], former[name]) for name in former)


def test_settings_are_flags_down_to_the_last_field() -> None:
    start = replace(recipes.snr("small"), sources=(drawn(),))
    words = "--losses.2.weight 0.25 --optimizer.lr 1e-3 --model.scheme.stages 2 3 --metric euclidean --epochs 9"
    changed = overridden(start, words.split())
    assert changed.losses[2] == replace(DualCausality(), weight=0.25)
    assert changed.optimizer == replace(start.optimizer, lr=1e-3)  # type: ignore[type-var]
    assert changed.model.scheme.stages == (2, 3)  # type: ignore[attr-defined]
    assert (changed.metric, changed.epochs, changed.sources) == ("euclidean", 9, start.sources)
    untouched = {"losses", "optimizer", "model", "metric", "epochs"}
    assert all(getattr(changed, f) == getattr(start, f) for f in vars(start) if f not in untouched)


def test_a_wrong_target_stops_it_before_training(tmp_path: Path) -> None:
    words = [
        "snr",
        "-s",
        SOURCE,
        "-t",
        "market1501",
        "--root",
        str(tmp_path / "nowhere"),
        "--out",
        str(tmp_path / "run"),
    ]
    with pytest.raises(DataError, match="market1501 needs a folder"):
        main([*words, *FLAGS])
    assert not (tmp_path / "run").exists()


def test_a_file_with_a_slip_is_refused_by_its_place(tmp_path: Path, pair: tuple[Path, Path]) -> None:
    stored = json.loads((pair[0] / "experiment.json").read_text())
    stored["experiment"]["optimizer"]["lrr"] = 1
    (tmp_path / "mine.json").write_text(json.dumps(stored))
    with pytest.raises(Exception, match=r"experiment\.optimizer.*'lrr'.*did you mean 'lr'"):
        main([str(tmp_path / "mine.json")])


def test_a_bad_target_image_stops_it_before_training_unless_all_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    people = tmp_path / "people"
    write_market_format(drawn("dusk").read(Path()), people)
    bad = sorted((people / "bounding_box_test").iterdir())[0]
    whole = bad.read_bytes()
    bad.write_bytes(whole[:99])
    words = ["snr", "-s", SOURCE, "-t", TARGET, str(people), *FLAGS, "--out", str(tmp_path / "run")]
    with pytest.raises(DataError, match=rf"1 of 32 are not: .*{bad.name}.*--skip-bad"):
        main(words)
    assert not (tmp_path / "run" / "metrics.jsonl").exists() and not (tmp_path / "run" / "model.safetensors").exists()
    bad.write_bytes(whole)
    assert main(words) == 0
    monkeypatch.setattr(DrawnImage, "read", lambda _: pytest.fail("drawn although everything is done"))
    assert main(words) == 0


def test_a_second_view_has_flags_where_there_is_one(capsys: pytest.CaptureFixture[str]) -> None:
    changed = overridden(recipes.bau("small"), ["--second-view.erase", "0.25", "--losses.2.neighbours", "5"])
    assert changed.second_view == SecondView(erase=0.25)
    assert changed.losses[2] == Alignment(neighbours=5)
    assert overridden(recipes.baseline("small"), ["--epochs", "7"]).second_view is None
    with pytest.raises(SystemExit):
        overridden(recipes.baseline("small"), ["--second-view.erase", "0.25"])
    assert "--second-view.erase" in capsys.readouterr().err


DUKE = (
    "query/0002_c1_f0044158.jpg",
    "bounding_box_train/0001_c2_f0046182.jpg",
    "bounding_box_train/0001_c6_f0046302.jpg",
    "bounding_box_test/0002_c2_f0044280.jpg",
)


def test_what_readers_notice_is_said_once_while_training_and_scoring(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    draw(tmp_path / "DukeMTMC-reID", DUKE)
    duke = ["dukemtmc:withdrawn_ok=true", "--root", str(tmp_path), "--out", str(tmp_path / "run")]
    assert main(["baseline", "-s", f"{SOURCE}@all", "-t", TARGET, f"{TARGET}@dark-3", *duke, *FLAGS]) == 0
    said = capsys.readouterr().err
    for note in (
        "dukemtmc: DukeMTMC-reID is withdrawn: ",
        "noon@all: all labelled images are for training",
        "dusk@dark-3: query images: dark, severity 3",
    ):
        assert said.count(note) == 1, note
    assert said.index("is withdrawn") < said.index("mAP")
    here = ["--workers", "0", "--device", "cpu", "--root", str(tmp_path)]
    assert evaluate([str(tmp_path / "run"), "-t", "dukemtmc:withdrawn_ok=true", *here]) == 0
    assert capsys.readouterr().err.count("DukeMTMC-reID is withdrawn") == 1


def test_a_run_is_the_start_of_another_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["drawn-pretraining", "-s", SOURCE, *FLAGS]) == 0
    run = open_run(Path("runs/drawn-pretraining-noon-0"))
    words = ["--model.backbone.weights", "runs/drawn-pretraining-noon-0", "--optimizer.lr", "1e-30"]
    assert main(["snr", "-s", SOURCE, *FLAGS, *words]) == 0
    start = (run.folder / "model.safetensors").read_bytes()
    assert open_run(Path("runs/snr-noon-0")).record["training"]["weights"] == hashlib.sha256(start).hexdigest()
    assert run.record["training"]["weights"] is None
    given, made = (load_model(folder / "model.safetensors").tensors for folder in (run.folder, Path("runs/snr-noon-0")))
    kernels = [name for name, tensor in given.items() if name.startswith("backbone.") and tensor.ndim == 4]
    assert kernels and all(torch.allclose(made[name], given[name], atol=1e-6) for name in kernels)


def test_further_epochs_on_a_finished_run_are_one_command(pair: tuple[Path, Path], tmp_path: Path) -> None:
    first, out = str(pair[0]), tmp_path / "further"
    flags = ["--start", first, "--epochs", "2", "--freeze-stages", "4", "--ema", "0.5", "--optimizer.head-lr", "2"]
    words = [f"{first}/experiment.json", *flags, "--out", str(out), "--workers", "0", "--device", "cpu"]
    assert main(words) == 0
    run, before = open_run(out), load_model(pair[0] / "model.safetensors")
    assert run.record["training"]["start"] == {"run": pair[0].name, "sha256": before.sha256, "classifier": True}
    after = load_model(out / "model.safetensors").tensors
    moved = {name for name, value in before.tensors.items() if not torch.equal(value, after[name])}
    assert "head.classifier.weight" in moved and not any(name.startswith("backbone.") for name in moved)


def test_flags_mend_a_file_that_contradicts_itself(tmp_path: Path) -> None:
    stored = experiment().to_json()
    stored["optimizer"]["lr"], stored["freeze_epochs"] = -1.0, 5
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(stored, indent=1))
    words = [str(path), "--out", str(tmp_path / "run"), "--workers", "0", "--device", "cpu"]
    for flags in ([], ["--seed", "1"]):
        with pytest.raises(ExperimentError, match=r"learning rate is positive.*-1\.0 in .*mine\.json, line"):
            main([*words, *flags])
    with pytest.raises(ExperimentError, match="freeze_epochs 5 of 2 epochs"):
        main([*words, "--optimizer.lr", "0.001"])
    assert main([*words, "--optimizer.lr", "0.001", "--freeze-epochs", "1"]) == 0
    assert open_run(tmp_path / "run").experiment.freeze_epochs == 1


def test_a_data_set_that_no_flag_can_mend_is_refused(tmp_path: Path) -> None:
    stored = experiment().to_json()
    stored["sources"], stored["epochs"] = [{"kind": "Table", "path": "people.doc"}], 0
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(stored))
    with pytest.raises(ExperimentError, match="A table ends in"):
        main([str(path), "--epochs", "3"])


def test_a_folder_or_a_file_in_the_place_of_a_recipe_is_told(
    pair: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.txt").touch()
    for word, said in (
        ("cfg.yaml", r"must exist.*no file cfg\.yaml"),
        ("mine.txt", r"mine\.txt.*end its name in one of \.json"),
        (str(pair[0]), r"snreid train .*baseline/experiment\.json"),
    ):
        with pytest.raises(ExperimentError, match=said):
            main([word, "-s", SOURCE])
