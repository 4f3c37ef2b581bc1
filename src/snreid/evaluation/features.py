"""Embeddings with labels: consistency checks, and the ``.npz`` file for embeddings from any source.

A features file holds these arrays, written by ``write_features`` or by ``numpy.savez``; nothing in it is ever unpickled:

============================================ ==================== =====================================================
``query``, ``gallery``                       (N, D) float16/32/64 embeddings, need not be normalized
``query_person``, ``gallery_person``         (N,) integers        >= 0 a person, -1 junk
``query_camera``, ``gallery_camera``         (N,) integers        both or neither; -1 means unknown; neither: no cameras
``query_name``, ``gallery_name``             (N,) text            optional; an entry with the query's name is ignored
============================================ ==================== =====================================================

float16 stays float16 in memory (``--half`` of ``snreid extract``, ``half=True`` of ``write_features``): half the file and half the
memory. It is evaluated exactly as the float32 numbers it represents, converted block by block.
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snreid.errors import DataError
from snreid.evaluation.exact.similarity import LONGEST, SHORTEST, quick_squared_lengths
from snreid.records import JUNK, NO_CAMERA, Features
from snreid.system.archives import check_arrays
from snreid.system.atomic_files import atomic_write

_SIDES = ("query", "gallery")
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
            "query and gallery embeddings have the same dimension",
            found=f"query {dimensions[0]}, gallery {dimensions[1]}",
            fix="extract both with the same model",
        )


def check_features(features: Features, side: str) -> None:
    """Raise ``DataError`` unless shapes, types and label ranges are right; ``side`` (``"query"``, ...) appears in the message."""
    embeddings = features.embeddings
    if embeddings.ndim != 2 or 0 in embeddings.shape:
        raise DataError(
            f"{side} embeddings are a table with one row per image, (N, D), N and D at least 1",
            found=f"shape {embeddings.shape}",
            fix=f"give one row per {side} image" if embeddings.size else f"add {side} images",
        )
    if embeddings.dtype not in (np.float32, np.float16):
        raise DataError(
            f"{side} embeddings are float32 or float16",
            found=str(embeddings.dtype),
            fix="convert them with .astype(numpy.float32)",
        )
    for labels, what, lowest in ((features.persons, "person", JUNK), (features.cameras, "camera", NO_CAMERA)):
        _check_labels(labels, len(embeddings), f"{side} {what}", lowest)
    if len(features.names) not in (0, len(embeddings)):
        raise DataError(
            f"every {side} image has a name, or none has",
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
            f"every number of a {side} embedding is finite",
            found=f"{values[column]} in row {position}{name}, column {column}",
            fix="look at the model that made it (a diverged training, an overflow in half precision) and extract again",
        )
    raise DataError(
        f"the length of a {side} embedding lies between {SHORTEST:g} and {LONGEST:g}, or is 0",
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
            f"the {what} ids are {count} integers, one per embedding",
            found=f"{labels.dtype} array of shape {labels.shape}",
            fix="give one integer per row",
        )
    if labels.min() < lowest:
        raise DataError(
            f"{what} ids are {lowest} or above",
            found=str(labels.min()),
            fix="number them from 0 (-1 marks a junk image, or an unknown camera)",
        )


def read_features(path: Path) -> tuple[Features, Features]:
    """Query and gallery features from an ``.npz`` file (arrays: top of this module).

    Embeddings are returned as float32 (float64 is rounded) or as float16 if the file has it, labels as int64. Raises ``DataError``
    with the file's name whenever the file is unusable: missing, truncated, no ``.npz``, missing or unknown arrays, wrong shapes or
    types, pickled objects, values that are not finite.
    """
    path = Path(path)
    arrays = _load(path)
    try:
        query, gallery = (_features(arrays, side) for side in _SIDES)
        check_values(query, gallery)
    except DataError as error:
        raise DataError(error.rule, found=f"in {path}: {error.found}", fix=error.fix) from error
    return query, gallery


def write_features(path: Path, query: Features, gallery: Features, *, half: bool = False) -> None:
    """Write an ``.npz`` file that ``read_features`` reads back unchanged, completely or not at all.

    Cameras are left out if none is known, names if there are none. ``half``: store the embeddings in float16. Raises
    ``DataError`` as ``read_features`` and ``in_half`` do.
    """
    path = Path(path)
    check_pair(query, gallery)
    with_cameras = any((features.cameras != NO_CAMERA).any() for features in (query, gallery))
    arrays: dict[str, Any] = {}
    for features, side in ((query, "query"), (gallery, "gallery")):
        embeddings = in_half(features.embeddings, side) if half else features.embeddings
        arrays |= {side: embeddings, f"{side}_person": features.persons}
        if with_cameras:
            arrays[f"{side}_camera"] = features.cameras
        if query.names and gallery.names:
            arrays[f"{side}_name"] = np.array(features.names)
    with atomic_write(path) as draft, draft.open("wb") as file:
        np.savez(file, **arrays)


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
                f"in half precision the numbers of a {side} embedding reach up to {_LARGEST:g}, and not all of them are below 3e-8",
                found=f"{np.abs(part[row]).max():g} as the largest in row {start + row}",
                fix="divide every embedding by its length (cosine does not see the difference) or keep float32",
            )
    return half


def remarks(query: Features) -> tuple[str, ...]:
    """Sentences for the user about labels that are allowed but often a mistake."""
    junk = int((query.persons == JUNK).sum())
    return (
        (f"{junk} of {len(query.persons)} queries are junk (person -1), which matches nobody: they are skipped.",)
        if junk
        else ()
    )


def _load(path: Path) -> dict[str, NDArray[np.generic]]:
    """All known arrays of the file."""
    if not path.is_file():
        raise DataError("a features file exists", found=str(path), fix="check the path")
    try:
        with path.open("rb") as stream:  # numpy leaves a file open if it cannot read it.
            # For any other file numpy's message suggests unsafe loading.
            if not stream.read(6).startswith((b"PK", b"\x93NUMPY")):
                raise DataError(
                    "a features file is an .npz with several named arrays",
                    found=f"{path} is no .npz file",
                    fix="write it with numpy.savez; the arrays are listed in snreid evaluate --help",
                )
            stream.seek(0)
            file = np.load(stream, allow_pickle=False)
            if not isinstance(file, np.lib.npyio.NpzFile):
                raise DataError(
                    "a features file is an .npz with several named arrays",
                    found=f"a single array in {path}",
                    fix="write it with numpy.savez",
                )
            with file:
                check_arrays(stream, file.files)
                return _named(file, path)
    except DataError:
        raise
    except Exception as error:  # A damaged file makes zipfile, zlib and numpy raise a dozen different types.
        raise DataError(
            "a features file is an .npz of plain arrays, without Python objects in it",
            found=f"{path}: {type(error).__name__}: {error}",
            fix="write it with numpy.savez from numeric and text arrays; if it was copied, copy it again",
        ) from error


def _named(file: np.lib.npyio.NpzFile, path: Path) -> dict[str, NDArray[np.generic]]:
    """Known arrays of an open file; ``DataError`` for names that are missing, unpaired or nearly right."""
    labels = {f"{side}_{what}" for side in _SIDES for what in ("person", "camera", "name")}
    names = set(file.files)
    missing = [name for name in (*_SIDES, "query_person", "gallery_person") if name not in names]
    missing += [
        name
        for what in ("camera", "name")
        for name, other in ((f"query_{what}", f"gallery_{what}"), (f"gallery_{what}", f"query_{what}"))
        if other in names and name not in names
    ]
    unknown = sorted(n for n in names - labels - set(_SIDES) if n.startswith(_SIDES))
    if missing or unknown:
        raise DataError(
            "a features file holds query, gallery, query_person, gallery_person, and for both sides or for none _camera and _name",
            found=f"{path} with {', '.join(sorted(names)) or 'no array'}",
            fix=f"add {', '.join(missing)}" if missing else f"rename or remove {', '.join(unknown)}",
        )
    return {name: file[name] for name in sorted(names & (labels | set(_SIDES)))}


def _features(arrays: dict[str, NDArray[np.generic]], side: str) -> Features:
    """The arrays of one side as features; ``check_features`` checks shapes."""
    embeddings = arrays[side]
    if embeddings.dtype.kind != "f" or embeddings.dtype.itemsize > 8:
        raise DataError(
            f"the array {side} is float16, float32 or float64",
            found=str(embeddings.dtype),
            fix="convert it with .astype(numpy.float32)",
        )
    persons = _integers(arrays[f"{side}_person"], f"{side}_person")
    camera = arrays.get(f"{side}_camera")
    cameras = np.full(persons.shape, NO_CAMERA) if camera is None else _integers(camera, f"{side}_camera")
    name = arrays.get(f"{side}_name", np.empty(0, dtype="U1"))
    if name.dtype.kind != "U" or name.ndim != 1:
        raise DataError(
            f"the array {side}_name is a list of text",
            found=f"{name.dtype} array of shape {name.shape}",
            fix="use text",
        )
    if embeddings.dtype == np.float16:
        return Features(embeddings.astype(np.float16, copy=False), persons, cameras, tuple(str(n) for n in name))
    with np.errstate(over="ignore"):  # A float64 beyond float32 becomes infinite and check_lengths names it.
        narrow = embeddings.astype(np.float32, copy=False)
    return Features(narrow, persons, cameras, tuple(str(n) for n in name))


def _integers(array: NDArray[np.generic], name: str) -> NDArray[np.int64]:
    """Labels as int64; ``DataError`` if they are not integers."""
    if array.dtype.kind not in "iu" or array.ndim != 1:
        if array.ndim != 1:
            fix = (
                "make it flat with .ravel()" if max(array.shape, default=1) == array.size else "give one number per row"
            )
        elif array.dtype.kind in "US":
            fix = "number the texts: numpy.unique(labels, return_inverse=True)[1], of query and gallery together"
        else:
            fix = "convert it with .astype(numpy.int64)"
        raise DataError(
            f"the array {name} holds one integer per row", found=f"{array.dtype} array of shape {array.shape}", fix=fix
        )
    if array.size and array.max() > np.iinfo(np.int64).max:
        raise DataError(
            f"the integers in {name} fit into 64 bits with sign", found=str(array.max()), fix="renumber them"
        )
    return array.astype(np.int64)
