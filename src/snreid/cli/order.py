"""Names before flags: a flag that takes several values takes the names behind it for its own.

Names that are known for certain (an existing run folder, a recipe) are put in front; where that is not possible the right order is shown.
"""

import math
import re
import shlex
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path

from snreid.errors import ExperimentError
from snreid.experiments.packaged import NAMES
from snreid.system.machine import data_root

_LISTS = ("--target", "-t", "--source", "-s", "--examples", "--domain", "--data")
_VALUES: dict[str, float] = {
    **dict.fromkeys((*_LISTS, "--corruptions", "--severity"), math.inf),
    **dict.fromkeys(("--json", "--evaluate", "--skip-bad", "--images"), 0),
    **dict.fromkeys(("--no-json", "--no-evaluate", "--no-skip-bad", "--no-images", "-h", "--help"), 0),
    **dict.fromkeys(("--mean", "--std"), 3),
}
"""How many values a flag takes; all others take one."""
_NO_NAMES = ("--recipe", "--out", "--root", "--record", "--features", "--onnx")
"""What follows these is never a name, though it may be that of a recipe or the folder of a run."""


def is_run_folder(word: str) -> bool:
    """Whether ``word`` is the folder of a run, or the name of a packaged one."""
    return word in NAMES or (Path(word) / "experiment.json").is_file()


def names_first(words: Sequence[str], is_name: Callable[[str], bool], count: int | None = None) -> list[str]:
    """The words of a command with those that ``is_name`` knows in front: ``-t noon runs/a`` becomes ``runs/a -t noon``.

    ``count``: how many names the command takes (None: any number); the words stay as they are when another number is found.
    """
    flags = next((at for at, word in enumerate(words) if _is_flag(word)), len(words))
    found = [at for at in range(flags, len(words)) if is_name(words[at]) and words[at - 1] not in _NO_NAMES]
    if count is not None and flags + len(found) != count:
        return list(words)
    rest = [word for at, word in enumerate(words) if at >= flags and at not in found]
    return [*words[:flags], *(words[at] for at in found), *rest]


def require_names(command: str, words: Sequence[str], examples: Sequence[str], rule: str) -> None:
    """Raise ``misplaced`` when fewer words than ``examples`` are no flags' values; not where help is asked for."""
    found = list(_roles(words)).count("")
    if found < len(examples) and not {"-h", "--help"} & set(words):
        raise misplaced(command, words, examples[found:], rule)


def misplaced(command: str, words: Sequence[str], examples: Sequence[str], rule: str) -> ExperimentError:
    """The error for names that are missing in front of the flags, with the right order.

    ``examples``: one for each name that is missing; words that a flag took and that are no data sets stand for the first of them.
    """
    from snreid.cli.names import dataset_named

    root = next((Path(value) for flag, value in pairwise(words) if flag == "--root"), data_root())

    def is_data(word: str) -> bool:
        """Whether a data set has this name."""
        try:
            return bool(dataset_named(word, root))
        except ExperimentError:
            return False

    roles = list(_roles(words))
    names = [at for at, flag in enumerate(roles) if flag == ""]
    # One value stays with its flag, and it is the first.
    more = [at for at, flag in enumerate(roles) if flag in _LISTS and words[at - 1] != flag and not is_data(words[at])]
    names += more[: len(examples)]
    missing = examples[len(more) :]
    right = [*(words[at] for at in names), *missing, *(word for at, word in enumerate(words) if at not in names)]
    return ExperimentError(
        f"Names come first, then flags: {rule}",
        found=shlex.join(["snreid", *command.split(), *words]),
        fix=f"write it so: {shlex.join(['snreid', *command.split(), *right])}",
    )


def _roles(words: Sequence[str]) -> Iterator[str | None]:
    """Of each word the flag that it is a value of: "" for a name, None for a flag itself."""
    flag, left = "", 0.0
    for word in words:
        if _is_flag(word):
            flag = word.partition("=")[0].replace("_", "-")
            left = 0 if "=" in word else _VALUES.get(flag, 1)
            yield None
        else:
            yield flag if left else ""
            left = max(0, left - 1)


def _is_flag(word: str) -> bool:
    return re.match(r"--?[A-Za-z]", word) is not None
