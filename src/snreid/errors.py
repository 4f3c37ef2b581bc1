"""What can go wrong, as one tree.

SnreidError                 exit code 1: the run failed
├── DataError               exit code 2: an image, a label, a folder or a table is not what it has to be
├── ExperimentError         exit code 2: the settings contradict each other or the data
├── CheckpointError         exit code 2: a weight or run file is missing, damaged or of another model
├── BusyError               exit code 1: another process is writing there
├── DivergenceError         exit code 3: training met NaN or infinity
└── Interrupted             exit code 143: SIGTERM came, the current step was saved
    └── UserInterrupted     exit code 130: the same for Ctrl-C

Every message states the rule, what was found (the value) and how to fix it, in the user's words.
"""

import re
import textwrap

_UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters but tab and line feed, changes of the writing direction, and bytes of a file name that are not UTF-8."""


def visible(text: str) -> str:
    r"""A text that a terminal or a page shows as it is: a character that would control them, or cannot be encoded, as ``\u001b``.

    That is JSON's notation, so that JSON stays what it is.
    """
    return _UNSEEN.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


class SnreidError(Exception):
    """Root of the tree. ``exit_code`` is what the command returns when this error ends it."""

    exit_code: int = 1

    def __init__(self, rule: str, *, found: str = "", fix: str = "") -> None:
        """``rule``: what has to hold. ``found``: what was found instead. ``fix``: what to do."""
        self.rule, self.found, self.fix = rule, found, fix
        super().__init__(" ".join(self._parts()))

    def _parts(self) -> list[str]:
        named = (("", self.rule), ("Found: ", self.found), ("Fix: ", self.fix))
        # Names of files may hold anything.
        return [visible(f"{name}{_ended(text)}") for name, text in named if text]

    def in_lines(self) -> str:
        """The message for a terminal: each part on a line of its own, broken if it fills more than three lines of 80 columns."""
        return "\n  ".join(
            part
            if len(part) <= _LONGEST
            else textwrap.fill(part, 80, subsequent_indent="    ", break_long_words=False, break_on_hyphens=False)
            for part in self._parts()
        )

    def __reduce__(self) -> tuple[object, ...]:
        # Errors cross process borders (loader workers); the default would call __init__ with one argument.
        return (_rebuild, (type(self), self.rule, self.found, self.fix))


_LONGEST = 240


def _ended(sentence: str) -> str:
    return sentence if sentence.endswith(("?", "!")) else sentence.rstrip(".") + "."


def _rebuild(kind: type[SnreidError], rule: str, found: str, fix: str) -> SnreidError:
    return kind(rule, found=found, fix=fix)


class DataError(SnreidError):
    """An image, a label, a folder or a table is not what it has to be."""

    exit_code = 2


class ExperimentError(SnreidError):
    """The settings contradict each other or the data."""

    exit_code = 2


class CheckpointError(SnreidError):
    """A weight or run file is missing, damaged or belongs to another model."""

    exit_code = 2


class BusyError(SnreidError):
    """Another process is writing to the same folder or file."""


class DivergenceError(SnreidError):
    """Training met NaN or infinity and stopped; the last good checkpoint is untouched."""

    exit_code = 3


class Interrupted(SnreidError):
    """SIGTERM came; the current step was finished and saved."""

    exit_code = 143


class UserInterrupted(Interrupted):
    """Ctrl-C (SIGINT) came; the current step was finished and saved."""

    exit_code = 130
