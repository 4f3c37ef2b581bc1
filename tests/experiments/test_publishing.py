"""A packaged run: half the bytes, no classifier, the same embeddings but for rounding, and every command takes its name."""

import hashlib
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

import snreid
from snreid.adaptation import MAR, AdaptiveBN, Unlabelled, adapt_run
from snreid.cli import main
from snreid.errors import CheckpointError, ExperimentError
from snreid.experiments import packaged
from snreid.experiments.packaged import beside
from snreid.experiments.publishing import package, self_test
from snreid.experiments.runs import Run, open_run
from snreid.models.weights import load_model
from support.tiny import TARGET, drawn, experiment, session, trained

IMAGES = np.random.default_rng(0).integers(0, 256, (3, 3, 32, 16), dtype=np.uint8)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return trained(tmp_path_factory.mktemp("runs") / "snr", "snr")


@pytest.fixture
def people(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a packaged run; the current folder is another one."""
    monkeypatch.setattr(packaged, "HOME", tmp_path / "inside")
    package(run, IMAGES, tmp_path / "inside" / "people")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "inside" / "people"


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_packaged_model_embeds_as_the_run_does(run: Run, people: Path) -> None:
    images = torch.from_numpy(IMAGES)
    found, expected = snreid.load("people")(images), run.embedder()(images)
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-3 * np.abs(expected).max())
    assert self_test(people, snreid.load("people")) == pytest.approx(1, abs=1e-6)
    assert self_test(people, run.embedder()) == pytest.approx(1, abs=1e-4)
    assert self_test(people, experiment_untrained(run)) < 0.999
    saved = load_model(people / "model.safetensors")
    assert not [name for name in saved.tensors if "classifier" in name]
    whole = (run.folder / "model.safetensors").stat().st_size
    assert (people / "model.safetensors").stat().st_size < whole


def experiment_untrained(run: Run) -> snreid.Embedder:
    torch.manual_seed(7)
    return snreid.Embedder(experiment("snr").model.build(6), run.experiment.input)


def test_every_command_takes_the_name_and_writes_nothing_into_the_package(
    people: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = contents(people)
    assert main(["evaluate", "people", "--target", TARGET, "--workers", "0", "--device", "cpu"]) == 0
    out = beside(Path("people"))
    assert out.parent == Path("runs") and (out / "evaluation" / "dusk.npz").is_file()
    assert main(["report", "people", "--target", TARGET, "--workers", "0", "--device", "cpu"]) == 0
    assert main(["export", "people"]) == 0
    assert (out / "model.onnx").is_file()
    flags = ["--method", "adaptive-bn", "--evaluate", "--workers", "0", "--device", "cpu"]
    assert main(["adapt", "people", "--target", TARGET, *flags]) == 0
    assert (Path("runs") / "people-adaptive-bn-dusk" / "model.safetensors").is_file()
    assert contents(people) == before
    capsys.readouterr()


def test_a_damaged_self_test_is_told(people: Path) -> None:
    (people / "self_test.npz").write_bytes(b"no archive")
    with pytest.raises(CheckpointError, match="whole self-test"):
        self_test(people, snreid.load("people"))


def test_a_packaged_run_goes_on_without_its_people(people: Path, tmp_path: Path) -> None:
    target = Unlabelled.of(drawn("dusk").read(tmp_path))
    with pytest.raises(ExperimentError, match=r"people and images.*clustering or adaptive-bn"):
        adapt_run(MAR(), open_run(Path("people")), target, tmp_path / "mar", session())
    adapted = adapt_run(AdaptiveBN(), open_run(Path("people")), target, tmp_path / "bn", session())
    assert (adapted.folder / "model.safetensors").is_file() and adapted.embedder().model.dim == 8
    further = trained(tmp_path / "further", "snr", start="people", sources=(drawn("dusk"),))
    assert further.record["training"]["start"]["run"] == "people"


def test_weights_of_another_run_are_refused(run: Run, people: Path, tmp_path: Path) -> None:
    other = trained(tmp_path / "other", "snr", seed=run.experiment.seed + 1)
    package(other, IMAGES, tmp_path / "packaged")
    (people / "model.safetensors").write_bytes((tmp_path / "packaged" / "model.safetensors").read_bytes())
    with pytest.raises(CheckpointError, match=r"that it was packaged with.*sha256.*install snreid again"):
        snreid.load("people")


def shipped() -> Path:
    """The packaged run of this checkout."""
    if not (packaged.HOME / "people" / "model.safetensors").is_file():
        pytest.skip("this checkout has no packaged run")
    return packaged.HOME / "people"


def test_the_shipped_model_embeds_as_where_it_was_made() -> None:
    folder = shipped()
    assert self_test(folder, snreid.load("people", device="cpu")) > 0.9999
    with np.load(folder / "self_test.npz") as stored:
        embeddings = stored["embeddings"]
    persons = np.repeat(np.arange(4), 2)  # two images of each
    cosines = embeddings @ embeddings.T / np.outer(*2 * [np.linalg.norm(embeddings, axis=1)])
    np.fill_diagonal(cosines, -1)
    assert (persons[cosines.argmax(1)] == persons).mean() > 0.5  # chance: one in seven


def test_the_card_of_the_shipped_model_names_its_weights() -> None:
    folder = shipped()
    digest = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    assert digest in (folder / "card.md").read_text(encoding="utf-8")
    record = open_run(Path("people")).record
    assert all(source["kind"] == "RenderedPeople" for source in record["experiment"]["sources"])


def test_a_run_that_is_called_like_the_packaged_one_keeps_its_scores(people: Path, run: Run) -> None:
    shutil.copytree(run.folder, "runs/people")
    before = contents(Path("runs/people"))
    assert main(["evaluate", "people", "--target", TARGET, "--workers", "0", "--device", "cpu"]) == 0
    assert contents(Path("runs/people")) == before
