"""Converts settings to and from JSON.

A setting is a frozen dataclass. In JSON it is an object with its class name under ``kind`` and its fields. Reading looks the
name up among the subclasses of the field's declared type, so a file can never import code.
"""

import dataclasses
import difflib
import math
import types
import typing
from pathlib import Path
from typing import Any, TypeVar

from snreid.errors import ExperimentError

T = TypeVar("T")

_SHOWN = 200
"""Characters of a wrong value that an error shows."""


def to_json(value: object) -> Any:
    """Returns the JSON form of a value: numbers, strings, lists and objects with ``kind``.

    Raises ``ExperimentError`` naming the type for any other value.
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {f.name: to_json(getattr(value, f.name)) for f in dataclasses.fields(value) if f.init}
        return {"kind": type(value).__name__, **fields}
    if isinstance(value, tuple | list):
        return [to_json(item) for item in value]
    if isinstance(value, Path):
        return str(value)
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise ExperimentError(
        "A setting must be a number, a string, a list or a frozen dataclass",
        found=f"{value!r} of type {type(value).__name__}",
        fix="make it a frozen dataclass whose fields are such values",
    )


def from_json(kind: type[T], data: Any, where: str = "experiment") -> T:
    """Returns the value of type ``kind`` that ``to_json`` wrote as ``data``.

    ``where`` is the path shown in errors. Raises ``ExperimentError`` for an unknown kind or field, a missing field or a wrong type.
    """
    try:
        return typing.cast(T, _read(kind, data, where))
    except RecursionError:
        raise ExperimentError(
            f"Settings in {where} are nested a few levels deep", found="too many levels to read", fix="correct the file"
        ) from None


def known_kinds(base: type) -> dict[str, type]:
    """Returns all concrete dataclasses among ``base`` and its subclasses, by class name."""
    kinds: dict[str, type] = {}
    pending = [base]
    while pending:
        candidate = pending.pop()
        pending.extend(candidate.__subclasses__())
        if dataclasses.is_dataclass(candidate) and not getattr(candidate, "__abstractmethods__", None):
            kinds[candidate.__name__] = candidate
    return kinds


def _read(kind: Any, data: Any, where: str) -> Any:
    origin = typing.get_origin(kind)
    if origin in (types.UnionType, typing.Union):
        return _read_union(typing.get_args(kind), data, where)
    if origin is tuple:
        return _read_tuple(typing.get_args(kind), data, where)
    if origin is typing.Literal:
        if data not in typing.get_args(kind):
            raise _wrong(where, f"one of {', '.join(map(repr, typing.get_args(kind)))}", data)
        return data
    if kind is float and isinstance(data, int | float) and not isinstance(data, bool):
        return _float(data, where)
    if kind in (int, str, bool):
        if type(data) is not kind:
            raise _wrong(where, _article(kind), data)
        return data
    if kind is Path and isinstance(data, str):
        return Path(data)
    if isinstance(kind, type) and isinstance(data, dict):
        return _read_value(kind, data, where)
    raise _wrong(where, _article(kind), data)


def _float(data: float, where: str) -> float:
    try:
        number = float(data)
    except OverflowError:  # JSON integers have any length
        number = math.inf
    if not math.isfinite(number):  # Python reads and writes NaN and Infinity in JSON
        raise _wrong(where, "a finite number, below 1.8e308", data)
    return number


def _read_union(options: tuple[Any, ...], data: Any, where: str) -> Any:
    if data is None and type(None) in options:
        return None
    errors: list[ExperimentError] = []
    for option in options:
        if option is type(None):
            continue
        try:
            return _read(option, data, where)
        except ExperimentError as error:
            errors.append(error)
    raise errors[0]


def _read_tuple(items: tuple[Any, ...], data: Any, where: str) -> tuple[Any, ...]:
    if not isinstance(data, list | tuple):
        raise _wrong(where, "a list", data)
    if len(items) == 2 and items[1] is Ellipsis:
        return tuple(_read(items[0], item, f"{where}[{i}]") for i, item in enumerate(data))
    if len(items) != len(data):
        raise _wrong(where, f"a list of {len(items)} entries", data)
    return tuple(_read(item, part, f"{where}[{i}]") for i, (item, part) in enumerate(zip(items, data, strict=True)))


def _read_value(base: type, data: dict[str, Any], where: str) -> Any:
    kinds = known_kinds(base)
    name = data.get("kind", base.__name__)
    if not isinstance(name, str) or name not in kinds:
        close = difflib.get_close_matches(str(name), kinds, n=1)
        raise ExperimentError(
            f"{where} must be one of {', '.join(sorted(kinds)) or 'nothing that this installation knows'}",
            found=f"kind {name!r}",
            fix=f"did you mean {close[0]!r}?" if close else "use one of those names",
        )
    hints = typing.get_type_hints(kinds[name])
    fields = {f.name: f for f in dataclasses.fields(kinds[name]) if f.init}
    unknown = sorted(set(data) - set(fields) - {"kind"}, key=str)  # in YAML a key may be a number
    if unknown:
        close = difflib.get_close_matches(str(unknown[0]), fields, n=1)
        raise ExperimentError(
            f"{name} in {where} has the fields {', '.join(sorted(fields))}",
            found=f"{unknown[0]!r}",
            fix=f"did you mean {close[0]!r}?" if close else "remove it",
        )
    missing = [
        f.name
        for f in fields.values()
        if f.name not in data and f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
    ]
    if missing:
        raise ExperimentError(
            f"{name} in {where} needs the field {missing[0]!r}", found=f"{sorted(data)}", fix="add it"
        )
    return kinds[name](**{key: _read(hints[key], data[key], f"{where}.{key}") for key in data if key != "kind"})


def _article(kind: Any) -> str:
    words = {int: "an integer", float: "a number", str: "a string", bool: "true or false", Path: "a path (a string)"}
    return words.get(kind, f"a value of type {getattr(kind, '__name__', kind)}")


def _wrong(where: str, wanted: str, data: Any) -> ExperimentError:
    shown = repr(data)
    short = shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}... ({len(shown)} characters)"
    return ExperimentError(f"{where} must be {wanted}", found=short, fix="correct the value")
