"""Turn labels as people write them into the numbers and splits of a protocol; shared by ``FolderTree`` and ``Table``.

Numbers. If every person label is a positive whole number, the numbers are kept; otherwise persons are numbered from 1 in sorted order over
the whole data set, and a note says so. The same holds for cameras. No number has a special meaning: person 0 is a person like any other.
Distractors and junk in the sense of Market-1501 are named by ``distractors`` and ``junk``.

Splits. The label ``train``, ``query``, ``gallery`` or ``test`` assigns an image to a split (``records.py: SPLIT_WORDS`` has more words for
them; ``val`` is training, as in the published counts of MSMT17); without such labels, ``role`` does so for all images. Images for ``test``
are split by rule: all of them are in the gallery, and the queries are the first image (in the order of the paths) of every person on every
camera, or of every person if cameras are not known (``records.py: first_images``). ``queries="all"`` makes every image a query. A query is
never compared with itself: images of its own camera are ignored, or, without cameras, the entry of its own name. Only persons with a match
(on another camera, or in another image) become queries.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal
from unicodedata import normalize

from snreid.datasets._rules import drop_singles, shown, validated
from snreid.errors import DataError, ExperimentError
from snreid.images.reading import FileImage
from snreid.records import (
    DISTRACTOR,
    NO_CAMERA,
    NO_TRACK,
    SPLIT_WORDS,
    ReIDData,
    Sample,
    Split,
    first_images,
    is_missing,
)

_NUMBER = re.compile(r"0*[1-9][0-9]{0,8}")
_DECIMAL = re.compile(r"[+-]?[0-9]*\.[0-9]+|[+-]?[0-9]+\.")


@dataclass(frozen=True, slots=True)
class LabelRow:
    """One image with its labels as written."""

    path: str
    """The image file."""
    person: str
    camera: str | None
    split: str | None
    where: str
    """Where the labels come from, for messages: a path, or a table and its line."""
    track: str | None = None
    """Of the person on the camera, in the split; None where tracks are not known."""


@dataclass(frozen=True, kw_only=True)
class Labels:
    """The meaning of labels."""

    role: Literal["train", "test"] = "train"
    """What all images are for if there are no split labels."""
    queries: Literal["first", "all"] = "first"
    """Which images of a test split are queries: the first of each person and camera, or all."""
    cameras: bool = True
    """False: ignore the cameras."""
    singles: Literal["refuse", "drop"] = "refuse"
    """What to do with training persons that have only one image."""
    distractors: tuple[str, ...] = ()
    """Person labels of gallery images that match nobody."""
    junk: tuple[str, ...] = ()
    """Person labels of images that are dropped."""

    def __post_init__(self) -> None:
        for field, value, words in (
            ("role", self.role, ("train", "test")),
            ("queries", self.queries, ("first", "all")),
            ("singles", self.singles, ("refuse", "drop")),
        ):
            if value not in words:
                raise ExperimentError(
                    f"labels.{field} is one of {', '.join(words)}",
                    found=repr(value),
                    fix=f"give labels.{field}={words[0]}",
                )

    def assemble(self, rows: Sequence[LabelRow], *, name: str, notes: Iterable[str] = ()) -> ReIDData:
        """Make a data set of rows, one for each image, in the order of their paths; ``notes`` are remarks to begin with.

        Raises ``DataError`` if labels are missing, ambiguous or contradictory, or if ``validated`` refuses the data set.
        """
        remarks = list(notes)
        ordered = [_composed(row) for row in sorted(rows, key=lambda row: row.path)]
        kept = [row for row in ordered if row.person not in self.junk]
        if len(kept) < len(ordered):
            remarks.append(f"{len(ordered) - len(kept)} junk images dropped (persons {', '.join(self.junk)})")
        if not kept:
            raise DataError(f"A data set holds images ({name})", found="none", fix="check the folder, pattern or table")
        has_cameras = self._has_cameras(kept)
        _require_consistent(kept)
        persons = _numbers([row for row in kept if row.person not in self.distractors], "person", remarks)
        persons |= dict.fromkeys(self.distractors, DISTRACTOR)
        cameras = _numbers(kept, "camera", remarks) if has_cameras else {}
        splits: defaultdict[str, list[Sample]] = defaultdict(list)
        for row, track in zip(kept, track_numbers(kept), strict=True):
            camera = cameras[row.camera] if has_cameras and row.camera is not None else NO_CAMERA
            splits[split_word(row) or self.role].append(Sample(FileImage(row.path), persons[row.person], camera, track))
        self._refuse_mixture(kept, splits, name)
        train = Split(tuple(splits["train"]))
        if self.singles == "drop":
            train, dropped = drop_singles(train)
            remarks += [f"train: {dropped} persons with one image dropped"] if dropped else []
        query, gallery = splits["query"], splits["gallery"]
        if splits["test"]:
            query, gallery = self._queries(splits["test"]), splits["test"]
        return validated(
            ReIDData(name, train, Split(tuple(query)), Split(tuple(gallery)), has_cameras, notes=tuple(remarks))
        )

    def _has_cameras(self, rows: list[LabelRow]) -> bool:
        without = [row.where for row in rows if is_missing(row.camera)]
        if not self.cameras or len(without) == len(rows):
            return False
        if without:
            raise DataError(
                "Cameras are given for all images or for none",
                found=f"{len(without)} of {len(rows)} images without: {shown(without)}",
                fix="fill in these cameras, or ignore all of them by labels.cameras=false (in Python Labels(cameras=False))",
            )
        return True

    def _refuse_mixture(self, rows: list[LabelRow], splits: dict[str, list[Sample]], name: str) -> None:
        unassigned = [row.where for row in rows if row.split is None]
        if 0 < len(unassigned) < len(rows):
            raise DataError(
                f"A split is given for all images or for none ({name})",
                found=f"{len(unassigned)} of {len(rows)} images without: {shown(unassigned)}",
                fix="fill in these splits, or leave out all of them and give labels.role=test (in Python Labels(role='test'))",
            )
        if splits["test"] and (splits["query"] or splits["gallery"]):
            raise DataError(
                f"Test images are either marked test or marked query and gallery ({name})",
                found=f"{len(splits['test'])} test, {len(splits['query'])} query, {len(splits['gallery'])} gallery",
                fix="use one of the two ways",
            )
        wrong = [s.image.name for s in (*splits["train"], *splits["query"]) if s.person == DISTRACTOR]
        if wrong:
            raise DataError(
                f"Distractors belong into the gallery ({name})",
                found=f"{len(wrong)} in train or query: {shown(wrong)}",
                fix="mark them gallery or junk",
            )

    def _queries(self, test: list[Sample]) -> list[Sample]:
        persons = Split(tuple(sample for sample in test if sample.person != DISTRACTOR))
        chosen = first_images(persons.persons, persons.cameras, every=self.queries == "all")
        return [persons.samples[place] for place in chosen or range(len(persons))]  # without any, `validated` raises


def split_word(row: LabelRow) -> str:
    """``train``, ``query``, ``gallery`` or ``test``; "" for a row without a split. Raises ``DataError`` for another word."""
    word = "" if row.split is None else SPLIT_WORDS.get(row.split.strip().lower())
    if word is None:
        raise DataError(
            f"A split is one of {', '.join(sorted(SPLIT_WORDS))}",
            found=f"{row.split!r} in {row.where}",
            fix="rename the split, or leave the split out and give labels.role=test (in Python Labels(role='test'))",
        )
    return word


def track_numbers(rows: Sequence[LabelRow]) -> list[int]:
    """A number from 1 for the track of each row, in the order of their first rows; ``NO_TRACK`` where none is known."""
    numbers: dict[tuple[str | None, ...], int] = {}
    keys = [(row.split, row.person, row.camera, row.track) for row in rows]
    return [NO_TRACK if key[-1] is None else numbers.setdefault(key, len(numbers) + 1) for key in keys]


def shared_tracks(rows: Iterable[LabelRow], source: str) -> str:
    """A note if the ``source`` of the person labels (a pattern, the name of a column) speaks of tracks, which restart on every camera, and
    labels occur on several cameras; else ""."""
    if "track" not in source.lower():
        return ""
    cameras: defaultdict[str, set[str | None]] = defaultdict(set)
    for row in rows:
        cameras[row.person].add(row.camera)
    shared = sorted(person for person, places in cameras.items() if len(places) > 1)
    if not shared:
        return ""
    return (
        f"{len(shared)} of {len(cameras)} persons of {source!r} are on several cameras ({shown(shared)}): are they tracks, "
        "which are other people on every camera"
    )


def _composed(row: LabelRow) -> LabelRow:
    """The row with its labels in one Unicode form: macOS writes an accent as a character of its own, other systems do not."""
    texts = {"person": row.person, "camera": row.camera, "split": row.split, "track": row.track}
    return replace(row, **{name: normalize("NFC", text) for name, text in texts.items() if text is not None})


def _require_consistent(rows: list[LabelRow]) -> None:
    """Raise ``DataError`` if an image is listed twice with different labels, or twice in one split."""
    first: dict[str, LabelRow] = {}
    for row in rows:
        before = first.setdefault(row.path, row)
        if before is row:
            continue
        if (before.person, before.camera) == (row.person, row.camera) and before.split != row.split:
            continue  # both a query and in the gallery; `validated` refuses train and test together
        raise DataError(
            "An image is listed once in a split, always as the same person on the same camera",
            found=f"{row.path} in {before.where} and in {row.where}",
            fix="remove one of the two",
        )


def _numbers(rows: list[LabelRow], kind: Literal["person", "camera"], notes: list[str]) -> dict[str, int]:
    """A number from 1 for every label of these rows; adds a note if the labels are not numbers."""
    labels: dict[str, str] = {}
    for row in rows:
        label = row.person if kind == "person" else row.camera
        if label is None or is_missing(label) or _DECIMAL.fullmatch(label):
            raise DataError(
                f"A {kind} is a whole number or a name",
                found=f"{label!r} in {row.where}",
                fix=f"write 7 instead of 7.0, and give every image a {kind}",
            )
        labels.setdefault(label, row.where)
    if all(_NUMBER.fullmatch(label) for label in labels):
        numbers = {label: int(label) for label in sorted(labels)}
        spelt: dict[int, str] = {}
        for label, number in numbers.items():
            other = spelt.setdefault(number, label)
            if other != label:
                raise DataError(
                    f"A {kind} is spelt in one way",
                    found=f"{other!r} in {labels[other]} and {label!r} in {labels[label]}",
                    fix="use one spelling, with or without leading zeros",
                )
        return numbers
    ordered = sorted(labels, key=_sort_key)
    examples = shown([f"{label} is {number}" for number, label in enumerate(ordered, 1)])
    notes.append(f"{kind}s are not all whole numbers from 1, so they are numbered in sorted order: {examples}")
    return {label: number for number, label in enumerate(ordered, 1)}


def _sort_key(label: str) -> tuple[int, int, str]:
    whole = re.fullmatch(r"-?[0-9]{1,18}", label)
    return (0, int(label), label) if whole else (1, 0, label)
