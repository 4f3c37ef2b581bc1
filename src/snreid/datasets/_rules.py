"""The rules for the name and the labels of any data set; every reader ends in ``validated``. Also texts that reports share."""

import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from snreid.errors import DataError
from snreid.records import NO_CAMERA, ReIDData, Sample, Split

_SHOWN, _LISTED = 5, 10
_LONGEST_NAME = 150
"""Bytes. File systems allow 255 for a whole name, which also holds suffixes, a draft's random part and the recipe's name."""


def validated(data: ReIDData) -> ReIDData:
    """Check a data set.

    Returns:
        ``data``, with a note if some queries have no match.

    Raises:
        DataError: For a name that no file can have, a duplicate path, a person with one training image, images or persons that are both
            in training and in the test, or a test split without any valid query.
    """
    require_name(data.name)
    for name, split in (("train", data.train), ("query", data.query), ("gallery", data.gallery)):
        require_unique(split, where=f"{data.name}, {name} split")
        require_cameras(split, has_cameras=data.has_cameras, where=f"{data.name}, {name} split")
    require_apart(data)
    require_strangers(data)
    require_pairs(data.train, where=data.name)
    missed = require_queries(data)
    if not missed:
        return data
    note = (
        f"{missed} of {len(data.query)} queries have no match in the gallery; they are counted, and left out of means"
    )
    return replace(data, notes=(*data.notes, note))


def unfit_name(name: str) -> str:
    """Why ``name`` cannot be part of a file name, or ""."""
    if not name.strip():
        return "it has no letter"
    if name.startswith("."):
        return "it begins with a dot"
    if strange := [c for c in name if c in "/\\" or unicodedata.category(c) == "Cc"]:
        return f"it holds {strange[0]!r}"
    size = len(name.encode("utf-8", "surrogateescape"))
    return f"it has {size} bytes, more than {_LONGEST_NAME}" if size > _LONGEST_NAME else ""


def require_name(name: str) -> None:
    """Raise ``DataError`` if a data set's name cannot be part of the names of its result files."""
    if problem := unfit_name(name):
        raise DataError(
            "The name of a data set becomes part of the names of files",
            found=f"{name!r}: {problem}",
            fix="rename its folder or table, give its full path, or give it a name of its own: name=shop",
        )


def require_unique(split: Split, *, where: str) -> None:
    """Raise ``DataError`` if an image is in the split twice."""
    twice = [name for name, count in Counter(sample.image.name for sample in split.samples).items() if count > 1]
    if twice:
        raise DataError(
            f"An image is in a split once ({where})",
            found=f"{len(twice)} twice or more: {shown(twice)}",
            fix="remove the repeated lines or files",
        )


def require_cameras(split: Split, *, has_cameras: bool, where: str) -> None:
    """Raise ``DataError`` unless every sample has a camera >= 1, or, without ``has_cameras``, none has one."""
    wrong = [s.image.name for s in split.samples if (s.camera < 1 if has_cameras else s.camera != NO_CAMERA)]
    if wrong:
        raise DataError(
            f"Cameras are numbered from 1, for all images or for none ({where})",
            found=f"{len(wrong)} images without a right camera: {shown(wrong)}",
            fix="correct these cameras, or leave cameras out for all images",
        )


def require_apart(data: ReIDData) -> None:
    """Raise ``DataError`` if an image is both in the training split and in the query or gallery split."""
    training = {sample.image.name for sample in data.train.samples}
    shared = sorted({s.image.name for s in (*data.query.samples, *data.gallery.samples)} & training)
    if shared:
        raise DataError(
            f"An image is either for training or for the test ({data.name})",
            found=f"{len(shared)} in both: {shown(shared)}",
            fix="put each image into one of the two",
        )


def require_strangers(data: ReIDData) -> None:
    """Raise ``DataError`` if a person of the training split is also in the query or gallery split: the model would be scored on people
    it was trained on. Distractors and junk do not count as persons.
    """
    training = {sample.person: sample for sample in reversed(data.train.samples) if sample.person > 0}
    met = {s.person: s for s in (*data.gallery.samples[::-1], *data.query.samples[::-1]) if s.person in training}
    if met:
        pairs = [f"{training[person].image.name} = {met[person].image.name}" for person in sorted(met)]
        raise DataError(
            f"A person is either in training or in the test ({data.name})",
            found=f"{len(pairs)} persons in both: {shown(pairs)}",
            fix="put all images of a person into one of the two; different people need different labels",
        )


def require_pairs(split: Split, *, where: str) -> None:
    """Raise ``DataError`` if a training person has only one image, and so no positive pair."""
    single = singles(split.samples)
    if single:
        raise DataError(
            f"Every person in training has at least 2 images ({where})",
            found=f"{len(single)} with one image: {shown([f'person {s.person} ({s.image.name})' for s in single])}",
            fix="add images of them, remove them, or drop them by labels.singles=drop where the data set is your own table "
            "or folder tree (in Python Labels(singles='drop'))",
        )


def singles(samples: Iterable[Sample]) -> tuple[Sample, ...]:
    """The samples whose person has no other sample, in order."""
    groups: defaultdict[int, list[Sample]] = defaultdict(list)
    for sample in samples:
        groups[sample.person].append(sample)
    return tuple(group[0] for group in groups.values() if len(group) == 1)


def drop_singles(split: Split) -> tuple[Split, int]:
    """The split without persons with one image, who may remain when bad images are left out, and the number of these persons."""
    single = {sample.person for sample in singles(split.samples)}
    return Split(tuple(sample for sample in split.samples if sample.person not in single)), len(single)


def has_match(data: ReIDData) -> NDArray[np.bool_]:
    """(queries,) whether each query has a match in the gallery: its person on another camera, or, without cameras, under another name."""
    places: defaultdict[int, set[int | str]] = defaultdict(set)
    for sample in data.gallery.samples:
        places[sample.person].add(_place(sample, data.has_cameras))
    return np.array(
        [bool(places[s.person] - {_place(s, data.has_cameras)}) for s in data.query.samples],
        dtype=np.bool_,
    )


def require_queries(data: ReIDData) -> int:
    """The number of queries without a match. Raises ``DataError`` if all queries are without one, or there are queries but no gallery."""
    if not data.query.samples and not data.gallery.samples:
        return 0
    matched = has_match(data)
    if matched.any():
        return int((~matched).sum())
    rule = (
        "a query needs an image of the same person on another camera in the gallery, because images of the query's own "
        "camera are ignored"
        if data.has_cameras
        else "a query needs another image of the same person in the gallery"
    )
    cameras = len({s.camera for s in (*data.query.samples, *data.gallery.samples)})
    seen = (
        f" on {cameras} cameras, each queried person on one of them only, as a {{track}} is"
        if cameras > 1
        else " on 1 camera"
    )
    if not {s.person for s in data.query.samples} & {s.person for s in data.gallery.samples}:
        seen = ": no person of a query is in the gallery"
    elif not data.has_cameras:
        seen = ""
    raise DataError(
        f"{rule} ({data.name})",
        found=f"none of {len(data.query)} queries has one among {len(data.gallery)} gallery images{seen}",
        fix="check how persons and cameras are read from the names, or leave cameras out: DIR:cameras=false for a folder in "
        "Market-1501's format, labels.cameras=false for a table or a folder tree",
    )


def shown(names: list[str]) -> str:
    """The first few of many names, for a message."""
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")


def differences(counts: Iterable[tuple[str, int, int | None]]) -> str:
    """How (word, count, published count) differ, in words, or ""; None: not published."""
    return ", ".join(
        f"{abs(published - count):,} {word} {'missing' if count < published else 'too many'}"
        for word, count, published in counts
        if published is not None and count != published
    )


def listed_lines(what: str, names: Sequence[str]) -> list[str]:
    """The number of names and the first ten of them, as lines of a report; none if there are no names."""
    if not names:
        return []
    more = len(names) - _LISTED
    last = [f"  and {more:,} more: --json lists all"] if more > 0 else []
    return [f"{len(names):,} {what}:", *(f"  {name}" for name in names[:_LISTED]), *last]


def _place(sample: Sample, has_cameras: bool) -> int | str:
    return sample.camera if has_cameras else sample.image.name
