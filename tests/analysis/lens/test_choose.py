"""Images are taken evenly: over cameras, over the order of files, and by no person's label."""

from collections import Counter
from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from snreid.analysis.lens.choose import MOST_SETS, choose, evenly, group, shares
from snreid.records import NO_CAMERA, ReIDData, Sample, Split
from support.report_samples import Patch


def samples(counts: dict[int, int], person: int = 1, tag: str = "q") -> Split:
    """So many images on each camera."""
    return Split(
        tuple(
            Sample(Patch(f"{tag}{camera}-{number:03d}", person, max(1, camera)), person, camera)
            for camera, count in counts.items()
            for number in range(count)
        )
    )


def data(query: Split, gallery: Split = Split(()), train: Split = Split(()), name: str = "noon") -> ReIDData:  # noqa: B008
    return ReIDData(name, train, query, gallery)


@given(st.lists(st.integers(0, 30), max_size=8), st.integers(0, 100))
def test_shares_are_as_equal_as_they_can_be(sizes: list[int], count: int) -> None:
    given_shares = shares(sizes, count)
    assert sum(given_shares) == min(count, sum(sizes))
    assert all(0 <= share <= size for share, size in zip(given_shares, sizes, strict=True))
    # Nobody who has more left gets less than somebody else, but for the one image that cannot be divided.
    for share, size in zip(given_shares, sizes, strict=True):
        assert share == size or share >= max(given_shares) - 1


def test_every_camera_gives_as_many_spread_over_its_files() -> None:
    chosen = choose(data(samples({1: 100, 2: 3, 3: 50})), 33)
    assert Counter(chosen.split.cameras.tolist()) == {1: 15, 2: 3, 3: 15}
    first = [sample.image.name for sample in chosen.split.samples if sample.camera == 1]
    assert first[0] == "q1-000" and first[-1] == "q1-099"
    gaps = np.diff([int(name[3:]) for name in first])
    assert gaps.min() >= 6 and gaps.max() <= 8
    assert (chosen.part, chosen.available) == ("test", 153)


def test_junk_and_repeated_names_are_left_out_and_labels_of_persons_do_not_matter() -> None:
    query, junk, distractor = samples({1: 4}), samples({2: 4}, person=-1, tag="j"), samples({2: 2}, person=0, tag="d")
    chosen = choose(data(query, Split((*query.samples, *junk.samples, *distractor.samples))), 100)
    assert sorted(sample.image.name[0] for sample in chosen.split.samples) == ["d", "d", "q", "q", "q", "q"]
    other = Split(tuple(Sample(one.image, 9 - place % 3, one.camera) for place, one in enumerate(query.samples)))
    names = [sample.image.name for sample in choose(data(query), 2).split.samples]
    assert names == [sample.image.name for sample in choose(data(other), 2).split.samples]


def test_a_data_set_for_training_only_and_an_empty_one() -> None:
    chosen = choose(data(Split(()), train=samples({NO_CAMERA: 5})), 3)
    assert chosen.part == "training" and len(chosen.split) == 3
    assert len(choose(data(Split(())), 3).split) == 0
    assert evenly([], 4) == []
    one = samples({1: 1}).samples
    assert evenly(one, 4) == list(one)


def test_groups_are_cameras_in_joint_order() -> None:
    noon, night = choose(data(samples({1: 2, 2: 2})), 9), choose(data(samples({1: 3}), name="night"), 9)
    sets = group([noon, night])
    assert sets.names == ("noon, camera 1", "noon, camera 2", "night, camera 1")
    assert sets.domains == ("noon", "noon", "night") and sets.by_camera
    assert [one.tolist() for one in sets.images] == [[0, 1], [2, 3], [4, 5, 6]]


def test_data_sets_without_cameras_or_with_too_many_are_one_set_each() -> None:
    bare = choose(data(samples({NO_CAMERA: 4}), name="shop"), 9)
    assert group([bare]).names == ("shop",) and not group([bare]).by_camera
    many = choose(data(samples(dict.fromkeys(range(1, MOST_SETS + 1), 1)), name="city"), 99)
    assert len(group([many]).names) == MOST_SETS and group([many]).by_camera
    both = group([many, bare])
    assert both.names == ("city", "shop") and not both.by_camera
    assert [len(one) for one in both.images] == [MOST_SETS, 4]


def test_what_the_reader_noticed_comes_along() -> None:
    noted = replace(data(samples({1: 4})), notes=("it is withdrawn",))
    assert choose(noted, 2).remarks == ("noon: it is withdrawn",)
