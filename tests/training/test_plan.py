"""How many steps an epoch has."""

import pytest

from support.tiny import plan


@pytest.mark.parametrize(("accumulate", "steps"), [(1, 4), (2, 2), (3, 2), (4, 1), (9, 1)])
def test_an_epoch_has_as_many_steps_as_groups_of_batches(accumulate: int, steps: int) -> None:
    assert plan(accumulate=accumulate).steps == steps
