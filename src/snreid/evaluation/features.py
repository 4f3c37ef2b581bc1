"""Embeddings with labels: whether they are consistent and usable."""

import numpy as np
from numpy.typing import NDArray

from snreid.errors import DataError
from snreid.evaluation.exact.similarity import LONGEST, SHORTEST, quick_squared_lengths
from snreid.records import JUNK, NO_CAMERA, Features

_LARGEST = float(np.finfo(np.float16).max)
_ROWS = 8192
"""Rows checked at once: bounds memory at any gallery size."""


def check_pair(query: Features, gallery: Features) -> None:
    """Raise ``DataError`` unless labels and embeddings of both sides are consistent (values: see ``check_lengths``)."""
    for features, side in ((query, "query"), (gallery, "gallery")):
        check_features(features, side)
    dimensions = query.embeddings.shape[1], gallery.embeddings.shape[1]
    if dimensions[0] != dimensions[1]:
        raise DataError(
            "Query and gallery embeddings have the same dimension",
            found=f"query {dimensions[0]}, gallery {dimensions[1]}",
            fix="extract both with the same model",
        )


def check_features(features: Features, side: str) -> None:
    """Raise ``DataError`` unless shapes, types and label ranges are right; ``side`` (``"query"``, ...) appears in the message."""
    embeddings = features.embeddings
    if embeddings.ndim != 2 or 0 in embeddings.shape:
        raise DataError(
            f"The {side} embeddings are a table with one row per image, (N, D), N and D at least 1",
            found=f"shape {embeddings.shape}",
            fix=f"give one row per {side} image" if embeddings.size else f"add {side} images",
        )
    if embeddings.dtype not in (np.float32, np.float16):
        raise DataError(
            f"The {side} embeddings are float32 or float16",
            found=str(embeddings.dtype),
            fix="convert them with .astype(numpy.float32)",
        )
    for labels, what, lowest in ((features.persons, "person", JUNK), (features.cameras, "camera", NO_CAMERA)):
        _check_labels(labels, len(embeddings), f"{side} {what}", lowest)
    if len(features.names) not in (0, len(embeddings)):
        raise DataError(
            f"Every {side} image has a name, or none has",
            found=f"{len(features.names)} names, {len(embeddings)} embeddings",
            fix="give one name per row or leave the names out",
        )


def check_lengths(features: Features, part: slice, squared: NDArray[np.float64], side: str) -> NDArray[np.float64]:
    """Return the squared lengths (N,) of the rows in ``part``, or raise ``DataError`` naming the first unusable row."""
    with np.errstate(invalid="ignore"):
        good = (squared == 0) | ((squared >= SHORTEST**2) & (squared <= LONGEST**2))
    if good.all():
        return squared
    row = int(np.flatnonzero(~good)[0])
    position = (part.start or 0) + row
    name = f" ({features.names[position]})" if features.names else ""
    values = features.embeddings[position]
    if not np.isfinite(values).all():
        column = int(np.flatnonzero(~np.isfinite(values))[0])
        raise DataError(
            f"Every number of a {side} embedding is finite",
            found=f"{values[column]} in row {position}{name}, column {column}",
            fix="look at the model that made it (a diverged training, an overflow in half precision) and extract again",
        )
    raise DataError(
        f"The length of a {side} embedding lies between {SHORTEST:g} and {LONGEST:g}, or is 0",
        found=f"{np.sqrt(squared[row]):g} in row {position}{name}",
        fix="divide all embeddings by one number",
    )


def check_values(query: Features, gallery: Features) -> None:
    """Raise ``DataError`` unless labels and embeddings are consistent (``check_pair``) and usable (``check_lengths``)."""
    check_pair(query, gallery)
    for features, side in ((query, "query"), (gallery, "gallery")):
        for start in range(0, len(features.embeddings), _ROWS):
            part = slice(start, start + _ROWS)
            check_lengths(features, part, quick_squared_lengths(features.embeddings[part]), side)


def _check_labels(labels: NDArray[np.generic], count: int, what: str, lowest: int) -> None:
    """Raise ``DataError`` unless ``labels`` are ``count`` integers, none below ``lowest``."""
    if labels.shape != (count,) or labels.dtype.kind not in "iu":
        raise DataError(
            f"The {what} ids are {count} integers, one per embedding",
            found=f"{labels.dtype} array of shape {labels.shape}",
            fix="give one integer per row",
        )
    if labels.min() < lowest:
        raise DataError(
            f"The {what} ids are {lowest} or above",
            found=str(labels.min()),
            fix="number them from 0 (-1 marks a junk image, or an unknown camera)",
        )


def in_half(embeddings: NDArray[np.float32] | NDArray[np.float16], side: str) -> NDArray[np.float16]:
    """(N, D) rounded to float16, which has 11 significant bits: relative errors of up to 2^-11.

    Raises ``DataError`` for a number beyond float16's range, and for an embedding that rounds to zero;
    ``side`` (``"query"``, ...) appears in the message.
    """
    half = np.empty(embeddings.shape, np.float16)
    for start in range(0, len(half), _ROWS):
        part = embeddings[start : start + _ROWS]
        with np.errstate(over="ignore"):
            half[start : start + _ROWS] = part
        rounded = half[start : start + _ROWS]
        beyond = (np.isinf(rounded) & np.isfinite(part)).any(axis=1)
        gone = part.any(axis=1) & ~rounded.any(axis=1)
        bad = np.flatnonzero(beyond | gone)
        if len(bad):
            row = int(bad[0])
            raise DataError(
                f"In half precision the numbers of a {side} embedding reach up to {_LARGEST:g}, and not all of them are below 3e-8",
                found=f"{np.abs(part[row]).max():g} as the largest in row {start + row}",
                fix="divide every embedding by its length (cosine does not see the difference) or keep float32",
            )
    return half


def some(features: Features, rows: NDArray[np.int64]) -> Features:
    """These rows, without the texts of persons and cameras."""
    names = tuple(features.names[row] for row in rows) if features.names else ()
    return Features(features.embeddings[rows], features.persons[rows], features.cameras[rows], names)


def remarks(query: Features) -> tuple[str, ...]:
    """Sentences for the user about labels that are allowed but often a mistake."""
    junk = int((query.persons == JUNK).sum())
    text = f"{junk} of {len(query.persons)} queries are junk (person -1), which matches nobody: they are skipped."
    return (text,) if junk else ()
