"""``snreid extract``: files and folders in, unit vectors out."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import snreid
from snreid.cli import main as command
from snreid.cli.backends import model_mark
from snreid.cli.extract import main
from snreid.datasets import AllImages
from snreid.errors import BusyError, CheckpointError, DataError, ExperimentError
from snreid.evaluation import MARK
from snreid.experiments.runs import Run
from snreid.inference.embedder import Embedder, extract
from snreid.system.locks import file_lock
from support.tiny import SOURCE, TARGET, colour_onnx, drawn, picture_files, trained
from support.two_processes import answers_of_two


class OpenedForTest:
    """A network of another runtime: it embeds an image as its mean colour."""

    height, width = 32, 16
    notes, weights = (), ""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, images: np.ndarray) -> np.ndarray:
        self.calls += 1
        return images.mean((1, 2), dtype=np.float32)


def test_files_and_folders_are_embedded_in_order(
    pair: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = picture_files(tmp_path / "folder", 3)
    single = picture_files(tmp_path / "single", 1)[0]
    (tmp_path / "folder" / "notes.txt").write_text("no picture")
    out = tmp_path / "deep" / "vectors"  # no suffix: the file is called what it was asked to be called
    assert main([str(pair[0]), str(single), str(tmp_path / "folder"), "--out", str(out), "--json"]) == 0
    said = {"file": str(out), "images": 4, "dim": 8, "batch": None, "labels": [], "left_out": []}
    told = capsys.readouterr()
    assert json.loads(told.out) == said
    assert f"1 file passed over, not named like an image: {tmp_path / 'folder' / 'notes.txt'}\n" == told.err
    with np.load(out) as stored:
        assert stored["names"].tolist() == [str(p) for p in (single, *paths)]
        vectors = stored["embeddings"]
        assert str(stored[MARK]) == model_mark(pair[0])
    assert vectors.dtype == np.float32
    np.testing.assert_allclose((vectors.astype(np.float64) ** 2).sum(1), 1, atol=1e-6)
    np.testing.assert_allclose(vectors, snreid.load(pair[0]).extract([single, *paths]), atol=1e-6)


def test_a_file_that_another_process_will_write_is_not_embedded_for(pair: tuple[Path, Path], tmp_path: Path) -> None:
    (path,) = picture_files(tmp_path, 1)
    words = [str(pair[0]), str(path), "--out", str(tmp_path / "v.npz")]
    with (
        file_lock(tmp_path / "v.npz", "writing embeddings"),
        pytest.raises(BusyError, match=f"process {os.getpid()} has"),
    ):
        main(words)
    assert main(words) == 0
    assert {p.name for p in tmp_path.iterdir()} == {path.name, "v.npz"}


def test_half_precision_halves_what_is_stored(pair: tuple[Path, Path], tmp_path: Path) -> None:
    (path,) = picture_files(tmp_path, 1)
    stored = {}
    for flags in ((), ("--half",)):
        assert main([str(pair[0]), str(path), "--out", str(tmp_path / "v.npz"), "--json", *flags]) == 0
        with np.load(tmp_path / "v.npz") as file:
            stored[flags] = file["embeddings"]
    assert stored["--half",].dtype == np.float16
    assert stored["--half",].tobytes() == stored[()].astype(np.float16).tobytes()


def test_without_json_it_says_what_it_wrote(
    pair: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (path,) = picture_files(tmp_path, 1)
    assert main([str(pair[0]), str(path), "--out", str(tmp_path / "v.npz")]) == 0
    assert capsys.readouterr().out == f"1 embeddings of 8 numbers in {tmp_path / 'v.npz'}\n"


def test_the_batch_that_was_measured_is_told_and_one_that_was_given_is_not_measured(
    pair: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture_files(tmp_path / "many", 400)
    words = [str(pair[0]), str(tmp_path / "many"), "--out", str(tmp_path / "v.npz")]
    assert main(words) == 0
    said = capsys.readouterr().out
    assert any(f"; {size} images at a time were fastest\n" in said for size in (4, 8, 16, 32)), said
    assert main([*words, "--json", "--batch", "5"]) == 0
    assert json.loads(capsys.readouterr().out)["batch"] == 5


def test_damaged_images_are_named_or_left_out_and_the_rest_keeps_its_names(
    pair: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = picture_files(tmp_path / "photos", 10, damaged=(0, 1, 2, 4, 7, 8))
    good, bad = ([path for i, path in enumerate(paths) if (i in (3, 5, 6, 9)) is kept] for kept in (True, False))
    out = tmp_path / "v.npz"
    out.write_bytes(b"of an earlier day")
    words = [str(pair[0]), str(tmp_path / "photos"), "--out", str(out), "--json"]
    with pytest.raises(DataError, match=r"6 of 10 are not: .*000\.png: .*; and 1 more.*--skip-bad"):
        main(words)
    assert out.read_bytes() == b"of an earlier day"
    with pytest.raises(DataError, match=r"1 of 1 are not: .*000\.png.*Fix: restore these files\.$"):
        main([str(pair[0]), str(bad[0]), "--out", str(out), "--skip-bad"])
    assert out.read_bytes() == b"of an earlier day" and not capsys.readouterr().out

    assert main([*words, "--skip-bad"]) == 0
    told, said = capsys.readouterr()
    assert said.startswith(f"6 of 10 images could not be read and are left out: {bad[0]}: is damaged")
    assert str(bad[4]) in said and str(bad[5]) not in said and said.endswith("; and 1 more.\n")
    left_out = json.loads(told)["left_out"]
    assert [one["name"] for one in left_out] == list(map(str, bad)) and all(one["reason"] for one in left_out)
    with np.load(out) as stored:
        assert stored["names"].tolist() == list(map(str, good))
        embedder = snreid.load(pair[0])
        alone = np.concatenate([embedder.extract([path]) for path in good])
        np.testing.assert_allclose(stored["embeddings"], alone, atol=1e-6)


def test_the_device_left_out_is_the_gpu_if_there_is_one_and_for_another_runtime_the_cpu(
    pair: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (path,) = picture_files(tmp_path, 1)
    words = [str(pair[0]), str(path), "--out", str(tmp_path / "v.npz")]
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    asked, on_cpu = list[str](), snreid.load(pair[0], device="cpu")

    def embedder(_: Run, *, device: str, bf16: bool, fuse: bool) -> Embedder:
        assert not fuse, "private operators are off by default"
        asked.append(device)
        return on_cpu

    monkeypatch.setattr("snreid.experiments.runs.Run.embedder", embedder)
    assert main(words) == main([*words, "--device", "cpu"]) == 0
    assert asked == ["cuda:0", "cpu"]
    network = OpenedForTest()
    monkeypatch.setattr("snreid.cli.backends.open_network", lambda *_: network)
    assert main([*words, "--backend", "onnxruntime"]) == 0 and network.calls == 1
    with pytest.raises(
        ExperimentError, match=r"onnxruntime computes on the CPU.*Found: --device cuda\. .*leave it out"
    ):
        main([*words, "--backend", "onnxruntime", "--device", "cuda"])
    with pytest.raises(ExperimentError, match=r"onnxruntime fuses convolutions itself.*Found: --fuse\."):
        main([*words, "--backend", "onnxruntime", "--fuse"])


def test_a_device_is_refused_before_anything_is_embedded(
    pair: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (path,) = picture_files(tmp_path, 1)
    os.mkfifo(tmp_path / "pipe")
    monkeypatch.setattr("snreid.experiments.runs.load", lambda *_, **__: pytest.fail("the model was loaded"))
    with pytest.raises(ExperimentError, match="pipe is no regular file"):
        main([str(pair[0]), str(path), "--out", str(tmp_path / "pipe")])
    assert (tmp_path / "pipe").is_fifo()


def test_two_processes_embed_a_part_each_and_the_first_one_writes_and_talks(tmp_path: Path) -> None:
    photos, out = tmp_path / "photos", tmp_path / "out"
    paths = picture_files(photos, 7, damaged=(1, 5))
    code = f"""
import contextlib, functools, io
import numpy as np
import snreid.cli.extract as command
import snreid.inference.embedder as embedding
import snreid.training.distributed as distributed

def work(group):
    distributed.join = lambda device: group
    embed = lambda images: images.float().mean((2, 3)).numpy()
    command._embed = lambda *_: (functools.partial(embedding.extract, embed, (32, 16)), "")
    opened, Store = [], embedding.PixelStore
    def counted(split, *size):
        opened.extend(sample.image.name for sample in split.samples)
        return Store(split, *size)
    embedding.PixelStore = counted
    with contextlib.redirect_stdout(io.StringIO()) as said, contextlib.redirect_stderr(said):
        command.main(["run", {str(photos)!r}, "--out", f"{out}-{{group.rank}}.npz", "--skip-bad", "--json", "--device", "cpu"])
    return [opened, said.getvalue()]
"""
    (first, told), (second, nothing) = answers_of_two(code, tmp_path)
    assert [first, second] == [list(map(str, paths[:3])), list(map(str, paths[3:]))] and not nothing
    assert told.startswith("2 of 7 images could not be read") and '"images": 5' in told
    assert not Path(f"{out}-1.npz").exists()
    good = [path for place, path in enumerate(paths) if place not in (1, 5)]
    with np.load(f"{out}-0.npz") as stored:
        assert stored["names"].tolist() == list(map(str, good))
        means = extract(lambda images: images.float().mean((2, 3)).numpy(), (32, 16), good)
        np.testing.assert_allclose(stored["embeddings"], means, atol=1e-6)


def test_several_processes_take_an_exported_file_and_no_run(
    pair: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "1", "MASTER_PORT": "1"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ExperimentError, match=r"exported for one process.*in 2 processes.*then name model\.onnx"):
        main([str(pair[0]), str(tmp_path), "--backend", "onnxruntime", "--out", str(tmp_path / "v.npz")])


def test_a_foreign_network_that_embeds_nothing_leaves_the_old_file(
    pair: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, _ = picture_files(tmp_path, 2)
    (tmp_path / "v.npz").write_text("of yesterday")

    class Broken(OpenedForTest):
        def __call__(self, images: np.ndarray) -> np.ndarray:
            return super().__call__(images) * np.float32(np.nan)

    monkeypatch.setattr("snreid.cli.backends.open_network", lambda *_: Broken())
    with pytest.raises(CheckpointError, match=f"NaN or infinity for {first} and 1 of the 1 other images"):
        main([str(pair[0]), str(tmp_path), "--backend", "onnxruntime", "--out", str(tmp_path / "v.npz")])
    assert (tmp_path / "v.npz").read_text() == "of yesterday"


def test_an_onnx_file_of_others_is_told_what_its_images_are(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = picture_files(tmp_path / "photos", 3)
    model, out = colour_onnx(tmp_path / "colour.onnx"), tmp_path / "v.npz"
    words = [str(model), str(tmp_path / "photos"), "--out", str(out)]
    assert main(words) == 0 and "does not tell its mean and std" in capsys.readouterr().err
    mean, std = np.array([0.1, 0.2, 0.3]), np.array([0.5, 0.25, 1.0])
    flags = ["--mean", *map(str, mean), "--std", *map(str, std), "--onnx-bgr", "--onnx-interpolation", "bicubic"]
    assert main([*words, *flags, "--onnx-output", "embedding", "--height", "32"]) == 0
    with np.load(out) as stored:
        for path, vector in zip(paths, stored["embeddings"], strict=True):
            pixels = np.array(Image.open(path).resize((16, 32), Image.Resampling.BICUBIC))
            colour = ((pixels.mean((0, 1)) / 255 - mean) / std)[::-1]
            np.testing.assert_allclose(vector, colour / np.linalg.norm(colour), atol=1e-5)
    with pytest.raises(ExperimentError, match=r"--height 64, the graph wants 32"):
        main([*words, "--height", "64"])


def crops(folder: Path, form: str) -> list[Path]:
    """Two pictures of each of four persons on two cameras, each a colour of its own, with names by ``form``."""
    made = picture_files(folder / "raw", 16)
    colours = np.random.default_rng(3).integers(40, 216, size=(16, 3))
    paths = []
    for place, path in enumerate(made):
        person, camera = 1 + place // 4, 1 + place % 4 // 2
        pixels = np.full((40, 20, 3), colours[place], np.uint8)
        paths.append(folder / "crops" / form.format(person=person, camera=camera, n=place))
        paths[-1].parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(paths[-1])
        path.unlink()
    return paths


PLAIN = ["--mean", "0", "0", "0", "--std", "1", "1", "1"]


def scored(words: list[str], capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    capsys.readouterr()
    assert command(["evaluate", *words, "--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return {key: value for key, value in found.items() if key != "target"}


def test_what_names_say_is_what_evaluate_reads(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = str(colour_onnx(tmp_path / "colour.onnx"))
    crops(tmp_path, "{person:02d}_c{camera}_{n}.png")
    folder, out = tmp_path / "crops", str(tmp_path / "f.npz")
    assert main([model, str(folder), "--pattern", "{person}_c{camera}_{}.png", "--out", out, *PLAIN, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["labels"] == ["persons", "cameras"]
    with np.load(out) as stored:
        assert stored["persons"].tolist() == np.arange(1, 5).repeat(4).tolist()
        assert stored["cameras"].tolist() == [1, 1, 2, 2] * 4 and stored["embeddings"].shape == (16, 3)
    data = f"folder:path={folder},pattern={{person}}_c{{camera}}_{{*}}.png,labels.role=test"
    expected = scored([model, "-t", data, "--workers", "0", "--device", "cpu", *PLAIN], capsys)
    assert 0.2 < expected["mAP"] < 0.99 and expected["queries"] == 8
    assert scored(["--features", out], capsys) == expected
    assert main([model, "--data", data, "--out", out, *PLAIN]) == 0
    assert "24 embeddings of 3 numbers, with 4 persons, 2 cameras and 2 splits, in" in capsys.readouterr().out
    assert scored(["--features", out], capsys) == expected


def test_folders_of_query_and_gallery_in_one_file_or_in_two(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, folder = str(colour_onnx(tmp_path / "colour.onnx")), tmp_path / "crops"
    for path in crops(tmp_path, "{person}_door{camera}_{n}.png"):
        part = folder / ("query" if int(path.stem.rpartition("_")[2]) % 4 == 0 else "bounding_box_test")
        part.mkdir(exist_ok=True)
        path.rename(part / path.name)
    pattern, out = "{person}_{camera}_{*}.png", str(tmp_path / "f.npz")
    assert main([model, str(folder), "--pattern", "{split}/" + pattern, "--out", out, *PLAIN]) == 0
    data = f"folder:path={folder},pattern={{split}}/{pattern}"
    expected = scored([model, "-t", data, "--workers", "0", "--device", "cpu", *PLAIN], capsys)
    assert expected["queries"] == 4 and scored(["--features", out], capsys) == expected
    for part in ("query", "bounding_box_test"):
        words = ["--pattern", pattern, "--out", str(tmp_path / f"{part}.npz"), *PLAIN]
        assert main([model, str(folder / part), *words]) == 0
    files = [str(tmp_path / "query.npz"), str(tmp_path / "bounding_box_test.npz")]
    assert scored(["--features", *files], capsys) == expected
    with np.load(files[0]) as stored:
        assert stored["cameras"].tolist() == ["door1"] * 4, "as they were"


def test_tracks_count_anew_in_every_folder(tmp_path: Path) -> None:
    model = str(colour_onnx(tmp_path / "colour.onnx"))
    names = crops(tmp_path, "{person}_c{camera}_{n}.png")
    for number, path in enumerate(names[:8]):
        part = tmp_path / ("monday" if number % 2 else "sunday")
        part.mkdir(exist_ok=True)
        path.rename(part / f"{number // 4}_c1_0001_{number}.png")
    places, out = [str(tmp_path / "monday"), str(tmp_path / "sunday")], str(tmp_path / "f.npz")
    words = ["--pattern", "{person}_c{camera}_{track}_{*}.png", "--tracks", *PLAIN]
    apart = []
    for place in places:
        assert main([model, place, *words, "--out", out]) == 0
        with np.load(out) as stored:
            apart.append(stored["embeddings"])
    assert main([model, *places, *words, "--out", out]) == 0
    with np.load(out) as stored:
        assert stored["persons"].tolist() == [0, 1, 0, 1]
        assert stored["embeddings"].tolist() == np.concatenate(apart).tolist()


def test_people_of_the_training_are_refused(tmp_path: Path) -> None:
    run = trained(tmp_path / "run", sources=(AllImages(of=drawn()),)).folder
    with pytest.raises(
        ExperimentError, match=r"people it was not trained on\. Found: trained on noon@all, target noon"
    ):
        main([str(run), "--data", SOURCE, "--device", "cpu", "--out", str(tmp_path / "f.npz")])
    assert main([str(run), "--data", TARGET, "--device", "cpu", "--out", str(tmp_path / "f.npz")]) == 0


def test_left_out_images_have_no_labels(tmp_path: Path) -> None:
    model, paths = colour_onnx(tmp_path / "colour.onnx"), crops(tmp_path, "{person}_c{camera}_{n}.png")
    paths[1].write_bytes(b"")
    words = [str(model), str(tmp_path / "crops"), "--pattern", "{person}_c{camera}_{*}.png", "--skip-bad"]
    assert main([*words, "--out", str(tmp_path / "f.npz")]) == 0
    _, gallery = snreid.read_features(tmp_path / "f.npz")
    assert len(gallery.persons) == 15 and str(paths[1]) not in gallery.names
    for name, person, camera in zip(gallery.names, gallery.persons, gallery.cameras, strict=True):
        assert Path(name).name.startswith(f"{person}_c{camera}_")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "Found: neither"),
        (["photos", "--data", "noon"], "Found: both"),
        (["--data", "noon", "--pattern", "{person}.jpg"], "Found: both"),
        (["photos", "--pattern", "{camera}.jpg"], "no person"),
        (["photos", "--pattern", "{person}_{camera}.jpg"], r"2 of 2 do not: 000\.png, 001\.png"),
        (["photos", "--pattern", "{split}{*}.png"], "no person"),
        (["photos", "--pattern", "{split}0{person}.png"], "'0' in .*000"),
        (["photos", "--pattern", "{*}{person}.png", "--data", "noon"], "Found: both"),
        (["list.csv"], "name it by --data list.csv"),
        (["photos", "photos"], r"named once\. Found: .*000\.png 2 times"),
        (["photos", "photos/001.png", "--pattern", "{person}.png"], r"named once\. Found: .*001\.png 2 times"),
        (["empty"], "none in empty. Fix: name image files, or a folder with images"),
        (["--data", "cuhk02"], "CUHK02"),
    ],
)
def test_images_and_their_labels_are_looked_at_before_the_model(
    words: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    picture_files(tmp_path / "photos", 2)
    (tmp_path / "empty").mkdir()
    (tmp_path / "list.csv").write_text("path,person\n")
    monkeypatch.setattr("snreid.cli.extract.ready", lambda *_, **__: pytest.fail("the model was loaded"))
    with pytest.raises((DataError, ExperimentError), match=said):
        main(["run", *words])


def test_a_run_knows_what_an_onnx_file_is_told(pair: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(ExperimentError, match=r"are of an ONNX file.*Found: --onnx-bgr with"):
        main([str(pair[0]), str(tmp_path), "--onnx-bgr", "--out", str(tmp_path / "v.npz")])


def test_another_ending_is_refused_before_anything_is_embedded(pair: tuple[Path, Path], tmp_path: Path) -> None:
    (path,) = picture_files(tmp_path, 1)
    for name in ("feats.csv", "f.txt"):
        with pytest.raises(ExperimentError, match=rf"ends in \.npz.*{name}"):
            main([str(pair[0]), str(path), "--out", str(tmp_path / name)])
        assert not (tmp_path / name).exists()


def test_a_full_disk_is_told_with_the_name_of_the_file(
    pair: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (path,) = picture_files(tmp_path, 1)

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    assert command(["extract", str(pair[0]), str(path), "--out", str(tmp_path / "v.npz")]) == 1
    assert f"No space left on device: '{tmp_path / 'v.npz'}'" in capsys.readouterr().err
    assert not (tmp_path / "v.npz").exists()


def test_names_are_shown_and_kept(pair: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = picture_files(tmp_path / "made", 2, damaged=(1,))
    names = [os.fsdecode(b"a\xe9.png"), "b\x1b[31m.png"]
    (tmp_path / "p").mkdir()
    for path, name in zip((first, second), names, strict=True):
        path.rename(tmp_path / "p" / name)
    (tmp_path / "p" / "c\x1b.txt").touch()
    out = tmp_path / "v.npz"
    assert main([str(pair[0]), str(tmp_path / "p"), "--out", str(out), "--skip-bad"]) == 0
    told = capsys.readouterr().err
    assert "\x1b" not in told and r"b\u001b[31m.png: " in told and r"c\u001b.txt" in told
    with np.load(out) as stored:
        assert stored["names"].tolist() == [str(tmp_path / "p" / names[0])]
