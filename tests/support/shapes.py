"""The run-time check that ``conftest.py`` puts on every function: an import hook of jaxtyping, and beartype, where beartype can."""

import sys
from collections.abc import Callable, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any, Self, TypeVar

from beartype import beartype
from jaxtyping import install_import_hook

CHECKED = ("snreid.outputs", "snreid.models", "snreid.losses", "snreid.evaluation", "snreid.distances")
"""Only what speaks in tensors, so that data readers and the command line start as fast as they do for a user."""
LEFT_OUT = ("snreid.models.triton_kernels",)
"""The hook decorates below ``@triton.jit``, which takes a function's source apart and looks its names up where it was defined; it would
be given jaxtyping's wrapper, in whose module there is no ``tl``. What calls the kernels from there is checked by ``instance_affine``."""

Checked = TypeVar("Checked", bound=Callable[..., Any])


def checked(function: Checked) -> Checked:
    """``function`` with its annotations enforced. One that speaks of ``Self`` stays as it is: jaxtyping decorates methods
    one by one, and beartype understands ``Self`` only when it decorates the class."""
    if Self in getattr(function, "__annotations__", {}).values():
        return function
    return beartype(function)


def check_shapes() -> None:
    """Installs the hook. Has to come before the first import of the modules."""
    install_import_hook(CHECKED, "support.shapes.checked")
    sys.meta_path.insert(0, _Plain())


class _Plain(MetaPathFinder):
    """Finds the modules that are left out as Python does; jaxtyping's own finder takes all that begins with a name it was given."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """See ``importlib``."""
        return PathFinder.find_spec(fullname, path, target) if fullname in LEFT_OUT else None
