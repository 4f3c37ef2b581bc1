"""Protocols as values: which data to train on and which to score, under the names used in the literature (method.md 6).

A protocol is a list of cases. A case is one training set and the benchmarks it is scored on; a benchmark is one target, or the ten random
splits of a small data set, reported as mean and standard deviation. Nothing is read here: ``plan.availability`` checks whether the images
are on this machine.

To add a protocol, add a function here and list it in ``protocols``.
"""

from collections.abc import Sequence
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


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """Which data to train on and score, as a value."""

    name: str
    """Name on the command line."""
    about: str
    """A one-sentence description for ``snreid protocol --list``."""
    cases: tuple[Case, ...]
    """The cases in running order, each with a unique name."""


def single_source(source: DataSet, target: DataSet, *, all_splits: bool = False) -> Protocol:
    """Train on the training split of one data set, test on another and on the source's own test people.

    With ``all_splits``, a target of ten random splits is scored on all of them instead of the named one.
    """
    # Other splits of the source's own collection query people that it was trained on.
    benchmark = single(target)
    if (
        all_splits
        and target.collection != source.collection
        and isinstance(target, VIPeR | PRID2011 | GRID | ILIDS | CUHK01)
    ):
        benchmark = splits_of(target)
    seen = (single(source),) if source.name != target.name else ()
    name = f"{source.name}-to-{benchmark.name}"
    case = Case(name=name, sources=(source,), benchmarks=(benchmark, *seen))
    return Protocol(name=name, about=f"train on {source.name}, test on {benchmark.name}", cases=(case,))


def both_ways(first: DataSet, second: DataSet) -> Protocol:
    """Two data sets, each in turn the source and the target."""
    return Protocol(
        name=f"{first.name}-and-{second.name}",
        about=f"train on {first.name}, test on {second.name}, and the other way round",
        cases=(*single_source(first, second).cases, *single_source(second, first).cases),
    )


def drawn(targets: Sequence[str] = ()) -> Protocol:
    """The built-in domains: train on noon and overcast, test on the five others, or those named, and on the sources' own test people.
    Needs no data; takes minutes on two cores."""
    sources = ("noon", "overcast")
    sets = {d.name: DrawnPedestrians(domain=d.name, train_persons=150, test_persons=60) for d in DOMAINS}
    unseen = [name for name in targets or sets if name not in sources]
    case = Case(
        name="drawn",
        sources=tuple(sets[name] for name in sources),
        benchmarks=tuple(single(sets[name]) for name in (*unseen, *sources)),
        small=Budget(epochs=4, batches_per_epoch=32),
    )
    about = "drawn pedestrians: train on noon and overcast, test on the other built-in domains (no data needed)"
    return Protocol(name="drawn", about=about, cases=(case,))


def protocol_1() -> Protocol:
    """P1: train on all images of Market-1501, CUHK02, CUHK03 and CUHK-SYSU, test on PRID, GRID, VIPeR and i-LIDS, ten splits each."""
    sources = (AllImages(of=Market1501()), CUHK02(), AllImages(of=CUHK03()), CUHKSYSU())
    return Protocol(
        name="p1",
        about="train on all images of Market-1501, CUHK02, CUHK03, CUHK-SYSU; test on PRID, GRID, VIPeR, i-LIDS, mean of 10 splits each",
        cases=(Case(name="p1", sources=sources, benchmarks=small_sets()),),
    )


def leave_one_out(
    name: str, group: Sequence[DataSet], *, never_targets: Sequence[DataSet] = (), all_images: bool = False
) -> Protocol:
    """Leaves out each target in turn and trains on all others of the group.

    Args:
        name: Name of the protocol, and of each case before its target's.
        group: The data sets.
        never_targets: Members that are only sources (CUHK-SYSU has one camera).
        all_images: Train on the training and test images of the sources, as in P3.

    Raises:
        ExperimentError: There are fewer than two data sets, or none is a target.
    """
    targets = [member for member in group if member not in never_targets]
    if len(group) < 2 or not targets:
        raise ExperimentError(
            "Leave-one-out needs at least two data sets, one of them a target",
            found=", ".join(member.name for member in group) or "none",
            fix="name more data sets",
        )

    def source(member: DataSet) -> DataSet:
        """CUHK-SYSU has only training images, so both forms contain all of them."""
        return AllImages(of=member) if all_images and not isinstance(member, CUHKSYSU) else member

    names, left = (", ".join(member.name for member in members) for members in (group, targets))
    images = "all images" if all_images else "the training splits"
    return Protocol(
        name=name,
        about=f"of {names}: test on {left} in turn, train on {images} of the others",
        cases=tuple(
            Case(
                name=f"{name}-{target.name}",
                sources=tuple(source(member) for member in group if member != target),
                benchmarks=(single(target),),
            )
            for target in targets
        ),
    )


def paper_sources() -> Protocol:
    """The paper's single-source rows (arXiv 2005.11037, Table 1): Market-1501 and DukeMTMC-reID, each tested on the other, on its
    own test people and on the four small data sets. The owners withdrew DukeMTMC-reID, so few have it."""
    market, duke = Market1501(), DukeMTMC()
    return Protocol(
        name="paper",
        about="the paper's: Market-1501 to DukeMTMC-reID and back, each also on PRID, GRID, VIPeR, i-LIDS and its own test people",
        cases=tuple(
            Case(
                name=f"{source.name}-to-{target.name}",
                sources=(source,),
                benchmarks=(single(target), *small_sets(), single(source)),
            )
            for source, target in ((market, duke), (duke, market))
        ),
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


def splits_of(data: VIPeR | PRID2011 | GRID | ILIDS | CUHK01) -> Benchmark:
    """Returns the benchmark of the ten random splits of a small data set."""
    name = data.name.removesuffix(str(data.split)).removesuffix("-split")
    return Benchmark(name=name, targets=tuple(replace(data, split=number) for number in range(SPLITS)))


def small_sets() -> tuple[Benchmark, ...]:
    """PRID, GRID, VIPeR and i-LIDS, ten splits each, in the usual order of published tables."""
    return splits_of(PRID2011()), splits_of(GRID()), splits_of(VIPeR()), splits_of(ILIDS())


def protocol_2(name: str = "p2", *, all_images: bool = False) -> Protocol:
    """P2: leave one of Market-1501, MSMT17, CUHK-SYSU and CUHK03 out, training splits only."""
    group = (CUHK03(), MSMT17(), Market1501(), CUHKSYSU())
    return leave_one_out(name, group, never_targets=(CUHKSYSU(),), all_images=all_images)


def protocol_3() -> Protocol:
    """P3: as P2, with training and test images of the sources."""
    return protocol_2("p3", all_images=True)


def market_cuhk03() -> Protocol:
    """Market-1501 and CUHK03-NP (detected), both ways: the common pair of data sets that is still available."""
    return both_ways(Market1501(), CUHK03())


def protocols() -> tuple[Protocol, ...]:
    """Returns all named protocols in listing order."""
    older = leave_one_out("leave-one-out", (Market1501(), DukeMTMC(), MSMT17(), CUHK03()))
    return (drawn(), market_cuhk03(), paper_sources(), protocol_1(), protocol_2(), protocol_3(), older)
