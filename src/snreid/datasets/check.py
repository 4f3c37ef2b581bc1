"""What ``snreid data check`` finds: the counts on disk against the published ones, and everything that would spoil a
result.

Without decoding no image is opened. With it every image is decoded once, which names the bad ones and finds the same
picture in training and in the test.
"""

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from snreid.datasets._rules import has_match, singles
from snreid.errors import DataError
from snreid.images.reading import BadImage, examine
from snreid.records import DISTRACTOR, NO_CAMERA, DataSet, Expected, ReIDData, Split

_WIDTH = 100
_SHOWN = 10


@dataclass(frozen=True, slots=True)
class SplitReport:
    """One split on disk and as published."""

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
        pairs = (
            ("images", self.images, self.expected.images),
            ("persons", self.persons, self.expected.persons),
            ("cameras", self.cameras, self.expected.cameras),
        )
        said = []
        for word, found, wanted in pairs:
            if wanted is not None and found != wanted:
                said.append(f"{abs(wanted - found):,} {word} {'missing' if found < wanted else 'too many'}")
        return ", ".join(said)


@dataclass(frozen=True)
class DataReport:
    """What is on disk, and whether it is what it has to be."""

    name: str
    root: str
    home: str
    """Where the data set's own page is, in words."""
    published: tuple[Expected, ...] = ()
    """Published counts, where there are any."""
    failure: str = ""
    """Why the data set could not be read, or ""."""
    splits: tuple[SplitReport, ...] = ()
    decoded: bool = False
    """Whether the images were opened."""
    bad: tuple[BadImage, ...] = ()
    """Images that cannot be used."""
    same_pictures: tuple[tuple[str, str], ...] = ()
    """(training image, test image) with equal pixels."""
    shared_persons: tuple[int, ...] = ()
    """Persons that are both in training and in the test."""
    single_persons: tuple[int, ...] = ()
    """Training persons with one image."""
    queries_without_match: int = 0
    """They are counted and left out of every mean; no fault of the data (so it does not change ``ok``)."""
    notes: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """True when the data set was read, the counts are the published ones and nothing would spoil a result."""
        faults = (self.failure, self.bad, self.same_pictures, self.shared_persons, self.single_persons)
        return not any(faults) and not any(split.problem for split in self.splits)

    def to_json(self) -> str:
        """All fields, ``ok`` and each split's ``problem`` as one JSON object."""
        splits = [{**asdict(split), "problem": split.problem} for split in self.splits]
        return json.dumps({"ok": self.ok, **asdict(self), "splits": splits}, ensure_ascii=False)

    def lines(self) -> tuple[str, ...]:
        """The report as text for a person, in lines of at most 100 characters: at most ten of a kind are named, and nothing
        said of one is cut."""
        out = [f"{self.name} in {self.root}: {'in order' if self.ok else 'NOT in order'}"]
        if self.failure:
            out.append(self.failure)
            out += [f"published: {e.split} {e.images:,} images, {e.persons or 0:,} persons" for e in self.published]
        if self.splits:
            out.append(f"{'split':<10}{'images':>9}{'expected':>10}{'persons':>9}{'expected':>10}{'cameras':>9}")
            out += [_line(split) for split in self.splits]
        out += [f"{split.split}: {split.problem}" for split in self.splits if split.problem]
        for said, names in (
            ("images cannot be used", [f"{one.name}: {one.reason}" for one in self.bad]),
            ("pictures are both in training and in the test", [" = ".join(pair) for pair in self.same_pictures]),
        ):
            if names:
                out.append(f"{len(names):,} {said}:")
                out += [f"  {name}" for name in names[:_SHOWN]]
            if len(names) > _SHOWN:
                out.append(f"  and {len(names) - _SHOWN:,} more: --json lists all")
        for said, persons in (
            ("persons are both in training and in the test", self.shared_persons),
            ("training persons have one image", self.single_persons),
        ):
            if persons:
                more = f" and {len(persons) - _SHOWN:,} more: --json lists all" if len(persons) > _SHOWN else ""
                out.append(f"{len(persons):,} {said}: {', '.join(map(str, persons[:_SHOWN]))}{more}")
        if self.splits and not self.decoded:
            out.append("The images were not opened.")
        out += [f"note: {note}" for note in self.notes]
        wrong = self.failure or any(split.problem for split in self.splits)
        if wrong and self.home and self.home not in self.failure:
            out.append(f"The data set's own page: {self.home}")
        return tuple(line for text in out for line in _folded(text))


def check(
    dataset: DataSet,
    root: Path,
    *,
    decode: bool,
    workers: int = 2,
    progress: Callable[[int, int], None] | None = None,
) -> DataReport:
    """Hold what is below ``root`` against what ``dataset`` has to be. Bad data is reported, not raised.

    ``decode`` opens every image, in ``workers`` threads; ``progress`` is called with (done, all) images.
    """
    try:
        data = dataset.read(root)
    except DataError as error:
        return DataReport(dataset.name, str(root), dataset.home, dataset.expected, failure=str(error))
    wanted = {expected.split: expected for expected in dataset.expected}
    named = (("train", data.train), ("query", data.query), ("gallery", data.gallery))
    splits = tuple(_counted(name, split, wanted.get(name)) for name, split in named if split.samples or name in wanted)
    if "all" in wanted:
        every = Split(tuple(sample for _, split in named for sample in split.samples))
        splits = (*splits, _counted("all", every, wanted["all"]))
    bad, same = _decoded(data, workers, progress) if decode else ((), ())
    return DataReport(
        name=data.name,
        root=str(root),
        home=dataset.home,
        published=dataset.expected,
        splits=splits,
        decoded=decode,
        bad=bad,
        same_pictures=same,
        shared_persons=tuple(sorted(_persons(data.train) & (_persons(data.query) | _persons(data.gallery)))),
        single_persons=tuple(sample.person for sample in singles(data.train.samples)),
        queries_without_match=int((~has_match(data)).sum()),
        notes=(*data.notes, *_unsplit(dataset, data)),
    )


def _unsplit(dataset: DataSet, data: ReIDData) -> tuple[str, ...]:
    """That there is nothing to test on: an own folder or table looks like a target and is none until somebody says so."""
    if data.query.samples or data.gallery.samples:
        return ()
    how = "; by the option labels.role=test all are for the test" if hasattr(dataset, "labels") else ""
    return (f"no split: all images are for training{how}",)


def _persons(split: Split) -> set[int]:
    return {sample.person for sample in split.samples if sample.person != DISTRACTOR}


def _counted(name: str, split: Split, expected: Expected | None) -> SplitReport:
    cameras = Counter(sample.camera for sample in split.samples if sample.camera != NO_CAMERA)
    return SplitReport(name, len(split), len(_persons(split)), len(cameras), dict(sorted(cameras.items())), expected)


def _decoded(
    data: ReIDData, workers: int, progress: Callable[[int, int], None] | None
) -> tuple[tuple[BadImage, ...], tuple[tuple[str, str], ...]]:
    """The bad images, and the pairs of equal pictures in training and test."""
    done, count = 0, len(data.train) + len(data.query) + len(data.gallery)

    def tell(more: int) -> None:
        """Images done since the last call."""
        nonlocal done
        done += more
        if progress is not None:
            progress(done, count)

    bad: dict[BadImage, None] = {}
    training: dict[bytes, str] = {}
    for found in examine(data.train.samples, workers=workers, progress=tell):
        if found.bad is not None:
            bad[found.bad] = None
        else:
            training.setdefault(found.digest, found.sample.image.name)
    same: dict[str, str] = {}
    for split in (data.query, data.gallery):
        for found in examine(split.samples, workers=workers, progress=tell):
            if found.bad is not None:
                bad[found.bad] = None
            elif found.digest in training:
                same[found.sample.image.name] = training[found.digest]
    return tuple(bad), tuple((train, test) for test, train in same.items())


def _line(split: SplitReport) -> str:
    images = persons = "-"
    if split.expected is not None:
        images = f"{split.expected.images:,}"
        persons = "-" if split.expected.persons is None else f"{split.expected.persons:,}"
    cameras = str(split.cameras) if split.cameras else "unknown"
    return f"{split.split:<10}{split.images:>9,}{images:>10}{split.persons:>9,}{persons:>10}{cameras:>9}"


def _folded(text: str) -> list[str]:
    """The text in lines of ``_WIDTH``, the second and later ones indented; a word that needs more is broken at its slashes."""
    if len(text) <= _WIDTH:
        return [text]  # a row of the table keeps its blanks
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
