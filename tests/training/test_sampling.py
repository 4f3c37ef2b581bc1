"""P x K batches (reliability.md R6): properties over random label sets, and the union over processes."""

from dataclasses import dataclass, replace
from math import ceil

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snreid.errors import ExperimentError
from snreid.training.sampling import IdentityBatches, Rounds, Sampling
from support.effort import examples


@dataclass(frozen=True)
class Labels:
    persons: np.ndarray
    domains: np.ndarray


@st.composite
def labels(draw: st.DrawFn) -> Labels:
    """One to three domains of 2 to 9 people with 1 to 6 images each, shuffled; identities are joint, as ``join`` makes them."""
    pairs: list[tuple[int, int]] = []
    person = 0
    for domain in range(draw(st.integers(1, 3))):
        for _ in range(draw(st.integers(2, 9))):
            pairs += [(person, domain)] * draw(st.integers(1, 6))
            person += 1
    order = draw(st.permutations(pairs)) if len(pairs) < 20 else pairs[::2] + pairs[1::2]
    return Labels(np.array([p for p, _ in order]), np.array([d for _, d in order]))


def people_of(batch: np.ndarray, found: Labels, images: int) -> list[int]:
    """The identities of a batch, after checking that each has its K images side by side."""
    rows = found.persons[batch].reshape(-1, images)
    assert (rows == rows[:, :1]).all()
    return [int(p) for p in rows[:, 0]]


@given(
    found=labels(), wanted=st.integers(2, 8), images=st.integers(2, 4), seed=st.integers(0, 2**32 - 1), data=st.data()
)
@settings(max_examples=examples(50), deadline=None)
def test_batches_hold_p_people_with_k_images_balanced_and_complete(
    found: Labels, wanted: int, images: int, seed: int, data: st.DataObject
) -> None:
    persons = min(wanted, int(found.persons.max()) + 1)
    balance = data.draw(st.booleans())
    length = len(found.persons)  # long enough for several rounds
    batches = IdentityBatches(
        Sampling(persons=persons, images=images, balance=balance), found.persons, found.domains, seed, length
    )
    epoch = data.draw(st.integers(0, 9))
    before = [batch for number in range(epoch) for batch in batches.epoch(number)]
    made = batches.epoch(epoch)
    assert len(made) == length == len(batches)
    people = [people_of(batch, found, images) for batch in made]
    assert all(len(set(one)) == persons == len(one) for one in people)

    domain_of = dict(zip(found.persons.tolist(), found.domains.tolist(), strict=True))
    shares = [sum(domain_of[p] == d for p in people[0]) for d in range(int(found.domains.max()) + 1)]
    sizes = [sum(v == d for v in domain_of.values()) for d in range(len(shares))]
    if balance:
        assert all([sum(domain_of[p] == d for p in one) for d in range(len(shares))] == shares for one in people)
        # No domain gives two fewer than another unless it gives all it has.
        assert all(share == size or share >= max(shares) - 1 for share, size in zip(shares, sizes, strict=True))
    groups = [(share, {p for p, d in domain_of.items() if d == n}) for n, share in enumerate(shares)]
    for share, members in groups if balance else [(persons, set(domain_of))]:
        if share:
            first = {p for one in people[: ceil(len(members) / share)] for p in one}
            assert members <= first, "someone was not seen within ceil(identities / share) batches"

    used = np.bincount(np.concatenate(before + made), minlength=len(found.persons))
    for person in domain_of:
        counts = used[found.persons == person]
        assert counts.max() - counts.min() <= 1, "an image came again before all of its person had come"


def test_what_a_small_domain_lacks_is_shared_out_among_the_others() -> None:
    """8 of 8, 4 and 2 people: the two that the smallest has not, and what no division gives, fell to the same domain once."""
    persons = np.repeat(np.arange(14), 2)
    domains = np.repeat([0] * 8 + [1] * 4 + [2] * 2, 2)
    for epoch in range(4):
        (batch,) = IdentityBatches(Sampling(persons=8, images=2), persons, domains, 0, 1).epoch(epoch)
        assert (np.bincount(domains[batch]) // 2).tolist() == [3, 3, 2]


@given(found=labels(), world=st.sampled_from([1, 2, 3]), per=st.integers(2, 3), seed=st.integers(0, 99))
@settings(max_examples=examples(30), deadline=None)
def test_the_shares_of_all_processes_are_the_batch_of_one(found: Labels, world: int, per: int, seed: int) -> None:
    persons = world * per
    if persons > found.persons.max() + 1:
        return
    sampling = Sampling(persons=persons, images=3)
    batches = IdentityBatches(sampling, found.persons, found.domains, seed, 5)
    for batch in batches.epoch(1):
        shares = [batches.share(batch, rank, world) for rank in range(world)]
        assert np.array_equal(np.concatenate(shares), batch)
        assert all(len(people_of(share, found, 3)) == per for share in shares)


def plain(ids: int = 12, images: int = 6) -> Labels:
    return Labels(np.repeat(np.arange(ids), images), np.zeros(ids * images, dtype=np.int64))


def test_an_epoch_is_a_function_of_seed_and_epoch_alone_and_no_two_are_alike() -> None:
    found = plain()
    batches = IdentityBatches(Sampling(persons=4, images=2), found.persons, found.domains, 7)
    epochs = [np.concatenate(batches.epoch(e)) for e in range(20)]
    for number, epoch in enumerate(epochs):
        resumed = IdentityBatches(Sampling(persons=4, images=2), found.persons, found.domains, 7).epoch(number)
        assert np.array_equal(np.concatenate(resumed), epoch)
        assert np.array_equal(np.concatenate(batches.epoch(number)), epoch)  # asked again, after a later one
    seeds = [np.concatenate(replace(batches, seed=s).epoch(0)) for s in range(100, 120)]
    assert len({one.tobytes() for one in epochs + seeds}) == 40


def test_all_images_are_seen_before_any_again_over_epochs() -> None:
    """With new decks in each epoch, people with more images than an epoch draws would keep some unseen for long."""
    persons = np.repeat(np.arange(10), 24)
    batches = IdentityBatches(Sampling(persons=5, images=4), persons, np.zeros_like(persons), 0, length=4)
    seen = np.concatenate([batch for epoch in range(3) for batch in batches.epoch(epoch)])
    assert sorted(seen.tolist()) == list(range(240))


def test_what_is_left_over_goes_to_the_domains_in_turn() -> None:
    persons = np.repeat(np.arange(30), 4)
    domains = persons // 10
    batches = IdentityBatches(Sampling(persons=8, images=2), persons, domains, 0, 1)
    given_by = np.array([np.bincount(domains[batches.epoch(e)[0]], minlength=3) // 2 for e in range(6)])
    assert (given_by.sum(1) == 8).all()
    assert sorted(given_by[0]) == [2, 3, 3]
    assert given_by.sum(0).tolist() == [16, 16, 16]


def test_cameras_as_domains_spread_the_images_of_a_person() -> None:
    persons = np.repeat(np.arange(6), 12)
    cameras = np.tile(np.repeat(np.arange(4), 3), 6)
    sampling = Sampling(persons=4, images=4, domains="camera")
    spread = [IdentityBatches(sampling, persons, cameras, seed, 3).epoch(0) for seed in range(5)]
    assert all(len(set(row)) == 4 for made in spread for batch in made for row in cameras[batch].reshape(4, 4).tolist())
    loose = [IdentityBatches(replace(sampling, balance=False), persons, cameras, seed, 3).epoch(0) for seed in range(5)]
    assert any(len(set(row)) < 4 for made in loose for batch in made for row in cameras[batch].reshape(4, 4).tolist())


@pytest.mark.parametrize(("images", "length", "expected"), [(6, None, 9), (6, 4, 4), (1, None, 1)])
def test_an_epoch_is_as_long_as_the_set_or_as_asked(images: int, length: int | None, expected: int) -> None:
    found = plain(12, images)
    batches = IdentityBatches(Sampling(persons=4, images=2), found.persons, found.domains, 0, length)
    assert len(batches) == len(batches.epoch(0)) == expected


@pytest.mark.parametrize("settings_", [{"persons": 1}, {"images": 1}])
def test_a_batch_without_pairs_is_refused(settings_: dict[str, int]) -> None:
    with pytest.raises(ExperimentError, match="at least 2 identities"):
        Sampling(**settings_)


def test_more_people_than_there_are_is_refused_with_the_number() -> None:
    found = plain(5)
    with pytest.raises(ExperimentError, match=r"16 different.*the sources have 5.*to 5 or less"):
        IdentityBatches(Sampling(), found.persons, found.domains, 0)


@pytest.mark.parametrize(("persons", "world"), [(4, 3), (4, 4)])
def test_people_that_do_not_divide_among_processes_are_refused(persons: int, world: int) -> None:
    found = plain()
    batches = IdentityBatches(Sampling(persons=persons), found.persons, found.domains, 0)
    with pytest.raises(ExperimentError, match=f"for {world} processes.*at least {2 * world}"):
        batches.share(batches.epoch(0)[0], 0, world)


def test_a_batch_has_p_times_k_images() -> None:
    assert Sampling(persons=5, images=3).batch == 15


@given(count=st.integers(1, 30), sizes=st.lists(st.integers(0, 30), min_size=1, max_size=12), seed=st.integers(0, 9))
def test_rounds_deal_every_number_once_and_none_twice_in_a_draw(count: int, sizes: list[int], seed: int) -> None:
    rounds = Rounds(np.arange(count), np.random.default_rng(seed))
    dealt: list[int] = []
    for size in (min(size, count) for size in sizes):
        drawn = rounds.draw(size)
        assert len(drawn) == len(set(drawn)) == size
        dealt += drawn
    times = np.bincount(np.array(dealt, dtype=np.int64), minlength=count)
    # A draw across two rounds may take a number of the new round before the last ones of the old.
    assert times.max() - times.min() <= 2 and set(dealt) <= set(range(count))


def test_a_round_is_gone_through_before_the_next_begins() -> None:
    rounds = Rounds(np.arange(10), np.random.default_rng(0))
    drawn = np.concatenate([rounds.draw(5) for _ in range(4)])
    assert sorted(drawn[:10].tolist()) == sorted(drawn[10:].tolist()) == list(range(10))
    assert not np.array_equal(drawn[:10], drawn[10:])
