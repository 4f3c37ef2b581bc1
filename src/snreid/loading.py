"""Pixels of a split, at the size the network sees, as uint8 batches.

Small sets are decoded once into memory by worker processes; larger ones are decoded by loader workers as they are needed. A bad image
never raises inside a worker: it comes back with its reason, so that the list of all of them can be shown (reliability.md R8).
"""

import multiprocessing
import signal
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.context import BaseContext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from snreid.errors import DataError
from snreid.images import BadImage, read_bad_list, resize, write_bad_list
from snreid.progress import counting
from snreid.records import ReIDData, Sample, Split
from snreid.transforms import StoredImages

BAD_FILES = "bad_files.jsonl"
_SHOWN_BAD = 20
"""So many are named in the message; the file names all."""

Progress = Callable[[int, int], None]
"""Called with (done, all) images."""


@dataclass(frozen=True, slots=True)
class Decoded:
    """One image after decoding and resizing."""

    pixels: Tensor
    """(3, H, W) uint8; zeros when bad."""
    index: int
    reason: str
    """Why it could not be read; empty when it could."""


class _Decoder(Dataset[Decoded]):
    """Decodes and resizes sample ``index``; picklable, so it works with spawned workers."""

    def __init__(self, samples: tuple[Sample, ...], height: int, width: int) -> None:
        self.samples, self.height, self.width = samples, height, width

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> Decoded:
        try:
            pixels = resize(self.samples[index].image.read(), self.height, self.width)
        except DataError as error:
            reason = (error.came or str(error)).removeprefix(f"{self.samples[index].image.name}: ")
            return Decoded(torch.zeros(3, self.height, self.width, dtype=torch.uint8), index, reason)
        return Decoded(torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1))), index, "")


@dataclass(frozen=True, slots=True)
class _Block:
    pixels: StoredImages
    indices: list[int]
    reasons: list[str]


def _collate(parts: list[Decoded]) -> _Block:
    return _Block(torch.stack([p.pixels for p in parts]), [p.index for p in parts], [p.reason for p in parts])


class PixelStore:
    """The images of one split. ``open`` decodes or checks them all; ``batches`` gives them by index."""

    def __init__(self, split: Split, height: int, width: int, *, workers: int = 0, memory_gb: float = 4.0) -> None:
        """``height``, ``width`` in pixels; ``workers`` processes decode; sets of up to ``memory_gb`` GB stay decoded in memory."""
        self.split, self.height, self.width, self.workers = split, height, width, workers
        self.cached = len(split) * 3 * height * width <= memory_gb * 1e9
        self._pixels: StoredImages | None = None
        self._rows = np.arange(len(split))  # where in _pixels each sample is: parts of a store share its pixels
        self._bad: dict[int, BadImage] = {}

    def open(self, progress: Progress | None = None) -> tuple[BadImage, ...]:
        """Reads every image once and returns those that cannot be read. A second call reads nothing and returns them again."""
        if self._pixels is None:
            self._pixels = self._read(progress)
        return tuple(self._bad.values())

    @property
    def good(self) -> NDArray[np.int64]:
        """Positions of the images that ``open`` could read, ascending; of all of them before it."""
        return np.array([i for i in range(len(self.split)) if i not in self._bad], dtype=np.int64)

    def _read(self, progress: Progress | None) -> StoredImages:
        pixels = torch.empty(len(self.split) if self.cached else 0, 3, self.height, self.width, dtype=torch.uint8)
        blocks = [list(range(i, min(i + 64, len(self.split)))) for i in range(0, len(self.split), 64)]
        for done, block in enumerate(self._blocks(blocks), start=1):
            if self.cached:
                pixels[torch.tensor(block.indices)] = block.pixels
            self._bad |= self._refused(block)
            if progress is not None:
                progress(min(done * 64, len(self.split)), len(self.split))
        return pixels

    def only(self, indices: NDArray[np.int64]) -> "PixelStore":
        """The store of the samples at ``indices``. What is decoded is shared, never copied: it may be most of the memory."""
        if np.array_equal(indices, np.arange(len(self.split))):
            return self
        part = PixelStore(
            Split(tuple(self.split.samples[i] for i in indices)), self.height, self.width, workers=self.workers
        )
        part.cached = self.cached
        if self._pixels is not None:
            part._pixels, part._rows = self._pixels, self._rows[indices]
            part._bad = {new: self._bad[old] for new, old in enumerate(indices.tolist()) if old in self._bad}
        return part

    def batches(self, batches: Sequence[NDArray[np.int64]]) -> Iterator[StoredImages]:
        """uint8 images (B, 3, H, W) of each index batch, in order. Raises ``DataError`` when an image has gone bad since ``open``."""
        if self.cached and self._pixels is not None:
            for batch in batches:
                yield self._pixels[torch.from_numpy(self._rows[batch])]
            return
        for block in self._blocks([[int(i) for i in batch] for batch in batches]):
            for bad in self._refused(block).values():
                raise DataError(
                    "Every image of the set must stay readable while it is used",
                    came=f"{bad.name}: {bad.reason}",
                    repair="restore the file and resume",
                )
            yield block.pixels

    def _refused(self, block: _Block) -> dict[int, BadImage]:
        pairs = zip(block.indices, block.reasons, strict=True)
        return {i: BadImage(self.split.samples[i].image.name, reason) for i, reason in pairs if reason}

    def _blocks(self, batches: list[list[int]]) -> Iterator[_Block]:
        decoder = _Decoder(self.split.samples, self.height, self.width)
        loader: DataLoader[Any] = DataLoader(
            decoder,
            batch_sampler=batches,
            num_workers=self.workers,
            collate_fn=_collate,
            worker_init_fn=_settle,
            multiprocessing_context=_processes() if self.workers else None,
        )
        yield from loader


def list_bad(bad: Sequence[BadImage], count: int, folder: Path, *, skip: bool, write: bool = True) -> None:
    """Lists the ``bad`` ones of ``count`` images in ``folder``'s ``bad_files.jsonl``, each file once, beside those listed before
    (less what a torn file no longer tells).

    ``skip``: they may be left out. ``write``: False in all processes but the first. Raises ``DataError`` naming them when they may
    not, or when no image is left.
    """
    path = folder / BAD_FILES
    if write:
        folder.mkdir(parents=True, exist_ok=True)
        write_bad_list(path, {one.name: one for one in (*read_bad_list(path), *bad)}.values())
    if skip and len(bad) < count:
        return
    shown = "; ".join(f"{b.name}: {b.reason}" for b in bad[:_SHOWN_BAD])
    more = f"; and {len(bad) - _SHOWN_BAD} more" if len(bad) > _SHOWN_BAD else ""
    raise DataError(
        "Every image must be readable",
        came=f"{len(bad)} of {count} are not: {shown}{more}. All are listed in {path}",
        repair="restore these files, or go on without them: --skip-bad",
    )


def look_at(
    targets: Sequence[ReIDData],
    pixels: "PixelCache",
    size: tuple[int, int],
    folder: Path,
    *,
    skip: bool,
    write: bool,
    console: Console,
) -> None:
    """Opens every query and gallery image at ``size`` (height, width), so that a bad one is known before hours of training; what is
    decoded stays in ``pixels``. ``folder``, ``skip``, ``write``: as for ``list_bad``.

    Raises ``DataError`` naming the bad images of all targets, or with ``skip`` where a side of a target has no other ones.
    """
    bad: dict[str, BadImage] = {}
    every: set[str] = set()
    for target in targets:
        pixels.tell(target, console)
        for split, part in ((target.query, "query"), (target.gallery, "gallery")):
            with counting(console, f"reading {target.name} {part}") as progress:
                found = pixels.open(split, *size, progress).bad
            if found and skip:
                list_bad(found, len(split), folder, skip=True, write=write)
            bad |= {one.name: one for one in found}
            every |= {sample.image.name for sample in split.samples}
    if bad and not skip:
        list_bad(tuple(bad.values()), len(every), folder, skip=False, write=write)


def _processes() -> BaseContext:
    """How workers are started: never forked from this process. It has threads (TensorBoard, gloo, OpenMP), and a child forked while one of
    them holds a lock waits for that lock for ever. A server that has none forks them instead; it imports torch once.
    """
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["snreid.loader_server", __name__])
    return context


def _settle(_: int) -> None:
    torch.set_num_threads(1)
    # SLURM signals every process of a job, workers too; a worker that dies of it would take the step down that the
    # main process wants to finish and save. Without their parent they end by themselves.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


@dataclass(frozen=True, slots=True)
class Opened:
    """A store whose images have all been looked at, and those that cannot be read."""

    store: PixelStore
    bad: tuple[BadImage, ...]


class PixelCache:
    """What several runs in one process share: opened stores, so that a split is decoded once, and what a user was told already."""

    def __init__(self, *, workers: int = 0, memory_gb: float = 4.0) -> None:
        """``workers`` processes decode; sets of up to ``memory_gb`` GB stay decoded in memory."""
        self.workers, self.memory_gb = workers, memory_gb
        self._opened: dict[tuple[tuple[Sample, ...], int, int], Opened] = {}
        self._told: set[str] = set()

    def open(self, split: Split, height: int, width: int, progress: Progress | None = None) -> Opened:
        """The opened store of a split at a size in pixels."""
        key = (split.samples, height, width)
        if key not in self._opened:
            store = PixelStore(split, height, width, workers=self.workers, memory_gb=self.memory_gb)
            self._opened[key] = Opened(store, store.open(progress))
        return self._opened[key]

    def tell(self, data: ReIDData, console: Console) -> None:
        """Says what the reader of a data set noticed (``ReIDData.remarks``), each sentence once however many runs use the data."""
        for remark in data.remarks:
            if remark not in self._told:
                self._told.add(remark)
                console.out(remark, highlight=False)
