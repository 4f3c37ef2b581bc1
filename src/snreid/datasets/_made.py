"""The split of people that a program makes, after Market-1501's: disjoint people, one query of a person on each camera."""

from collections.abc import Callable, Sequence

from snreid.datasets._rules import validated
from snreid.records import DISTRACTOR, ReIDData, Sample, Split
from snreid.synthetic.randomness import Draws

Make = Callable[[str, int, int, int, int], Sample]
"""Of part, number in the part, label, camera and shot."""


def made_split(
    name: str,
    make: Make,
    cameras_of: Callable[[str, int], Sequence[int]],
    *,
    train: int,
    test: int,
    distractors: int,
    images: int,
) -> ReIDData:
    """``train`` and ``test`` people with ``images`` images on each of their cameras, and ``distractors`` images of strangers.

    People are labelled from 1, those of the test after those of the training. Nothing is rendered. Raises ``DataError`` as ``validated``.
    """
    trained = [
        make("train", number, number, camera, shot)
        for number in range(1, train + 1)
        for camera in cameras_of("train", number)
        for shot in range(1, images + 1)
    ]
    query, gallery = [], []
    for number in range(1, test + 1):
        for camera in cameras_of("test", number):
            for shot in range(1, images + 1):
                # With one image per camera it is query and gallery at once: the rules keep it from matching itself.
                sample = make("test", number, train + number, camera, shot)
                if shot == 1:
                    query.append(sample)
                if shot > 1 or images == 1:
                    gallery.append(sample)
    for number in range(1, distractors + 1):
        gallery.append(make("distractor", number, DISTRACTOR, cameras_of("distractor", number)[0], 1))
    return validated(ReIDData(name, Split(tuple(trained)), Split(tuple(query)), Split(tuple(gallery))))


def some_cameras(draws: Draws, cameras: int, count: int) -> list[int]:
    """``count`` of the cameras 1 to ``cameras``, rising."""
    return sorted(sorted(range(1, cameras + 1), key=draws.bits)[:count])
