"""One writer for a place: the second is told who the first is, and a process that was killed holds nothing."""

import json
import os
import signal
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from snreid.errors import BusyError
from snreid.system.locks import file_lock, folder_lock

HOLD = """import sys, time
from pathlib import Path
from snreid.system.locks import folder_lock
with folder_lock(Path(sys.argv[1]), "training"):
    print("held", flush=True)
    time.sleep(60)
"""


def holder(folder: Path) -> subprocess.Popen[str]:
    """Another process that has the lock of a folder."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(folder)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "held\n"
    return process


def test_the_second_process_is_told_who_works_there_and_a_killed_one_blocks_nobody(tmp_path: Path) -> None:
    with holder(tmp_path) as first:
        try:
            with pytest.raises(BusyError, match=rf"process {first.pid} has been training in .* since \d\d:\d\d\."):
                folder_lock(tmp_path, "training").__enter__()
        finally:
            first.send_signal(signal.SIGKILL)
    assert (tmp_path / ".lock").exists(), "SIGKILL leaves the file"
    with folder_lock(tmp_path, "adapting"):
        assert json.loads((tmp_path / ".lock").read_text())["process"] == os.getpid()
    assert not list(tmp_path.iterdir())


def test_the_lock_is_free_after_an_error_and_leaves_nothing_behind(tmp_path: Path) -> None:
    place = tmp_path / "runs" / "new"
    with pytest.raises(KeyError), folder_lock(place, "training"):
        raise KeyError
    assert not list(tmp_path.iterdir())
    with folder_lock(place, "training"):
        (place / "experiment.json").touch()
    assert [path.name for path in place.iterdir()] == ["experiment.json"]


def test_shares_and_files_have_locks_of_their_own(tmp_path: Path) -> None:
    with ExitStack() as held:
        for part in ("", "0/2", "1/2"):
            held.enter_context(folder_lock(tmp_path, f"filling {part}", part=part))
        with pytest.raises(BusyError, match=r"has been filling 0/2 in"):
            held.enter_context(folder_lock(tmp_path, "filling", part="0/2"))
        for name in ("a.npz", "b.npz"):
            held.enter_context(file_lock(tmp_path / name, "writing"))
        with pytest.raises(BusyError, match=r"to .*a\.npz since.*another --out file"):
            held.enter_context(file_lock(tmp_path / "a.npz", "writing"))


@pytest.mark.parametrize("text", ["", "{", "[]", '{"since": 3}', '{"since": "2026-01-01", "host": 1, "process": null}'])
def test_a_holder_that_has_not_written_who_it_is_still_counts(tmp_path: Path, text: str) -> None:
    with folder_lock(tmp_path, "training"):
        (tmp_path / ".lock").write_text(text)
        with pytest.raises(BusyError, match="another process is at work in"):
            folder_lock(tmp_path, "training").__enter__()


def test_a_folder_where_nothing_can_be_written_needs_no_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    with folder_lock(tmp_path / "file" / "run", "training"):
        pass

    def refused(*arguments: object) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr("fcntl.flock", refused)
    with folder_lock(tmp_path, "training"), folder_lock(tmp_path, "training"):
        pass


COUNT = """import sys
from contextlib import ExitStack
from pathlib import Path
from snreid.errors import BusyError
from snreid.system.locks import folder_lock
folder, done = Path(sys.argv[1]), 0
while done < 50:
    try:
        with folder_lock(folder / "held", "counting"):
            number = int((folder / "number").read_text())
            (folder / "number").write_text(str(number + 1))
            done += 1
    except BusyError:
        pass
"""


def test_never_two_at_once_although_file_and_folder_come_and_go(tmp_path: Path) -> None:
    (tmp_path / "number").write_text("0")
    counting = [subprocess.Popen([sys.executable, "-c", COUNT, str(tmp_path)]) for _ in range(3)]
    assert [process.wait() for process in counting] == [0, 0, 0]
    assert (tmp_path / "number").read_text() == "150", "without a lock additions get lost"
