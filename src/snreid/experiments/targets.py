"""A target's images as embeddings: what scores are computed from, and which images these are."""

from dataclasses import dataclass, replace

from rich.console import Console

from snreid.images.loading import PixelCache, list_bad
from snreid.inference.embedder import USUAL_BATCH, EmbedBatch, features
from snreid.records import Features, ReIDData, Split
from snreid.system.machine import Machine
from snreid.system.progress import counting
from snreid.training.distributed import ProcessGroup


@dataclass(frozen=True)
class TargetFeatures:
    """Embedded query and gallery of one target."""

    query: Features
    gallery: Features
    used: ReIDData
    """The images that were embedded, row by row: the target less what could not be read."""
    left_out: tuple[str, ...] = ()
    """Names of the images that could not be read, each once."""


def embed_target(
    embed: EmbedBatch,
    size: tuple[int, int],
    data: ReIDData,
    machine: Machine,
    *,
    group: ProcessGroup | None = None,
    console: Console,
    pixels: PixelCache | None = None,
    batch: int = USUAL_BATCH,
) -> TargetFeatures:
    """Features of a target's query and gallery, from any callable that embeds uint8 images of ``size`` (height, width), ``batch`` at once.

    Bad images stop it with a ``DataError``, or are left out with ``machine.skip_bad``.
    """
    pixels = pixels or PixelCache.of(machine, console)
    pixels.tell(data, console)
    left_out: dict[str, None] = {}

    def embedded(split: Split, part: str) -> tuple[Features, Split]:
        """Features of one side, and whose they are."""
        with counting(console, f"reading {data.name} {part}") as progress:
            opened = pixels.open(split, *size, progress)
        if opened.bad:
            write = group is None or group.first
            list_bad(opened.bad, len(split), machine.out, skip=machine.skip_bad, write=write)
            left_out.update(dict.fromkeys(one.name for one in opened.bad))
        store = opened.store.only(opened.store.good)
        with counting(console, f"embedding {data.name} {part}") as progress:
            return features(embed, store, batch=batch, group=group, progress=progress), store.split

    query, queries = embedded(data.query, "query")
    gallery, entries = embedded(data.gallery, "gallery")
    used = replace(data, query=queries, gallery=entries) if left_out else data
    return TargetFeatures(query, gallery, used, tuple(left_out))


def without(data: ReIDData, names: set[str]) -> ReIDData:
    """The target less its query and gallery images of these names."""

    def rest(split: Split) -> Split:
        """One side of it."""
        return Split(tuple(sample for sample in split.samples if sample.image.name not in names))

    return replace(data, query=rest(data.query), gallery=rest(data.gallery)) if names else data
