"""The check behind ``snreid data check``: counts on disk against published ones, and everything that would distort a result.

Images are opened only on request. Then every image is decoded once, which finds the bad ones, and pictures that are both in training and in
the test.
"""

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from snreid.datasets._rules import differences, has_match, listed_lines, singles
from snreid.datasets.all_images import layers
from snreid.datasets.copies import copied_queries, copies_note
from snreid.datasets.folder import FolderTree
from snreid.datasets.market1501 import MarketFormat
from snreid.datasets.pedestrians import DrawnPedestrians
from snreid.datasets.people import RenderedPeople
from snreid.datasets.table import Table
from snreid.errors import DataError, visible
from snreid.images.reading import BadImage, examine
from snreid.records import DISTRACTOR, NO_CAMERA, DataSet, Expected, ReIDData, Split

_WIDTH = 100
_SHOWN = 10


@dataclass(frozen=True, slots=True)
class SplitReport:
    """The counts of one split, on disk and published."""

    split: str
    images: int
    persons: int
    """Without distractors."""
    cameras: int
    images_per_camera: dict[int, int]
    expected: Expected | None

    @property
    def problem(self) -> str:
        """What differs from the published counts, or ""."""
        if self.expected is None:
            return ""
        return differences(
            (word, getattr(self, word), getattr(self.expected, word)) for word in ("images", "persons", "cameras")
        )


@dataclass(frozen=True)
class DataReport:
    """What is on disk, and what is wrong with it."""

    name: str
    root: str
    """Where it was looked for: the data folder, or the data set's own folder or table; "" if it is drawn or rendered."""
    home: str
    """Where to get the data set, in words."""
    published: tuple[Expected, ...] = ()
    """Published counts, if there are any."""
    failure: str = ""
    """Why the data set could not be read, or ""."""
    splits: tuple[SplitReport, ...] = ()
    decoded: bool = False
    """Whether the images were opened."""
    bad: tuple[BadImage, ...] = ()
    """Images that cannot be read."""
    same_pictures: tuple[tuple[str, str], ...] = ()
    """(training image, test image) with equal pixels."""
    shared_persons: tuple[int, ...] = ()
    """Persons that are both in training and in the test."""
    single_persons: tuple[int, ...] = ()
    """Training persons with one image."""
    queries_without_match: int = 0
    """Counted, but left out of every mean. Not a fault of the data, so ``ok`` ignores it."""
    notes: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether the data set was read, has the published counts, and nothing in it would distort a result."""
        faults = (self.failure, self.bad, self.same_pictures, self.shared_persons, self.single_persons)
        return not any(faults) and not any(split.problem for split in self.splits)

    def to_json(self) -> str:
        """All fields, ``ok`` and each split's ``problem`` as one JSON object."""
        splits = [{**asdict(split), "problem": split.problem} for split in self.splits]
        return visible(json.dumps({"ok": self.ok, **asdict(self), "splits": splits}, ensure_ascii=False))

    def lines(self) -> tuple[str, ...]:
        """The report as text, in lines of at most 100 characters. At most ten names of a kind are listed, each in full."""
        place = f" in {self.root}" if self.root else ""
        out = [f"{self.name}{place}: {'in order' if self.ok else 'NOT in order'}"]
        if self.failure:
            out.append(self.failure)
            out += [f"published: {e.split} {e.images:,} images, {e.persons or 0:,} persons" for e in self.published]
        if self.splits:
            out.append(f"{'split':<10}{'images':>9}{'expected':>10}{'persons':>9}{'expected':>10}{'cameras':>9}")
            out += [_line(split) for split in self.splits]
        out += [f"{split.split}: {split.problem}" for split in self.splits if split.problem]
        out += listed_lines("images cannot be used", [f"{image.name}: {image.reason}" for image in self.bad])
        same = [" = ".join(pair) for pair in self.same_pictures]
        out += listed_lines("pictures are both in training and in the test", same)
        for what, persons in (
            ("persons are both in training and in the test", self.shared_persons),
            ("training persons have one image", self.single_persons),
        ):
            if persons:
                more = f" and {len(persons) - _SHOWN:,} more: --json lists all" if len(persons) > _SHOWN else ""
                out.append(f"{len(persons):,} {what}: {', '.join(map(str, persons[:_SHOWN]))}{more}")
        if self.splits and not self.decoded:
            out.append("The images were not opened.")
        out += [f"note: {note}" for note in self.notes]
        wrong = self.failure or any(split.problem for split in self.splits)
        if wrong and self.home and self.home not in self.failure:
            out.append(f"The data set's own page: {self.home}")
        return tuple(line for text in out for line in _folded(visible(text)))


def check(
    dataset: DataSet,
    root: Path,
    *,
    decode: bool,
    workers: int = 2,
    progress: Callable[[int, int], None] | None = None,
) -> DataReport:
    """Compare a data set on disk with its published counts and with the rules.

    Args:
        dataset: What to check.
        root: The data folder.
        decode: Whether to decode every image.
        workers: Number of decoding threads.
        progress: Called with (done, total) numbers of images.

    Returns:
        The report. Bad data is reported, not raised.
    """
    try:
        data = dataset.read(root)
    except DataError as error:
        return DataReport(dataset.name, _place(dataset, root), dataset.home, dataset.expected, failure=str(error))
    wanted = {expected.split: expected for expected in dataset.expected}
    named = (("train", data.train), ("query", data.query), ("gallery", data.gallery))
    splits = tuple(_counted(name, split, wanted.get(name)) for name, split in named if split.samples or name in wanted)
    if "all" in wanted:
        every = Split(tuple(sample for _, split in named for sample in split.samples))
        splits = (*splits, _counted("all", every, wanted["all"]))
    bad, same = _decoded(data, workers, progress) if decode else ((), ())
    return DataReport(
        name=data.name,
        root=_place(dataset, root),
        home=dataset.home,
        published=dataset.expected,
        splits=splits,
        decoded=decode,
        bad=bad,
        same_pictures=same,
        shared_persons=tuple(sorted(_persons(data.train) & (_persons(data.query) | _persons(data.gallery)))),
        single_persons=tuple(sample.person for sample in singles(data.train.samples)),
        queries_without_match=int((~has_match(data)).sum()),
        notes=(*data.notes, *_unsplit(dataset, data), *_copies(data)),
    )


def _place(dataset: DataSet, root: Path) -> str:
    *_, inner = layers(dataset)
    if isinstance(inner, DrawnPedestrians | RenderedPeople):
        return ""
    own = (
        inner.folder if isinstance(inner, MarketFormat) else inner.path if isinstance(inner, Table | FolderTree) else ""
    )
    return str(root / own)


def _unsplit(dataset: DataSet, data: ReIDData) -> tuple[str, ...]:
    """A note if there is nothing to test on: a folder or table of one's own is for training unless an option says otherwise."""
    if data.query.samples or data.gallery.samples:
        return ()
    how = "; by the option labels.role=test all are for the test" if hasattr(dataset, "labels") else ""
    return (f"no split: all images are for training{how}",)


def _copies(data: ReIDData) -> tuple[str, ...]:
    """A note on queries whose own file is among their matches, with the first of them."""
    copies = copied_queries(data)
    note = copies_note(len(copies), len(data.query))
    return (f"{note} ({' = '.join(copies[0])})",) if copies else ()


def _persons(split: Split) -> set[int]:
    return {sample.person for sample in split.samples if sample.person != DISTRACTOR}


def _counted(name: str, split: Split, expected: Expected | None) -> SplitReport:
    cameras = Counter(sample.camera for sample in split.samples if sample.camera != NO_CAMERA)
    return SplitReport(name, len(split), len(_persons(split)), len(cameras), dict(sorted(cameras.items())), expected)


def _decoded(
    data: ReIDData, workers: int, progress: Callable[[int, int], None] | None
) -> tuple[tuple[BadImage, ...], tuple[tuple[str, str], ...]]:
    """The bad images, and the (training, test) pairs of images with equal pixels."""
    done, count = 0, len(data.train) + len(data.query) + len(data.gallery)

    def tell(more: int) -> None:
        """Add the images done since the last call."""
        nonlocal done
        done += more
        if progress is not None:
            progress(done, count)

    bad: dict[BadImage, None] = {}
    training: dict[bytes, str] = {}
    same: dict[str, str] = {}
    for split in (data.train, data.query, data.gallery):
        for examined in examine(split.samples, workers=workers, progress=tell):
            if examined.bad is not None:
                bad[examined.bad] = None
            elif split is data.train:
                training.setdefault(examined.digest, examined.sample.image.name)
            elif examined.digest in training:
                same[examined.sample.image.name] = training[examined.digest]
    return tuple(bad), tuple((train, test) for test, train in same.items())


def _line(split: SplitReport) -> str:
    images = persons = "-"
    if split.expected is not None:
        images = f"{split.expected.images:,}"
        persons = "-" if split.expected.persons is None else f"{split.expected.persons:,}"
    cameras = str(split.cameras) if split.cameras else "unknown"
    return f"{split.split:<10}{split.images:>9,}{images:>10}{split.persons:>9,}{persons:>10}{cameras:>9}"


def _folded(text: str) -> list[str]:
    """Wrap a text to lines of ``_WIDTH``, all but the first indented; a word that is too long is broken at a slash."""
    if len(text) <= _WIDTH:
        return [text]  # keeps the blanks of a table row
    first = " " * (len(text) - len(text.lstrip()))
    indent = first + "  "
    lines, line = [], first
    for word in text.split():
        longer = f"{line} {word}" if line.strip() else line + word
        if len(longer) > _WIDTH and line.strip():
            lines.append(line)
            longer = indent + word
        line = longer
        while len(line) > _WIDTH:
            cut = line.rfind("/", len(indent) + 1, _WIDTH) + 1 or _WIDTH
            lines.append(line[:cut])
            line = indent + line[cut:]
    return [*lines, line]
