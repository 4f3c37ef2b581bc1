"""All labelled images of a data set, including its test split, as one training split, as in protocols P1 and P3 of domain
generalization (method.md 6).
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

    Distractors and junk are left out. An image that is both query and gallery counts once. Persons with only one image, which have no
    positive pair, are dropped with a note. Images that no split of the inner data set uses, such as the other images of i-LIDS's test
    persons, stay out.
    """

    of: DataSet
    """The inner data set."""

    @property
    def name(self) -> str:
        """The inner name and ``@all``, as in ``market1501@all``."""
        return f"{self.of.name}@all"

    @property
    def collection(self) -> str:
        """The collection of the inner data set, whose test persons have been seen after training on this one."""
        return self.of.collection

    @property
    def home(self) -> str:
        """As for the inner data set."""
        return self.of.home

    def read(self, root: Path) -> ReIDData:
        """All labelled samples in the order train, query, gallery.

        Raises:
            DataError: As for the inner data set; if a person number occurs both in training and in the test; if no person has two images.
        """
        inner = self.of.read(root)
        require_strangers(inner)  # otherwise two people of one number would become one
        every = (*inner.train.samples, *inner.query.samples, *inner.gallery.samples)
        once: dict[str, Sample] = {}
        for sample in every:
            if sample.person > 0:
                once.setdefault(sample.image.name, sample)
        train, dropped = drop_singles(Split(tuple(once.values())))
        if not train.samples:
            raise DataError(
                f"A data set to train on has persons with two images or more ({self.name})",
                found=f"{len(once)} labelled images, {dropped} persons with one image",
                fix="name another data set",
            )
        test = len(inner.query) + len(inner.gallery)
        nobody = sum(sample.person <= 0 for sample in every)
        notes = [
            *inner.notes,
            f"all labelled images are for training; of {test:,} query and gallery images {nobody:,} are nobody's and left out",
        ]
        if dropped:
            notes.append(f"{dropped} persons with one image dropped")
        return validated(ReIDData(self.name, train, Split(()), Split(()), inner.has_cameras, tuple(notes)))


def require_unseen_persons(sources: Sequence[DataSet], target: DataSet) -> None:
    """Raise ``ExperimentError`` if training on ``sources`` has seen the test persons of ``target``: as all images of its collection, or as
    another random split of it. Other people on the same cameras are allowed.
    """
    for source in sources:
        if source.collection != target.collection:
            continue
        of_source, of_target = tuple(layers(source)), tuple(layers(target))
        whole = any(isinstance(layer, AllImages) for layer in of_source)
        splits = {layer.split for layer in (*of_source, *of_target) if isinstance(layer, SplitDataSet)}
        if whole or len(splits) > 1:
            apart = f"{source.name.replace('@all', '')}, which leaves the test people out" if whole else target.name
            raise ExperimentError(
                "A model is scored on people it was not trained on",
                found=f"trained on {source.name}, target {target.name}",
                fix=f"take another target, or train on {apart}",
            )


def layers(data: DataSet) -> Iterator[DataSet]:
    """Yield the data set and, one after the other, the data sets that it wraps."""
    inner: object = data
    while isinstance(inner, DataSet):
        yield inner
        inner = getattr(inner, "of", None)
