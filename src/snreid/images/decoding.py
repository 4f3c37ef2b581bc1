"""Decode image sources to pixels at the size the network sees: blocks of images, in this process or in worker processes.

Each block sent to a worker names its images, and the worker knows no others, so its memory does not grow with the data set. A bad image
never raises: it is returned with a reason, so that all bad images can be listed together.
"""

import atexit
import multiprocessing
import os
import signal
import threading
import warnings
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from multiprocessing.context import BaseContext
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

from snreid.errors import DataError
from snreid.images.reading import resize
from snreid.records import ImageSource

BLOCK = 64
"""Default number of images in a block."""


@dataclass(frozen=True, slots=True)
class DecodedBlock:
    """Decoded and resized images."""

    pixels: UInt8[Tensor, "images height width 3"]
    """Zeros for a bad image; in shared memory if a worker decoded them."""
    reasons: tuple[str, ...]
    """Why each image could not be read; empty if it could."""


def decode(images: Sequence[ImageSource], height: int, width: int) -> DecodedBlock:
    """Read and resize images to a size in pixels, with the pixels of ``reading.resize``; images of one size are resized together."""
    reasons = [""] * len(images)
    pixels = np.zeros((len(images), height, width, 3), np.uint8)
    alike: dict[tuple[int, ...], list[tuple[int, NDArray[np.uint8]]]] = {}
    for place, image in enumerate(images):
        try:
            read = image.read()
            if enlarged_exactly(read, height, width):
                alike.setdefault(read.shape, []).append((place, read))
            else:
                pixels[place] = resize(read, height, width)
        except DataError as error:
            reasons[place] = (error.found or str(error)).removeprefix(f"{image.name}: ")
    for group in alike.values():
        large = _enlarge(np.stack([read for _, read in group]), height, width)
        if len(group) == len(images):  # the usual case: one size, no bad image
            return DecodedBlock(large, tuple(reasons))
        pixels[[place for place, _ in group]] = large.numpy()
    return DecodedBlock(torch.from_numpy(pixels), tuple(reasons))


def enlarged_exactly(image: NDArray[np.uint8], height: int, width: int) -> bool:
    """Whether ``_enlarge`` gives the same pixels as ``reading.resize``: if both sides become 1, 2, 4, 8, ... times as long.

    Both use integer arithmetic, but round the filter weights to different precision. At these factors every weight is a multiple of a
    power of two (2x: 1/4 and 3/4), which neither rounds.
    """
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or 0 in image.shape:
        return False  # ``resize`` raises the error
    factors = [(wanted // have, wanted % have) for wanted, have in zip((height, width), image.shape, strict=False)]
    whole = all(rest == 0 and factor & (factor - 1) == 0 for factor, rest in factors)
    return whole and _proven(image.shape[0], image.shape[1], height, width)


@lru_cache(maxsize=256)
def _proven(height: int, width: int, new_height: int, new_width: int) -> bool:
    """Check with one noise image for each pair of sizes that the installed torch and Pillow agree."""
    noise = np.random.default_rng(0).integers(0, 256, (1, height, width, 3)).astype(np.uint8)
    return np.array_equal(_enlarge(noise, new_height, new_width)[0].numpy(), resize(noise[0], new_height, new_width))


def _enlarge(images: NDArray[np.uint8], height: int, width: int) -> Tensor:
    """Resize (N, h, w, 3) uint8 to (N, ``height``, ``width``, 3) by torch's channels-last kernel for bytes, several times faster than
    Pillow."""
    stacked = torch.from_numpy(images).permute(0, 3, 1, 2)
    large = F.interpolate(stacked, (height, width), mode="bilinear", align_corners=False, antialias=True)
    return large.permute(0, 2, 3, 1)


@dataclass(frozen=True, slots=True)
class _Task:
    images: tuple[ImageSource, ...]
    height: int
    width: int


class _Decoder(Dataset[DecodedBlock]):
    """The data set of the workers: it is empty, and indexed with tasks instead of numbers."""

    def __getitem__(self, task: _Task) -> DecodedBlock:
        return decode(task.images, task.height, task.width)

    __getitems__ = __getitem__  # torch calls this with a batch


class Decoders:
    """Worker processes that decode. They start on first use and stay for the next epoch, split or size."""

    def __init__(self, workers: int) -> None:
        """``workers``: number of processes; 0 decodes in this process."""
        self.workers = workers
        self._tasks: list[_Task] = []
        self._busy = False
        self._loader: DataLoader[Any] | None = None

    def decoded(self, blocks: Sequence[Sequence[ImageSource]], height: int, width: int) -> Iterator[DecodedBlock]:
        """Yield each of the ``blocks``, decoded at a size in pixels, in order; workers decode ahead.

        A second call before the first one is exhausted starts workers of its own.
        """
        tasks = [_Task(tuple(block), height, width) for block in blocks]
        if not self.workers:
            yield from (decode(task.images, height, width) for task in tasks)
        elif self._busy:
            yield from Decoders(self.workers).decoded(blocks, height, width)
        else:
            yield from self._ahead(tasks)

    def _ahead(self, tasks: list[_Task]) -> Iterator[DecodedBlock]:
        self._busy, self._tasks[:] = True, tasks
        try:
            if self._loader is None:
                # A starting worker opens its queues, and would print a traceback if an interrupted parent had removed them.
                _wait_for_server()
                with (
                    _answered_later(signal.SIGTERM),
                    _answered_later(signal.SIGINT),
                    warnings.catch_warnings(action="ignore", category=UserWarning),
                ):  # torch warns of more workers than cores; two of them on one core cost nothing
                    self._loader = self._start()
                    blocks = iter(self._loader)
            else:
                blocks = iter(self._loader)
            yield from blocks
        except Exception:
            self._loader = None  # a worker that dies ends the others
            raise
        finally:
            self._busy = False

    def close(self) -> None:
        """End the workers, even while blocks are outstanding. The next call of ``decoded`` starts them again."""
        loader, self._loader = self._loader, None
        workers = getattr(loader, "_iterator", None)
        if workers is not None:
            workers._shutdown_workers()

    def _start(self) -> "DataLoader[Any]":
        # At exit Python sends SIGTERM to remaining workers and waits for them. Ours ignore it, so they are ended before.
        atexit.register(_close, weakref.ref(self))
        return DataLoader(
            _Decoder(),
            batch_sampler=self._tasks,  # type: ignore[arg-type]  # torch sends each item to a worker unchanged
            num_workers=self.workers,
            persistent_workers=True,
            collate_fn=_identity,
            worker_init_fn=_settle,
            multiprocessing_context=_processes(),
        )


def _close(decoders: "weakref.ref[Decoders]") -> None:
    if (alive := decoders()) is not None:
        alive.close()


def _identity(block: Any) -> Any:
    return block


def _processes() -> BaseContext:
    """How workers are started: by a fork server, which imports torch once, and never by forking this process.

    This process has threads (TensorBoard, gloo, OpenMP), and a child forked while one of them holds a lock would wait for it for ever.
    """
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["snreid.images.loader_server", __name__])
    _start_server()
    return context


def _start_server() -> None:
    """Start the fork server unless it runs, with SIGTERM and SIGINT blocked.

    A terminal sends Ctrl-C to the server too, which would end it with a traceback before it has imported ``loader_server``.
    """
    from multiprocessing import forkserver, resource_tracker  # not on Windows

    resource_tracker.ensure_running()  # first, because starting it unblocks the signals
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    try:
        forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _wait_for_server() -> None:
    """Wait until the server has imported torch, which takes seconds, and answer Ctrl-C at once meanwhile.

    Asks the server for a process that does nothing and has no queues. A thread asks, because no signal can interrupt a thread in the
    middle of its message.
    """
    context = _processes()
    if context.get_start_method() != "forkserver":
        return
    probe = context.Process()  # type: ignore[attr-defined]  # every context has one

    def ask() -> None:
        """Start the probe and wait for its end."""
        probe.start()
        probe.join()

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join()


@contextmanager
def _answered_later(number: int) -> Iterator[None]:
    """Defer the handling of a signal to the end of the block.

    Blocking the signal would not help: another thread would receive it, and the main thread would handle it at once. Outside the main
    thread, where no handler ever runs, nothing is changed.
    """
    before = signal.getsignal(number)
    if threading.current_thread() is not threading.main_thread() or before in (None, signal.SIG_IGN):
        yield
        return
    received = []
    try:
        signal.signal(number, lambda number, _: received.append(number))
        yield
    finally:
        signal.signal(number, before)
        if received:
            signal.raise_signal(number)


def _settle(_: int) -> None:
    torch.set_num_threads(1)
    # SLURM signals every process of a job, and a terminal's Ctrl-C reaches every process in the foreground. A worker killed by that would
    # break the step that the main process wants to finish and save.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_main, daemon=True).start()


def _end_with_main() -> None:
    """End this worker with the main process. Torch's worker only watches its parent, the server, which lives as long as a worker does."""
    if (main := multiprocessing.parent_process()) is not None:
        main.join()
        os._exit(1)
