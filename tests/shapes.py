"""The run-time check that the import hook in ``conftest.py`` puts on every function: beartype, where beartype can."""

from collections.abc import Callable
from typing import Any, Self, TypeVar

from beartype import beartype

Checked = TypeVar("Checked", bound=Callable[..., Any])


def checked(function: Checked) -> Checked:
    """``function`` with its annotations enforced. One that speaks of ``Self`` stays as it is: jaxtyping decorates methods
    one by one, and beartype understands ``Self`` only when it decorates the class."""
    if Self in getattr(function, "__annotations__", {}).values():
        return function
    return beartype(function)
