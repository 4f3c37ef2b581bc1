"""Names that users type, turned into data sets. The only place where a word becomes an object."""

import difflib
import json
import re
import typing
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import is_dataclass
from functools import partial
from inspect import signature
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

from snreid.errors import ExperimentError
from snreid.experiments.serialization import from_json, to_json
from snreid.images.files import spelt
from snreid.records import NO_CAMERA, DataSet, is_missing

if TYPE_CHECKING:
    from snreid.datasets import MarketFormat
    from snreid.datasets.corrupted import Side
    from snreid.datasets.corruptions import Kind
    from snreid.records import Features

HELP = """\
a data set is named by one of
  market1501                      Market-1501
  cuhk03, cuhk03-labelled         CUHK03, new protocol (detected or labelled boxes)
  msmt17, msmt17-v2               MSMT17 (first release, or with blurred faces)
  viper, prid2011, grid, ilids, cuhk01    each on one of ten random splits: viper:split=3
  cuhk02, cuhk-sysu, randperson   to train on only; clonedperson, personx: rendered people with a test split
  dukemtmc:withdrawn_ok=true      DukeMTMC-reID, withdrawn by its owners
  noon, overcast, dusk, ...       drawn pedestrians of that domain
  people                          rendered people (needs snreid[people]): people:persons=2000,cameras=12
  TABLE.csv, TABLE.parquet        your own table: path, person, camera, split
  folder:path=DIR,pattern=...     your own folder tree, e.g. pattern={split}/{person}_c{camera}_{*}.jpg
  DIR                             a folder in Market-1501's format
tables and folders are looked for here and in the data folder (--root); options may follow a colon:
  noon:train_persons=60,test_persons=30   cuhk03:images=my/images   DIR:name=shop,cameras=false
  TABLE.csv:labels.role=test,columns.person=id   folder:path=DIR,pattern=...,labels.role=test,labels.cameras=false
quotes keep a path or a value with : , or = in it together: '"my:site"' or 'folder:path="a,b",pattern=...'
and behind all of that, an @ and what is done with it:
  market1501@all, noon:train_persons=60@all      train on all its images, those of its test split too
  market1501@dark-3, night@jpeg-5-both           its query images made worse (-gallery, -both: others) by dark, blur,
                                                 low-resolution, jpeg or colour-cast, severity 1 to 5"""

_FOLDERS = ("bounding_box_train", "query")
"""Either identifies a folder in Market-1501's format; reading reports which others are missing."""
EMBEDDINGS = (".npz", ".npy", ".mat")
"""Endings of files of embeddings."""
_TABLES = (".csv", ".tsv", ".parquet", ".pq")
_SIDES: "dict[str, Side]" = {"": "query", "-gallery": "gallery", "-both": "both"}
"""Endings of a corruption's word, and the images that it makes worse."""
_GRAMMAR = frozenset(":@,='\"")
_QUOTED = re.compile(r"""(["'])(.+?)\1(?::(.*))?""")
_OPTION = re.compile(r"""([^,=]*)=("[^"]*"|'[^']*'|[^,]*)(?:,|$)""")


def dataset_named(text: str, root: Path = Path()) -> DataSet:
    """The data set for ``text`` (see ``HELP``). ``root``: the data folder, searched for tables and folders that are not in the
    current one. Raises ``ExperimentError`` with the closest name, or for a path with the folder's contents.
    """
    if _GRAMMAR.intersection(text) and (there := _there(text, root)) is not None:
        return there
    inner, _, word = text.rpartition("@")
    if inner and word in (wrappers := known_wrappers()):
        return wrappers[word](dataset_named(inner, root))
    name, options = _name_and_options(text, root)
    if name == "folder":
        return _folder_tree(options)
    start = known_names().get(name) or _by_path(name, root)
    if start is None:
        raise _no_folder(name, root) if _is_path(name, root) and not _is_worded(text, root) else _no_name(text, root)
    return _with_options(start, options, text) if options else start


def _name_and_options(text: str, root: Path) -> tuple[str, str]:
    """The parts before and after the colon of a name. A name in quotes, a drive letter and a path that exists may hold colons."""
    if quoted := _QUOTED.fullmatch(text):
        return quoted[2], quoted[3] or ""
    drive = re.match(r"[A-Za-z]:[\\/]", text) is not None
    cuts = [place for place, letter in enumerate(text) if letter == ":" and not (drive and place == 1)]
    there = (cut for cut in reversed(cuts[1:]) if _there(text[:cut], root) is not None)
    cut = next(there, cuts[0] if cuts else len(text))
    return text[:cut], text[cut + 1 :]


def _there(text: str, root: Path) -> DataSet | None:
    """The table or the folder of this path, if it exists."""
    from snreid.datasets import Table

    found = _by_path(text, root)
    if isinstance(found, Table) and not any((place / found.path).is_file() for place in (Path(), root)):
        return None
    return found


def _is_worded(text: str, root: Path) -> bool:
    """Whether a data set is named, and what follows its @ is wrong."""
    inner, _, word = text.rpartition("@")
    with suppress(ExperimentError):
        return bool(inner and word) and dataset_named(inner, root) is not None
    return False


def known_names() -> dict[str, DataSet]:
    """Every data set of the family that is read by its name alone, its other boxes and releases, and the drawn domains."""
    import snreid.datasets as family
    from snreid.synthetic.pedestrians import DOMAINS

    drawn: dict[str, DataSet] = {domain.name: family.DrawnPedestrians(domain=domain.name) for domain in DOMAINS}
    exported = map(vars(family).get, family.__all__)
    kinds = [kind for kind in exported if isinstance(kind, type) and issubclass(kind, DataSet)]
    alone = [kind() for kind in kinds if all(p.default is not p.empty for p in signature(kind).parameters.values())]
    files: dict[str, DataSet] = {
        **{data.name.removesuffix("-split0"): data for data in alone if data.name not in drawn},
        "cuhk03": family.CUHK03(),
        "cuhk03-labelled": family.CUHK03(boxes="labelled"),
        "msmt17-v2": family.MSMT17(version="v2"),
    }
    return dict(sorted(files.items())) | drawn


def known_wrappers() -> dict[str, Callable[[DataSet], DataSet]]:
    """The words allowed after an ``@``, and what each makes of the data set before it."""
    from snreid.datasets import KINDS, SEVERITIES, AllImages

    wrappers: dict[str, Callable[[DataSet], DataSet]] = {"all": lambda inner: AllImages(of=inner)}
    for kind, severity, (ending, side) in product(KINDS, SEVERITIES, _SIDES.items()):
        wrappers[f"{kind}-{severity}{ending}"] = partial(_worse, kind, severity, side)
    return wrappers


def _worse(kind: "Kind", severity: int, side: "Side", inner: DataSet) -> DataSet:
    from snreid.datasets import Corrupted

    return Corrupted(of=inner, corruption=kind, severity=severity, side=side)


def features_named(files: Sequence[Path]) -> "tuple[Features, Features]":
    """Query and gallery of ``--features``: of a file, of a file for each, or of embeddings and the table of their rows.

    Raises ``ExperimentError`` for more files, ``DataError`` for files that cannot be used.
    """
    from snreid.datasets.table import ENDINGS, read_rows
    from snreid.evaluation import read_features

    if len(files) > 2:
        raise ExperimentError(
            "--features takes a file, the files of queries and gallery, or embeddings and the table of their rows",
            found=", ".join(map(str, files)),
            fix="name one or two",
        )
    if len(files) == 1 or files[-1].suffix.lower() not in ENDINGS:
        return read_features(*files)
    rows = read_rows(files[-1])
    labels = {"names": [row.path for row in rows], "persons": [row.person for row in rows]}
    if not all(is_missing(row.camera) for row in rows):
        labels["cameras"] = [str(NO_CAMERA) if is_missing(row.camera) else str(row.camera) for row in rows]
    if any(row.split is not None for row in rows):
        labels["splits"] = [row.split or "" for row in rows]
    return read_features(files[0], labels=labels)


def wrapper_forms() -> str:
    """The allowed words in short: corruptions by their form."""
    from snreid.datasets import KINDS

    plain = [word for word in known_wrappers() if not word.startswith(KINDS)]
    return f"{', '.join(plain)}, KIND-SEVERITY (KIND {', '.join(KINDS)}; SEVERITY 1 to 5; -gallery or -both behind it)"


def _by_path(name: str, root: Path) -> DataSet | None:
    from snreid.datasets import Table

    path = spelt(Path(name))
    if path.suffix.lower() in _TABLES:
        return Table(path=str(path.absolute() if path.is_file() else path))
    return _market_format(path, root) if name else None


def _market_format(path: Path, root: Path) -> "MarketFormat | None":
    from snreid.datasets import MarketFormat

    # Absolute if it is here, so that a run folder is valid from everywhere; below the data folder the name stays.
    below = spelt(root / path)
    places = ((path, str(path.absolute())), (below, str(path if below == root / path else below.absolute())))
    return next((MarketFormat(folder=name) for place, name in places if _in_market_format(place)), None)


def _in_market_format(folder: Path) -> bool:
    return any((folder / name).is_dir() for name in _FOLDERS)


def _is_path(name: str, root: Path) -> bool:
    """Whether a folder was meant and not a word: then no drawn domain is suggested."""
    return "/" in name or "\\" in name or (bool(name) and any((place / name).exists() for place in (Path(), root)))


def _no_folder(name: str, root: Path) -> ExperimentError:
    there = [place for place in (Path(name), root / name) if place.is_dir()]
    if not there and Path(name).is_file():
        found, fix = f"{name!r} is a file", "a table ends in .csv, .tsv, .parquet or .pq"
    elif not there:
        found = f"{name!r}: no such folder here or in {root}"
        fix = "check the path, or give the data folder by --root"
    elif (Path(name) / "experiment.json").is_file():
        found, fix = f"{name!r} is the folder of a run", "runs come first, then flags: snreid COMMAND RUN --target noon"
    else:
        found = f"{name!r} has no {_FOLDERS[0]}"
        inside = sorted(
            path.name for path in there[0].iterdir() if path.suffix.lower() in _TABLES or _in_market_format(path)
        )
        fix = "read it by a pattern of your own: folder:path=DIR,pattern={person}_c{camera}_{*}.jpg"
        if inside:
            fix = f"name a data set in it: {', '.join(str(Path(name) / path) for path in inside[:8])}"
    return ExperimentError(
        f"A data set that is a folder lies here or in the data folder and has {_FOLDERS[0]}, query and bounding_box_test",
        found=found,
        fix=fix,
    )


def _no_name(text: str, root: Path) -> ExperimentError:
    inner, _, word = text.rpartition("@")
    if inner:
        word, _, options = word.partition(":")
        close = difflib.get_close_matches(word, known_wrappers(), n=1)
        right = ":".join(filter(None, (inner, options))) + f"@{close[0]}" if close else ""
        return ExperimentError(
            f"What is done with a data set is said behind an @ at the end: {wrapper_forms()}",
            found=repr(text),
            fix=f"did you mean {right!r}?" if close else "leave it out, or see snreid data list",
        )
    name, _, _ = text.partition(":")
    close = difflib.get_close_matches(name, [*known_names(), "folder"], n=1)
    known = "a name that snreid data list shows" if close else ", ".join(known_names())
    return ExperimentError(
        f"A data set is named by {known}, a table, or a folder in Market-1501's format here or in {root}",
        found=repr(name),
        fix=f"did you mean {close[0]!r}?" if close else "see snreid data list",
    )


def _folder_tree(options: str) -> DataSet:
    from snreid.datasets import FolderTree

    text = f"folder:{options}"
    values = _nested(FolderTree, options, text)
    if "path" in values:
        folder = Path(values["path"])
        values["path"] = str(folder.absolute() if folder.is_dir() else folder)
    return from_json(FolderTree, {"kind": "FolderTree", **values}, "folder")


def _with_options(start: DataSet, options: str, text: str) -> DataSet:
    values = {**to_json(start), **_nested(type(start), options, text)}
    return from_json(type(start), values, text.partition(":")[0])


def _nested(kind: type, options: str, text: str) -> dict[str, Any]:
    """The options in the form of ``from_json``: ``labels.role=test`` is a nested field. Missing options keep their defaults."""
    hints = typing.get_type_hints(kind)
    groups = {name: typing.get_type_hints(hint) for name, hint in hints.items() if is_dataclass(hint)}
    values: dict[str, Any] = {}
    for key, value in _split(options, text):
        if key in groups:
            raise ExperimentError(
                f"{key} has options of its own: {', '.join(f'{key}.{inner}' for inner in groups[key])}",
                found=f"{key}={value} in {text!r}",
                fix=f"give {key}.{next(iter(groups[key]))}=VALUE",
            )
        # singles=drop means labels.singles=drop.
        full = key if key in hints or key not in groups.get("labels", {}) else f"labels.{key}"
        outer, _, inner = full.partition(".")
        if outer in groups:
            values.setdefault(outer, {})[inner] = _typed(groups[outer].get(inner), value)
        else:
            values[full] = _typed(hints.get(full), value)
    return values


def _typed(hint: Any, value: str) -> Any:
    """A value in the JSON form of its field's type."""
    if hint is str:  # a field of text keeps 7 as text
        return value
    if hint is bool and value.lower() in ("true", "false"):  # Python's spelling too
        return value.lower() == "true"
    if typing.get_origin(hint) is tuple:
        return value.split("+")
    return _literal(value)


def _split(options: str, text: str) -> list[tuple[str, str]]:
    """The options as (name, value); a value in quotes may hold commas."""
    pairs = []
    while options := options.lstrip(","):
        match = _OPTION.match(options)
        if match is None:
            raise ExperimentError(
                "Options of a data set are name=value, with commas between; quote a value or a path that has one itself",
                found=repr(text),
                fix=f"give {options.partition(',')[0]}=VALUE",
            )
        value = match[2]
        if value[:1] in ("'", '"') and value.count(value[0]) == 1:
            raise ExperimentError(
                "A quoted value ends with its quote", found=f"{value} in {text!r}", fix=f"add {value[0]}"
            )
        quoted = len(value) > 1 and value[0] == value[-1] and value[0] in "\"'"
        pairs.append((match[1].strip().replace("-", "_"), value[1:-1] if quoted else value))
        options = options[match.end() :]
    return pairs


def _literal(value: str) -> Any:
    try:
        return json.loads(value)
    except ValueError:
        return value
