"""What data sets of synthetic people share: their split, which is Market-1501's, and the bounds of their settings."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from snreid.datasets._rules import validated
from snreid.errors import ExperimentError
from snreid.records import DISTRACTOR, ReIDData, Sample, Split
from snreid.synthetic.randomness import Draws

_MAY_BE_NONE = ("persons", "train_persons", "test_persons", "distractors")
_AT_LEAST_ONE = ("cameras", "sites", "cameras_per_person", "images_per_camera")
Make = Callable[[str, int, int, int, int], Sample]
"""Makes the sample of (part, number in the part, label, camera, shot)."""


def require_counts(made: Mapping[str, Any], what: str) -> None:
    """Raise ``ExperimentError`` for settings (name -> value) that cannot be rendered, or that leave a query without a match. ``what`` names
    the images: ``"drawn pedestrians"``."""
    for name, value in made.items():
        least = 0 if name in _MAY_BE_NONE else 1 if name in _AT_LEAST_ONE else None
        if least is not None and value < least:
            raise ExperimentError(f"{name} of {what} is at least {least}", found=str(value), fix="raise it")
    for name in ("cameras_per_person", "sites"):
        if (value := made.get(name, 1)) > made["cameras"]:
            raise ExperimentError(
                f"{name} of {what} is at most the number of cameras",
                found=f"{name} {value}, cameras {made['cameras']}",
                fix=f"lower {name} or raise cameras",
            )
    if made["test_persons"] and made["cameras_per_person"] < 2:
        raise ExperimentError(
            "Every person to test on is seen by at least two cameras, or its queries have no match",
            found=f"cameras_per_person {made['cameras_per_person']}",
            fix="take 2 or more, or test_persons 0",
        )
    if made["height"] % 32 or not 64 <= made["height"] <= 512:
        raise ExperimentError(
            f"The height of {what} is a multiple of 32 from 64 to 512", found=str(made["height"]), fix="take 128"
        )


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
    """The split of synthetic people: training and test people are disjoint, and each test person has one query on each camera.

    Training people are labelled from 1, test people after them. ``cameras_of`` a part and a number are the cameras that see the person;
    ``train``, ``test`` and ``distractors`` are numbers of people, and ``images`` those of a person on each camera. Nothing is rendered.
    Raises ``DataError`` as ``validated`` does.
    """

    def tracks(part: str, count: int, labelled_after: int) -> Iterator[list[Sample]]:
        """The images of each person on each camera."""
        for number in range(1, count + 1):
            for camera in cameras_of(part, number):
                yield [make(part, number, labelled_after + number, camera, shot) for shot in range(1, images + 1)]

    trained = tuple(sample for track in tracks("train", train, 0) for sample in track)
    query, gallery = [], []
    for track in tracks("test", test, train):
        query.append(track[0])
        # With one image per camera it is query and gallery at once: the rules keep it from matching itself.
        gallery += track[1:] or track
    for number in range(1, distractors + 1):
        gallery.append(make("distractor", number, DISTRACTOR, cameras_of("distractor", number)[0], 1))
    return validated(ReIDData(name, Split(trained), Split(tuple(query)), Split(tuple(gallery))))


def some_cameras(draws: Draws, cameras: int, count: int) -> list[int]:
    """``count`` random cameras out of 1 to ``cameras``, ascending."""
    return sorted(sorted(range(1, cameras + 1), key=draws.bits)[:count])
