"""From image sources to pixels at the size the network sees: blocks of images, in this process or in workers.

A worker is told with each block which images are in it, and knows no others, so what it needs does not grow with the data set. A bad image
never raises: it comes back with its reason, so that the list of all of them can be shown (reliability.md R8).
"""

import atexit
import multiprocessing
import os
import signal
import threading
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
"""Images that are decoded together where nothing else says how many."""


@dataclass(frozen=True, slots=True)
class Block:
    """Images after decoding and resizing."""

    pixels: UInt8[Tensor, "images height width 3"]
    """Zeros where an image is bad. From a worker they come in shared memory."""
    reasons: tuple[str, ...]
    """Why each could not be read; empty where it could."""


def decode(images: Sequence[ImageSource], height: int, width: int) -> Block:
    """Reads and resizes images to (``height``, ``width``) pixels: what ``images.resize`` gives, to the bit, for those of one
    size together."""
    reasons = [""] * len(images)
    alike: dict[tuple[int, ...], list[tuple[int, NDArray[np.uint8]]]] = {}
    others: dict[int, NDArray[np.uint8]] = {}
    for place, image in enumerate(images):
        try:
            read = image.read()
            if enlarged_exactly(read, height, width):
                alike.setdefault(read.shape, []).append((place, read))
            else:
                others[place] = resize(read, height, width)
        except DataError as error:
            reasons[place] = (error.found or str(error)).removeprefix(f"{image.name}: ")
    large = {shape: _enlarge(np.stack([read for _, read in group]), height, width) for shape, group in alike.items()}
    if len(large) == 1 and len(next(iter(large.values()))) == len(images):  # as a rule: nothing has to be put together
        return Block(next(iter(large.values())), tuple(reasons))
    pixels = torch.zeros(len(images), height, width, 3, dtype=torch.uint8)
    array = pixels.numpy()
    for place, resized in others.items():
        array[place] = resized
    for shape, group in alike.items():
        array[[place for place, _ in group]] = large[shape].numpy()
    return Block(pixels, tuple(reasons))


def enlarged_exactly(image: NDArray[np.uint8], height: int, width: int) -> bool:
    """Whether ``_enlarge`` gives the pixels of ``images.resize``: where both sides become 1, 2, 4, 8, ... times as long.

    Both compute with whole numbers, but round the filter's weights to different fineness. Here every weight is a multiple of a power of
    two (2x: a quarter and three quarters), which neither rounds.
    """
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or 0 in image.shape:
        return False  # ``resize`` says what is wrong with it
    factors = [(wanted // have, wanted % have) for wanted, have in zip((height, width), image.shape, strict=False)]
    whole = all(rest == 0 and factor & (factor - 1) == 0 for factor, rest in factors)
    return whole and _proven(image.shape[0], image.shape[1], height, width)


@lru_cache(maxsize=256)
def _proven(height: int, width: int, new_height: int, new_width: int) -> bool:
    """Asks one noise image, once for each pair of sizes, whether this torch and this Pillow agree as they should."""
    noise = np.random.default_rng(0).integers(0, 256, (1, height, width, 3)).astype(np.uint8)
    return np.array_equal(_enlarge(noise, new_height, new_width)[0].numpy(), resize(noise[0], new_height, new_width))


def _enlarge(images: NDArray[np.uint8], height: int, width: int) -> Tensor:
    """(N, h, w, 3) to (N, ``height``, ``width``, 3), uint8: torch's kernel for bytes in channels-last, several times Pillow's speed."""
    stacked = torch.from_numpy(images).permute(0, 3, 1, 2)
    large = F.interpolate(stacked, (height, width), mode="bilinear", align_corners=False, antialias=True)
    return large.permute(0, 2, 3, 1)


@dataclass(frozen=True, slots=True)
class _Task:
    images: tuple[ImageSource, ...]
    height: int
    width: int


class _Decoder(Dataset[Block]):
    """What a worker is given at its start: nothing. It is asked with the images themselves, not with their numbers in a list."""

    def __getitem__(self, task: _Task) -> Block:
        return decode(task.images, task.height, task.width)

    __getitems__ = __getitem__  # what torch calls with what stands for a batch


class _Tasks:
    """Where the workers' next tasks are taken from."""

    def __init__(self) -> None:
        self.next: list[_Task] = []

    def __iter__(self) -> Iterator[_Task]:
        return iter(self.next)


class Decoders:
    """Processes that decode. They start when they are first asked and stay for the next epoch, split or size."""

    def __init__(self, workers: int) -> None:
        """``workers``: how many; 0 stands for this process."""
        self.workers = workers
        self._tasks, self._busy = _Tasks(), False
        self._loader: DataLoader[Any] | None = None

    def decoded(self, blocks: Sequence[Sequence[ImageSource]], height: int, width: int) -> Iterator[Block]:
        """Each of the ``blocks`` at a size in pixels, in order; workers run ahead of who asks. Who asks for others meanwhile gets
        workers of their own."""
        tasks = [_Task(tuple(block), height, width) for block in blocks]
        if not self.workers:
            yield from (decode(task.images, height, width) for task in tasks)
        elif self._busy:
            yield from Decoders(self.workers).decoded(blocks, height, width)
        else:
            yield from self._ahead(tasks)

    def _ahead(self, tasks: list[_Task]) -> Iterator[Block]:
        self._busy, self._tasks.next = True, tasks
        try:
            if self._loader is None:
                # A worker that is being started is told where its queues are, and would print a traceback if whoever was interrupted had
                # removed them.
                _wait_for_server()
                with _answered_later(signal.SIGTERM), _answered_later(signal.SIGINT):
                    self._loader = self._start()
                    blocks = iter(self._loader)
            else:
                blocks = iter(self._loader)
            yield from blocks
        except Exception:
            self._loader = None  # a worker that died takes the others down
            raise
        finally:
            self._busy = False

    def close(self) -> None:
        """Ends the workers, whoever still waits for blocks. They start again when they are asked."""
        loader, self._loader = self._loader, None
        workers = getattr(loader, "_iterator", None)
        if workers is not None:
            workers._shutdown_workers()

    def _start(self) -> "DataLoader[Any]":
        # At its exit Python ends what workers are left by SIGTERM, which ours ignore, and waits for them; so they are ended before.
        atexit.register(_close, weakref.ref(self))
        return DataLoader(
            _Decoder(),
            batch_sampler=self._tasks,  # type: ignore[arg-type]  # torch sends what it takes there to a worker as it is
            num_workers=self.workers,
            persistent_workers=True,
            collate_fn=_as_it_is,
            worker_init_fn=_settle,
            multiprocessing_context=_processes(),
        )


def _close(decoders: "weakref.ref[Decoders]") -> None:
    if (left := decoders()) is not None:
        left.close()


def _as_it_is(block: Any) -> Any:
    return block


def _processes() -> BaseContext:
    """How workers are started: never forked from this process. It has threads (TensorBoard, gloo, OpenMP), and a child forked while one of
    them holds a lock waits for that lock for ever. A server that has none forks them instead; it imports torch once.
    """
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["snreid.images.loader_server", __name__])
    _start_server()
    return context


def _start_server() -> None:
    """Starts the server that forks workers, unless it runs. A program inherits which signals are blocked, so Ctrl-C, which a terminal sends
    to it as well, does not end it with a traceback before it has imported ``loader_server``."""
    from multiprocessing import forkserver, resource_tracker  # not on Windows

    resource_tracker.ensure_running()  # before, as it unblocks them itself when it has to start
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    try:
        forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _wait_for_server() -> None:
    """Until the server has imported torch, which takes seconds in which Ctrl-C is answered at once: it is asked for a process that does
    nothing and knows no queue. Another thread asks, as no signal interrupts that one in the middle of what it says."""
    context = _processes()
    if context.get_start_method() != "forkserver":
        return
    probe = context.Process(target=_nothing)  # type: ignore[attr-defined]  # every context has one

    def ask() -> None:
        """Start it and wait for its end."""
        probe.start()
        probe.join()

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join()


def _nothing() -> None:
    pass


@contextmanager
def _answered_later(number: int) -> Iterator[None]:
    """The answer to a signal that comes inside is put off to the end. Blocking it would not do: another thread would take it, and the main
    thread answer it at once. In other threads nothing is changed, as no answer is ever given there."""
    before = signal.getsignal(number)
    if threading.current_thread() is not threading.main_thread() or before in (None, signal.SIG_IGN):
        yield
        return
    came = []
    try:
        signal.signal(number, lambda number, _: came.append(number))
        yield
    finally:
        signal.signal(number, before)
        if came:
            signal.raise_signal(number)


def _settle(_: int) -> None:
    torch.set_num_threads(1)
    # SLURM signals every process of a job, a terminal's Ctrl-C every process before it; a worker that dies of it would take the step
    # down that the main process wants to finish and save.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_main, daemon=True).start()


def _end_with_main() -> None:
    """Torch's worker looks whether the process that forked it has gone; the server has not as long as a worker is there."""
    if (main := multiprocessing.parent_process()) is not None:
        main.join()
        os._exit(1)
