"""From JPEG files to normalized batches: decode, resize to 256 x 128, flip, crop, normalize; the usual loader against ours.

Every competitor works in this process with one thread, so that the CPU time is all of its work: images per second of one busy core. The
files are drawn pedestrians of 128 x 64 in a temporary folder, as many bytes each as those of Market-1501. The usual loader pads by 10
pixels and crops; ours enlarges by 1.125 and crops with probability 1/2 (method.md 4). Both flip half of the images.
"""

import argparse
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from race import Row, above, options, race, report, row
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision.io import ImageReadMode, decode_jpeg, read_file
from torchvision.transforms import v2

import snreid
from snreid.images.loading import PixelStore
from snreid.images.pixel_cache import PixelFolder
from snreid.images.reading import FileImage
from snreid.images.transforms import Augmentation, InputFormat
from snreid.records import Sample, Split
from snreid.system.memory import keep_freed_memory

BATCH, HEIGHT, WIDTH = 64, 256, 128
FORMAT = InputFormat(height=HEIGHT, width=WIDTH)
SAME_WORK = Augmentation(brightness=0.0, contrast=0.0)
"""Ours without colour jitter, which the others do not have."""
LABEL = "one epoch, one thread"
LEFT = "; what is left is one pass that samples each image and writes its 393 kB of float32"


class UsualImages(Dataset[Tensor]):
    """An image file at a time, as most code bases of the field do it."""

    def __init__(self, paths: Sequence[Path], read: Callable[[Path], object], first: Sequence[object]) -> None:
        self.paths, self.read = paths, read
        self.transform = v2.Compose(
            [
                *first,
                v2.Resize((HEIGHT, WIDTH), antialias=True),
                v2.RandomHorizontalFlip(),
                v2.Pad(10),
                v2.RandomCrop((HEIGHT, WIDTH)),
                v2.ToImage(),
                v2.ToDtype(torch.float32, scale=True),
                v2.Normalize(FORMAT.mean, FORMAT.std),
            ]
        )

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Tensor:
        made: Tensor = self.transform(self.read(self.paths[index]))
        return made


def with_pillow(path: Path) -> Image.Image:
    """Decoded by Pillow."""
    with Image.open(path) as image:
        return image.convert("RGB")


def with_torchvision(path: Path) -> Tensor:
    """Decoded by torchvision's libjpeg."""
    pixels: Tensor = decode_jpeg(read_file(str(path)), ImageReadMode.RGB)
    return pixels


def usual_epoch(images: UsualImages) -> Callable[[], float]:
    """All images in a random order, in batches."""

    def run() -> float:
        return sum(float(batch[0, 0, 0, 0]) for batch in DataLoader(images, BATCH, shuffle=True, num_workers=0))

    return run


def our_epoch(store: PixelStore, augmentation: Augmentation, order: NDArray[np.int64]) -> float:
    """The same from an opened store, as the training loop does it."""
    batches = [order[i : i + BATCH] for i in range(0, len(order), BATCH)]
    total = 0.0
    for number, pixels in enumerate(store.batches(batches)):
        draws = augmentation.draws(0, 0, number, len(pixels))
        made = augmentation(pixels, draws, FORMAT).contiguous(memory_format=torch.channels_last)
        total += float(made[0, 0, 0, 0])
    return total


def write_files(folder: Path, count: int) -> list[Path]:
    """Drawn pedestrians as JPEG files."""
    persons = -(-count // 12)
    samples = snreid.datasets.DrawnPedestrians(train_persons=persons, test_persons=0).read(folder).train.samples[:count]
    paths = [folder / f"{number:05d}.jpg" for number in range(count)]
    for sample, path in zip(samples, paths, strict=True):
        Image.fromarray(sample.image.read()).save(path, quality=90)
    return paths


def loading_rows(paths: Sequence[Path], folder: Path, runs: int) -> list[Row]:
    """An epoch of each competitor; ours also from memory, from files of pixels, and with colour jitter."""
    split = Split(tuple(Sample(FileImage(str(path)), 1, 1) for path in paths))
    order = np.random.default_rng(0).permutation(len(paths))
    kept = PixelFolder(folder / "cache")

    def opened(memory_gb: float = 4.0, cache: PixelFolder | None = None) -> PixelStore:
        store = PixelStore(split, HEIGHT, WIDTH, memory_gb=memory_gb, folder=cache)
        if store.open():
            raise RuntimeError("an image that was just written cannot be read")
        return store

    memory, mapped = opened(), opened(0.0, kept)
    competitors = {
        "Pillow + torchvision v2": usual_epoch(UsualImages(paths, with_pillow, ())),
        "decode_jpeg + torchvision v2 on tensors": usual_epoch(UsualImages(paths, with_torchvision, ())),
        "snreid, first epoch": lambda: our_epoch(opened(), SAME_WORK, order),
        "snreid, later epochs, from memory": lambda: our_epoch(memory, SAME_WORK, order),
        "snreid, later epochs, mapped from files of pixels": lambda: our_epoch(mapped, SAME_WORK, order),
        "snreid, first epoch of a second start with --cache": lambda: our_epoch(opened(0.0, kept), SAME_WORK, order),
        "snreid, later epochs with colour jitter": lambda: our_epoch(memory, Augmentation(), order),
    }
    return race(LABEL, competitors, runs=runs)


def drawing_rows(images: int, runs: int) -> list[Row]:
    """Drawn pedestrians of 128 x 64, one after the other."""
    samples = snreid.datasets.DrawnPedestrians(train_persons=images, test_persons=0).read(Path()).train.samples[:images]

    def draw() -> int:
        return sum(sample.image.read().size for sample in samples)

    return race(f"{images} drawn pedestrians, 128 x 64", {"drawn one by one": draw}, runs=runs)


def main() -> None:
    """Run it and report."""
    given: argparse.Namespace = options(__doc__).parse_args()
    keep_freed_memory()  # as the command snreid does
    torch.set_num_threads(1)
    count, drawn = (128, 10) if given.quick else (1500, 100)
    with tempfile.TemporaryDirectory(prefix="snreid-loading-") as folder:
        paths = write_files(Path(folder), count)
        size = sum(path.stat().st_size for path in paths) / count
        rows = loading_rows(paths, Path(folder), 1 if given.quick else given.runs)
    usual = row(rows, LABEL, "Pillow + torchvision v2")

    def measured(name: str) -> tuple[float, str]:
        ours = row(rows, LABEL, name)
        return (
            1 / ours.ratio,
            f"images per second of one core: {count / ours.cpu:.0f}, the usual loader {count / usual.cpu:.0f}",
        )

    first, later, mapped, again = (
        measured(name)
        for name in (
            "snreid, first epoch",
            "snreid, later epochs, from memory",
            "snreid, later epochs, mapped from files of pixels",
            "snreid, first epoch of a second start with --cache",
        )
    )
    against = "Pillow + torchvision v2, the same files"
    targets = [
        above("loading, first epoch", 2, first[0], against, note=f"{first[1]} ({size:.0f} bytes an image)"),
        above("loading, later epochs, from memory", 4, later[0], against, note=later[1] + LEFT),
        above("loading, later epochs, mapped from files", 4, mapped[0], against, note=mapped[1] + LEFT),
        above("loading, first epoch of a second start with --cache", 2, again[0], against, note=again[1]),
    ]
    rows += drawing_rows(drawn, 1 if given.quick else given.runs)
    report(__file__, given, rows, targets)


if __name__ == "__main__":
    main()
