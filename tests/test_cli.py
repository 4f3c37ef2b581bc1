"""The command itself: help, exit codes, and wrong requests: each answered by rule, value and repair, never by a traceback."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from snreid import cli
from snreid.cli import COMMANDS, main
from snreid.errors import DivergenceError, Interrupted, SnreidError
from support.tiny import FLAGS, SOURCE

Captured = pytest.CaptureFixture[str]


@pytest.mark.parametrize("words", [[], ["--help"], ["-h"], ["help"]])
def test_help_lists_every_command_and_exit_code(words: list[str], capsys: Captured) -> None:
    assert main(words) == 0
    shown = capsys.readouterr().out
    assert all(f"  {name} " in shown for name in COMMANDS)
    assert all(code in shown for code in ("0 done", "1 the run failed", "2 the request was wrong", "3 ", "143 "))


def test_version(capsys: Captured) -> None:
    assert main(["--version"]) == 0
    assert re.fullmatch(r"snreid \d+\.\d+\.\d+\S*\n", capsys.readouterr().out)


@pytest.mark.parametrize(
    "name", [*COMMANDS, *(f"data {verb}" for verb in ("check", "list", "make", "sheet", "crop-sysu"))]
)
def test_help_fits_two_screens_and_has_examples(name: str, monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert main([*name.split(), "--help"]) == 0
    shown = capsys.readouterr().out
    lines = shown.splitlines()
    assert len(lines) <= 47  # 45 where boxes are drawn: without them each group has a line more
    assert max(map(len, lines[1:])) <= 80
    assert not re.search(r"\{None\}|\(default: *(None)?\)|\[(STR|INT|PATH|FLOAT) ", shown)
    if name != "data":
        assert f"    snreid {name}" in shown[shown.index("Examples:") :]


@pytest.mark.parametrize("name", ["train snr", "study", "protocol"])
def test_the_settings_of_an_experiment_are_listed_on_request_only(name: str, capsys: Captured) -> None:
    flags = ("--optimizer.weight-decay", "--losses.0.", "--sampling.persons")
    assert main([*name.split(), "--help"]) == 0
    assert not any(flag in capsys.readouterr().out for flag in flags)
    assert main([*name.split(), "--help-all"]) == 0
    shown = capsys.readouterr().out
    assert all(flag in shown for flag in (*flags, "--out", "--recipe" if " " not in name else "--source"))


def test_the_settings_that_are_listed_are_those_of_the_recipe(capsys: Captured) -> None:
    assert main(["train", "baseline", "--preset", "paper", "--help-all"]) == 0
    shown = capsys.readouterr().out
    assert "--losses.1." in shown and "--losses.2.weight" not in shown and "320" in shown


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("train", "runs/RECIPE-SOURCES-SEED"),
        ("study", "runs/study-SOURCES"),
        ("demo", "runs/demo"),
        ("report", "runs/report-RUNS-on-TARGETS"),
        ("evaluate", "the run's, else none"),
    ],
)
def test_help_says_where_a_command_writes(
    name: str, folder: str, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    assert main([name, "--help"]) == 0
    assert f"(default: {folder}" in capsys.readouterr().out


WRONG = [
    ("trian snr", ["A command is one of", "'trian'", "did you mean 'train'?"]),
    ("train snr", ["needs a source", "--source market1501"]),
    ("train snrr -s noon", ["baseline-a-in", "'snrr'"]),
    ("train snr -s noom", ["'noom'", "did you mean 'noon'?"]),
    ("train snr -s noon --preset tiny", ["paper, short, mobile, small", "'tiny'"]),
    ("train snr -s noon --epoch 3", ["Unrecognized options", "--epochs"]),
    ("train snr --sourc noon", ["Unrecognized options", "--sourc"]),
    ("train snr -s noon --epochs three", ["three", "--epochs"]),
    (
        "train snr -s noon --epochs 1",
        ["warm-up must end", "1 warm-up epochs of 1", "--epochs 1 --schedule.warmup-epochs 0"],
    ),
    ("train snr -s noon --seed -1", ["-1"]),
    ("train snr -s noon:persons=3", ["'persons'", "did you mean 'test_persons'?"]),
    ("train snr -s noon:train_persons", ["name=value", "give train_persons=VALUE"]),
    ("train snr -s noon:train_persons=lots", ["train_persons must be an integer", "'lots'"]),
    ("train snr -s noon noon", ["named once", "noon, noon"]),
    ("train snr -s noon --workers -1", ["must not be negative", "--workers -1"]),
    ("train snr -s noon --device tpu", ["auto, cpu, cuda or cuda:N", "'tpu'"]),
    ("train snr -s market1501 --root NOWHERE", ["market1501 needs a folder", "NOWHERE"]),
    ("train snr -s noon -t market1501 --root NOWHERE", ["market1501 needs a folder", "NOWHERE"]),
    ("train snr -s lost.csv --root NOWHERE", ["lost.csv"]),
    ("train nowhere.json", ["must exist", "nowhere.json", "check the path"]),
    (
        f"train snr -s {SOURCE} {' '.join(FLAGS)}".replace("persons 3", "persons 9"),
        ["9 different", "the sources have 6", "add a source"],
    ),
    (
        "evaluate NOWHERE -t noon",
        ["experiment.json", "NOWHERE", "snreid train or snreid adapt made", "comes with snreid: people"],
    ),
    ("evaluate RUN", ["needs a target", "--target market1501"]),
    ("evaluate", ["folder of a run before all flags", "Found: nothing"]),
    ("evaluate RUN --features x.npz -t noon", ["folder of a run before all flags", "run and features"]),
    ("evaluate RUN -t dask", ["'dask'", "did you mean 'dusk'?"]),
    ("evaluate RUN -t noon --metric manhattan", ["manhattan", "cosine"]),
    ("evaluate RUN -t market1501 --root NOWHERE", ["market1501 needs a folder", "NOWHERE"]),
    ("evaluate --features lost.npz", ["lost.npz"]),
    ("evaluate --features lost.npz -t noon", ["bring their own query and gallery", "leave it out"]),
    ("evaluate --onnx lost.onnx -t noon", ["lost.onnx"]),
    ("compare RUN NOWHERE -t noon", ["experiment.json", "NOWHERE"]),
    ("compare RUN RUN", ["two runs and a target", "no target", "--target night"]),
    ("report NOWHERE -t noon", ["experiment.json", "NOWHERE"]),
    ("report -t noon", ["takes RUN first, then flags", "snreid report runs/snr-noon-0 --target"]),
    ("report -t noon runs/a --workers 0", ["takes RUN first, then flags", "Found: snreid report -t noon runs/a"]),
    ("compare RUN -t noon", ["two runs and a target", "noon, no target"]),
    ("compare RUN", ["Missing from snreid compare: B"]),
    ("evaluate -t noon dusk runs/a", ["folder of a run before all flags", "snreid evaluate runs/snr"]),
    ("study -t noon RUN", ["is the folder of a run", "runs come first"]),
    ("compare RUN RUN -t noon --out x", ["Unrecognized options", "--out"]),
    ("train snr -s noon --out FILE.txt", ["--out is a folder", "FILE.txt is a file"]),
    ("report RUN -t noon --out FILE.txt/deep", ["--out is a folder", "FILE.txt is a file"]),
    ("evaluate --features FILE.txt", ["FILE.txt is no .npz, .npy or .mat file"]),
    ("data make --domain noon", ["takes FOLDER first, then flags", "snreid data make drawn"]),
    ("data sheet --domain noon dusk x.png", ["takes FILE first, then flags", "snreid data sheet sheet.png"]),
    ("data check EMPTY/noon --root NOWHERE", ["'EMPTY/noon': no such folder here or in NOWHERE"]),
    ("report RUN -t noon --examples mall", ["targets only", "mall", "noon"]),
    ("study -s noon", ["at least one target"]),
    ("study -s noon -t dusk --recipe snr smr", ["baseline-a-in", "'smr'"]),
    ("study -s noon -t dusk --examples mall", ["targets only", "mall", "dusk"]),
    ("study -s noon -t dusk --seeds 1 1", ["each once", "1, 1"]),
    ("extract NOWHERE a.jpg", ["experiment.json", "NOWHERE"]),
    ("lens NOWHERE a.jpg", ["experiment.json", "NOWHERE"]),
    ("lens RUN", ["something to look at", "neither"]),
    ("extract RUN lost.jpg", ["lost.jpg", "does not exist"]),
    ("extract RUN EMPTY", ["Extraction needs images", "EMPTY"]),
    ("extract RUN a.jpg --device tpu", ["auto, cpu, cuda or cuda:N", "'tpu'"]),
    ("train FILE.json --preset paper", ["all its settings", "--preset paper with FILE.json", "leave --preset out"]),
    ("train", ["takes RECIPE first, then flags", "snreid train snr --source"]),
    ("train --epochs 1 snr -s noon", ["takes RECIPE first, then flags"]),
    ("data list --bogus", ["Unrecognized options", "--bogus"]),
    ("data list noon", ["Unrecognized options", "noon"]),
    ("data chekc market1501", ["check, list, make, sheet, crop-sysu", "'chekc'", "did you mean 'check'?"]),
    ("data check market1502", ["'market1502'", "did you mean 'market1501'?"]),
    ("data make OUT --domain moon", ["moon"]),
    ("recipes --preset tiny", ["paper, short, mobile, small"]),
    ("demo --epochs 1", ["at least 2 epochs", "--epochs 1", "snreid demo --epochs 2"]),
]


@pytest.mark.parametrize(("line", "words"), WRONG, ids=[line[:60] for line, _ in WRONG])
def test_a_wrong_request_ends_with_2_and_says_what_to_do(
    line: str, words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured, tiny_run: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "EMPTY").mkdir()
    (tmp_path / "FILE.txt").write_text("no folder, and no arrays")
    monkeypatch.setenv("COLUMNS", "200")
    code = main([str(tiny_run) if word == "RUN" else word for word in line.split()])
    streams = capsys.readouterr()
    shown = re.sub(r"\s+", " ", streams.err + streams.out)
    assert code == 2, shown
    assert "Traceback" not in shown
    assert all(word in shown for word in words), shown


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run."""
    from support.tiny import trained

    return trained(tmp_path_factory.mktemp("cli") / "run").folder


@pytest.mark.parametrize(
    ("error", "code", "shown"),
    [
        (SnreidError("It broke"), 1, "snreid: It broke."),
        (DivergenceError("NaN"), 3, "snreid: NaN."),
        (Interrupted("Stop"), 143, "snreid: Stop."),
        (KeyboardInterrupt(), 130, "snreid: stopped by Ctrl-C; start the same command again."),
        (PermissionError(13, "Permission denied", "/locked"), 1, "Permission denied: '/locked'"),
        (OSError(28, "No space left on device"), 1, "Found: [Errno 28] No space left on device. Fix"),
        (SystemExit(5), 5, ""),
        (SystemExit("words"), 2, ""),
    ],
)
def test_what_ends_a_command_becomes_its_exit_code(
    error: BaseException, code: int, shown: str, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    class Module:
        @staticmethod
        def main(words: list[str]) -> int:
            raise error

    monkeypatch.setattr(cli.importlib, "import_module", lambda name: Module)
    assert main(["recipes"]) == code
    assert shown in capsys.readouterr().err


@pytest.mark.parametrize("mistake", [ZeroDivisionError, OSError])
def test_a_mistake_of_ours_is_not_hidden(monkeypatch: pytest.MonkeyPatch, mistake: type[Exception]) -> None:
    class Module:
        @staticmethod
        def main(words: list[str]) -> int:
            raise mistake  # an OSError without a number is not the system's

    monkeypatch.setattr(cli.importlib, "import_module", lambda name: Module)
    with pytest.raises(mistake):
        main(["recipes"])


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("words", [["--version"], ["--help"], ["data", "list"]])
def test_a_reader_that_has_gone_is_no_failure(words: list[str], unbuffered: str) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "snreid", *words],
            env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
            stdout=writing,
            stderr=subprocess.PIPE,
            text=True,
            timeout=120,
            check=False,
        )
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_name_that_is_no_text_can_be_printed(tmp_path: Path) -> None:
    words = ["data", "check", "market1501", "--json", "--root"]
    done = subprocess.run(
        [sys.executable, "-m", "snreid", *words, os.fsdecode(bytes(tmp_path) + b"/\xff")],
        env={**os.environ, "PYTHONIOENCODING": "utf-8:strict"},
        capture_output=True,
        timeout=120,
        check=False,
    )
    assert b"Traceback" not in done.stderr, done.stderr.decode()
    assert done.returncode == 1
    assert rb"\udcff" in done.stdout
    assert json.loads(done.stdout)["ok"] is False


class Signalled:
    """A command that gets SIGTERM while it works."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def main(self, words: list[str]) -> int:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(5)
        except Exception:  # what a reader of a damaged file does
            self.seen.append("taken for a damaged file")
        finally:
            self.seen.append("cleaned up")
        return 0


def test_sigterm_ends_a_command_cleanly_with_143(monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    module = Signalled()
    monkeypatch.setattr(cli.importlib, "import_module", lambda name: module)
    before = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        assert main(["recipes"]) == 143
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    finally:
        signal.signal(signal.SIGTERM, before)
    assert module.seen == ["cleaned up"]
    assert capsys.readouterr().err == "snreid: stopped by SIGTERM; start the same command again.\n"


IMPATIENT = """
import atexit, os, signal, sys
from snreid import cli
def interrupt(*given):
    os.kill(os.getpid(), signal.SIGINT)
class Workers:
    __del__ = interrupt  # torch waits there for the end of its workers
class Module:
    def main(words):
        workers = Workers()
        interrupt()
signal.signal(signal.SIGINT, signal.default_int_handler)
cli.importlib.import_module = lambda name: Module
atexit.register(interrupt)
sys.argv = ["snreid", "recipes"]
sys.exit(cli.main())
"""


def test_ctrl_c_while_a_stopped_command_ends_is_not_told_with_a_traceback() -> None:
    done = subprocess.run([sys.executable, "-c", IMPATIENT], capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stderr) == (130, "snreid: stopped by Ctrl-C; start the same command again.\n")


def test_who_decided_what_sigterm_does_goes_on_deciding(monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[int] = []

    class Module:
        @staticmethod
        def main(words: list[str]) -> int:
            os.kill(os.getpid(), signal.SIGTERM)
            return 7

    monkeypatch.setattr(cli.importlib, "import_module", lambda name: Module)
    before = signal.signal(signal.SIGTERM, lambda number, frame: heard.append(number))
    try:
        assert main(["recipes"]) == 7
    finally:
        signal.signal(signal.SIGTERM, before)
    assert heard == [signal.SIGTERM]


def test_a_process_that_a_command_has_forked_dies_of_sigterm_as_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    class Module:
        @staticmethod
        def main(words: list[str]) -> int:
            child = os.fork()
            if not child:
                try:
                    os.kill(os.getpid(), signal.SIGTERM)
                    time.sleep(5)
                finally:
                    os._exit(3)
            return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    monkeypatch.setattr(cli.importlib, "import_module", lambda name: Module)
    before = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        assert main(["recipes"]) == -signal.SIGTERM
    finally:
        signal.signal(signal.SIGTERM, before)
