"""R8: a training set of which many files are damaged in every way bytes can be (reliability.md)."""

import json
import random
from pathlib import Path

import pytest
import torch
from PIL import Image

from snreid.cli import main
from snreid.errors import DataError
from snreid.experiments.runs import open_run
from snreid.images.reading import FileImage
from support.tiny import FLAGS, picture_files

pytestmark = pytest.mark.slow


def mutated(data: bytes, dice: random.Random) -> bytes:
    """The bytes of a file after an accident: cut, overwritten, doubled, or swapped for something else."""
    kind = dice.randrange(5)
    if kind == 0:
        return data[: dice.randrange(len(data))]
    if kind == 1:
        return dice.choice([b"", b"GIF89a", b"<html>not found</html>", bytes(500)])
    changed = bytearray(data)
    if kind == 2:
        begin = dice.randrange(len(data))
        return bytes(changed[:begin] + changed[begin // 2 :])
    for _ in range(dice.choice([1, 8, 64])):
        changed[dice.randrange(min(len(data), 64 if kind == 3 else len(data)))] = dice.randrange(256)
    return bytes(changed)


def data_set(folder: Path, bad: int, dice: random.Random) -> list[Path]:
    """Files ``PERSON_cCAMERA_NUMBER``, PNG and JPEG: of each person 4 whole ones and a share of ``bad`` damaged ones."""
    whole = picture_files(folder / "draft", 8)
    jpeg = folder / "draft" / "one.jpg"
    Image.open(whole[0]).save(jpeg)
    paths = []
    for number in range(8 * 4 + bad):
        source = jpeg if number % 2 else whole[number % 8]
        path = folder / "train" / f"{number % 8 + 1}_c{number // 8 % 2 + 1}_{number:05d}{source.suffix}"
        path.parent.mkdir(exist_ok=True)
        data = source.read_bytes()
        path.write_bytes(data if number < 32 else mutated(data, dice))
        paths.append(path)
    return paths


def unreadable(paths: list[Path]) -> set[str]:
    names = set()
    for path in paths:
        try:
            FileImage(str(path)).read()
        except DataError:
            names.add(str(path))
    return names


@pytest.mark.parametrize(
    ("bad", "workers"),
    [(40, 0), pytest.param(1000, 2, marks=[pytest.mark.soak, pytest.mark.timeout(1800)])],
)
def test_damaged_files_stop_the_run_with_their_list_or_are_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], bad: int, workers: int
) -> None:
    torch.set_num_threads(1)
    paths = data_set(tmp_path, bad, random.Random(bad))
    expected = unreadable(paths)
    assert bad // 4 < len(expected) <= bad
    source = f"folder:path={tmp_path / 'train'},pattern={{person}}_c{{camera}}_{{*}}"
    flags = list(FLAGS)
    flags[flags.index("--workers") + 1] = str(workers)
    words = ["train", "baseline", "--source", source, *flags, "--out", str(tmp_path / "run")]

    assert main(words) == 2
    assert f"{len(expected)} of {len(paths)} are not" in capsys.readouterr().err
    lines = (tmp_path / "run" / "bad_files.jsonl").read_text().splitlines()
    listed = [json.loads(line) for line in lines]
    assert sorted(one["name"] for one in listed) == sorted(expected) and all(one["reason"] for one in listed)
    assert not (tmp_path / "run" / "model.safetensors").exists()

    assert main([*words, "--skip-bad"]) == 0
    assert (tmp_path / "run" / "bad_files.jsonl").read_text().splitlines() == lines
    run = open_run(tmp_path / "run")
    assert run.finished and run.record["training"]["images"] == len(paths) - len(expected)
