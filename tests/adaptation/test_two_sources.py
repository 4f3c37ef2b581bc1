"""Batches of both sides: pure functions of (seed, epoch), source first, everything once before anything again."""

from pathlib import Path

import numpy as np
import pytest
import torch

from snreid.adaptation.two_sources import TwoBatches, TwoStores
from snreid.errors import ExperimentError
from snreid.images.loading import PixelStore
from snreid.training.sampling import IdentityBatches, Sampling
from support.tiny import drawn


def batches(**changes: object) -> TwoBatches:
    settings = {"source_count": 10, "target_count": 7, "source_batch": 4, "target_batch": 3, "length": 5, "seed": 0}
    return TwoBatches(**{**settings, **changes})  # type: ignore[arg-type]


def test_source_comes_first_and_both_go_round() -> None:
    drawn_batches = batches().epoch(0)
    assert len(drawn_batches) == len(batches()) == 5
    for batch in drawn_batches:
        source, target = batch[:4], batch[4:] - 10
        assert set(source) <= set(range(10)) and len(set(source)) == 4
        assert set(target) <= set(range(7)) and len(set(target)) == 3
    assert sorted(np.concatenate([b[:4] for b in drawn_batches]).tolist()) == sorted([*range(10)] * 2)
    times = np.bincount(np.concatenate([b[4:] - 10 for b in drawn_batches]), minlength=7)
    assert times.sum() == 15 and times.min() >= 1


def test_they_depend_on_seed_and_epoch_alone() -> None:
    flat = [np.concatenate(batches(seed=s).epoch(e)) for s in (0, 1) for e in (0, 1)]
    assert all(not np.array_equal(a, b) for i, a in enumerate(flat) for b in flat[i + 1 :])
    assert np.array_equal(flat[3], np.concatenate(batches(seed=1).epoch(1)))
    assert np.array_equal(batches().share(flat[0], 0, 1), flat[0])


def test_every_image_is_seen_before_any_again_over_epochs() -> None:
    few = batches(source_count=40, target_count=30, length=2)
    drawn_batches = [batch for epoch in range(5) for batch in few.epoch(epoch)]
    assert sorted(np.concatenate([batch[:4] for batch in drawn_batches]).tolist()) == list(range(40))
    assert sorted(np.concatenate([batch[4:] for batch in drawn_batches]).tolist()) == list(range(40, 70))


def test_by_identities_every_person_comes_with_several_images() -> None:
    persons = np.repeat(np.arange(5), 4)
    identities = IdentityBatches(Sampling(persons=2, images=2), persons, np.zeros(20, dtype=np.int64), 0, 5)
    for batch in batches(source_count=20, identities=identities).epoch(3):
        assert sorted(np.unique(persons[batch[:4]], return_counts=True)[1].tolist()) == [2, 2]


def test_too_few_images_for_a_batch_say_which() -> None:
    with pytest.raises(ExperimentError, match=r"3 of 2 images.*lower --target-batch to 2"):
        batches(target_count=2)
    with pytest.raises(ExperimentError, match=r"lower --source-batch to 3"):
        batches(source_count=3)


@pytest.mark.parametrize("memory_gb", [1.0, 0.0])
def test_two_stores_are_read_as_one(memory_gb: float) -> None:
    splits = drawn().read(Path()).train, drawn("dusk").read(Path()).train
    stores = [PixelStore(split, 32, 16, memory_gb=memory_gb) for split in splits]
    assert all(store.open() == () for store in stores)
    both = TwoStores(*stores)
    count = len(splits[0])
    assert [s.image.name for s in both.split.samples] == [s.image.name for split in splits for s in split.samples]
    wanted = [np.array([3, 0, count + 2, count]), np.array([1, count + 5])]
    for found, batch in zip(both.batches(wanted), wanted, strict=True):
        for image, position in zip(found, batch, strict=True):
            side = int(position >= count)
            (expected,) = stores[side].batches([np.array([position - side * count])])
            assert torch.equal(image, expected[0])
