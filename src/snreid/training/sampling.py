"""Which images make a batch: P identities with K images each, balanced over domains, as a pure function of (seed, epoch).

Because a batch depends on nothing else, a run can resume inside an epoch, every rank computes the same global batch and takes its share,
and the batches do not depend on the number of processes.
"""

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from snreid.errors import ExperimentError

Indices = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """P x K batches (method.md 4)."""

    persons: int = 16
    """P: identities in a batch."""
    images: int = 4
    """K: images of each identity in a batch."""
    domains: Literal["source", "camera"] = "source"
    """Domain label of an image: its data set, or its camera (for training on one data set)."""
    balance: bool = True
    """Every domain gives a batch the same number of identities (``source``), or the K images of an identity are spread
    over its cameras (``camera``). False: identities are drawn from all sources alike."""

    def __post_init__(self) -> None:
        if self.persons < 2 or self.images < 2:
            raise ExperimentError(
                "A batch needs at least 2 identities with at least 2 images each, or the triplet loss has nothing to compare",
                found=f"{self.persons} identities x {self.images} images",
                fix="raise --sampling.persons or --sampling.images",
            )

    @property
    def batch(self) -> int:
        """Images in a batch, over all processes."""
        return self.persons * self.images


@dataclass(frozen=True)
class IdentityBatches:
    """The batches of a training set: ``persons``, ``domains`` are (N,) labels of its images in the joint identity space."""

    sampling: Sampling
    persons: Indices
    domains: Indices
    seed: int
    length: int | None = None
    """Batches in an epoch; None: as many as it takes to draw N images."""
    _decks: "_Decks" = field(default_factory=lambda: _Decks(), init=False, repr=False, compare=False)
    """What the epochs so far have drawn: only saves replaying them."""

    def __post_init__(self) -> None:
        distinct = len(np.unique(self.persons))
        if distinct < self.sampling.persons:
            raise ExperimentError(
                f"A batch needs {self.sampling.persons} different identities",
                found=f"the sources have {distinct}",
                fix=f"lower --sampling.persons to {max(2, distinct)} or less, or add a source",
            )

    def __len__(self) -> int:
        return self.length if self.length is not None else max(1, len(self.persons) // self.sampling.batch)

    def epoch(self, epoch: int) -> list[Indices]:
        """Returns all batches of an epoch: ``len(self)`` arrays of P * K image indices, the K of an identity side by side.

        Identities are drawn in shuffled rounds: each appears once before any repeats, so every identity is seen within
        ceil(identities / P) batches of an epoch (counted within its domain, and with the domain's share of P, when balanced). The images
        of an identity are drawn in rounds that continue from epoch to epoch, so no image appears again before all of its identity have
        appeared; if they run out within a draw, a new round starts and an image may appear twice.
        """
        decks = self._decks
        if decks.epochs > epoch:
            decks.epochs, decks.by_person = 0, {}
        while decks.epochs < epoch:
            self._next()
        return self._next()

    def _next(self) -> list[Indices]:
        decks, epoch = self._decks, self._decks.epochs
        random = np.random.Generator(np.random.Philox(key=np.array([self.seed, epoch], dtype=np.uint64)))
        groups = self._identity_groups()
        shares = _shares(self.sampling.persons, [len(g) for g in groups], epoch)
        rounds = [Rounds(group, random) for group in groups]
        by_person = self._images_by_person()
        batches = []
        for _ in range(len(self)):
            images: list[int] = []
            for person in [p for group, share in zip(rounds, shares, strict=True) for p in group.draw(share)]:
                if person not in decks.by_person:
                    decks.by_person[person] = _Deck(by_person[person], self._strata(by_person[person]))
                images.extend(decks.by_person[person].draw(self.sampling.images, random))
            batches.append(np.array(images, dtype=np.int64))
        decks.epochs += 1
        return batches

    def share(self, batch: Indices, rank: int, world: int) -> Indices:
        """The part of a global batch that process ``rank`` of ``world`` trains on: whole identities, never a part of one."""
        if self.sampling.persons % world or self.sampling.persons // world < 2:
            raise ExperimentError(
                "The identities of a batch must divide evenly among the processes, at least 2 for each",
                found=f"{self.sampling.persons} identities for {world} processes",
                fix=f"set --sampling.persons to a multiple of {world}, at least {2 * world}",
            )
        size = len(batch) // world
        return batch[rank * size : (rank + 1) * size]

    def _identity_groups(self) -> list[Indices]:
        if not self.sampling.balance or self.sampling.domains == "camera":
            return [np.unique(self.persons)]
        return [np.unique(self.persons[self.domains == d]) for d in np.unique(self.domains)]

    def _strata(self, images: Indices) -> Indices:
        spread = self.sampling.balance and self.sampling.domains == "camera"
        return self.domains[images] if spread else np.zeros(len(images), dtype=np.int64)

    def _images_by_person(self) -> dict[int, Indices]:
        order = np.argsort(self.persons, kind="stable")
        borders = np.flatnonzero(np.diff(self.persons[order])) + 1
        return {int(self.persons[part[0]]): part for part in np.split(order, borders)}


def _shares(persons: int, available: list[int], epoch: int) -> list[int]:
    """Identities that each domain gives to a batch: equal parts; small domains give all they have, and the remainder rotates with the
    epoch."""
    shares = [0] * len(available)
    left, open_domains = persons, list(range(len(available)))
    # All open domains have given the same so far; the remainder comes last, or one domain could get it twice.
    while open_domains and left >= len(open_domains):
        each = left // len(open_domains)
        for domain in open_domains:
            more = min(each, available[domain] - shares[domain])
            shares[domain] += more
            left -= more
        open_domains = [d for d in open_domains if shares[d] < available[d]]
    for i in range(left if open_domains else 0):
        shares[open_domains[(i + epoch) % len(open_domains)]] += 1
    return shares


class Rounds:
    """Draws numbers in shuffled rounds: each appears once before any repeats, and never twice in a draw."""

    def __init__(self, numbers: Indices, random: np.random.Generator) -> None:
        self.numbers, self.random, self.queue = numbers, random, list[int]()

    def draw(self, count: int) -> list[int]:
        """Returns the next ``count`` numbers; ``count`` must not exceed their total."""
        chosen = self.queue[:count]
        self.queue = self.queue[count:]
        if len(chosen) < count:
            fresh = [int(number) for number in self.random.permutation(self.numbers)]
            # The new round begins with numbers that this draw does not hold yet.
            taken = set(chosen)
            missing = [number for number in fresh if number not in taken][: count - len(chosen)]
            chosen += missing
            gone = set(missing)
            self.queue = [number for number in fresh if number not in gone]
        return chosen


@dataclass
class _Decks:
    """The decks of all identities after a number of epochs."""

    epochs: int = 0
    by_person: "dict[int, _Deck]" = field(default_factory=dict)


class _Deck:
    """Draws the images of one identity without replacement until all are used, spread over its strata (cameras)."""

    def __init__(self, images: Indices, strata: Indices) -> None:
        self.images, self.strata, self.queue = images, strata, list[int]()

    def draw(self, count: int, random: np.random.Generator) -> list[int]:
        """Returns the positions of the next ``count`` images."""
        while len(self.queue) < count:
            self.queue += self._shuffled(random)
        chosen, self.queue = self.queue[:count], self.queue[count:]
        return chosen

    def _shuffled(self, random: np.random.Generator) -> list[int]:
        order = random.permutation(len(self.images))
        # The n-th image of every camera comes before the (n + 1)-th of any.
        seen: dict[int, int] = {}
        turns = []
        for position in order:
            camera = int(self.strata[position])
            turns.append(seen.get(camera, 0))
            seen[camera] = turns[-1] + 1
        return [int(self.images[order[i]]) for i in np.argsort(turns, kind="stable")]
