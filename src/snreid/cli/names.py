"""Names that people type, turned into data sets. The only place where a word becomes an object."""

import difflib
import json
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from snreid.errors import ExperimentError
from snreid.records import DataSet
from snreid.values import from_json

HELP = """\
a data set is named by one of
  market1501                      Market-1501
  cuhk03, cuhk03-labelled         CUHK03, new protocol (detected or labelled boxes)
  noon, overcast, dusk, ...       drawn pedestrians (see: snreid data list)
  TABLE.csv, TABLE.parquet        your own table: path, person, camera, split
  folder:path=DIR,pattern=...     your own folder tree, e.g. pattern={split}/{person}_c{camera}_{*}.jpg
  DIR                             a folder in Market-1501's format
options may follow a colon:  noon:train_persons=60,test_persons=30   cuhk03:images=my/images"""


def dataset_named(text: str) -> DataSet:
    """The data set a person means by ``text`` (see ``HELP``). Raises ``ExperimentError`` with the closest name."""
    name, _, options = text.partition(":")
    start = _known().get(name) or _by_path(name) or _folder_tree(name, options)
    if start is None:
        close = difflib.get_close_matches(name, [*_known(), "folder"], n=1)
        raise ExperimentError(
            HELP.splitlines()[0].capitalize()
            + " "
            + ", ".join(_known())
            + ", a table, or a folder in Market-1501's format",
            came=repr(text),
            repair=f"did you mean {close[0]!r}?" if close else "see snreid data list",
        )
    return start if name == "folder" else replace(start, **_options(start, options, text))  # type: ignore[type-var]


def _known() -> dict[str, DataSet]:
    from snreid.datasets import CUHK03, DrawnPedestrians, Market1501
    from snreid.pedestrians import DOMAINS

    drawn = {domain.name: DrawnPedestrians(domain=domain.name) for domain in DOMAINS}
    files: dict[str, DataSet] = {
        "market1501": Market1501(),
        "cuhk03": CUHK03(),
        "cuhk03-detected": CUHK03(),
        "cuhk03-labelled": CUHK03(boxes="labelled"),
    }
    return files | drawn


def known_names() -> tuple[str, ...]:
    """Every name that stands for a data set by itself."""
    return tuple(_known())


def _by_path(name: str) -> DataSet | None:
    from snreid.datasets import MarketFormat, Table

    path = Path(name)
    if path.suffix.lower() in (".csv", ".tsv", ".parquet", ".pq"):
        return Table(path=str(path.absolute() if path.is_file() else path))
    if (path / "bounding_box_train").is_dir() or (path / "query").is_dir():
        return MarketFormat(folder=str(path.absolute()))
    return None


def _folder_tree(name: str, options: str) -> DataSet | None:
    from snreid.datasets import FolderTree

    if name != "folder":
        return None
    values = _split(options, f"folder:{options}")
    if "path" in values:
        folder = Path(values["path"])
        values["path"] = str(folder.absolute() if folder.is_dir() else folder)
    return from_json(FolderTree, {"kind": "FolderTree", **values}, f"folder:{options}")


def _options(start: DataSet, options: str, text: str) -> dict[str, Any]:
    if not options:
        return {}
    pairs = _split(options, text).items()
    # Where a word is wanted, 7 is a word.
    values = {key: value if isinstance(getattr(start, key, None), str) else _literal(value) for key, value in pairs}
    read = from_json(type(start), {"kind": type(start).__name__, **_present(start), **values}, text)
    return {f.name: getattr(read, f.name) for f in fields(read)}  # type: ignore[arg-type]


def _present(start: DataSet) -> dict[str, Any]:
    from snreid.values import to_json

    return {k: v for k, v in to_json(start).items() if k != "kind"}


def _split(options: str, text: str) -> dict[str, str]:
    pairs = [part.partition("=") for part in options.split(",") if part]
    wrong = [key for key, equals, _ in pairs if not equals]
    if wrong:
        raise ExperimentError(
            "Options of a data set are name=value, with commas between",
            came=repr(text),
            repair=f"give {wrong[0]}=VALUE",
        )
    return {key.strip().replace("-", "_"): value for key, _, value in pairs}


def _literal(value: str) -> Any:
    try:
        return json.loads(value)
    except ValueError:
        return value
