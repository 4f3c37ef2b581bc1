"""Command-line parsing: the fields of a dataclass are a command's flags, its docstring heads the ``--help``."""

import difflib
import inspect
import re
import shlex
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias, TypeVar, get_type_hints

import tyro

from snreid.errors import ExperimentError

T = TypeVar("T")
V = TypeVar("V")
HELP_ALL = "--help-all"
"""Prints the help of a command and every setting of the experiment."""


def flag(
    text: str, metavar: str | None = None, short: str | None = None, *, name: str | None = None, default: str = ""
) -> object:
    """The ``--help`` entry of a flag.

    Args:
        text: What the flag does.
        metavar: Name of its value, such as ``FILE``; its type if left out.
        short: A second, short name such as ``-t``.
        name: Name of the flag if it differs from the field's.
        default: What happens without the flag, if the default value does not show it.
    """
    hint = f"(default: {default})" if default else _default
    aliases = None if short is None else [short]
    return tyro.conf.arg(name=name, help=text, metavar=metavar, aliases=aliases, help_behavior_hint=hint)


def _default(value: str) -> str:
    """The default in the help; empty for a flag that is simply absent by default."""
    return "" if value in ("", "''", "None", "False", "True") else f"(default: {value})"


Json: TypeAlias = Annotated[bool, flag("print one JSON object")]
RunFolder: TypeAlias = Annotated[tyro.conf.Positional[Path], flag("folder of a finished run, or people", "RUN")]
Images: TypeAlias = Annotated[
    tyro.conf.Positional[tuple[Path, ...]], flag("image files, or folders of them", "[IMAGE...]")
]
Metric: TypeAlias = Annotated[
    Literal["cosine", "euclidean"] | None, flag("cosine or euclidean", "NAME", default="the run's or cosine")
]
Preset: TypeAlias = Annotated[str, flag("small, mobile, short or paper", "NAME")]
Seeds: TypeAlias = Annotated[tuple[int, ...], flag("random seeds; each trains every recipe once", "N")]


def parse(kind: type[T], words: Sequence[str], command: str) -> T:
    """Reads the arguments that follow the full name of a ``command``. ``kind``: a dataclass whose fields are the flags.

    Raises:
        ExperimentError: A required positional argument is missing.
        SystemExit: With code 0 after ``--help``, with code 2 for an argument that the command does not take.
    """
    request: T = tyro.cli(kind, **_options(kind, words, command))
    return request


def parse_known(kind: type[T], words: Sequence[str], command: str) -> tuple[T, list[str]]:
    """``parse`` for a command that also takes settings of an experiment: returns these unparsed."""
    return tyro.cli(kind, return_unknown_args=True, **_options(kind, words, command))


def _options(kind: type, words: Sequence[str], command: str) -> dict[str, Any]:
    asked = not {"-h", "--help"}.isdisjoint(words)
    required = _required(kind)
    if required and not asked and (not words or words[0].startswith("-")):  # a flag would take them as its values
        raise ExperimentError(
            f"{command} takes {' and '.join(required)} first, then flags",
            found=shlex.join([*command.split(), *words]),
            fix=f"write it like {example(kind)}",
        )
    text = re.sub(r"\n\n(?!Examples:)", "\n", inspect.getdoc(kind) or "")
    pairs_off = (tyro.conf.FlagCreatePairsOff,) if asked else ()  # --no-FLAG is taken, but not listed
    return {
        "args": list(words),
        "prog": command,
        "description": textwrap.indent(text, "  "),  # tyro joins lines that start with a letter
        "config": (tyro.conf.DisallowNone, *pairs_off),
    }


def pick(known: Mapping[str, V], word: str, what: str, otherwise: str) -> V:
    """The value for a name. For an unknown one raises ``ExperimentError`` with the closest, or else the fix ``otherwise``.

    ``what``: what the word names, such as "A recipe".
    """
    if word in known:
        return known[word]
    close = difflib.get_close_matches(word, known, n=1)
    raise ExperimentError(
        f"{what} is one of {', '.join(known)}",
        found=repr(word),
        fix=f"did you mean {close[0]!r}?" if close else otherwise,
    )


def _required(kind: type) -> list[str]:
    """The names of the positional arguments that have no default."""
    hints = get_type_hints(kind, include_extras=True)
    positional = [f.name for f in fields(kind) if f.default is MISSING and "Positional" in str(hints[f.name])]
    return [name.upper().replace("_", "-") for name in positional]


def example(kind: type) -> str:
    """The first example in the docstring of a command."""
    lines = (inspect.getdoc(kind) or "").splitlines()
    examples = (line.split("  #")[0].strip() for line in lines if line.strip().startswith("snreid "))
    return next(examples, "snreid --help shows it")  # python -OO drops docstrings
