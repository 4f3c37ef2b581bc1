"""What a computing command opens and closes, and machine settings that cannot be."""

import signal
import sys
import time
import weakref
from pathlib import Path
from types import ModuleType

import pytest
import torch

from snreid import adaptation
from snreid.cli import Terminated, main
from snreid.cli.session import open_session, require_file, resumable, saved_text
from snreid.errors import ExperimentError, SnreidError
from snreid.experiments import job
from snreid.studies import run
from snreid.system.machine import Machine
from snreid.training import distributed
from snreid.training.checkpoint import CheckpointStore, TrainingState
from snreid.training.stop_signal import stopped
from support.tiny import SOURCE, TARGET


def test_one_process_is_the_first_and_talks_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    with open_session(Machine(device="cpu")) as session:
        assert session.first and session.group.world == 1 and session.device == "cpu"
        session.say("hello")
    streams = capsys.readouterr()
    assert (streams.out, streams.err) == ("", "hello\n")


def test_the_processes_part_even_when_the_work_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    left = []
    monkeypatch.setattr(distributed.ProcessGroup, "leave", lambda group: left.append(group.rank))
    with pytest.raises(ZeroDivisionError), open_session(Machine(device="cpu")):
        raise ZeroDivisionError
    assert left == [0]


@pytest.mark.parametrize(
    ("quota", "said", "expected"),
    [
        (None, {}, []),
        (2, {}, [2]),
        (4, {}, []),
        (9, {}, []),
        (2, {"OMP_NUM_THREADS": "4"}, []),
        (2, {"MKL_NUM_THREADS": "4"}, []),
    ],
)
def test_torch_takes_no_more_threads_than_a_container_may_use(
    quota: int | None, said: dict[str, str], expected: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    for name, value in said.items():
        monkeypatch.setenv(name, value)
    chosen: list[int] = []
    monkeypatch.setattr("snreid.cli.session.core_quota", lambda: quota)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 4)
    monkeypatch.setattr(torch, "set_num_threads", chosen.append)
    with open_session(Machine(device="cpu")):
        pass
    assert chosen == expected


LOST = "[/pytorch/third_party/gloo/gloo/transport/tcp/pair.cc:561] Connection closed by peer"


@pytest.mark.parametrize(
    ("world", "said", "kind", "shown"),
    [
        (2, LOST, SnreidError, r"process 1 of 2 lost another one .*Connection closed.*start the same command again"),
        (2, "shapes do not match", RuntimeError, "shapes do not match"),
        (1, LOST, RuntimeError, "Connection closed"),
    ],
)
def test_a_process_that_has_gone_is_told_and_a_mistake_of_ours_is_not_hidden(
    monkeypatch: pytest.MonkeyPatch, world: int, said: str, kind: type[Exception], shown: str
) -> None:
    group = distributed.ProcessGroup(rank=world - 1, world=world, device=torch.device("cpu"))
    monkeypatch.setattr("snreid.training.session.join", lambda device: group)
    with pytest.raises(kind, match=shown), open_session(Machine(device="cpu")):
        raise RuntimeError(said)


def test_a_file_is_no_folder_to_write_to(tmp_path: Path) -> None:
    (tmp_path / "taken").touch()
    cpu = Machine(device="cpu")
    for out in (tmp_path / "taken", tmp_path / "taken" / "deep"):
        with pytest.raises(ExperimentError, match=rf"--out is a folder.*{tmp_path / 'taken'} is a file"):
            open_session(cpu, out).__enter__()
    with pytest.raises(ExperimentError, match=rf"--cache is a folder.*{tmp_path / 'taken'} is a file"):
        open_session(Machine(cache=tmp_path / "taken"), tmp_path).__enter__()
    with open_session(Machine(device="cpu", cache=tmp_path / "c"), tmp_path / "new" / "deep") as session:
        assert session.machine.cache == tmp_path / "c" and not (tmp_path / "new").exists()


def run_folder(folder: Path, step: int | None) -> Path:
    """One that is trained (no step), or whose state of a step is saved."""
    folder.mkdir(parents=True)
    (folder / "experiment.json").touch()
    if step is None:
        (folder / "model.safetensors").touch()
    elif step:
        state = TrainingState(tensors={"a": torch.zeros(1)}, step=step, epoch=0, batch=step)
        CheckpointStore(folder / "checkpoints").save(state)
    return folder


def test_what_is_saved_is_told_in_words(tmp_path: Path) -> None:
    assert (
        saved_text(tmp_path / "new")
        == f"nothing is saved in {tmp_path / 'new'} yet, the same command starts from the beginning"
    )
    assert saved_text(run_folder(tmp_path / "a", 0)).startswith("nothing is saved")
    assert saved_text(run_folder(tmp_path / "b", 12)).startswith(
        f"a run at step 12 saved in {tmp_path / 'b'}, the same"
    )
    assert saved_text(run_folder(tmp_path / "c", None)).startswith("1 trained run saved in")
    assert saved_text(tmp_path).startswith("1 trained run and a run at step 12 saved in")
    run_folder(tmp_path / "d" / "e", None)
    run_folder(tmp_path / "d" / "f", 3)
    assert saved_text(tmp_path) == (
        f"2 trained runs and 2 runs on their way saved in {tmp_path}, the same command continues from there"
    )


@pytest.mark.parametrize("stop", [KeyboardInterrupt, Terminated])
def test_a_signal_is_told_with_what_is_saved_by_then(tmp_path: Path, stop: type[BaseException]) -> None:
    def work() -> None:
        run_folder(tmp_path / "run", 5)
        raise stop

    with pytest.raises(stop) as caught, resumable(tmp_path):
        work()
    assert caught.value.__notes__ == [saved_text(tmp_path)]
    (tmp_path / "run/checkpoints/last.json").write_text("{")
    with pytest.raises(stop) as caught, resumable(tmp_path):
        raise stop
    assert not hasattr(caught.value, "__notes__"), "what is damaged is told by the next start"


@pytest.mark.parametrize(
    ("command", "work"),
    [
        (f"train baseline -s {SOURCE}", (job, "train")),
        (f"study --source {SOURCE} --target {TARGET} --recipe baseline", (run, "run_study")),
        (f"protocol {SOURCE}-to-{TARGET} --recipe baseline", (run, "fill")),
        (f"adapt {{run}} -t {TARGET} --method mar", (adaptation, "adapt_run")),
    ],
)
def test_commands_that_train_say_so(
    pair: tuple[Path, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    command: str,
    work: tuple[ModuleType, str],
) -> None:
    def stopped(*given: object, **named: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(*work, stopped)
    out = tmp_path / "out"
    words = f"{command.format(run=pair[0])} --workers 0 --device cpu --out {out}"
    assert main(words.split()) == 130
    said = capsys.readouterr().err
    assert (
        said
        == f"snreid: stopped by Ctrl-C; nothing is saved in {out} yet, the same command starts from the beginning.\n"
    )


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stop_that_python_swallows_is_asked_for_again(
    number: int, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Python reports what is raised in a weak reference's callback as ignored, and goes on; each import runs such callbacks."""
    lost = []

    def work(words: list[str]) -> int:
        class Thing:
            pass

        def callback(_: object) -> None:
            signal.raise_signal(number)
            lost.append("not raised here")

        thing = Thing()
        watched = weakref.ref(thing, callback)
        del thing
        lost.append(watched())
        for _ in range(600):
            time.sleep(0.1)
        return 0

    module = ModuleType("swallowing")
    module.main = work  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "snreid.cli.recipes", module)
    hook, before = sys.unraisablehook, signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        assert main(["recipes"]) == code
    finally:
        signal.signal(signal.SIGINT, before)  # ignored where the tests run in the background of a shell
    assert lost == [None], "the stop was swallowed first"
    assert capsys.readouterr().err.count("\n") == 1, "one sentence and no traceback"
    assert sys.unraisablehook is hook


def test_who_finished_a_step_first_is_told_what_is_saved_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def answered(*given: object, **named: object) -> None:
        run_folder(tmp_path / "out", 7)
        raise stopped(signal.SIGINT)

    monkeypatch.setattr(job, "train", answered)
    out = tmp_path / "out"
    assert main(f"train baseline -s {SOURCE} --workers 0 --device cpu --out {out}".split()) == 130
    said = capsys.readouterr().err
    assert (
        said == f"snreid: stopped by Ctrl-C; a run at step 7 saved in {out}, the same command continues from there.\n"
    )


def test_a_file_is_checked_before_the_work(tmp_path: Path) -> None:
    for name in ("a.npz", "A.NPZ", "plain", "new/folder/b.npz"):
        require_file(tmp_path / name, ".npz")
    for name in ("f.csv", "f.txt", "f.npz.gz"):
        with pytest.raises(ExperimentError, match=rf"--out names a file that ends in \.npz.*{name}.*Fix: name it"):
            require_file(tmp_path / name, ".npz")
    with pytest.raises(ExperimentError, match=r"--record names a file that ends in \.html or \.htm"):
        require_file(tmp_path / "p.txt", ".html", ".htm", flag="--record")
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError, match=r"file/below\.npz'"):
        require_file(tmp_path / "file" / "below.npz", ".npz")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
