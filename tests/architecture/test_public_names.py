"""Every public name exists, is documented, and is listed once: in the stubs from which the packages load their names."""

import ast
import importlib
import inspect
from pathlib import Path

import pytest

import snreid

STUBS = sorted(Path(snreid.__file__).parent.rglob("__init__.pyi"))


@pytest.mark.parametrize("stub", STUBS, ids=lambda stub: stub.parent.name)
def test_every_name_of_a_stub_loads_and_has_a_docstring(stub: Path) -> None:
    parts = stub.parent.relative_to(Path(snreid.__file__).parents[1]).parts
    package = importlib.import_module(".".join(parts))
    imports = [node for node in ast.parse(stub.read_text(encoding="utf-8")).body if isinstance(node, ast.ImportFrom)]
    names = [alias.name for node in imports for alias in node.names]
    assert names and len(names) == len(set(names))
    assert set(names) == set(package.__all__)
    bare = [name for name in names if not inspect.getdoc(getattr(package, name))]
    assert not bare, f"public names without a docstring: {bare}"


@pytest.mark.parametrize("package", ["datasets", "losses", "models", "evaluation", "adaptation"])
def test_every_name_of_a_documented_package_has_a_docstring(package: str) -> None:
    module = importlib.import_module(f"snreid.{package}")
    bare = [
        name for name in module.__all__ if callable(getattr(module, name)) and not inspect.getdoc(getattr(module, name))
    ]
    assert not bare, f"public names without a docstring: {bare}"


def test_the_top_has_some_twenty_names() -> None:
    assert len([name for name in snreid.__all__ if not inspect.ismodule(getattr(snreid, name))]) <= 25


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="SNRR"):
        snreid.SNRR  # noqa: B018
