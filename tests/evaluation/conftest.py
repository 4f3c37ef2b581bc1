"""The slow twins are plain modules in ``tests/reference``."""

import sys
from pathlib import Path

import numpy as np
import pytest

from snreid.records import Features

_REFERENCE = str(Path(__file__).parents[1] / "reference")
if _REFERENCE not in sys.path:
    sys.path.insert(0, _REFERENCE)


@pytest.fixture
def crowd(rng: np.random.Generator) -> tuple[Features, Features]:
    """40 queries and 600 gallery images of 25 persons on 4 cameras, 700 dimensions, with junk and distractors."""
    centres = rng.normal(size=(26, 700))

    def draw(count: int, lowest: int) -> Features:
        persons = rng.integers(lowest, 26, size=count)
        embeddings = (centres[persons] + 6 * rng.normal(size=(count, 700))).astype(np.float32)
        return Features(embeddings, persons, rng.integers(1, 5, size=count))

    return draw(40, 1), draw(600, -1)
