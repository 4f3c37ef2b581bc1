"""Both ends of a range belong to it; a refusal names the rule and what came."""

import pytest

from snreid.errors import ExperimentError
from snreid.synthetic.limits import check_range, check_size, check_word


@pytest.mark.parametrize("value", [0.5, 1.0, 2.0])
def test_values_inside_pass(value: float) -> None:
    check_range("Lamp.height", value, 0.5, 2.0)


@pytest.mark.parametrize("value", [0.4999, 2.0001, float("nan")])
def test_values_outside_are_refused(value: float) -> None:
    with pytest.raises(ExperimentError, match=rf"Lamp.height lies between 0.5 and 2.0. Found: {value}. Fix: take"):
        check_range("Lamp.height", value, 0.5, 2.0)


def test_words_of_the_list_pass_and_others_are_refused() -> None:
    check_word("Lamp.colour", "red", ("red", "green"))
    with pytest.raises(ExperimentError, match=r"Lamp.colour is one of red, green. Found: 'blue'. Fix: take"):
        check_word("Lamp.colour", "blue", ("red", "green"))


@pytest.mark.parametrize("size", [(128, 63), (16, 64), (1024, 64)])
def test_sizes_that_cannot_be_drawn_are_refused(size: tuple[int, int]) -> None:
    check_size((32, 512))
    with pytest.raises(ExperimentError, match=r"multiples of 16 between 32 and 512. Found: \("):
        check_size(size)
