"""What has to hold for the name and the labels of any data set, with errors in the user's words. Every reader of this
package ends in ``validated``.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from snreid.errors import DataError
from snreid.records import DISTRACTOR, NO_CAMERA, ReIDData, Sample, Split

_SHOWN = 5
_LONGEST_NAME = 150
"""Bytes. File systems allow 255 for a whole name; endings, process ids and the recipe's name come to it."""


def validated(data: ReIDData) -> ReIDData:
    """``data`` itself, or with a note on queries without a match. Raises ``DataError`` for a name that no file can
    have, a duplicate path, a person with one training image, a train and test split that share images or persons, or a
    test split without any valid query.
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
    """Why ``name`` cannot be part of the names of files and folders, or ""."""
    if not name.strip():
        return "it has no letter"
    if name.startswith("."):
        return "it begins with a dot"
    if strange := [c for c in name if c in "/\\" or ord(c) < 32]:
        return f"it holds {strange[0]!r}"
    size = len(name.encode("utf-8", "surrogateescape"))
    return f"it has {size} bytes, more than {_LONGEST_NAME}" if size > _LONGEST_NAME else ""


def require_name(name: str) -> None:
    """Raise ``DataError`` when a data set's name cannot be part of a file's name, as it has to be once it is scored."""
    if problem := unfit_name(name):
        raise DataError(
            "the name of a data set becomes part of the names of files",
            found=f"{name!r}: {problem}",
            fix="rename its folder or table, give its full path, or give it a name of its own: name=shop",
        )


def require_unique(split: Split, *, where: str) -> None:
    """Raise ``DataError`` when an image is in the split twice."""
    twice = [name for name, count in Counter(sample.image.name for sample in split.samples).items() if count > 1]
    if twice:
        raise DataError(
            f"an image is in a split once ({where})",
            found=f"{len(twice)} twice or more: {shown(twice)}",
            fix="remove the repeated lines or files",
        )


def require_cameras(split: Split, *, has_cameras: bool, where: str) -> None:
    """Raise ``DataError`` unless every sample has a camera >= 1, or none has one in the "no cameras" mode."""
    wrong = [s.image.name for s in split.samples if (s.camera < 1 if has_cameras else s.camera != NO_CAMERA)]
    if wrong:
        raise DataError(
            f"cameras are numbered from 1, for all images or for none ({where})",
            found=f"{len(wrong)} images without a right camera: {shown(wrong)}",
            fix="correct these cameras, or leave cameras out for all images",
        )


def require_apart(data: ReIDData) -> None:
    """Raise ``DataError`` when an image is both in the training split and in the query or gallery."""
    training = {sample.image.name for sample in data.train.samples}
    shared = sorted({s.image.name for s in (*data.query.samples, *data.gallery.samples)} & training)
    if shared:
        raise DataError(
            f"an image is either for training or for the test ({data.name})",
            found=f"{len(shared)} in both: {shown(shared)}",
            fix="put each image into one of the two",
        )


def require_strangers(data: ReIDData) -> None:
    """Raise ``DataError`` when a person of the training split is asked for or answers in the test: it would be scored on
    whom it was trained on. Distractors and junk are nobody.
    """
    training = {sample.person: sample for sample in reversed(data.train.samples) if sample.person > 0}
    met = {s.person: s for s in (*data.gallery.samples[::-1], *data.query.samples[::-1]) if s.person in training}
    if met:
        pairs = [f"{training[person].image.name} = {met[person].image.name}" for person in sorted(met)]
        raise DataError(
            f"a person is either in training or in the test ({data.name})",
            found=f"{len(pairs)} persons in both: {shown(pairs)}",
            fix="put all images of a person into one of the two; different people need different labels",
        )


def require_pairs(split: Split, *, where: str) -> None:
    """Raise ``DataError`` when a training person has one image only: there is no other image to pull it towards."""
    single = singles(split.samples)
    if single:
        raise DataError(
            f"every person in training has at least 2 images ({where})",
            found=f"{len(single)} with one image: {shown([f'person {s.person} ({s.image.name})' for s in single])}",
            fix="add images of them, remove them, or drop them by labels.singles=drop where the data set is your own table "
            "or folder tree (in Python Labels(singles='drop'))",
        )


def singles(samples: Iterable[Sample]) -> tuple[Sample, ...]:
    """The samples whose person has no other sample, in their order."""
    groups: defaultdict[int, list[Sample]] = defaultdict(list)
    for sample in samples:
        groups[sample.person].append(sample)
    return tuple(group[0] for group in groups.values() if len(group) == 1)


def drop_singles(split: Split) -> tuple[Split, int]:
    """The split without persons of one image, and how many there were. For use once bad images are left out."""
    single = {sample.person for sample in singles(split.samples)}
    return Split(tuple(sample for sample in split.samples if sample.person not in single)), len(single)


def has_match(data: ReIDData) -> NDArray[np.bool_]:
    """(queries,) whether the gallery holds the query's person on another camera, or in the "no cameras" mode under
    another name. A distractor matches nobody (method.md 6).
    """
    places: defaultdict[int, set[int | str]] = defaultdict(set)
    for sample in data.gallery.samples:
        places[sample.person].add(_place(sample, data.has_cameras))
    return np.array(
        [s.person != DISTRACTOR and bool(places[s.person] - {_place(s, data.has_cameras)}) for s in data.query.samples],
        dtype=np.bool_,
    )


def require_queries(data: ReIDData) -> int:
    """How many queries have no match. Raises ``DataError`` when none has one, or when there is a query split but no
    gallery.
    """
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
    seen = f" on {cameras} camera{'s' if cameras > 1 else ''}" if data.has_cameras else ""
    raise DataError(
        f"{rule} ({data.name})",
        found=f"none of {len(data.query)} queries has one among {len(data.gallery)} gallery images{seen}",
        fix="check how persons and cameras are read from the names, or leave cameras out if they are not known (own tables and folder "
        "trees: labels.cameras=false)",
    )


def shown(names: list[str]) -> str:
    """The first few of many names, for a message."""
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")


def _place(sample: Sample, has_cameras: bool) -> int | str:
    return sample.camera if has_cameras else sample.image.name
