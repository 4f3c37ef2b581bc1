"""``snreid data``: draw, check, show, list; and answer for help at once."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from snreid.cli import Terminated
from snreid.cli.data import main
from snreid.cli.names import dataset_named
from snreid.records import ReIDData

Captured = pytest.CaptureFixture[str]
FEW = ["--train-persons", "2", "--test-persons", "2"]


@pytest.mark.parametrize("words", [[], ["--help"], ["-h"]])
def test_help_names_the_verbs(words: list[str], capsys: Captured) -> None:
    assert main(words) == 0
    shown = capsys.readouterr().out
    assert all(f"\n  {verb} " in shown for verb in ("check", "make", "sheet", "crop-sysu", "list"))


@pytest.mark.parametrize("words", [["--help"], ["list"], ["make", "--help"]])
def test_help_and_list_load_no_torch(words: list[str]) -> None:
    code = (
        f"import sys; from snreid.cli import main; code = main(['data', *{words!r}]);"
        " sys.exit(code or 10 * ('torch' in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "data" in done.stdout


def test_what_is_drawn_is_in_order_when_checked_and_reads_as_a_data_set(tmp_path: Path, capsys: Captured) -> None:
    folder = tmp_path / "people"
    assert main(["make", str(folder), "--domain", "noon", "dusk", *FEW]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(":")[0] for line in lines] == [str(folder / "noon"), str(folder / "dusk")]
    data = dataset_named(str(folder / "dusk")).read(Path())
    drawn = dataset_named("dusk:train_persons=2,test_persons=2").read(Path())
    for split in ("train", "query", "gallery"):
        made, meant = getattr(data, split), getattr(drawn, split)
        assert sorted(zip(made.persons, made.cameras, strict=True)) == sorted(
            zip(meant.persons, meant.cameras, strict=True)
        )
    assert lines[1].endswith(f": {len(data.train)} train, {len(data.query)} query, {len(data.gallery)} gallery images")

    assert main(["check", str(folder / "noon"), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["ok"] is True


def test_a_set_that_is_not_in_order_ends_with_1(tmp_path: Path, capsys: Captured) -> None:
    assert main(["make", str(tmp_path / "people"), "--domain", "noon", *FEW]) == 0
    first = sorted((tmp_path / "people" / "noon" / "query").iterdir())[0]
    first.write_bytes(b"no picture")
    capsys.readouterr()
    assert main(["check", str(tmp_path / "people" / "noon")]) == 1
    assert first.name in capsys.readouterr().out
    assert main(["check", "market1501", "--root", str(tmp_path / "nowhere")]) == 1
    assert "market1501 needs a folder" in capsys.readouterr().out


def test_a_sheet_is_a_picture_of_people_by_domains(tmp_path: Path, capsys: Captured) -> None:
    path = tmp_path / "deep" / "sheet.png"
    assert main(["sheet", str(path), "--domain", "noon", "night", "--persons", "2"]) == 0
    assert capsys.readouterr().out.strip() == str(path)
    with Image.open(path) as sheet:
        assert sheet.format == "PNG" and min(sheet.size) > 64


def test_list_shows_how_data_sets_are_named(capsys: Captured) -> None:
    assert main(["list"]) == 0
    shown = capsys.readouterr().out
    assert "market1501" in shown and "behind an @: all" in shown
    assert main(["list", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert "market1501" in listed["help"] and "market1501" in listed["names"] and "all" in listed["wrappers"]


@pytest.mark.parametrize("stop", [KeyboardInterrupt, Terminated])
def test_stopped_it_says_how_to_draw_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop: type[BaseException]
) -> None:
    def write(data: ReIDData, folder: Path, progress: object) -> None:
        if folder.name == "dusk":
            raise stop

    monkeypatch.setattr("snreid.datasets.market_writer.write_market_format", write)
    with pytest.raises(stop) as caught:
        main(["make", str(tmp_path), "--domain", "noon", "dusk", "night", *FEW])
    assert caught.value.__notes__ == ["start it again with --domain dusk night to draw the rest"]
    with pytest.raises(stop) as caught:
        main(["make", str(tmp_path), "--domain", "dusk", *FEW])
    assert caught.value.__notes__ == ["nothing was written"]


def test_sigterm_leaves_no_draft_and_says_how_to_draw_the_rest(tmp_path: Path) -> None:
    folder = tmp_path / "people"
    words = ["data", "make", str(folder), "--domain", "noon", "dusk", "night", "--train-persons", "2"]
    process = subprocess.Popen(
        [sys.executable, "-m", "snreid", *words, "--test-persons", "60"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    deadline = time.monotonic() + 120
    while not list(folder.glob(".dusk.partial-*/query/*")) and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    said = process.communicate(timeout=60)[1].decode()
    # A slow machine shows its progress before.
    assert (process.returncode, said.splitlines()[-1]) == (
        143,
        "snreid: stopped by SIGTERM; start it again with --domain dusk night to draw the rest.",
    )
    assert [path.name for path in folder.iterdir()] == ["noon"]


def test_a_folder_below_the_data_folder_is_checked_and_one_without_a_split_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    (tmp_path / "data").mkdir()
    monkeypatch.chdir(tmp_path / "data")
    assert main(["make", "tiny", "--domain", "noon", *FEW]) == 0
    monkeypatch.chdir(tmp_path)
    assert main(["check", "tiny/noon", "--root", "data", "--no-decode"]) == 0
    assert "no split" not in capsys.readouterr().out
    tree = "folder:path=tiny/noon/query,pattern={person}_c{camera}s1_{*}.jpg"
    assert main(["check", tree, "--root", "data", "--no-decode"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "note: no split: all images are for training; by the option labels.role=test" in shown
    assert main(["check", f"{tree},labels.role=test", "--root", "data", "--no-decode"]) == 0
    shown = capsys.readouterr().out
    assert "no split" not in shown and "gallery" in shown


def test_crop_sysu_says_the_counts_and_fails_where_they_are_not_the_published_ones(
    tmp_path: Path, capsys: Captured
) -> None:
    kind = [("idname", object), ("nAppear", object), ("scene", object)]
    scenes = np.empty((1, 2), dtype=[("imname", object), ("idlocate", object), ("ishard", object)])
    for index in (0, 1):
        scenes[0, index] = ("s1.jpg", np.array([8 * index, 0, 8, 16]), np.uint8(0))
    person = np.empty((1, 1), dtype=kind)
    person[0, 0] = ("p3", np.uint8(2), scenes)
    (tmp_path / "annotation").mkdir()
    savemat(tmp_path / "annotation" / "Person.mat", {"Person": person})
    (tmp_path / "Image" / "SSM").mkdir(parents=True)
    Image.new("RGB", (20, 20)).save(tmp_path / "Image" / "SSM" / "s1.jpg")
    out = tmp_path / "data" / "CUHK-SYSU" / "cropped_images"
    assert main(["crop-sysu", str(tmp_path), str(out)]) == 1
    assert "2 crops (2 written, 0 there before) of 1 persons; published: 34,574 of 11,934" in capsys.readouterr().out
    assert sorted(path.name for path in out.iterdir()) == ["p3_s1_1.jpg", "p3_s1_2.jpg"]
    assert main(["crop-sysu", str(tmp_path), str(out), "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["kept"] == 2
    assert main(["check", "cuhk-sysu", "--root", str(tmp_path / "data")]) == 1
    assert "34,572 images missing" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["crop-sysu", str(tmp_path)])
    assert "folder to write to" in capsys.readouterr().err
