"""Files written whole: what fails or is killed leaves the old content and no draft that a reader could take for a file."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from snreid.errors import ExperimentError
from snreid.system.atomic_files import (
    atomic_write,
    draft_folder,
    naming,
    require_writable,
    require_writable_folder,
    sweep,
    write_bytes,
    write_json,
    write_text,
)

KILLED = """
import os, signal, sys
from pathlib import Path
from snreid.system.atomic_files import atomic_write
with atomic_write(Path(sys.argv[1])) as draft:
    draft.write_bytes(b"half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def full(*_: object) -> None:
    raise OSError(28, "No space left on device")


def test_contents_come_back_and_folders_are_made(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "folder"
    for durable in (True, False):
        write_bytes(folder / "bytes", b"\0\r\n" * 3, durable=durable)
        assert (folder / "bytes").read_bytes() == b"\0\r\n" * 3
    write_text(folder / "text", "größer\n")
    assert (folder / "text").read_bytes() == "größer\n".encode()
    write_json(folder / "json", {"a": [1, None], "ü": 0.1})
    assert json.loads((folder / "json").read_text()) == {"a": [1, None], "ü": 0.1}
    assert sorted(os.listdir(folder)) == ["bytes", "json", "text"]


def test_the_rights_are_those_of_any_new_file(tmp_path: Path) -> None:
    write_bytes(tmp_path / "ours", b"")
    (tmp_path / "plain").touch()
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "plain").stat().st_mode


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_full_disk_names_the_file_and_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    write_bytes(tmp_path / "file", b"old")
    monkeypatch.setattr(os, call, full)
    with pytest.raises(OSError, match=r"\[Errno 28\] No space left on device: '.*/file'"):
        write_bytes(tmp_path / "file", b"new")
    assert (tmp_path / "file").read_bytes() == b"old" and os.listdir(tmp_path) == ["file"]


def test_only_what_must_survive_a_power_cut_is_flushed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flushed: list[int] = []
    monkeypatch.setattr(os, "fsync", flushed.append)
    write_bytes(tmp_path / "cache", b"", durable=False)
    assert not flushed
    write_bytes(tmp_path / "file", b"")
    assert len(flushed) == 2, "the file before its renaming, the folder after it"


def test_a_folder_that_cannot_be_made_names_the_file(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError, match="file/below/x"):
        write_bytes(tmp_path / "file" / "below" / "x", b"")


@pytest.mark.parametrize("error", [KeyboardInterrupt(), ZeroDivisionError(), OSError("of a library")])
def test_an_error_of_the_block_passes_and_leaves_nothing(tmp_path: Path, error: BaseException) -> None:
    def write() -> None:
        with atomic_write(tmp_path / "file") as draft:
            draft.write_bytes(b"half")
            raise error

    with pytest.raises(type(error)):
        write()
    assert not os.listdir(tmp_path)


def test_a_draft_folder_takes_any_files_and_is_deleted(tmp_path: Path) -> None:
    with draft_folder(tmp_path / "file") as folder:
        (folder / "a").touch()
        (folder / "b").mkdir()
        assert folder.parent == tmp_path and folder.name.startswith(".file.tmp.")
    assert not os.listdir(tmp_path)


def test_what_a_killed_process_leaves_is_hidden_and_swept(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"old")
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / "file")], check=False)
    assert done.returncode == -signal.SIGKILL and (tmp_path / "file").read_bytes() == b"old"
    (draft,) = set(os.listdir(tmp_path)) - {"file"}
    assert draft.startswith(".") and not list(tmp_path.rglob("file"))[1:], "no draft bears the name of a file"
    sweep(tmp_path)
    assert (tmp_path / draft).exists(), "its writer may live"
    os.utime(tmp_path / draft, (1, 1))
    sweep(tmp_path)
    assert os.listdir(tmp_path) == ["file"]


def test_the_only_writer_sweeps_young_drafts_too_and_nothing_else(tmp_path: Path) -> None:
    drafts = [".model.safetensors.123.tmp", ".experiment.json.tmp.a1b2c3d_"]
    foreign = ["notes.tmp", ".notes", ".vimrc.tmp.old", "x.tmp.12345678"]
    for name in drafts + foreign:
        (tmp_path / name).touch()
    sweep(tmp_path, older_than=0)
    assert sorted(os.listdir(tmp_path)) == sorted(foreign)
    sweep(tmp_path / "nowhere", older_than=0)


def test_what_is_no_file_is_never_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    (tmp_path / "to-pipe").symlink_to("pipe")
    (tmp_path / "to-output").symlink_to("/proc/self/fd/1")
    for name, kind in (("pipe", "device"), ("folder", "a folder"), ("to-pipe", "device"), ("to-output", "device")):
        before = (tmp_path / name).lstat()
        with pytest.raises(ExperimentError, match=f"new file or over an old one.*{name} is .*{kind}.*another file"):
            write_bytes(tmp_path / name, b"content")
        assert (tmp_path / name).lstat() == before
    assert len(os.listdir(tmp_path)) == 4, "no draft is left behind"
    for name in ("new", "new"):
        write_bytes(tmp_path / name, b"content")
    (tmp_path / "link").symlink_to("new")
    (tmp_path / "nowhere").symlink_to("lost")
    for name in ("link", "nowhere"):
        write_bytes(tmp_path / name, name.encode())
        assert (tmp_path / name).read_bytes() == name.encode()
    assert (tmp_path / "new").read_bytes() == b"content"


def test_a_place_that_cannot_be_written_is_told_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    require_writable(tmp_path / "new" / "er" / "file")
    require_writable_folder(tmp_path / "new" / "er")
    assert not os.listdir(tmp_path), "nothing is made"
    (tmp_path / "file").touch()
    for check in (require_writable, require_writable_folder):
        with pytest.raises(NotADirectoryError, match=r"file/below/x'"):
            check(tmp_path / "file" / "below" / "x")
    with pytest.raises(ExperimentError, match="is a folder"):
        require_writable(tmp_path)
    monkeypatch.setattr(os, "access", lambda place, mode: Path(place) != tmp_path)  # root may write anywhere
    for check in (require_writable, require_writable_folder):
        with pytest.raises(PermissionError, match=r"Permission denied: '\S*/name'"):
            check(tmp_path / "name")


def test_a_failed_write_bears_the_name_it_is_given(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"\[Errno 28\] No space left on device: 'a/b'"), naming(Path("a/b")):
        full()
    with pytest.raises(OSError, match=r"^of a library$"), naming(Path("a/b")):
        raise OSError("of a library")
