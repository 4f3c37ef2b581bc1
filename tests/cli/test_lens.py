"""``snreid lens``: a page and its numbers, from images, from data sets, from both; wrong requests end in words."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from snreid.cli import main as command
from snreid.cli.lens import MOST_SHOWN, main
from snreid.experiments import packaged
from support.tiny import SOURCE, TARGET, picture_files, trained

Captured = pytest.CaptureFixture[str]
HERE = ["--device", "cpu", "--workers", "0"]


def lens(capsys: Captured, *words: object) -> dict[str, object]:
    """The JSON of a request."""
    assert main([*map(str, words), *HERE, "--json"]) == 0
    found: dict[str, object] = json.loads(capsys.readouterr().out)
    return found


def refused(capsys: Captured, *words: object) -> str:
    """What is said of a wrong request."""
    assert command(["lens", *map(str, words), *HERE]) == 2
    said = capsys.readouterr()
    assert "Traceback" not in said.err and said.out == ""
    return " ".join(said.err.split())


def test_data_sets_alone_show_images_of_theirs(pair: tuple[Path, Path], tmp_path: Path, capsys: Captured) -> None:
    out = tmp_path / "deep" / "page.html"
    found = lens(capsys, pair[1], "--data", SOURCE, TARGET, "--per-data", 12, "--show", 3, "--out", out)
    assert found["file"] == str(out) and len(found["images"]) == 3  # type: ignore[arg-type]
    assert [one["stage"] for one in found["stages"]] == [1, 2, 3, 4]  # type: ignore[attr-defined]
    first = found["stages"][0]  # type: ignore[index]
    assert set(first["style"]) == {"F", "F~", "F~+"} and first["style"]["F~+"]["across"] > 0
    assert all(0 < share < 1 for share in first["given_back"])
    assert found["neighbours"][-1]["what"] == "embedding"  # type: ignore[index]
    text = out.read_text(encoding="utf-8")
    assert "No image file was named, so 3 images of the data sets are shown" in text
    assert "t-SNE of the embeddings, By data set" in text
    again = lens(capsys, pair[1], "--data", SOURCE, TARGET, "--per-data", 12, "--show", 3, "--out", out)
    assert again == found and out.read_text(encoding="utf-8") == text


def test_a_packaged_model_is_named_not_its_place(
    pair: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(packaged, "HOME", pair[1].parent)
    assert main([str(pair[1]), str(picture_files(tmp_path, 1)[0]), *HERE]) == 0
    assert str(pair[1].parent) not in Path("lens.html").read_text(encoding="utf-8")


def test_images_alone_have_maps_and_say_what_is_missing(
    pair: tuple[Path, Path], tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    paths = picture_files(tmp_path / "folder", 3)
    odd = tmp_path / "<b>odd & grey.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (90, 30), dtype=np.uint8)).save(odd)
    assert main([str(pair[1]), str(odd), "folder", *HERE]) == 0
    shown = capsys.readouterr().out
    assert "none was named (--data)" in shown and "Of a folder (folder)" in shown and "Page: lens.html" in shown
    text = Path("lens.html").read_text(encoding="utf-8")
    assert "&lt;b&gt;odd &amp; grey.png" in text and "<b>odd" not in text
    assert all(f"folder/{path.name}" in text for path in paths)


def test_a_baseline_shows_what_it_has(pair: tuple[Path, Path], tmp_path: Path, capsys: Captured) -> None:
    (path,) = picture_files(tmp_path, 1)
    found = lens(capsys, pair[0], path, "--data", TARGET, "--per-data", 8, "--out", tmp_path / "b.html")
    assert any("nothing was removed" in note for note in found["notes"])  # type: ignore[attr-defined]
    assert [set(one["style"]) for one in found["stages"]] == [{"F"}] * 4  # type: ignore[attr-defined]
    assert found["images"] == [str(path)]


def test_baseline_in_shows_what_normalization_leaves(tmp_path: Path, capsys: Captured) -> None:
    run = trained(tmp_path / "in", "baseline-in").folder
    (path,) = picture_files(tmp_path, 1)
    found = lens(capsys, run, path, "--out", tmp_path / "b.html")
    assert any("gives nothing back" in note for note in found["notes"])  # type: ignore[attr-defined]


def test_a_folder_of_other_files_is_told_with_what_is_there(
    pair: tuple[Path, Path], tmp_path: Path, capsys: Captured
) -> None:
    (tmp_path / "a.heic").touch()
    assert f"1 file passed over, not named like an image: {tmp_path / 'a.heic'}" in refused(
        capsys, pair[0], tmp_path, "--out", tmp_path / "page.html"
    )


def test_of_a_large_folder_some_are_taken_evenly(pair: tuple[Path, Path], tmp_path: Path, capsys: Captured) -> None:
    picture_files(tmp_path / "many", MOST_SHOWN + 1)
    found = lens(capsys, pair[0], tmp_path / "many", "--out", tmp_path / "b.html")
    names = [Path(str(name)).stem for name in found["images"]]  # type: ignore[attr-defined]
    assert names == [f"{number:03d}" for number in range(0, MOST_SHOWN + 1, 2)]


def test_wrong_requests(
    pair: tuple[Path, Path], tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run = pair[1]
    good, bad = picture_files(tmp_path, 2, damaged=(1,))
    (tmp_path / "empty").mkdir()
    assert "needs something to look at" in refused(capsys, run)
    assert "takes RUN first, then flags" in refused(capsys, "--data", "noon")
    assert "experiment.json" in refused(capsys, "empty", good)
    assert "001.png" in refused(capsys, run, good, bad)
    assert "has images. Found: none in empty" in refused(capsys, run, "empty")
    assert "does not exist" in refused(capsys, run, "lost.jpg")
    assert "did you mean 'noon'" in refused(capsys, run, "--data", "noom")
    assert "noon twice" in refused(capsys, run, "--data", SOURCE, SOURCE)
    assert "--per-data 0" in refused(capsys, run, good, "--per-data", 0)
    empty = TARGET.replace("train_persons=6,test_persons=4", "train_persons=0,test_persons=0")
    assert "dusk with none" in refused(capsys, run, "--data", empty)
    assert "empty is a folder" in refused(capsys, run, good, "--out", "empty")
    huge = tmp_path / "huge.png"
    Image.new("1", (3000, 3000)).save(huge)
    assert "more than the 4,000,000 allowed" in refused(capsys, run, huge)
    os.mkfifo(tmp_path / "pipe")
    assert "pipe is no regular file" in refused(capsys, run, good, "--out", "pipe")
    (pair_copy := tmp_path / "unfinished").mkdir()
    (pair_copy / "experiment.json").write_bytes((run / "experiment.json").read_bytes())
    assert "must be finished" in refused(capsys, pair_copy, good)
    assert sorted(p.suffix for p in tmp_path.iterdir() if p.suffix == ".html") == []
    assert main([str(run), str(good), str(bad), "--skip-bad", *HERE]) == 0
    assert "001.png" in capsys.readouterr().out


def test_what_a_reader_noticed_stands_on_the_page(pair: tuple[Path, Path], tmp_path: Path, capsys: Captured) -> None:
    found = lens(
        capsys, pair[0], "--data", f"{TARGET}@dark-3", "--per-data", 8, "--show", 1, "--out", tmp_path / "b.html"
    )
    assert "dusk@dark-3: query images: dark, severity 3" in found["notes"]  # type: ignore[operator]


def test_names_that_are_no_text_are_escaped_on_the_page(
    pair: tuple[Path, Path], tmp_path: Path, capsys: Captured
) -> None:
    name, out = os.fsdecode(b"caf\xe9\x1b[31m.png"), tmp_path / "page.html"
    for path in picture_files(tmp_path / "p", 1):
        path.rename(path.with_name(name))
    found = lens(capsys, pair[0], tmp_path / "p", "--out", out)
    assert found["images"] == [str(tmp_path / "p" / name)]
    page = out.read_bytes()
    assert rb"caf\udce9\u001b[31m.png" in page and b"\x1b" not in page


def test_a_page_of_another_ending_is_refused_before_the_work(
    pair: tuple[Path, Path], tmp_path: Path, capsys: Captured
) -> None:
    assert "ends in .html or .htm" in refused(capsys, pair[0], tmp_path, "--out", tmp_path / "page.txt")
