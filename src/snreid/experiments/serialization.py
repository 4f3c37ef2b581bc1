"""Converts settings to and from JSON.

A setting is a frozen dataclass. In JSON it is an object with its class name under ``kind`` and its fields. Reading looks the
name up among the subclasses of the field's declared type, so a file can never import code.
"""

import dataclasses
import difflib
import math
import types
import typing
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from snreid.errors import ExperimentError

T = TypeVar("T")

_CHANGES = 3
"""Changed settings that an error shows."""
_LONGEST = 60
"""Characters of a changed setting that an error shows."""
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
        return typing.cast(T, _read(kind, data, where, _made))
    except RecursionError:
        raise ExperimentError(
            f"Settings in {where} are nested a few levels deep", found="too many levels to read", fix="correct the file"
        ) from None


def draft_from_json(kind: type[T], data: Any, *, checked: type) -> T:
    """``from_json`` for settings that flags will change: values that their class refuses stay as they are, but those of ``checked``."""

    def make(kind: type, values: dict[str, Any]) -> Any:
        """The value, or, if it is refused, its fields alone."""
        try:
            return kind(**values)
        except ExperimentError:
            if issubclass(kind, checked):
                raise
            return unchecked(kind, values)

    return typing.cast(T, _read(kind, data, "experiment", make))


def unchecked(kind: type[T], values: Mapping[str, Any]) -> T:
    """A frozen dataclass with these fields and defaults for the others, whether its class accepts them or not."""
    made = object.__new__(kind)
    for field in dataclasses.fields(kind):  # type: ignore[arg-type]
        missing = field.default_factory() if callable(field.default_factory) else field.default
        object.__setattr__(made, field.name, values.get(field.name, missing))
    return made


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


_Make = Callable[[type, dict[str, Any]], Any]
"""How a value is made of its class and fields."""


def _made(kind: type, values: dict[str, Any]) -> Any:
    return kind(**values)


def _read(kind: Any, data: Any, where: str, make: _Make) -> Any:
    origin = typing.get_origin(kind)
    if origin in (types.UnionType, typing.Union):
        return _read_union(typing.get_args(kind), data, where, make)
    if origin is tuple:
        return _read_tuple(typing.get_args(kind), data, where, make)
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
        return _read_value(kind, data, where, make)
    raise _wrong(where, _article(kind), data)


def _float(data: float, where: str) -> float:
    try:
        number = float(data)
    except OverflowError:  # JSON integers have any length
        number = math.inf
    if not math.isfinite(number):  # Python reads and writes NaN and Infinity in JSON
        raise _wrong(where, "a finite number, below 1.8e308", data)
    return number


def _read_union(options: tuple[Any, ...], data: Any, where: str, make: _Make) -> Any:
    if data is None and type(None) in options:
        return None
    errors: list[ExperimentError] = []
    for option in options:
        if option is type(None):
            continue
        try:
            return _read(option, data, where, make)
        except ExperimentError as error:
            errors.append(error)
    raise errors[0]


def _read_tuple(items: tuple[Any, ...], data: Any, where: str, make: _Make) -> tuple[Any, ...]:
    if not isinstance(data, list | tuple):
        raise _wrong(where, "a list", data)
    if len(items) == 2 and items[1] is Ellipsis:
        return tuple(_read(items[0], item, f"{where}[{i}]", make) for i, item in enumerate(data))
    if len(items) != len(data):
        raise _wrong(where, f"a list of {len(items)} entries", data)
    return tuple(
        _read(item, part, f"{where}[{i}]", make) for i, (item, part) in enumerate(zip(items, data, strict=True))
    )


def _read_value(base: type, data: dict[str, Any], where: str, make: _Make) -> Any:
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
            f"{where} has the fields {', '.join(sorted(fields))}",
            found=f"{unknown[0]!r}",
            fix=f"did you mean {close[0]!r}?" if close else "remove it",
        )
    missing = [
        f.name
        for f in fields.values()
        if f.name not in data and f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
    ]
    if missing:
        given = ", ".join(sorted(set(data) - {"kind"})) or "no field"
        raise ExperimentError(f"{where} needs the field {missing[0]!r}", found=given, fix="add it")
    values = {key: _read(hints[key], data[key], f"{where}.{key}", make) for key in data if key != "kind"}
    return make(kinds[name], values)


def _article(kind: Any) -> str:
    words = {int: "an integer", float: "a number", str: "a string", bool: "true or false", Path: "a path (a string)"}
    return words.get(kind, f"a value of type {getattr(kind, '__name__', kind)}")


def _wrong(where: str, wanted: str, data: Any) -> ExperimentError:
    text = repr(data)
    short = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}... ({len(text)} characters)"
    return ExperimentError(f"{where} must be {wanted}", found=short, fix="correct the value")


def changed_text(before: Any, now: Any) -> str:
    """Returns the first settings in which two JSON forms differ, for a message."""
    all_changes = changes(before, now)
    more = len(all_changes) - _CHANGES
    return "; ".join(all_changes[:_CHANGES]) + (f"; and {more} more that differ" if more > 0 else "")


def changes(before: Any, now: Any, where: str = "") -> list[str]:
    """Returns the settings in which two JSON forms differ, as in ``optimizer.lr 0.001, now 0.01``."""
    if isinstance(before, dict) and isinstance(now, dict) and before.get("kind") == now.get("kind"):
        names = dict.fromkeys([*before, *now])
        below = f"{where}." if where else ""
        return [
            change
            for name in names
            for change in changes(before.get(name, "not set"), now.get(name, "not set"), f"{below}{name}")
        ]
    if isinstance(before, list) and isinstance(now, list) and len(before) == len(now):
        pairs = enumerate(zip(before, now, strict=True))
        return [change for place, (old, new) in pairs for change in changes(old, new, f"{where}.{place}")]
    return [] if before == now else [f"{where} {_shown(before)}, now {_shown(now)}"]


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return " ".join(map(_shown, value)) or "none"
    if isinstance(value, dict):
        return str(value.get("kind", "other"))
    text = "none" if value in (None, "") else str(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
