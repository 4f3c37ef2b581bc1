"""Your own folder tree: a pattern that you give reads the labels from the paths.

``FolderTree(path="shop", pattern="{split}/{person}/cam{camera}_{*}.jpg")`` reads ``shop/train/anna/cam2_0001.jpg`` as
person ``anna`` on camera ``2``, for training.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from unicodedata import normalize

from snreid.datasets._rules import shown
from snreid.datasets.labels import LabelRow, Labels, shared_tracks
from snreid.errors import DataError, ExperimentError
from snreid.images.files import list_images
from snreid.records import DataSet, ReIDData

_FIELDS = ("person", "track", "camera", "split")
_WILD = {"": "[^/]*?", "*": "[^/]*?", "**": ".*?"}


@dataclass(frozen=True, kw_only=True)
class FolderTree(DataSet):
    """Any folder tree, including its sub-folders.

    The pattern contains ``{person}``, and if known ``{camera}``, ``{split}`` and ``{track}``: the images of a person on a camera that were
    taken in a row. Where people are known only within each camera, ``{track}`` with ``{camera}`` takes the place of ``{person}``: track 3
    of two cameras is two persons. ``{*}`` or ``{}`` stands for anything within a name, ``{**}`` also for folders. Every field takes as few
    characters as possible and never a ``/``; a repeated field has to be equal. Everything else is literal. A pattern with
    ``(?P<person>...)`` is a regular expression with groups of these names. The pattern has to match the whole path below the folder,
    written with ``/``.
    """

    path: str
    """The folder, below the data folder or absolute."""
    pattern: str
    """For example ``"{person}_c{camera}_{*}.jpg"``."""
    labels: Labels = field(default_factory=Labels)
    """The meaning of labels, and what images are for if the pattern has no ``{split}``."""
    unmatched: Literal["refuse", "skip"] = "refuse"
    """What to do with an image whose path does not match the pattern; skipped images are counted in the notes."""
    name: str = ""
    """The data set's name in results and files; default: the last part of ``path``."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", self.name or Path(self.path).name)
        if self.unmatched not in ("refuse", "skip"):
            raise ExperimentError(
                "Unmatched images are refused or skipped", found=repr(self.unmatched), fix='"refuse" or "skip"'
            )
        compile_pattern(self.pattern)

    def read(self, root: Path) -> ReIDData:
        """Samples of the tree. Raises ``DataError`` for a missing folder, an image whose path does not match the pattern, and labels that
        ``Labels`` refuses."""
        folder = root / self.path
        if not folder.is_dir():
            raise DataError(
                "A folder tree is read from a folder", found=f"{folder} is none", fix="check the data folder and path"
            )
        listing = list_images(folder, deep=True)
        rows, strange = label_rows(folder, listing.images, self.pattern, skip=self.unmatched == "skip")
        notes = [f"{strange} images do not fit the pattern and were skipped"] if strange else []
        if listing.note:
            notes.append(listing.note)
        if all(row.track is None for row in rows) and (note := shared_tracks(rows, self.pattern)):
            notes.append(f"{note}; if so, write {{track}} instead of {{person}}")
        return self.labels.assemble(rows, name=self.name, notes=notes)


def label_rows(folder: Path, names: Sequence[str], pattern: str, *, skip: bool = False) -> tuple[list[LabelRow], int]:
    """A row for each of the ``names`` (paths below the folder, with ``/``) that matches the pattern, in order, and the number of others.

    ``skip`` leaves the others out, unless no name matches; otherwise they raise ``DataError``. Raises ``ExperimentError`` as
    ``compile_pattern`` does.
    """
    compiled = compile_pattern(pattern)
    parsed = [(name, compiled.fullmatch(normalize("NFC", name))) for name in names]
    strange = [name for name, match in parsed if match is None]
    if strange and (not skip or len(strange) == len(parsed)):
        raise DataError(
            f"The path of every image below {folder} fits the pattern {pattern}",
            found=f"{len(strange)} of {len(parsed)} do not: {shown(strange)}",
            fix="correct the pattern, rename the files, or leave them out by unmatched=skip (in Python unmatched='skip')",
        )
    return [_row(folder, name, match) for name, match in parsed if match is not None], len(strange)


def _row(folder: Path, path: str, match: re.Match[str]) -> LabelRow:
    groups = match.groupdict()
    full, camera = str(folder / path), groups.get("camera")
    person = groups["person"] if "person" in groups else f"{camera}/{groups['track']}"
    return LabelRow(full, person or "", camera, groups.get("split"), full, groups.get("track"))


def compile_pattern(pattern: str) -> re.Pattern[str]:
    """The regular expression of a pattern (see ``FolderTree``), for paths in NFC. Raises ``ExperimentError`` if it cannot be understood."""
    pattern = normalize("NFC", pattern)
    if "(?P<" in pattern:
        try:
            compiled = re.compile(pattern)
        except re.error as error:
            raise _misformed(pattern, str(error)) from None
    else:
        compiled = re.compile(_template(pattern))
    named = [name for name in ("person", "track") if name in compiled.groupindex]
    if not named:
        raise _misformed(pattern, "no person")
    if named == ["track"] and "camera" not in compiled.groupindex:
        raise _misformed(pattern, "a track without its camera")
    unknown = sorted(set(compiled.groupindex) - set(_FIELDS))
    if unknown:
        raise _misformed(pattern, f"unknown {', '.join(unknown)}")
    return compiled


def _template(pattern: str) -> str:
    parts: list[str] = []
    seen: set[str] = set()
    for literal, name in re.findall(r"([^{}]*)(\{[^{}]*\}|[{}]|$)", pattern):
        parts.append(re.escape(literal))
        inner = name[1:-1]
        if not name:
            continue
        if len(name) > 1 and inner in _WILD:
            parts.append(_WILD[inner])
        elif inner in _FIELDS:
            parts.append(f"(?P={inner})" if inner in seen else f"(?P<{inner}>[^/]+?)")
            seen.add(inner)
        else:
            raise _misformed(pattern, f"{name} is none of {{person}}, {{track}}, {{camera}}, {{split}}, {{*}}, {{**}}")
    return "".join(parts)


def _misformed(pattern: str, problem: str) -> ExperimentError:
    return ExperimentError(
        "A pattern holds {person}, and where known {camera}, {split} and {track}; or {track} and {camera}",
        found=f"{pattern!r}: {problem}",
        fix='write it like "{person}_c{camera}_{*}.jpg", or as a regular expression with (?P<person>...)',
    )
