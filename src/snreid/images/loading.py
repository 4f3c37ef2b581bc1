"""Pixels of a split as uint8 batches, at the size the network sees.

Small sets are decoded once by worker processes and stay in memory. Larger ones are decoded by workers when they are needed; where the user
names a folder for decoded pixels, they are decoded once for all epochs and starts and memory-mapped. All three give the same pixels.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console

from snreid.errors import DataError, visible
from snreid.images.decoding import BLOCK, DecodedBlock, Decoders
from snreid.images.pixel_cache import Piece, PixelFile, PixelFolder
from snreid.images.reading import BadImage, listed, read_bad_list, write_bad_list
from snreid.images.transforms import StoredImages
from snreid.records import ReIDData, Sample, Split
from snreid.system.machine import Machine
from snreid.system.progress import counting

BAD_FILES = "bad_files.jsonl"
_SHOWN_BAD = 20
"""Number of bad files named in the message; the file lists all."""

Progress = Callable[[int, int], None]
"""Called with (done, total) numbers of images."""


@dataclass(frozen=True, slots=True)
class _Rows:
    """Decoded images in one or several arrays, in memory or mapped from files."""

    parts: tuple[NDArray[np.uint8], ...]
    """Each (n, H, W, 3)."""
    starts: NDArray[np.int64]
    """(parts,) index of each part's first image."""

    def take(self, rows: NDArray[np.int64]) -> StoredImages:
        """Copies of the images at ``rows`` (B,): (B, 3, H, W) uint8, channels-last."""
        pixels = torch.empty(len(rows), *self.parts[0].shape[1:], dtype=torch.uint8)
        array, which = pixels.numpy(), np.searchsorted(self.starts, rows, side="right") - 1
        for place, (part, row) in enumerate(zip(which.tolist(), (rows - self.starts[which]).tolist(), strict=True)):
            array[place] = self.parts[part][row]
        return pixels.permute(0, 3, 1, 2)


class _Collected:
    """Collects the images of a split: copied into one array, or, for a larger set, the arrays that are mapped."""

    def __init__(self, shape: tuple[int, int, int, int], *, copy: bool, progress: Progress | None) -> None:
        self._count, self._progress, self._done = shape[0], progress, 0
        self.memory = np.empty(shape, np.uint8) if copy else None
        self._mapped: dict[int, NDArray[np.uint8]] = {}
        self.bad: dict[int, str] = {}

    def add(self, places: range, pixels: NDArray[np.uint8] | None, reasons: Sequence[str]) -> None:
        """Add the images at ``places``; ``pixels`` is None if they are not kept."""
        if pixels is not None and self.memory is not None:
            self.memory[places.start : places.stop] = pixels
        elif pixels is not None:
            self._mapped[places.start] = pixels
        self.bad |= {place: reason for place, reason in zip(places, reasons, strict=True) if reason}
        self._done += len(places)
        if self._progress is not None:
            self._progress(self._done, self._count)

    def rows(self) -> _Rows | None:
        """All images; None if some are not kept."""
        if self.memory is not None:
            return _Rows((self.memory,), np.zeros(1, np.int64))
        starts = sorted(self._mapped)
        if not starts or sum(map(len, self._mapped.values())) < self._count:
            return None
        return _Rows(tuple(self._mapped[start] for start in starts), np.array(starts))


class PixelStore:
    """The images of one split. ``open`` decodes or checks all of them; ``batches`` yields them by index."""

    def __init__(
        self,
        split: Split,
        height: int,
        width: int,
        *,
        workers: int = 0,
        memory_gb: float = 4.0,
        folder: PixelFolder | None = None,
        decoders: Decoders | None = None,
    ) -> None:
        """Read nothing yet.

        Args:
            split: The images.
            height: Size of the decoded images in pixels.
            width: Size of the decoded images in pixels.
            workers: Number of processes that decode, unless there are ``decoders``.
            memory_gb: Sets of up to this many GB stay in memory.
            folder: Decoded pixels on disk: what it holds is not decoded again, and larger sets are mapped from it.
            decoders: Worker processes to share.
        """
        self.split, self.height, self.width, self.folder = split, height, width, folder
        self._decoders = decoders or Decoders(workers)
        self.cached = len(split) * 3 * height * width <= memory_gb * 1e9
        self._opened = False
        self._pixels: _Rows | None = None  # None: decoded for every batch
        self._rows = np.arange(len(split))  # index of each sample in _pixels, which the parts of a store share
        self._bad: dict[int, BadImage] = {}

    def open(self, progress: Progress | None = None) -> tuple[BadImage, ...]:
        """Read every image once and return those that cannot be read; a second call only returns them again."""
        if not self._opened:
            self._opened = True
            shape = (len(self.split), self.height, self.width, 3)
            collected = _Collected(shape, copy=self.cached, progress=progress)
            self._read(collected)
            self._pixels = collected.rows()
            self._bad = {place: self._refused(place, collected.bad[place]) for place in sorted(collected.bad)}
        return tuple(self._bad.values())

    @property
    def good(self) -> NDArray[np.int64]:
        """Positions of the readable images, ascending; before ``open``, of all images."""
        return np.array([i for i in range(len(self.split)) if i not in self._bad], dtype=np.int64)

    def _read(self, collected: _Collected) -> None:
        images = [sample.image for sample in self.split.samples]
        folder = self.folder
        pieces = folder.pieces(images, self.height, self.width) if folder is not None else None
        if folder is None or pieces is None:
            blocks = [range(i, min(i + BLOCK, len(images))) for i in range(0, len(images), BLOCK)]
            for places, block in zip(blocks, self._decoded(blocks), strict=True):
                collected.add(places, block.pixels.numpy() if self.cached else None, block.reasons)
            return
        missing = []
        for piece, kept in zip(pieces, folder.read(pieces, threads=self._decoders.workers), strict=True):
            if kept is None or self._mended(piece, kept):
                missing.append(piece)
            else:
                collected.add(piece.places, kept.pixels, kept.reasons)
        kept_images = len(images) - sum(len(piece.places) for piece in missing)
        if kept_images:
            folder.say(f"Decoded pixels of {kept_images:,} images are read from {folder.folder}")
        self._fill(folder, missing, collected)

    def _mended(self, piece: Piece, kept: PixelFile) -> bool:
        """Whether an image that was bad can be read now although its file is unchanged, as after a change of permissions."""
        bad = [piece.places[place] for place, reason in enumerate(kept.reasons) if reason]
        return bool(bad) and not all(next(self._decoded([bad])).reasons)

    def _fill(self, folder: PixelFolder, missing: Sequence[Piece], collected: _Collected) -> None:
        """Decode the missing pieces and write them to the folder until a write fails."""
        blocks = [piece.places[i : i + BLOCK] for piece in missing for i in range(0, len(piece.places), BLOCK)]
        decoded, writing = self._decoded(blocks), True
        for piece in missing:
            pixels, reasons = np.empty(piece.shape, np.uint8), list[str]()
            while len(reasons) < len(pixels):
                block = next(decoded)
                pixels[len(reasons) : len(reasons) + len(block.reasons)] = block.pixels.numpy()
                reasons += block.reasons
            writing = writing and folder.write(piece, pixels, reasons)
            kept = pixels if self.cached else None
            if writing and not self.cached and (mapped := next(folder.read([piece]))) is not None:
                kept = mapped.pixels
            collected.add(piece.places, kept, reasons)
        if missing and writing:
            count = sum(len(piece.places) for piece in missing)
            size = count * 3 * self.height * self.width / 1e6
            folder.say(f"Decoded pixels of {count:,} images are kept in {folder.folder} ({size:,.0f} MB)")

    def only(self, indices: NDArray[np.int64]) -> "PixelStore":
        """The store of the samples at ``indices`` (N,). Decoded pixels, which may fill most of the memory, are shared, not copied."""
        if np.array_equal(indices, np.arange(len(self.split))):
            return self
        samples = tuple(self.split.samples[i] for i in indices)
        part = PixelStore(Split(samples), self.height, self.width, folder=self.folder, decoders=self._decoders)
        part.cached = self.cached
        if self._opened:
            part._opened, part._pixels, part._rows = True, self._pixels, self._rows[indices]
            part._bad = {new: self._bad[old] for new, old in enumerate(indices.tolist()) if old in self._bad}
        return part

    def batches(self, batches: Sequence[NDArray[np.int64]]) -> Iterator[StoredImages]:
        """Yield the images (B, 3, H, W) of each batch of indices into the split (B,), in order: uint8, channels-last.

        Raises ``DataError`` if an image has become unreadable since ``open`` and was not decoded then.
        """
        if self._pixels is not None:
            for batch in batches:
                yield self._pixels.take(self._rows[batch])
            return
        for batch, block in zip(batches, self._decoded(batches), strict=True):
            for place, reason in zip(batch.tolist(), block.reasons, strict=True):
                if reason:
                    bad = self._refused(place, reason)
                    raise DataError(
                        "Every image of the set must stay readable while it is used",
                        found=f"{bad.name}: {bad.reason}",
                        fix="restore the file and resume",
                    )
            yield block.pixels.permute(0, 3, 1, 2)

    def _refused(self, place: int, reason: str) -> BadImage:
        return BadImage(self.split.samples[place].image.name, reason)

    def _decoded(self, blocks: Sequence[Sequence[int] | NDArray[np.int64]]) -> Iterator[DecodedBlock]:
        samples = self.split.samples
        images = [[samples[place].image for place in block] for block in blocks]
        return self._decoders.decoded(images, self.height, self.width)


def list_bad(bad: Sequence[BadImage], count: int, folder: Path, *, skip: bool, write: bool = True) -> None:
    """Add bad images, found among ``count``, to the ``bad_files.jsonl`` of a folder, each file once.

    With ``skip``, bad images may be left out; ``write`` is False in all processes but the first. Raises ``DataError`` with the bad images,
    if they may not be left out or no other image remains.
    """
    path = folder / BAD_FILES
    if write:
        folder.mkdir(parents=True, exist_ok=True)
        write_bad_list(path, {image.name: image for image in (*read_bad_list(path), *bad)}.values())
    if skip and len(bad) < count:
        return
    raise DataError(
        "Every image must be readable",
        found=f"{len(bad)} of {count} are not: {listed(bad, _SHOWN_BAD)}. All are listed in {path}",
        fix="restore these files, or go on without them: --skip-bad",
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
    """Open every query and gallery image of the targets, so that a bad one is known before hours of training.

    ``size`` is height and width in pixels; ``folder``, ``skip`` and ``write`` are as for ``list_bad``. Raises ``DataError`` with the bad
    images of all targets; with ``skip``, only if a target's queries or gallery have no other ones.
    """
    bad: dict[str, BadImage] = {}
    every: set[str] = set()
    for target in targets:
        pixels.tell(target, console)
        for split, part in ((target.query, "query"), (target.gallery, "gallery")):
            with counting(console, f"reading {target.name} {part}") as progress:
                bad_here = pixels.open(split, *size, progress).bad
            if bad_here and skip:
                list_bad(bad_here, len(split), folder, skip=True, write=write)
            bad |= {image.name: image for image in bad_here}
            every |= {sample.image.name for sample in split.samples}
    if bad and not skip:
        list_bad(tuple(bad.values()), len(every), folder, skip=False, write=write)


@dataclass(frozen=True, slots=True)
class Opened:
    """An opened store, and its images that cannot be read."""

    store: PixelStore
    bad: tuple[BadImage, ...]


class PixelCache:
    """Shared by the runs of one process: opened stores, so that a split is decoded once, and the remarks already shown."""

    def __init__(self, *, workers: int = 0, memory_gb: float = 4.0, folder: PixelFolder | None = None) -> None:
        """The arguments are those of ``PixelStore``."""
        self.memory_gb, self.folder, self._decoders = memory_gb, folder, Decoders(workers)
        self._opened: dict[tuple[tuple[Sample, ...], int, int], Opened] = {}
        self._shown: set[str] = set()

    @classmethod
    def of(cls, machine: Machine, console: Console) -> "PixelCache":
        """The cache for a machine's settings. Messages about its folder of decoded pixels go to the console, each of them once."""
        made = cls(workers=machine.workers, memory_gb=machine.memory_gb)
        if machine.cache is not None:
            made.folder = PixelFolder(machine.cache, lambda sentence: made._say(sentence, console))
            made.folder.sweep()
        return made

    def open(self, split: Split, height: int, width: int, progress: Progress | None = None) -> Opened:
        """The opened store of a split at a size in pixels, the same one for equal arguments."""
        key = (split.samples, height, width)
        if key not in self._opened:
            store = PixelStore(
                split, height, width, memory_gb=self.memory_gb, folder=self.folder, decoders=self._decoders
            )
            self._opened[key] = Opened(store, store.open(progress))
        return self._opened[key]

    def tell(self, data: ReIDData, console: Console) -> None:
        """Print the remarks of a data set (``ReIDData.remarks``), each of them once in all runs."""
        for remark in data.remarks:
            self._say(remark, console)

    def _say(self, sentence: str, console: Console) -> None:
        if sentence not in self._shown:
            self._shown.add(sentence)
            console.out(visible(sentence), highlight=False)
