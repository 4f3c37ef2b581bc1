"""``snreid protocol``: a protocol by its name, or from A to B."""

from dataclasses import replace
from pathlib import Path

import pytest

from snreid.cli.protocol import Request, _protocol, main
from snreid.errors import DataError, ExperimentError
from snreid.experiments.runs import open_run
from support.tiny import FLAGS, SOURCE, TARGET, experiment


def test_from_one_data_set_to_another_with_flags_of_the_experiment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    own = "mine: snr --losses.2.form code"
    assert main([f"{SOURCE}-to-{TARGET}", "--recipe", "baseline", own, *FLAGS, "--records", "records"]) == 0
    shown = capsys.readouterr().out
    assert "Protocol noon-to-dusk" in shown and "noon (seen)" in shown and "  mine" in shown
    folder = Path("runs/protocol-noon-to-dusk/small/noon")
    assert open_run(folder / "baseline-0").experiment == experiment("baseline")
    assert open_run(folder / "mine-0").experiment.epochs == 2
    assert Path("records/noon-to-dusk-noon-to-dusk.json").is_file()


@pytest.mark.slow
def test_several_processes_fill_what_one_would_have(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    words = [f"{SOURCE}-to-{TARGET}", "--recipe", "baseline", "snr", *FLAGS]
    assert main([*words, "--jobs", "2", "--out", "two"]) == 0
    both = capsys.readouterr().out
    assert main([*words, "--out", "one"]) == 0
    assert capsys.readouterr().out == both
    case = "small/noon"
    for name in ("baseline-0", "snr-0"):
        one, two = (Path(out) / case / name / "model.safetensors" for out in ("one", "two"))
        assert one.read_bytes()[-1000:] == two.read_bytes()[-1000:]
    assert {path.name for path in Path("two").iterdir()} == {"small", "job-0.log", "job-1.log"}


def test_the_list_names_every_protocol(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--list"]) == 0
    shown = capsys.readouterr().out
    assert all(f"{name} " in shown for name in ("drawn", "p1", "p2", "p3", "leave-one-out", "A-to-B"))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["leave-on-out"], "did you mean 'leave-one-out'"),
        ([""], "A-to-B"),
        (["market-to-noon"], "market1501"),
        (["p1", "--recipe", "srn"], "recipe"),
    ],
)
def test_a_name_that_is_none_is_refused(words: list[str], said: str) -> None:
    with pytest.raises(ExperimentError, match=said):
        main(words)


def test_without_its_data_a_protocol_says_everything_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cuhk02") as caught:
        main(["p1", "--root", str(tmp_path), "--out", str(tmp_path / "runs")])
    assert "market1501" in str(caught.value) and "prid2011" in str(caught.value)
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--recipe", "snr", "baseline", "snr"], "each once"),
        (["--recipe"], "one recipe or more"),
        (["--recipe", "snr", "SNR: baseline"], "each once"),
        (["--seeds", "0", "1", "0"], "by each once"),
        (["--seeds"], "at least one seed"),
        (["--preset", "huge"], "A preset is one of"),
        (["--records", "file.txt"], "--records is a folder"),
        (["--out", "file.txt/deep"], "--out is a folder"),
        (["--jobs", "2", "--shard", "0/2"], "--shard 0/2"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_trained(
    words: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file.txt").touch()
    with pytest.raises(ExperimentError, match=said):
        main([f"{SOURCE}-to-{TARGET}", *FLAGS, *words])
    assert [path.name for path in tmp_path.iterdir()] == ["file.txt"]


def test_a_source_without_a_test_split_is_trained_on_and_its_notes_stand_beside_the_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main([f"{SOURCE}@all-to-{TARGET}", "--recipe", "baseline", *FLAGS, "--seeds", "0", "1"]) == 0
    streams = capsys.readouterr()
    assert "not on this machine: noon@all as a target: it has no query and gallery images" in streams.out
    assert streams.out.count("  note: noon@all: all labelled images are for training") == 1
    assert streams.err.count("noon@all: all labelled images are for training") == 1, "two runs, told once"


def test_a_target_of_ten_splits_is_their_mean_unless_one_is_named() -> None:
    request = Request(name="noon-to-viper")
    assert _protocol(request).name == "noon-to-viper"
    assert _protocol(replace(request, name="noon-to-viper:split=3")).name == "noon-to-viper-split3"
