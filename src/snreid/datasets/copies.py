"""Queries whose own picture is among their matches under another name: finding it again proves nothing."""

import os
from collections import defaultdict
from functools import cache
from hashlib import blake2b
from pathlib import Path

from snreid.images.reading import FileImage
from snreid.records import JUNK, ReIDData, Sample


def copied_queries(data: ReIDData) -> tuple[tuple[str, str], ...]:
    """(query, gallery image) of each query with a match whose file is equal byte for byte; of several the first match.

    Matches are those that count: of the query's person, on another camera or, without cameras, under another name. Only files of equal size
    are read. Images that are no files of their own have no copies.
    """
    alike: defaultdict[tuple[int, int], list[Sample]] = defaultdict(list)
    for sample in data.gallery.samples:
        if (size := _size(sample)) is not None and sample.person != JUNK:
            alike[sample.person, size].append(sample)
    digest = cache(_digest)
    found = []
    for query in data.query.samples:
        size = _size(query)
        matches = () if size is None else alike.get((query.person, size), ())
        for match in matches:
            counts = match.camera != query.camera if data.has_cameras else match.image.name != query.image.name
            if counts and digest(match.image.name) == digest(query.image.name) != b"":
                found.append((query.image.name, match.image.name))
                break
    return tuple(found)


def copies_note(copies: int, queries: int) -> str:
    """A sentence on queries with a copy among their matches; empty without any."""
    if not copies:
        return ""
    return f"{copies:,} of {queries:,} queries have a copy of their own file among their matches: finding it again proves nothing"


def _size(sample: Sample) -> int | None:
    """Bytes of a sample's file; None if it has none of its own."""
    if not isinstance(sample.image, FileImage):
        return None
    try:
        return os.stat(sample.image.path).st_size
    except (OSError, ValueError):
        return None


def _digest(path: str) -> bytes:
    """Hash of a file's bytes; empty if it cannot be read."""
    try:
        return blake2b(Path(path).read_bytes(), digest_size=16).digest()
    except (OSError, ValueError):
        return b""
