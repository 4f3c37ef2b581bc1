"""Files of embeddings with labels, of this and of other programs.

A file is an ``.npz``, or a ``.mat`` of MATLAB up to version 7. Its arrays have one row an image and are known by these names, with or
without a plural s; ``gallery`` and ``g`` go like ``query`` and ``q``:

============ ===================================================== =========================================================
content      of query and gallery apart                            of all images together
============ ===================================================== =========================================================
embeddings   ``query``, ``query_f``, ``query_feature``, ``qf``     ``embeddings``, ``features``, ``feats``
persons      ``query_person``, ``query_label``, ``q_pids``         ``persons``, ``labels``, ``ids``, ``pids``
cameras      ``query_camera``, ``query_cam``, ``q_camids``         ``cameras``, ``cams``, ``camids``
names        ``query_name``, ``query_path``                        ``names``, ``paths``
parts                                                              ``splits`` (words of a table of images), or ``num_query``
============ ===================================================== =========================================================

Embeddings are (N, D), float16, float32 or float64, and need not be normalized. Persons and cameras are whole numbers or text; person -1 is
junk, camera -1 is unknown. Only embeddings and persons are needed. Images together, without parts, are a test set: all of them are the
gallery, and the first image of each person on each camera is a query (``records.py: first_images``).

float16 stays float16 in memory: half the file and half the memory. It is evaluated exactly as the float32 numbers it represents,
converted block by block.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from snreid.errors import DataError
from snreid.evaluation.array_file import read_arrays
from snreid.evaluation.features import check_features, check_pair, check_values, in_half
from snreid.records import JUNK, NO_CAMERA, SPLIT_WORDS, Features, first_images, is_missing
from snreid.system.atomic_files import atomic_write

MARK = "snreid_model"
"""The array of a file that says which model made it."""
_SIDES = ("query", "gallery")
_TOGETHER = ""
"""The side of arrays of all images."""
_PREFIXES = {"query": ("query_", "q_", "q"), "gallery": ("gallery_", "g_", "g"), _TOGETHER: ("",)}
_WORDS = {
    "embeddings": ("f", "feat", "feature", "embedding"),
    "person": ("person", "pid", "label", "id"),
    "camera": ("camera", "cam", "camid"),
    "name": ("name", "path", "img_path"),
}
_NAMES = {
    f"{prefix}{word}{plural}": (side, content)
    for (side, prefixes), (content, words) in product(_PREFIXES.items(), _WORDS.items())
    for prefix, word, plural in product(prefixes, words, ("", "s"))
} | {
    "query": ("query", "embeddings"),
    "gallery": ("gallery", "embeddings"),
    "split": (_TOGETHER, "split"),
    "splits": (_TOGETHER, "split"),
    "num_query": (_TOGETHER, "num_query"),
}
"""Name of an array -> its side and content."""
_WHOLE = re.compile(r"-?[0-9]{1,18}")
_Arrays = dict[str, NDArray[Any]]
"""Arrays of one side by content."""


def read_features(
    path: Path, gallery: Path | None = None, *, labels: Mapping[str, ArrayLike] | None = None
) -> tuple[Features, Features]:
    """Read query and gallery features from a file, or from a file for each.

    Args:
        path: The file, or that of the queries. The names of arrays are at the top of this module.
        gallery: The file of the gallery if it is another one; each file then holds its images together.
        labels: Arrays ``persons`` and perhaps ``cameras``, ``names`` and ``splits`` for the rows of a file without labels, which may
            then be an ``.npy`` file.

    Returns:
        Query and gallery. Embeddings are float32 (float64 is rounded), or float16 if the file has it. Persons and cameras that are text
        are numbered from 1 in sorted order; ``Features`` keeps the text.

    Raises:
        DataError: With the file's name, whenever a file is unusable: missing, truncated, of another kind, missing or misspelt arrays,
            wrong shapes or types, pickled objects, values that are not finite.

    Example:
        >>> query, gallery = read_features("mine.npz")                        # doctest: +SKIP
        >>> query, gallery = read_features("query.npz", "gallery.npz")        # doctest: +SKIP
    """
    paths = [Path(path)] if gallery is None else [Path(path), Path(gallery)]
    files = [_read(one, labels or {}, apart=gallery is None) for one in paths]
    try:
        sides = files[0] if gallery is None else _of_two(files)
        names = _number(sides)
        if _TOGETHER in sides:
            sides = _parted(sides[_TOGETHER])
        query, entries = (_features(sides[side], side, names) for side in _SIDES)
        check_values(query, entries)
    except DataError as error:
        raise DataError(
            error.rule, found=f"in {' and '.join(map(str, paths))}: {error.found}", fix=error.fix
        ) from error
    return query, entries


def read_gallery(path: Path) -> Features:
    """Read the images of a file that are searched: the gallery's, or all where images are together; labels may be missing.

    Raises ``DataError`` as ``read_features`` does. Without labels every person is ``JUNK`` and every camera ``NO_CAMERA``.
    """

    def choose(names: Sequence[str]) -> dict[str, str]:
        """Returns the arrays to read, by content."""
        known = {_NAMES[name.lower()]: name for name in reversed(names) if name.lower() in _NAMES}
        apart = "gallery" if ("gallery", "embeddings") in known else _TOGETHER
        chosen = {content: name for (side, content), name in known.items() if side == apart and content in _WORDS}
        if "embeddings" not in chosen:
            raise DataError(
                "A gallery holds embeddings, and where they are known names, persons and cameras",
                found=f"{path} with {', '.join(sorted(names)) or 'no array'}",
                fix="make one: snreid extract RUN FOLDER --out FILE.npz",
            )
        return chosen

    arrays = read_arrays(Path(path), choose)
    try:
        count = arrays["embeddings"].shape[0] if arrays["embeddings"].ndim else 0
        arrays.setdefault("person", np.full(count, JUNK))
        gallery = _features(arrays, "gallery", _number({"gallery": arrays}))
        check_features(gallery, "gallery")
    except DataError as error:
        raise DataError(error.rule, found=f"in {path}: {error.found}", fix=error.fix) from error
    return gallery


def read_mark(path: Path) -> str:
    """The text of the array ``MARK`` of a file, which says whose embeddings it holds; empty if it has none."""
    found = read_arrays(Path(path), lambda names: {MARK: MARK} if MARK in names else {}).get(MARK)
    return str(found) if found is not None and found.size == 1 and found.dtype.kind == "U" else ""


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
            arrays[f"{side}_camera"] = label_array(map(features.camera_text, features.cameras.tolist()))
        if query.names and gallery.names:
            arrays[f"{side}_name"] = np.array(features.names)
    with atomic_write(path) as draft, draft.open("wb") as file:
        np.savez(file, **arrays)


def label_array(labels: Iterable[str]) -> NDArray[Any]:
    """Labels (N,) as a file holds them: int64 if all are whole numbers, else text.

    Raises ``DataError`` if a number is spelt in two ways, such as 7 and 07.
    """
    texts = np.array([label.strip() for label in labels], dtype=np.str_)
    spelt = np.unique(texts)
    if not all(map(_WHOLE.fullmatch, spelt.tolist())):
        return texts
    numbers, counts = np.unique(spelt.astype(np.int64), return_counts=True)
    if (counts > 1).any():
        number = numbers[counts > 1][0]
        found = " and ".join(text for text in spelt.tolist() if int(text) == number)
        raise DataError("A person or camera is spelt in one way", found=found, fix="use one spelling")
    return texts.astype(np.int64)


def _read(path: Path, labels: Mapping[str, ArrayLike], *, apart: bool) -> dict[str, _Arrays]:
    """The arrays of a file by side and content. ``apart``: whether it may hold query and gallery apart."""
    sides: dict[str, _Arrays] = {}
    arrays = read_arrays(path, lambda names: _chosen(names, path, labelled=bool(labels), apart=apart))
    for (side, content), array in arrays.items():
        sides.setdefault(side, {})[content] = array
    if labels:
        given = {_NAMES.get(name, ("", ""))[1]: np.ravel(values) for name, values in labels.items()}
        if "person" not in given or not given.keys() <= {"person", "camera", "name", "split"}:
            raise DataError(
                "Labels are persons and perhaps cameras, names and splits, one for each row",
                found=", ".join(labels),
                fix="give persons, and leave out what is none of these",
            )
        _require_same_rows(sides[_TOGETHER].get("name"), given.get("name"), path)
        sides[_TOGETHER] |= given
    return sides


def _of_two(files: Sequence[Mapping[str, _Arrays]]) -> dict[str, _Arrays]:
    """Query and gallery of a file for each."""
    query, gallery = (file[_TOGETHER] for file in files)
    if ("camera" in query) != ("camera" in gallery):
        raise DataError(
            "Cameras are known of query and gallery, or of neither",
            found=f"cameras in the file of the {'queries' if 'camera' in query else 'gallery'} only",
            fix="extract both alike",
        )
    if ("name" in query) != ("name" in gallery):  # names of one side exclude nothing
        (query if "name" in query else gallery).pop("name")
    return {"query": query, "gallery": gallery}


def _require_same_rows(names: NDArray[Any] | None, given: NDArray[Any] | None, path: Path) -> None:
    """``DataError`` if a file names its rows otherwise than their labels do, as when one of the two is sorted."""
    if names is None or given is None:
        return
    pairs = enumerate(zip(names.ravel().tolist(), given.tolist(), strict=False))
    for row, (here, there) in pairs:
        if Path(str(here)).stem != Path(str(there).replace("\\", "/")).stem:
            raise DataError(
                "Labels have the rows of their file, in its order",
                found=f"row {row} of {path} is {here}, of the labels {there}",
                fix="sort the labels like the file, or extract with labels: snreid extract RUN --data TABLE.csv",
            )


def _chosen(names: Sequence[str], path: Path, *, labelled: bool, apart: bool) -> dict[tuple[str, str], str]:
    """Side and content -> name of each array to read. ``DataError`` for names that are missing, unpaired, nearly right or repeated."""
    known: dict[tuple[str, str], list[str]] = {}
    for name in names:
        if place := _NAMES.get(name.lower()):
            known.setdefault(place, []).append(name)
    whole = apart and not labelled and any(side in _SIDES for side, _ in known)
    sides = _SIDES if whole else (_TOGETHER,)
    needed = ["embeddings"] if labelled else ["embeddings", "person"]
    paired = [content for content in ("camera", "name") if any((side, content) in known for side in sides)]
    missing = [_spelt(side, content) for side in sides for content in needed + paired if (side, content) not in known]
    unknown = [name for name in names if name.startswith(_SIDES) and name.lower() not in _NAMES]
    places = {
        place: found
        for place, found in known.items()
        if place[0] in sides and (not labelled or place[1] in ("embeddings", "name"))
    }
    twice = next((found for found in places.values() if len(found) > 1), [])
    fix = ""
    if missing == ["persons"]:
        fix = "extract with --pattern or --data, or name a table of its rows too: --features FILE TABLE.csv (path, person, camera, split)"
    elif missing:
        fix = f"add {', '.join(missing)}"
    elif unknown and "camera" not in paired and whole:  # a misspelt camera would change the scores without a word
        fix = f"rename or remove {', '.join(unknown)}"
    elif twice:
        fix = f"keep one of {' and '.join(twice)}"
    if fix:
        raise DataError(
            "A features file holds query, gallery, query_person, gallery_person, and for both sides or for none _camera and _name; "
            "or embeddings, persons, cameras, names and splits of all images together",
            found=f"{path} with {', '.join(sorted(names)) or 'no array'}",
            fix=fix,
        )
    return {place: found[0] for place, found in places.items()}


def _spelt(side: str, content: str) -> str:
    """The name of an array in a file of our own."""
    if content == "embeddings":
        return side or content
    return f"{side}_{content}" if side else f"{content}s"


def _number(sides: Mapping[str, _Arrays]) -> dict[str, dict[int, str]]:
    """Makes flat int64 of persons and cameras, and flat text of names and splits. Returns what text was numbered, by content and number."""
    for side, arrays in sides.items():
        for content in ("name", "split"):
            if content in arrays:
                arrays[content] = _text(_flat(arrays[content], _spelt(side, content)), _spelt(side, content))
    texts: dict[str, dict[int, str]] = {}
    for content, none in (("person", JUNK), ("camera", NO_CAMERA)):
        having = {side: arrays for side, arrays in sides.items() if content in arrays}
        found = [_labels(arrays[content], _spelt(side, content)) for side, arrays in having.items()]
        if any(labels.dtype.kind == "U" for labels in found):
            numbers, texts[content] = _numbered(found, content, none)
            found = np.split(numbers, np.cumsum([len(labels) for labels in found])[:-1])
        for arrays, labels in zip(having.values(), found, strict=True):
            arrays[content] = labels
    return texts


def _numbered(found: Sequence[NDArray[Any]], content: str, none: int) -> tuple[NDArray[np.int64], dict[int, str]]:
    """Texts of both sides as numbers, those that they are or else from 1 in sorted order; and the texts of the latter."""
    if any(labels.dtype.kind != "U" for labels in found):
        raise DataError(
            f"The {content}s of query and gallery are both whole numbers or both text",
            found=" and ".join(str(labels[0]) for labels in found if len(labels)),
            fix="write them alike, for example all as text",
        )
    texts = np.concatenate(found).tolist()
    if (row := next((row for row, text in enumerate(texts) if is_missing(text)), None)) is not None:
        raise DataError(
            f"A {content} that is text is a name",  # else those without one would all be the same
            found=f"{texts[row]!r} in row {row}",
            fix=f"give every row its {content}, or write {none} where it is {'junk' if content == 'person' else 'unknown'}",
        )
    labels = label_array(texts)
    if labels.dtype.kind != "U":
        return labels, {}
    known = np.unique(labels[labels != str(none)])
    numbers = np.where(labels == str(none), none, np.searchsorted(known, labels) + 1)
    return numbers.astype(np.int64), dict(enumerate(known.tolist(), 1))


def _labels(array: NDArray[Any], name: str) -> NDArray[Any]:
    """Labels as flat int64, or as flat text."""
    flat = _flat(array, name)
    if flat.dtype.kind in "SU":
        return _text(flat, name)
    whole = np.full(flat.shape, flat.dtype.kind in "iu")
    if flat.dtype.kind == "f":
        whole = (flat == np.floor(flat)) & (np.abs(flat) < 2**53)
    if not whole.all():
        raise DataError(
            f"The array {name} holds a whole number or a text for each row",
            found=f"{flat[~whole][0]} in an array of {flat.dtype}",
            fix="correct it, or write text",
        )
    if flat.size and flat.max() > np.iinfo(np.int64).max:
        raise DataError(
            f"The integers in {name} fit into 64 bits with sign", found=str(flat.max()), fix="renumber them"
        )
    return flat.astype(np.int64)


def _text(flat: NDArray[Any], name: str) -> NDArray[Any]:
    """Texts, also where a program wrote bytes."""
    if flat.dtype.kind == "S":
        try:
            return np.char.decode(flat, "utf-8")
        except UnicodeDecodeError as error:
            raise DataError(f"The array {name} is text in UTF-8", found=str(error), fix="write it as text") from None
    if flat.dtype.kind != "U":
        raise DataError(f"The array {name} is a list of text", found=f"{flat.dtype} array", fix="use text")
    return flat


def _flat(array: NDArray[Any], name: str) -> NDArray[Any]:
    """(N,) of an array (N,), (1, N) or (N, 1)."""
    if max(array.shape, default=1) < array.size:
        raise DataError(
            f"The array {name} holds one label per row", found=f"shape {array.shape}", fix="give one label per row"
        )
    return array.ravel()


def _parted(whole: _Arrays) -> dict[str, _Arrays]:
    """Query and gallery of arrays of all images."""
    if whole["embeddings"].ndim != 2:
        raise DataError(
            "Embeddings are a table with one row per image, (N, D)",
            found=f"shape {whole['embeddings'].shape}",
            fix="give one row per image",
        )
    count = len(whole["embeddings"])
    for content, array in whole.items():
        if content not in ("embeddings", "num_query") and len(array) != count:
            raise DataError(
                "Every row of embeddings has one entry in each other array",
                found=f"{len(array)} {content}s for {count} rows",
                fix=_transposed(whole["embeddings"], len(array)) or "give one entry per row, in the order of the rows",
            )
    whole.setdefault("name", np.array([f"row {row}" for row in range(count)]))  # a query is not its own match
    rows = _rows(whole, count)
    labels = {content: array for content, array in whole.items() if content not in ("num_query", "split")}
    return {side: {content: array[rows[side]] for content, array in labels.items()} for side in _SIDES}


def _rows(whole: _Arrays, count: int) -> dict[str, NDArray[np.int64]]:
    """The rows of query and gallery."""
    every = np.arange(count)
    if "num_query" in whole:
        number = _labels(whole["num_query"], "num_query")
        if number.shape != (1,) or number.dtype.kind == "U" or not 0 < number[0] < count:
            raise DataError(
                f"num_query is the number of rows that are queries, 1 to {count - 1}; they come first",
                found=", ".join(map(str, number.tolist())),
                fix="correct it, or give splits, query or gallery for each row",
            )
        return {"query": every[: number[0]], "gallery": every[number[0] :]}
    words = [str(word).strip().lower() for word in whole["split"]] if "split" in whole else ["test"] * count
    unknown = next((word for word in words if word not in SPLIT_WORDS), None)
    parts = np.array([SPLIT_WORDS.get(word, "") for word in words])
    test = parts == "test"
    if unknown is not None or (test.any() and np.isin(parts, _SIDES).any()):
        raise DataError(
            f"A split is one of {', '.join(sorted(SPLIT_WORDS))}; test stands for query and gallery",
            found="test beside query or gallery" if unknown is None else repr(unknown),
            fix="write query or gallery for each row, or leave the splits out",
        )
    if not test.any():
        return {side: every[parts == side] for side in _SIDES}
    persons, cameras = whole["person"], whole.get("camera", np.full(count, NO_CAMERA))
    asking = every[test & (persons != JUNK)]
    first = first_images(persons[asking], cameras[asking])
    return {"query": asking[first] if len(first) else asking, "gallery": every[test]}


def _features(arrays: _Arrays, side: str, texts: Mapping[str, Mapping[int, str]]) -> Features:
    """The arrays of one side as features; ``check_features`` checks shapes."""
    embeddings = arrays["embeddings"]
    if embeddings.dtype.kind != "f" or embeddings.dtype.itemsize > 8:
        raise DataError(
            f"The {side} embeddings are float16, float32 or float64",
            found=str(embeddings.dtype),
            fix="convert them with .astype(numpy.float32)",
        )
    persons = arrays["person"]
    if fix := _transposed(embeddings, len(persons)):
        raise DataError(f"The {side} embeddings have one row per image", found=f"shape {embeddings.shape}", fix=fix)
    cameras = arrays.get("camera", np.full(persons.shape, NO_CAMERA))
    names = tuple(map(str, arrays.get("name", ())))
    kind: type[np.float16 | np.float32] = np.float16 if embeddings.dtype == np.float16 else np.float32
    with np.errstate(over="ignore"):  # A float64 beyond float32 becomes infinite and check_lengths names it.
        kept: Any = embeddings.astype(kind, copy=False)
    return Features(kept, persons, cameras, names, texts.get("camera", {}), texts.get("person", {}))


def _transposed(embeddings: NDArray[Any], count: int) -> str:
    """What helps if embeddings of ``count`` images stand in columns; else empty."""
    columns = embeddings.ndim == 2 and len(embeddings) != count == embeddings.shape[1]
    return "transpose the embeddings: one row per image" if columns else ""
