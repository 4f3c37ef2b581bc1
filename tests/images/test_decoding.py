"""Blocks of images: the pixels of ``images.resize``, one by one, however they are put together."""

import contextlib
import itertools
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from snreid.errors import DataError
from snreid.images import decoding
from snreid.images.decoding import DecodedBlock, Decoders, _Decoder, decode, enlarged_exactly
from snreid.images.reading import FileImage, resize
from support.tiny import picture_files


@dataclass(frozen=True)
class Given:
    """An image source with the pixels it was given; None is a bad one."""

    name: str
    pixels: NDArray[np.uint8] | None

    def read(self) -> NDArray[np.uint8]:
        if self.pixels is None:
            raise DataError("rule", found=f"{self.name}: is torn", fix="mend it")
        return self.pixels


def noise(height: int, width: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3)).astype(np.uint8)


@pytest.mark.parametrize(
    ("have", "wanted", "exactly"),
    [
        ((128, 64), (256, 128), True),
        ((128, 64), (128, 64), True),
        ((37, 21), (148, 42), True),
        ((1, 1), (64, 32), True),
        ((128, 64), (256, 192), False),
        ((128, 64), (96, 48), False),
        ((128, 64), (64, 32), False),
        ((160, 70), (256, 128), False),
    ],
)
def test_every_pixel_is_that_of_the_one_resize(have: tuple[int, int], wanted: tuple[int, int], exactly: bool) -> None:
    images = [Given(str(k), noise(*have, k)) for k in range(5)]
    assert enlarged_exactly(noise(*have), *wanted) is exactly
    block = decode(images, *wanted)
    for image, pixels in zip(images, block.pixels.numpy(), strict=True):
        assert image.pixels is not None
        np.testing.assert_array_equal(pixels, resize(image.pixels, *wanted))


def test_sizes_may_be_mixed_and_bad_ones_say_why_in_their_place() -> None:
    shapes = [(12, 6), (24, 12), (13, 6), (12, 6), (48, 24)]
    images = [Given(f"{k}", noise(*shape, k)) for k, shape in enumerate(shapes)]
    images[3] = Given("3", None)
    images.append(Given("5", np.zeros((4, 4), np.uint8)))
    block = decode(images, 24, 12)
    assert block.reasons[:3] == ("", "", "") and block.reasons[3] == "is torn" and "shape (4, 4)" in block.reasons[5]
    for place in (0, 1, 2, 4):
        np.testing.assert_array_equal(block.pixels[place].numpy(), resize(images[place].read(), 24, 12))
    assert not block.pixels[[3, 5]].any()


def test_a_torch_whose_kernel_rounds_otherwise_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    right = decoding._enlarge
    monkeypatch.setattr(decoding, "_enlarge", lambda images, height, width: right(images, height, width) ^ 1)
    decoding._proven.cache_clear()
    try:
        block = decode([Given("a", noise(12, 6))], 24, 12)
    finally:
        decoding._proven.cache_clear()
    np.testing.assert_array_equal(block.pixels[0].numpy(), resize(noise(12, 6), 24, 12))


def test_no_image_is_an_empty_block() -> None:
    assert decode([], 24, 12).pixels.shape == (0, 24, 12, 3)


def test_blocks_come_in_order(tmp_path: Path) -> None:
    """From workers too: ``test_loading.py``."""
    images = [FileImage(str(path)) for path in picture_files(tmp_path, 5, damaged=(3,))]
    asked = [[images[4], images[0]], [images[3]], [images[1], images[1], images[2]]]
    for images_of, block in zip(asked, Decoders(0).decoded(asked, 24, 12), strict=True):
        assert isinstance(block, DecodedBlock)
        expected = decode(images_of, 24, 12)
        assert block.reasons == expected.reasons and block.pixels.equal(expected.pixels)


def test_workers_stay_through_signals_and_who_asks_meanwhile_gets_others(tmp_path: Path) -> None:
    images = [FileImage(str(path)) for path in picture_files(tmp_path, 4)]
    blocks, decoders = [[image] for image in images], Decoders(1)

    def pixels(asked: Iterator[DecodedBlock]) -> list[list[int]]:
        return [block.pixels.flatten().tolist() for block in asked]

    expected = pixels(Decoders(0).decoded(blocks, 24, 12))
    first = decoders.decoded(blocks, 24, 12)
    begun = pixels(itertools.islice(first, 1))
    workers = [process.pid for process in multiprocessing.active_children()]
    for worker in workers:  # what a cluster and a terminal send to all: the answer is the main process's
        assert worker is not None
        os.kill(worker, signal.SIGTERM)
        os.kill(worker, signal.SIGINT)
    assert pixels(decoders.decoded(blocks[2:], 12, 6)) == pixels(Decoders(0).decoded(blocks[2:], 12, 6))
    assert begun + pixels(first) == expected
    assert pixels(itertools.islice(decoders.decoded(blocks, 24, 12), 2)) == expected[:2]  # and left there
    assert pixels(decoders.decoded(blocks[1:], 24, 12)) == expected[1:]
    assert [process.pid for process in multiprocessing.active_children()] == workers


LEFT = """
from snreid.images.decoding import Decoders
from snreid.images.reading import FileImage
if __name__ == "__main__":
    import sys
    waiting = Decoders(1).decoded([[FileImage(path)] for path in sys.argv[1:]], 24, 12)
    print(next(waiting).reasons, flush=True)
    raise ValueError("the end")
"""


@pytest.mark.slow
def test_workers_that_nobody_ended_do_not_keep_a_program_from_ending(tmp_path: Path) -> None:
    (tmp_path / "left.py").write_text(LEFT)
    words = [sys.executable, str(tmp_path / "left.py"), *map(str, picture_files(tmp_path, 9))]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout == "('',)\n" and done.stderr.rstrip().endswith("ValueError: the end"), done.stderr


STARTING = """
import signal, sys
from snreid.images.decoding import Decoders
from snreid.images.reading import FileImage
if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        list(Decoders(2).decoded([[FileImage(path)] for path in sys.argv[1:]], 24, 12))
    except KeyboardInterrupt:
        sys.exit(130)
"""


def members(group: int) -> dict[Path, bytes]:
    """Folders in /proc of the processes of a group that have not ended, and their command lines."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            state, _, of = (folder / "stat").read_text().rpartition(")")[2].split()[:3]
            if int(of) == group and state != "Z":
                found[folder] = (folder / "cmdline").read_bytes()
    return found


def importing(group: int, what: str) -> bool:
    """Whether the server of a group's workers imports torch, or is in Python's hands: SIGINT is caught there, or ours to ignore."""
    with contextlib.suppress(OSError):
        for folder, words in members(group).items():
            if b"multiprocessing.forkserver" in words:
                caught = int((folder / "status").read_text().partition("SigCgt:")[2].split()[0], 16)
                torch_is_there = "libtorch_cpu" in (folder / "maps").read_text()
                return torch_is_there or (what == "python" and bool(caught >> (signal.SIGINT - 1) & 1))
    return False


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="tells the moments by Linux's /proc")
@pytest.mark.parametrize("what", ["python", "torch"])
def test_ctrl_c_while_workers_start_is_answered_without_a_traceback_of_their_server(tmp_path: Path, what: str) -> None:
    (tmp_path / "starting.py").write_text(STARTING)
    words = [sys.executable, str(tmp_path / "starting.py"), *map(str, picture_files(tmp_path, 9))]
    process = subprocess.Popen(words, stderr=subprocess.PIPE, text=True, start_new_session=True)
    try:
        until = time.monotonic() + 120
        while process.poll() is None and not importing(process.pid, what) and time.monotonic() < until:
            time.sleep(0.002)
        os.killpg(process.pid, signal.SIGINT)
        _, said = process.communicate(timeout=60)  # until nobody can say anything any more
        assert (process.returncode, said) == (130, "")
        assert_nobody_stays(process.pid)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def assert_nobody_stays(group: int) -> None:
    """No process of a group is left after half a minute, as a rule sooner."""
    until = time.monotonic() + 30
    while members(group) and time.monotonic() < until:
        time.sleep(0.01)
    assert not members(group)


WAITING = LEFT.replace('raise ValueError("the end")', "sys.stdin.read()")


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds the processes in Linux's /proc")
def test_workers_and_their_server_end_when_their_program_is_killed(tmp_path: Path) -> None:
    (tmp_path / "waiting.py").write_text(WAITING)
    words = [sys.executable, str(tmp_path / "waiting.py"), *map(str, picture_files(tmp_path, 9))]
    pipe = subprocess.PIPE
    with subprocess.Popen(words, stdin=pipe, stdout=pipe, text=True, start_new_session=True) as process:
        try:
            assert process.stdout is not None and process.stdout.readline() == "('',)\n"
            assert len(members(process.pid)) > 2
            process.kill()
            process.wait()
            assert_nobody_stays(process.pid)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_that_comes_while_workers_start_is_answered_when_they_run(number: signal.Signals) -> None:
    seen: list[str] = []
    before = signal.signal(number, lambda number, frame: seen.append("answered"))
    try:
        with decoding._answered_later(number):
            os.kill(os.getpid(), number)
            seen.append("undisturbed")
        os.kill(os.getpid(), number)
        with decoding._answered_later(number):
            pass
        assert seen == ["undisturbed", "answered", "answered"]
        signal.signal(number, signal.SIG_IGN)
        with decoding._answered_later(number):
            assert signal.getsignal(number) == signal.SIG_IGN, "nothing is changed where it does nothing"
    finally:
        signal.signal(number, before)


def test_a_worker_is_not_given_the_data_set() -> None:
    assert len(pickle.dumps(_Decoder())) < 200


def test_more_workers_than_cores_are_no_matter_of_a_warning(
    monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _process: {0}, raising=False)
    images = [Given(str(k), noise(8, 4, k)) for k in range(2)]
    decoders = Decoders(2)
    try:
        assert len(list(decoders.decoded([images], 8, 4))) == 1
    finally:
        decoders.close()
    assert not [str(warning.message) for warning in recwarn]
