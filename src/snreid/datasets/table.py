"""Your own table: a CSV or Parquet file with one image a row.

It has the columns ``path`` and ``person``, and if known ``camera``, ``split`` and ``track``; others are ignored. Paths are relative to the
folder of the table. A path that leads out of it (by ``..``, an absolute path or a link) is refused unless ``outside`` allows it, because
a table is often somebody else's file (reliability.md R12).
"""

import csv
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from snreid.datasets._rules import shown
from snreid.datasets.labels import LabelRow, Labels, shared_tracks
from snreid.errors import DataError, ExperimentError
from snreid.images.files import spelt
from snreid.records import DataSet, ReIDData, is_missing

_PARQUET = (".parquet", ".pq")
ENDINGS = (".csv", ".tsv", ".txt", *_PARQUET)
"""How the name of a table ends."""
_ABSENT = "does not exist"


@dataclass(frozen=True, kw_only=True)
class Columns:
    """Names of the columns."""

    path: str = "path"
    person: str = "person"
    camera: str = "camera"
    """Optional; without it, cameras are not known."""
    split: str = "split"
    """Optional; without it, ``Labels.role`` says what the images are for."""
    track: str = "track"
    """Optional: a name for the images of a person on a camera that were taken in a row."""


@dataclass(frozen=True, kw_only=True)
class Table(DataSet):
    """A Parquet table, or a CSV table in UTF-8, separated by comma, semicolon or tab, whichever is most frequent in the first line."""

    path: str
    """The table, below the data folder or absolute."""
    images: str = ""
    """The folder that paths are relative to: relative to the table's folder, or absolute; "" is the table's folder."""
    columns: Columns = field(default_factory=Columns)
    """Names of the columns."""
    labels: Labels = field(default_factory=Labels)
    """The meaning of labels, and what images are for if there is no split column."""
    outside: bool = False
    """Allow paths that lead out of the folder of images."""
    name: str = ""
    """The data set's name in results and files; default: the table's name without its suffix."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", self.name or Path(self.path).stem)
        if Path(self.path).suffix.lower() not in ENDINGS:
            raise ExperimentError(
                f"A table ends in {', '.join(ENDINGS)}", found=repr(self.path), fix="rename or convert it"
            )

    def read(self, root: Path) -> ReIDData:
        """Samples of the table. Raises ``DataError`` with table and line for a row that cannot be used, a path that leads out of the
        folder, a missing file, and labels that ``Labels`` refuses."""
        table = root / self.path
        rows = read_rows(table, self.columns)
        named = any(row.track is not None for row in rows)
        note = "" if named else shared_tracks(rows, self.columns.person)
        notes = [f"{note}; if so, write camera and track into one column"] if note else []
        rows = self._located(rows, table.parent / self.images, notes)
        return self.labels.assemble(rows, name=self.name, notes=notes)

    def _located(self, rows: list[LabelRow], folder: Path, notes: list[str]) -> list[LabelRow]:
        """The rows with full paths; adds a note if there are backslashes for slashes.

        Raises ``DataError`` with the lines of all paths that cannot be used.
        """
        real = lru_cache(maxsize=None)(os.path.realpath)  # a table has thousands of rows in the same folder
        located: list[LabelRow] = []
        wrong: list[str] = []
        slashes = 0
        for row in rows:
            path, problem = _locate(str(folder), row.path, self.outside, real)
            if problem == _ABSENT:
                other = spelt(folder / row.path.replace("\\", "/"))
                path, problem = _locate(str(folder), os.path.relpath(other, folder), self.outside, real)
                slashes += not problem and "\\" in row.path
            if problem:
                wrong.append(f"{row.where}: {row.path!r} {problem}")
            located.append(replace(row, path=path))
        if wrong:
            raise DataError(
                f"Every path of a table names an image file below {folder}",
                found=f"{len(wrong)} do not: {shown(wrong)}",
                fix="correct the paths, give images=DIR, or allow other folders by outside=true (in Python outside=True)",
            )
        if slashes:
            notes.append(f"{slashes} paths of the table are written with \\ and were read with /")
        return located


def read_rows(table: Path, columns: Columns = Columns()) -> list[LabelRow]:
    """The rows of a table as written. Raises ``DataError`` with table and line for a row that cannot be used."""
    if not table.is_file():
        raise DataError("A table is a file", found=f"{table} is none", fix="check the data folder and path")
    return list((_parquet_rows if table.suffix.lower() in _PARQUET else _text_rows)(table, columns))


def _locate(folder: str, entry: str, outside: bool, real: Callable[[str], str]) -> tuple[str, str]:
    """The full path, and what is wrong with it or ""."""
    path = os.path.normpath(os.path.join(folder, entry))
    try:
        info = os.lstat(path)
        linked = stat.S_ISLNK(info.st_mode)
        parent, file = os.path.split(path)
        target = real(path) if linked else os.path.join(real(parent), file)
        if not outside and not Path(target).is_relative_to(real(folder)):
            return path, "leads out of it"
        if not stat.S_ISREG(os.stat(path).st_mode if linked else info.st_mode):
            return path, "is not a file"
    except FileNotFoundError:
        return path, _ABSENT
    except (OSError, ValueError) as error:  # ValueError: a NUL byte
        return path, f"cannot be looked up ({error})"
    return path, ""


def _text_rows(table: Path, columns: Columns) -> Iterator[LabelRow]:
    try:
        with open(table, encoding="utf-8-sig", newline="") as file:
            first = file.readline()
            file.seek(0)
            delimiter = max(",;\t", key=first.count)
            reader = csv.reader(file, delimiter=delimiter, strict=True)
            header = [name.strip() for name in next(reader, [])]
            where = _positions(table, header, columns)
            for cells in reader:
                line = f"{table} line {reader.line_num}"
                if not any(cell.strip() for cell in cells):
                    continue
                if len(cells) != len(header):
                    raise _unusable(line, f"{len(cells)} cells where the first line names {len(header)}")
                yield _row([None if at is None else cells[at] for at in where], line)
    except UnicodeDecodeError as error:
        raise DataError(
            "A CSV table is UTF-8 text",
            found=f"{table}: {error}",
            fix="save it as UTF-8 (a spreadsheet asks when it saves)",
        ) from None
    except (OSError, csv.Error) as error:
        raise _unusable(str(table), str(error)) from None


def _parquet_rows(table: Path, columns: Columns) -> Iterator[LabelRow]:
    try:
        from pyarrow import parquet
    except ImportError:
        raise DataError(
            "A Parquet table is read by the pyarrow package",
            found=f"{table}, and pyarrow is not installed",
            fix="pip install 'snreid[parquet]', or write the table as CSV",
        ) from None
    try:
        header = list(parquet.read_schema(table).names)
        where = _positions(table, header, columns)
        content = parquet.read_table(table, columns=[header[at] for at in where if at is not None])
        lists: list[list[Any]] = [
            [None] * content.num_rows if at is None else content.column(header[at]).to_pylist() for at in where
        ]
    except DataError:
        raise
    except Exception as error:  # on a damaged file pyarrow raises almost anything
        raise _unusable(str(table), f"{type(error).__name__}: {error}") from None
    for number, cells in enumerate(zip(*lists, strict=True), 1):
        yield _row(list(cells), f"{table} row {number}")


def _positions(table: Path, header: list[str], columns: Columns) -> list[int | None]:
    """Column numbers of path, person, camera, split and track. Raises ``DataError`` if path or person is missing, or a name occurs
    twice."""
    names = (columns.path, columns.person, columns.camera, columns.split, columns.track)
    missing = [name for name in names[:2] if name not in header]
    twice = [name for name in names if header.count(name) > 1]
    if missing or twice:
        raise DataError(
            f"A table has the columns {columns.path} and {columns.person}, each once",
            found=f"{table} has {shown(header) or 'no columns'}",
            fix="add or rename columns, or say how they are called: columns.person=id (in Python columns=Columns(person='id'))",
        )
    return [header.index(name) if name in header else None for name in names]


def _row(cells: list[Any], where: str) -> LabelRow:
    """One row as text. Raises ``DataError`` for a cell that is neither text nor a whole number, and for an empty path or person."""
    for cell in cells:
        if cell is not None and (isinstance(cell, bool) or not isinstance(cell, str | int)):
            raise _unusable(where, f"{cell!r} is neither text nor a whole number")
    path, person, camera, split, track = (None if cell is None else str(cell).strip() for cell in cells)
    if not path or not person:
        raise _unusable(where, f"no {'person' if path else 'path'}")
    return LabelRow(path, person, camera, split, where, None if is_missing(track) else track)


def _unusable(where: str, problem: str) -> DataError:
    return DataError(
        "Every row of a table has a path and a person, and as many cells as there are columns",
        found=f"{where}: {problem}",
        fix="correct this line; a text with a comma, quote or line break inside stands in double quotes",
    )
