"""Embeds a target's query and gallery images for scoring."""

from dataclasses import dataclass, replace
from pathlib import Path

from snreid.images.loading import list_bad
from snreid.images.reading import Interpolation
from snreid.images.resized import resized
from snreid.inference.embedder import USUAL_BATCH, EmbedBatch, features
from snreid.records import Features, ReIDData, Split
from snreid.system.progress import counting
from snreid.training.session import Session


@dataclass(frozen=True)
class TargetFeatures:
    """Embedded query and gallery of one target."""

    query: Features
    gallery: Features
    used: ReIDData
    """The embedded images, row by row: the target without unreadable ones."""
    left_out: tuple[str, ...] = ()
    """Names of the unreadable images, each once."""


def embed_target(
    embed: EmbedBatch,
    size: tuple[int, int],
    data: ReIDData,
    session: Session,
    out: Path,
    *,
    batch: int = USUAL_BATCH,
    by: Interpolation = "bilinear",
) -> TargetFeatures:
    """Embeds a target's query and gallery.

    Args:
        embed: Any callable that turns uint8 images (B, 3, H, W) into embeddings (B, D).
        size: Height and width of its input images, pixels.
        data: The target.
        session: The session to compute in.
        out: Folder in which unreadable images are listed.
        batch: Images per call of ``embed``.
        by: How images are resized to ``size``.

    Raises:
        DataError: An image cannot be read and ``session.machine.skip_bad`` is off, or no image is left.
    """
    pixels, console, group = session.pixels, session.console, session.group
    pixels.tell(data, console)
    left_out: dict[str, None] = {}

    def embedded(split: Split, part: str) -> tuple[Features, Split]:
        """Embeds query or gallery; also returns the embedded images."""
        with counting(console, f"reading {data.name} {part}") as progress:
            opened = pixels.open(resized(split, *size, by), *size, progress)
        if opened.bad:
            list_bad(opened.bad, len(split), out, skip=session.machine.skip_bad, write=group.first)
            left_out.update(dict.fromkeys(image.name for image in opened.bad))
        good = opened.store.good
        with counting(console, f"embedding {data.name} {part}") as progress:
            found = features(embed, opened.store.only(good), batch=batch, group=group, progress=progress)
        return found, split if len(good) == len(split) else Split(tuple(split.samples[place] for place in good))

    query, query_split = embedded(data.query, "query")
    gallery, gallery_split = embedded(data.gallery, "gallery")
    used = replace(data, query=query_split, gallery=gallery_split) if left_out else data
    return TargetFeatures(query, gallery, used, tuple(left_out))


def without(data: ReIDData, names: set[str]) -> ReIDData:
    """Returns the target without the query and gallery images of these names."""

    def kept(split: Split) -> Split:
        """Returns the split without them."""
        return Split(tuple(sample for sample in split.samples if sample.image.name not in names))

    return replace(data, query=kept(data.query), gallery=kept(data.gallery)) if names else data
