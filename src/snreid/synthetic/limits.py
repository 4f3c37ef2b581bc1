"""Range checks shared by all parts of a drawn picture."""

from typing import Any

from snreid.errors import ExperimentError


def check_range(what: str, value: float, low: float, high: float) -> None:
    """Raise ``ExperimentError`` if ``value`` is outside [low, high]."""
    if not low <= value <= high:
        raise ExperimentError(f"{what} lies between {low} and {high}", found=str(value), fix="take a value inside")


def check_word(what: str, value: str, options: tuple[str, ...]) -> None:
    """Raise ``ExperimentError`` if ``value`` is none of ``options``."""
    if value not in options:
        raise ExperimentError(
            f"{what} is one of {', '.join(options)}", found=repr(value), fix="take a word of this list"
        )


def check_fields(value: object, **allowed: tuple[Any, ...]) -> None:
    """Raise ``ExperimentError`` if a field of ``value`` is none of its allowed words, or outside its range (low, high)."""
    for name, options in allowed.items():
        what, found = f"{type(value).__name__}.{name}", getattr(value, name)
        if isinstance(options[0], str):
            check_word(what, found, options)
        else:
            check_range(what, found, *options)


def check_size(size: tuple[int, int]) -> None:
    """Raise ``ExperimentError`` for an unsupported height and width in pixels."""
    if any(side % 16 or not 32 <= side <= 512 for side in size):
        raise ExperimentError(
            "Height and width are multiples of 16 between 32 and 512", found=str(size), fix="take (128, 64)"
        )
