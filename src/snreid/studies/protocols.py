"""Protocols as values: which data to train on and which to score, under the names used in the literature (method.md 6).

A protocol is a list of cases. A case is one training set and the benchmarks it is scored on; a benchmark is one target, or the ten random
splits of a small data set, reported as mean and standard deviation. Nothing is read here: ``plan.availability`` checks whether the images
are on this machine.

To add a protocol, add a class here and list it in ``protocols``.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace

from snreid.datasets import (
    CUHK01,
    CUHK02,
    CUHK03,
    CUHKSYSU,
    GRID,
    ILIDS,
    MSMT17,
    PRID2011,
    AllImages,
    Corrupted,
    DrawnPedestrians,
    DukeMTMC,
    Market1501,
    VIPeR,
)
from snreid.errors import ExperimentError
from snreid.records import DataSet
from snreid.synthetic.pedestrians import DOMAINS

SPLITS = 10
"""Random splits of the small data sets."""


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """A column of a table: the data that each of its numbers is measured on."""

    name: str
    targets: tuple[DataSet, ...]
    """One data set, or the random splits of one, reported as mean and standard deviation."""

    @property
    def collection(self) -> str:
        """The collection of its cameras; a benchmark of a source's collection is *seen*."""
        return self.targets[0].collection


@dataclass(frozen=True, kw_only=True)
class Budget:
    """How long preset ``small`` trains in a case; the other presets keep their own length."""

    epochs: int = 6
    batches_per_epoch: int | None = 100
    """None: images / batch size."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """One training set and the benchmarks scored after training on it."""

    name: str
    """Part of folder names: ``market1501-to-cuhk03-detected``."""
    sources: tuple[DataSet, ...]
    benchmarks: tuple[Benchmark, ...]
    small: Budget = Budget()

    @property
    def collections(self) -> frozenset[str]:
        """The collections of the sources."""
        return frozenset(source.collection for source in self.sources)

    def seen(self, benchmark: Benchmark) -> bool:
        """Whether training saw the benchmark's cameras (it never sees its people)."""
        return benchmark.collection in self.collections


class Protocol(ABC):
    """Which data to train on and score, as a value. Subclasses are frozen keyword-only dataclasses."""

    @property
    @abstractmethod
    def name(self) -> str:
        """Name on the command line."""

    @property
    @abstractmethod
    def about(self) -> str:
        """A one-sentence description for ``snreid protocol --list``."""

    @abstractmethod
    def cases(self) -> tuple[Case, ...]:
        """The cases in running order, each with a unique name."""


@dataclass(frozen=True, kw_only=True)
class SingleSource(Protocol):
    """Train on the training split of one data set, test on another; with ``seen`` also on the source's own test people."""

    source: DataSet
    target: DataSet
    seen: bool = True
    all_splits: bool = False
    """Score a target of ten random splits on all of them instead of the named one."""

    @property
    def name(self) -> str:
        """``SOURCE-to-TARGET``."""
        return f"{self.source.name}-to-{self._benchmark.name}"

    @property
    def about(self) -> str:
        """In words."""
        return f"train on {self.source.name}, test on {self._benchmark.name}"

    @property
    def _benchmark(self) -> Benchmark:
        data = self.target
        # Other splits of the source's own collection query people that it was trained on.
        whole = self.all_splits and data.collection != self.source.collection
        if not whole or not isinstance(data, VIPeR | PRID2011 | GRID | ILIDS | CUHK01):
            return single(data)
        return splits_of(data.name.removesuffix(str(data.split)).removesuffix("-split"), data)

    def cases(self) -> tuple[Case, ...]:
        """One case; a source that is its own target is one benchmark."""
        seen = (single(self.source),) if self.seen and self.source.name != self.target.name else ()
        return (Case(name=self.name, sources=(self.source,), benchmarks=(self._benchmark, *seen)),)


@dataclass(frozen=True, kw_only=True)
class BothWays(Protocol):
    """Two data sets, each in turn the source and the target."""

    first: DataSet
    second: DataSet

    @property
    def name(self) -> str:
        """``FIRST-and-SECOND``."""
        return f"{self.first.name}-and-{self.second.name}"

    @property
    def about(self) -> str:
        """In words."""
        return f"train on {self.first.name}, test on {self.second.name}, and the other way round"

    def cases(self) -> tuple[Case, ...]:
        """Two."""
        there = SingleSource(source=self.first, target=self.second)
        return (*there.cases(), *SingleSource(source=self.second, target=self.first).cases())


@dataclass(frozen=True, kw_only=True)
class Drawn(Protocol):
    """The built-in domains: train on noon and overcast, test on the five others. Needs no data; takes minutes on two cores."""

    train_persons: int = 150
    test_persons: int = 60
    """Test identities of each domain."""
    sources: tuple[str, ...] = ("noon", "overcast")
    targets: tuple[str, ...] = ()
    """Unseen domains to test; empty: all."""

    @property
    def name(self) -> str:
        """``drawn``."""
        return "drawn"

    @property
    def about(self) -> str:
        """In words."""
        return f"drawn pedestrians: train on {' and '.join(self.sources)}, test on the other built-in domains (no data needed)"

    def cases(self) -> tuple[Case, ...]:
        """One case; its benchmarks are all domains, the sources last."""
        sets = {
            domain.name: DrawnPedestrians(
                domain=domain.name, train_persons=self.train_persons, test_persons=self.test_persons
            )
            for domain in DOMAINS
        }
        unseen = [name for name in self.targets or sets if name not in self.sources]
        benchmarks = tuple(single(sets[name]) for name in (*unseen, *self.sources))
        sources = tuple(sets[name] for name in self.sources)
        return (
            Case(name="drawn", sources=sources, benchmarks=benchmarks, small=Budget(epochs=4, batches_per_epoch=32)),
        )


@dataclass(frozen=True, kw_only=True)
class Protocol1(Protocol):
    """P1: train on all images of Market-1501, CUHK02, CUHK03 and CUHK-SYSU, test on PRID, GRID, VIPeR and i-LIDS, ten splits each."""

    @property
    def name(self) -> str:
        """``p1``."""
        return "p1"

    @property
    def about(self) -> str:
        """In words."""
        return "train on all images of Market-1501, CUHK02, CUHK03, CUHK-SYSU; test on PRID, GRID, VIPeR, i-LIDS, mean of 10 splits each"

    def cases(self) -> tuple[Case, ...]:
        """One."""
        sources = (AllImages(of=Market1501()), CUHK02(), AllImages(of=CUHK03()), CUHKSYSU())
        return (Case(name="p1", sources=sources, benchmarks=small_sets()),)


@dataclass(frozen=True, kw_only=True)
class LeaveOneOut(Protocol):
    """Leaves out each target in turn and trains on all others of the group."""

    name: str = "leave-one-out"
    group: tuple[DataSet, ...] = ()
    never_targets: tuple[DataSet, ...] = ()
    """Members that are only sources (CUHK-SYSU has one camera)."""
    all_images: bool = False
    """Train on the training and test images of the sources, as in P3."""

    def __post_init__(self) -> None:
        if len(self.group) < 2 or not self.targets:
            raise ExperimentError(
                "Leave-one-out needs at least two data sets, one of them a target",
                found=", ".join(member.name for member in self.group) or "none",
                fix="name more data sets",
            )

    @property
    def targets(self) -> tuple[DataSet, ...]:
        """The data sets that are left out in turn."""
        return tuple(member for member in self.group if member not in self.never_targets)

    @property
    def about(self) -> str:
        """In words."""
        names, left = ", ".join(member.name for member in self.group), ", ".join(t.name for t in self.targets)
        images = "all images" if self.all_images else "the training splits"
        return f"of {names}: test on {left} in turn, train on {images} of the others"

    def cases(self) -> tuple[Case, ...]:
        """One case per target."""
        return tuple(
            Case(
                name=f"{self.name}-{target.name}",
                sources=tuple(self._source(member) for member in self.group if member != target),
                benchmarks=(single(target),),
            )
            for target in self.targets
        )

    def _source(self, member: DataSet) -> DataSet:
        # CUHK-SYSU has only training images, so both forms contain all of them.
        return AllImages(of=member) if self.all_images and not isinstance(member, CUHKSYSU) else member


@dataclass(frozen=True, kw_only=True)
class PaperSources(Protocol):
    """The paper's single-source rows (arXiv 2005.11037, Table 1): Market-1501 and DukeMTMC-reID, each tested on the other, on its
    own test people and on the four small data sets. The owners withdrew DukeMTMC-reID, so few have it."""

    @property
    def name(self) -> str:
        """``paper``."""
        return "paper"

    @property
    def about(self) -> str:
        """In words."""
        return "the paper's: Market-1501 to DukeMTMC-reID and back, each also on PRID, GRID, VIPeR, i-LIDS and its own test people"

    def cases(self) -> tuple[Case, ...]:
        """Two."""
        market, duke = Market1501(), DukeMTMC()
        return tuple(
            Case(
                name=f"{source.name}-to-{target.name}",
                sources=(source,),
                benchmarks=(single(target), *small_sets(), single(source)),
            )
            for source, target in ((market, duke), (duke, market))
        )


def with_withdrawn(case: Case) -> Case:
    """Returns the case with the withdrawn DukeMTMC-reID enabled, at the user's request."""

    def opted(data: DataSet) -> DataSet:
        """Enables one data set."""
        if isinstance(data, AllImages | Corrupted):
            return replace(data, of=opted(data.of))
        return replace(data, withdrawn_ok=True) if isinstance(data, DukeMTMC) else data

    benchmarks = tuple(replace(b, targets=tuple(map(opted, b.targets))) for b in case.benchmarks)
    return replace(case, sources=tuple(map(opted, case.sources)), benchmarks=benchmarks)


def single(target: DataSet) -> Benchmark:
    """Returns the benchmark of one data set."""
    return Benchmark(name=target.name, targets=(target,))


def splits_of(name: str, data: VIPeR | PRID2011 | GRID | ILIDS | CUHK01) -> Benchmark:
    """Returns the benchmark of the ten random splits of a small data set."""
    return Benchmark(name=name, targets=tuple(replace(data, split=number) for number in range(SPLITS)))


def small_sets() -> tuple[Benchmark, ...]:
    """PRID, GRID, VIPeR and i-LIDS, ten splits each, in the usual order of published tables."""
    return (
        splits_of("prid2011", PRID2011()),
        splits_of("grid", GRID()),
        splits_of("viper", VIPeR()),
        splits_of("ilids", ILIDS()),
    )


def protocol_2() -> LeaveOneOut:
    """P2: leave one of Market-1501, MSMT17, CUHK-SYSU and CUHK03 out, training splits only."""
    return LeaveOneOut(name="p2", group=(CUHK03(), MSMT17(), Market1501(), CUHKSYSU()), never_targets=(CUHKSYSU(),))


def protocol_3() -> LeaveOneOut:
    """P3: as P2, with training and test images of the sources."""
    return replace(protocol_2(), name="p3", all_images=True)


def leave_one_out() -> LeaveOneOut:
    """The older leave-one-out protocol over Market-1501, DukeMTMC-reID, MSMT17 and CUHK03."""
    group = (Market1501(), DukeMTMC(), MSMT17(), CUHK03())
    return LeaveOneOut(name="leave-one-out", group=group)


def market_cuhk03() -> BothWays:
    """Market-1501 and CUHK03-NP (detected), both ways: the common pair of data sets that is still available."""
    return BothWays(first=Market1501(), second=CUHK03())


def protocols() -> tuple[Protocol, ...]:
    """Returns all named protocols in listing order."""
    return (Drawn(), market_cuhk03(), PaperSources(), Protocol1(), protocol_2(), protocol_3(), leave_one_out())
