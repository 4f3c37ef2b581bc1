"""The public surface is a list somebody had to edit: ``public_names.txt`` beside this file.

One line per name: what it is and the names of its arguments. A change of the surface fails here until the list says so,
and the change of the list is what a reviewer reads.
"""

import ast
import inspect
from pathlib import Path

import pytest

import snreid

LIST = Path(__file__).with_name("public_names.txt")


def _line(name: str) -> str:
    thing = getattr(snreid, name)
    if inspect.ismodule(thing):
        return f"module {name}"
    if not callable(thing):
        return f"value {name}"
    kind = "class" if inspect.isclass(thing) else "function"
    try:
        arguments = list(inspect.signature(thing).parameters)
    except ValueError:
        arguments = []
    return f"{kind} {name}({', '.join(arguments)})"


def test_the_public_names_are_the_listed_ones() -> None:
    have = sorted(_line(name) for name in snreid.__all__)
    listed = [line for line in LIST.read_text(encoding="utf-8").splitlines() if line]
    new, gone = sorted(set(have) - set(listed)), sorted(set(listed) - set(have))
    assert not new and not gone, (
        f"edit {LIST.name}:\nadd    " + "\n       ".join(new) + "\nremove " + "\n       ".join(gone)
    )
    assert listed == sorted(listed)


def test_all_and_dir_agree_and_every_name_has_a_docstring() -> None:
    assert set(snreid.__all__) <= set(dir(snreid))
    assert len(set(snreid.__all__)) == len(snreid.__all__)
    bare = [n for n in snreid.__all__ if callable(getattr(snreid, n)) and not inspect.getdoc(getattr(snreid, n))]
    assert not bare, f"public names without a docstring: {bare}"


def test_type_checkers_see_the_same_names() -> None:
    """The imports under TYPE_CHECKING, the table of homes and ``__all__`` are one list."""
    tree = ast.parse(Path(snreid.__file__).read_text(encoding="utf-8"))
    (block,) = (n for n in tree.body if isinstance(n, ast.If) and ast.unparse(n.test) == "TYPE_CHECKING")
    imports = [n for n in block.body if isinstance(n, ast.ImportFrom)]
    seen = {alias.asname or alias.name: n.module for n in imports for alias in n.names}
    assert seen == snreid._HOME
    assert set(snreid.__all__) == set(seen) | {"__version__"}


def test_an_unknown_name_is_an_attribute_error_that_says_so() -> None:
    with pytest.raises(AttributeError, match="no public name 'SNRR'; did you mean 'SNR'"):
        snreid.SNRR  # noqa: B018
