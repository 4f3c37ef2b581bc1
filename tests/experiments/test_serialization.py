"""Values to JSON and back; what a file may not say, and the hint it gets."""

import dataclasses
import json
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snreid.errors import ExperimentError
from snreid.experiments.serialization import changed_text, changes, from_json, known_kinds, to_json


class Fruit(ABC):
    @abstractmethod
    def eat(self) -> str: ...


@dataclass(frozen=True, kw_only=True)
class Apple(Fruit):
    weight: float = 1.5
    colour: Literal["red", "green"] = "red"

    def eat(self) -> str:
        return "crunch"


@dataclass(frozen=True, kw_only=True)
class Pear(Fruit):
    pips: int
    ripe: bool = True
    name: str | None = None

    def eat(self) -> str:
        return "mm"


@dataclass(frozen=True, kw_only=True)
class Basket:
    fruits: tuple[Fruit, ...] = ()
    pair: tuple[int, float] = (1, 2.0)
    place: Path = Path("table")
    counted: int = dataclasses.field(default=7, init=False)


fruits = st.one_of(
    st.builds(Apple, weight=st.floats(allow_nan=False, allow_infinity=False), colour=st.sampled_from(["red", "green"])),
    st.builds(Pear, pips=st.integers(-5, 5), ripe=st.booleans(), name=st.none() | st.text(max_size=5)),
)
baskets = st.builds(
    Basket,
    fruits=st.lists(fruits, max_size=3).map(tuple),
    pair=st.tuples(st.integers(0, 9), st.floats(0, 1)),
    place=st.sampled_from([Path("a"), Path("a/b.c")]),
)


@given(basket=baskets)
@settings(max_examples=50, deadline=None)
def test_every_value_comes_back_equal_through_text(basket: Basket) -> None:
    assert from_json(Basket, json.loads(json.dumps(to_json(basket)))) == basket


def test_the_form_is_an_object_with_its_kind() -> None:
    assert to_json(Basket(fruits=(Pear(pips=2),))) == {
        "kind": "Basket",
        "fruits": [{"kind": "Pear", "pips": 2, "ripe": True, "name": None}],
        "pair": [1, 2.0],
        "place": "table",
    }


def test_fields_with_a_default_and_the_kind_of_a_plain_class_may_be_left_out() -> None:
    assert from_json(Basket, {"fruits": [{"kind": "Apple"}]}) == Basket(fruits=(Apple(),))


def test_an_integer_will_do_for_a_float_and_becomes_one() -> None:
    apple = from_json(Fruit, {"kind": "Apple", "weight": 2})
    assert apple == Apple(weight=2.0) and type(apple.weight) is float  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"kind": "Aple"}, ["one of Apple, Pear", "'Aple'", "did you mean 'Apple'?"]),
        ({"kind": ["Apple"]}, ["one of Apple, Pear", "['Apple']"]),
        ({"kind": {"Apple": 1}}, ["one of Apple, Pear"]),
        (
            {"kind": "Apple", "weight": 10**400},
            ["bowl.weight must be a finite number, below 1.8e308", "(401 characters)"],
        ),
        ({"kind": "Apple", "weight": float("nan")}, ["bowl.weight must be a finite number", "nan"]),
        ({"kind": "Apple", "weight": float("-inf")}, ["bowl.weight must be a finite number", "-inf"]),
        ({"kind": "os.system"}, ["one of Apple, Pear", "'os.system'"]),
        ({}, ["one of Apple, Pear", "'Fruit'"]),
        (
            {"kind": "Apple", "wieght": 1},
            ["bowl has the fields", "colour, weight", "'wieght'", "did you mean 'weight'?"],
        ),
        ({"kind": "Apple", "zzz": 1}, ["'zzz'", "remove it"]),
        ({"kind": "Pear"}, ["needs the field 'pips'", "add it"]),
        ({"kind": "Pear", "pips": 1.5}, ["bowl.pips must be an integer", "1.5"]),
        ({"kind": "Pear", "pips": True}, ["bowl.pips must be an integer", "True"]),
        ({"kind": "Pear", "pips": 1, "ripe": 1}, ["bowl.ripe must be true or false"]),
        ({"kind": "Pear", "pips": 1, "name": 3}, ["bowl.name must be a string"]),
        ({"kind": "Apple", "colour": "blue"}, ["bowl.colour must be one of 'red', 'green'", "'blue'"]),
        ({"kind": "Apple", "weight": "heavy"}, ["bowl.weight must be a number", "'heavy'"]),
        ("Apple", ["bowl must be a value of type Fruit", "'Apple'"]),
    ],
)
def test_what_a_file_may_not_say(data: Any, words: list[str]) -> None:
    with pytest.raises(ExperimentError) as caught:
        from_json(Fruit, data, "bowl")
    assert all(word in str(caught.value) for word in words), str(caught.value)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"pair": [1]}, ["experiment.pair must be a list of 2 entries", "[1]"]),
        ({"pair": 1}, ["experiment.pair must be a list"]),
        ({"fruits": [{"kind": "Apple"}, {"kind": "Plum"}]}, ["experiment.fruits[1]", "'Plum'"]),
        ({"counted": 8}, ["'counted'"]),
    ],
)
def test_the_place_of_a_mistake_is_named(data: Any, words: list[str]) -> None:
    with pytest.raises(ExperimentError) as caught:
        from_json(Basket, data)
    assert all(word in str(caught.value) for word in words), str(caught.value)


@pytest.mark.parametrize("value", [{1, 2}, object(), Apple, 1j, {"a": 1}])
def test_only_plain_values_can_be_written(value: object) -> None:
    with pytest.raises(ExperimentError, match="type"):
        to_json(value)


def test_known_kinds_are_the_classes_that_can_be_made() -> None:
    assert known_kinds(Fruit) == {"Apple": Apple, "Pear": Pear}
    assert known_kinds(Basket) == {"Basket": Basket}


@pytest.mark.parametrize(
    ("before", "now", "expected"),
    [
        ({"a": 1, "b": [1, 2]}, {"a": 1, "b": [1, 2]}, []),
        ({"a": 1}, {"a": 1.0}, []),
        ({"a": {"b": 1, "c": None}}, {"a": {"b": 2, "c": "x"}}, ["a.b 1, now 2", "a.c none, now x"]),
        ({"a": [{"b": 1}, {"b": 2}]}, {"a": [{"b": 1}, {"b": 3}]}, ["a.1.b 2, now 3"]),
        ({"a": [1]}, {"a": [1, 2]}, ["a 1, now 1 2"]),
        ({"a": {"kind": "IN"}}, {"a": {"kind": "SNR", "stages": [1]}}, ["a IN, now SNR"]),
        ({}, {"a": []}, ["a not set, now none"]),
        ({"a": "x" * 99}, {}, [f"a {'x' * 60}..., now not set"]),
    ],
)
def test_settings_that_differ_are_named_with_both_values(before: object, now: object, expected: list[str]) -> None:
    assert changes(before, now) == expected
    more = dict.fromkeys("abcde", 0)
    assert changed_text(more, dict.fromkeys(more, 1)) == "a 0, now 1; b 0, now 1; c 0, now 1; and 2 more that differ"
