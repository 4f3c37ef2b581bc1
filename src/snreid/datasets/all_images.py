"""Every labelled image of a data set, those of its test split too, as one training split: what protocols P1 and P3 of domain
generalization train on (method.md 6).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from snreid.datasets._rules import drop_singles, require_strangers, validated
from snreid.datasets._splits import SplitDataSet
from snreid.errors import DataError, ExperimentError
from snreid.records import DataSet, ReIDData, Sample, Split


@dataclass(frozen=True, kw_only=True)
class AllImages(DataSet):
    """A data set whose training, query and gallery images are all for training; on the command line ``NAME@all``.

    Distractors and junk are nobody and left out; an image that is query and gallery at once counts once; persons left with
    one image are dropped, with a note, because there is no other image to pull it towards. What no split of the inner data set
    uses stays out (the other images of i-LIDS's test persons).
    """

    of: DataSet
    """The data set whose images these are."""

    @property
    def name(self) -> str:
        """The inner name and ``@all``, as in ``market1501@all``."""
        return f"{self.of.name}@all"

    @property
    def collection(self) -> str:
        """That of the inner data set: its test split is seen once this was trained on."""
        return self.of.collection

    @property
    def home(self) -> str:
        """That of the inner data set."""
        return self.of.home

    def read(self, root: Path) -> ReIDData:
        """All labelled samples in the order train, query, gallery. Raises ``DataError`` as the inner data set does, for a
        number that stands for a person of the training and of the test split, and when no two images are of one person.
        """
        inner = self.of.read(root)
        require_strangers(inner)  # readers keep them apart; one that does not would have two people become one here
        once: dict[str, Sample] = {}
        for split in (inner.train, inner.query, inner.gallery):
            for sample in split.samples:
                if sample.person > 0:
                    once.setdefault(sample.image.name, sample)
        train, dropped = drop_singles(Split(tuple(once.values())))
        if not train.samples:
            raise DataError(
                f"a data set to train on has persons with two images or more ({self.name})",
                found=f"{len(once)} labelled images, {dropped} persons with one image",
                fix="name another data set",
            )
        test = len(inner.query) + len(inner.gallery)
        nobody = sum(
            sample.person <= 0 for split in (inner.train, inner.query, inner.gallery) for sample in split.samples
        )
        notes = [
            *inner.notes,
            f"all labelled images are for training; of {test:,} query and gallery images {nobody:,} are nobody's and left out",
        ]
        if dropped:
            notes.append(f"{dropped} persons with one image dropped")
        return validated(ReIDData(self.name, train, Split(()), Split(()), inner.has_cameras, tuple(notes)))


def require_unseen_persons(sources: Sequence[DataSet], target: DataSet) -> None:
    """Raise ``ExperimentError`` when training on ``sources`` has seen the people that ``target`` asks for: all images of its collection, or
    another random split of it. Other people of the same cameras are fine.
    """
    for source in sources:
        if source.collection != target.collection:
            continue
        inside, asked = tuple(layers(source)), tuple(layers(target))
        whole = any(isinstance(layer, AllImages) for layer in inside)
        splits = {layer.split for layer in (*inside, *asked) if isinstance(layer, SplitDataSet)}
        if whole or len(splits) > 1:
            raise ExperimentError(
                "A model is scored on people it was not trained on",
                found=f"trained on {source.name}, target {target.name}",
                fix="take another target, or train on "
                + (
                    f"{source.name.replace('@all', '')}, which leaves the test people out"
                    if whole
                    else f"{target.name}"
                ),
            )


def layers(data: DataSet) -> Iterator[DataSet]:
    """The data set and what it is made of."""
    inner: object = data
    while isinstance(inner, DataSet):
        yield inner
        inner = getattr(inner, "of", None)
