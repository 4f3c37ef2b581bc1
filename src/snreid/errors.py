"""What can go wrong, as one tree.

SnreidError                 exit code 1: the run failed
├── DataError               exit code 2: an image, a label, a folder or a table is not what it has to be
├── ExperimentError         exit code 2: the settings contradict each other or the data
├── CheckpointError         exit code 2: a weight or run file is missing, damaged or of another model
├── DivergenceError         exit code 3: training met NaN or infinity
└── Interrupted             exit code 143: SIGTERM came, the current step was saved
    └── UserInterrupted     exit code 130: the same for Ctrl-C

Every message says the rule, what came (with the value) and how to repair it, in the user's words.
"""


class SnreidError(Exception):
    """Root of the tree. ``exit_code`` is what the command returns when this error ends it."""

    exit_code: int = 1

    def __init__(self, rule: str, *, came: str = "", repair: str = "") -> None:
        """``rule``: what has to hold. ``came``: what was found instead. ``repair``: what to do."""
        self.rule, self.came, self.repair = rule, came, repair
        parts = [_ended(rule)]
        if came:
            parts.append(f"Found: {_ended(came)}")
        if repair:
            parts.append(f"To repair: {_ended(repair)}")
        super().__init__(" ".join(parts))

    def __reduce__(self) -> tuple[object, ...]:
        # Errors cross process borders (loader workers); the default would call __init__ with one argument.
        return (_rebuild, (type(self), self.rule, self.came, self.repair))


def _ended(sentence: str) -> str:
    return sentence if sentence.endswith(("?", "!")) else sentence.rstrip(".") + "."


def _rebuild(kind: type[SnreidError], rule: str, came: str, repair: str) -> SnreidError:
    return kind(rule, came=came, repair=repair)


class DataError(SnreidError):
    """An image, a label, a folder or a table is not what it has to be."""

    exit_code = 2


class ExperimentError(SnreidError):
    """The settings contradict each other or the data."""

    exit_code = 2


class CheckpointError(SnreidError):
    """A weight or run file is missing, damaged or belongs to another model."""

    exit_code = 2


class DivergenceError(SnreidError):
    """Training met NaN or infinity and stopped; the last good checkpoint is untouched."""

    exit_code = 3


class Interrupted(SnreidError):
    """SIGTERM came; the current step was finished and saved."""

    exit_code = 143


class UserInterrupted(Interrupted):
    """Ctrl-C (SIGINT) came; the current step was finished and saved."""

    exit_code = 130
