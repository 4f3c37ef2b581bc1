"""Queries with the gallery images that several schemes rank first for them."""

from dataclasses import dataclass
from typing import NamedTuple

from snreid.errors import ExperimentError
from snreid.records import RankList, Sample, Split

RIGHT, WRONG, IGNORED = "right", "wrong", "ignored"
SIGNS = {RIGHT: "\N{CHECK MARK}", WRONG: "\N{MULTIPLICATION X}", IGNORED: "\N{EN DASH}"}
"""Verdict to the sign below an image, beside the word."""


class RankTile(NamedTuple):
    """One gallery image of a rank list."""

    sample: Sample
    score: float
    """Similarity to the query."""
    verdict: str
    rank: int | None
    """From 1; None for an ignored image, which the metrics skip."""

    @property
    def description(self) -> str:
        """The image in words, for readers who cannot see it."""
        place = "no rank" if self.rank is None else f"rank {self.rank}"
        camera = f", camera {self.sample.camera}" if self.sample.camera > 0 else ""
        return f"{place}, {self.verdict}: person {self.sample.person}{camera}"


@dataclass(frozen=True, kw_only=True)
class RankExample:
    """One query with the first gallery images that several schemes return for it."""

    domain: str
    query: Split
    gallery: Split
    lists: tuple[tuple[str, RankList], ...]
    """(scheme name, its rank list), all of the same query, in the order in which they are shown."""
    reason: str = ""
    """Why this query is shown, such as "most gained by SNR"."""

    def __post_init__(self) -> None:
        queries = {ranks.query for _, ranks in self.lists}
        if len(queries) != 1 or not 0 <= min(queries) < len(self.query):
            raise ExperimentError(
                "A rank example shows one query of its query split, ranked by one or more schemes",
                found=f"queries {sorted(queries)} of a split with {len(self.query)} images",
                fix="give rank lists of the same query",
            )
        for scheme, ranks in self.lists:
            outside = [int(i) for i in ranks.gallery if not 0 <= i < len(self.gallery)]
            strange = sorted(set(ranks.verdict) - set(SIGNS))
            if outside or strange or not len(ranks.gallery) == len(ranks.score) == len(ranks.verdict):
                raise ExperimentError(
                    "Each entry of a rank list has a gallery position, a score and a verdict (right, wrong, ignored)",
                    found=f"scheme {scheme!r}: positions outside {outside}, verdicts {strange}, lengths "
                    f"{len(ranks.gallery)}, {len(ranks.score)}, {len(ranks.verdict)}",
                    fix="make the list with evaluation's ranking on the same gallery split",
                )

    @property
    def sample(self) -> Sample:
        """The query."""
        return self.query.samples[self.lists[0][1].query]

    @property
    def title(self) -> str:
        """Domain, person and, if it is known, camera of the query."""
        camera = f", camera {self.sample.camera}" if self.sample.camera > 0 else ""
        return f"{self.domain}, person {self.sample.person}{camera}"

    def tiles(self, ranks: RankList, first: int = 10) -> list[RankTile]:
        """The ``first`` gallery images of one of the lists."""
        tiles: list[RankTile] = []
        rank = 0
        for place in range(min(first, len(ranks.gallery))):
            verdict = ranks.verdict[place]
            rank += verdict != IGNORED
            sample = self.gallery.samples[int(ranks.gallery[place])]
            tiles.append(RankTile(sample, float(ranks.score[place]), verdict, None if verdict == IGNORED else rank))
        return tiles
