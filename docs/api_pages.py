"""How the API reference reads the source (an extension of griffe, which imports nothing of it)."""

import re

import griffe


class PackageDocumentation(griffe.Extension):
    """A package's public names are those of its ``__init__.pyi``; the section ``Example:`` is rendered like ``Examples:``."""

    def on_module(self, *, mod: griffe.Module, **_: object) -> None:
        """Sets ``__all__``, which lazy_loader makes at run time, from the lines ``from .x import Name as Name``."""
        if mod.is_init_module and not isinstance(mod.filepath, list) and mod.filepath.with_suffix(".pyi").is_file():
            names = {name: member.target_path for name, member in mod.members.items() if member.is_alias}
            mod.exports = [name for name, target in names.items() if target.startswith(f"{mod.package.name}.")]

    def on_object(self, *, obj: griffe.Object, **_: object) -> None:
        """Gives the section the one title that griffe knows."""
        if obj.docstring:
            obj.docstring.value = re.sub(r"^Example:$", "Examples:", obj.docstring.value, flags=re.M)
