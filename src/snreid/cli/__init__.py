"""The command ``snreid``. Each of its commands is a module of this folder, imported when it is called: ``snreid --help`` needs no torch."""

import contextlib
import importlib
import io
import os
import re
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from itertools import pairwise
from types import FrameType, ModuleType

from snreid.cli.flags import pick
from snreid.errors import ExperimentError, Interrupted, SnreidError
from snreid.system.memory import keep_freed_memory

GROUPS: dict[str, dict[str, str]] = {
    "Start": {
        "demo": "train and test three models on synthetic people, in minutes",
        "recipes": "list what can be trained",
        "data": "check data sets, list their names, make synthetic ones",
        "machine-check": "show versions and devices, and test the packaged models",
    },
    "Train": {
        "train": "train a recipe on one or several data sets",
        "adapt": "adapt a trained model to new cameras, without labels",
        "study": "train and score several recipes and seeds, in one table",
    },
    "Measure": {
        "evaluate": "score a run, an ONNX file or embeddings on data sets",
        "compare": "test whether one run is better than another",
        "diagnose": "find out where a model fails: cameras, dark images, corruptions",
        "lens": "show what normalization removes and what SNR restores",
        "report": "write an HTML page about finished runs",
    },
    "Use": {
        "extract": "turn images into embeddings",
        "search": "find the images of a person in a gallery of embeddings",
        "verify": "tell whether two images show the same person",
        "export": "write a model as an ONNX or OpenVINO file",
        "completion": "print a completion script for bash, zsh or fish",
    },
    "Reproduce": {
        "protocol": "train and score recipes under a published protocol",
        "reproduce": "fill the tables of the paper: published, ours, difference",
    },
}
"""The commands by purpose, each with its line of help."""

COMMANDS = tuple(name for commands in GROUPS.values() for name in commands)

_AGAIN_SECONDS = 0.05


class Terminated(BaseException):
    """SIGTERM arrived where nothing handles it, so the command ends.

    Not an ``Exception``, so that code which expects a damaged file does not catch it. As with ``KeyboardInterrupt``, a note says how
    to continue.
    """


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line.

    Args:
        arguments: The words after ``snreid``; those of the process if None.

    Returns:
        The exit code: 0 done, 1 failed, 2 the request was wrong, 3 training diverged, 130 Ctrl-C, 143 SIGTERM.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    if arguments is None:  # this process runs nothing else
        keep_freed_memory()
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
        sys.stdout.reconfigure(errors="backslashreplace")  # file names may hold bytes that are not text
    try:
        done = _run(words, own=arguments is None)
        sys.stdout.flush()  # now: at exit, Python would report a closed pipe as a failure
    except BrokenPipeError:
        # The reader of our output (head, less) has closed it, which is no failure.
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        if error.errno is None:
            raise
        print(
            f"snreid: a file or folder cannot be used. Found: {error}. Fix: check the path, rights and space.",
            file=sys.stderr,
        )
        return 1
    return done


@contextlib.contextmanager
def _terminable() -> Iterator[None]:
    """The first SIGTERM unwinds the command, so that unfinished files are removed; a second one ends the process at once. Training
    handles the signal itself (``StopSignal``). A handler that the caller installed stays in place.

    Python swallows exceptions raised in ``__del__`` or in the callback of a weak reference (each import runs some). A SIGTERM or
    Ctrl-C that is lost there is sent again.
    """
    owner = os.getpid()
    again: list[threading.Timer] = []
    report = sys.unraisablehook

    def on_lost(lost: "sys.UnraisableHookArgs") -> None:
        """Receives what Python was about to report as ignored."""
        if isinstance(lost.exc_value, Terminated):
            signal.signal(signal.SIGTERM, on_signal)
            number = signal.SIGTERM
        elif isinstance(lost.exc_value, KeyboardInterrupt):
            number = signal.SIGINT
        else:
            report(lost)
            return
        again.append(threading.Timer(_AGAIN_SECONDS, signal.raise_signal, [number]))
        again[-1].start()

    def on_signal(number: int, frame: FrameType | None) -> None:
        """Raises in the main thread, where the command runs."""
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        if os.getpid() != owner:  # a loader worker that is still starting
            os.kill(os.getpid(), signal.SIGTERM)
        raise Terminated

    main_thread = threading.current_thread() is threading.main_thread()
    if not main_thread or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTERM, on_signal)
    sys.unraisablehook = on_lost
    try:
        yield
    finally:
        sys.unraisablehook = report
        for timer in again:
            timer.cancel()
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


@contextlib.contextmanager
def _answered_once(*, own: bool) -> Iterator[None]:
    """Ignores further Ctrl-C while a stopped command waits for its workers: it would only print tracebacks of the interpreter's exit.
    Only if the process is this command's ``own``."""
    try:
        yield
    except (KeyboardInterrupt, Terminated, Interrupted):
        if own:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        raise


def _run(words: list[str], *, own: bool) -> int:
    if not words or words[0] in ("-h", "--help", "help"):
        print(_help())
        return 0
    if words[0] in ("-V", "--version"):
        from snreid import __version__

        print(f"snreid {__version__}")
        return 0
    name, *arguments = words
    try:
        with _terminable(), _answered_once(own=own):
            pick(dict.fromkeys(COMMANDS), name, "A command", "see snreid --help")
            _check_values(arguments)
            done: int = module(name).main(arguments)
    except Interrupted as stop:
        message = f"stopped by {stop.found}; {_next_step(stop)}." if hasattr(stop, "__notes__") else str(stop)
        print(f"snreid: {message}", file=sys.stderr)
        return stop.exit_code
    except SnreidError as error:
        print(f"snreid: {error.in_lines()}", file=sys.stderr)
        return error.exit_code
    except Terminated as stop:
        print(f"snreid: stopped by SIGTERM; {_next_step(stop)}.", file=sys.stderr)
        return 143
    except KeyboardInterrupt as stop:
        print(f"snreid: stopped by Ctrl-C; {_next_step(stop)}.", file=sys.stderr)
        return 130
    except SystemExit as exit:
        return exit.code if isinstance(exit.code, int) else 2
    return done


def module(name: str) -> ModuleType:
    """The module of a command. It has ``Request``, the dataclass of its flags, and ``main(arguments) -> exit code``."""
    return importlib.import_module(f"snreid.cli.{name.replace('-', '_')}")


def _next_step(stop: BaseException) -> str:
    return str(getattr(stop, "__notes__", ["start the same command again"])[0])


def _check_values(words: Sequence[str]) -> None:
    """Refuses an empty value, such as a variable of a script that was never set: ``Path`` would take it for the current folder."""
    for flag, word in pairwise(["the first argument", *words]):
        if not word or re.fullmatch(r"--[\w.-]+=", word):
            raise ExperimentError(
                f"{word or flag} needs a value",
                found="an empty one",
                fix="give a value (. is the current folder), or leave the flag out",
            )


def _help() -> str:
    width = max(map(len, COMMANDS))
    groups = "\n\n".join(
        f"{title}\n" + "\n".join(f"  {name:<{width}}  {text}" for name, text in commands.items())
        for title, commands in GROUPS.items()
    )
    return f"""\
usage: snreid COMMAND ...

Person re-identification on cameras never seen in training.

{groups}

  snreid COMMAND --help   what a command does, with examples
  snreid --version

Exit codes: 0 done, 1 the run failed, 2 the request was wrong,
3 training diverged, 130 stopped by Ctrl-C, 143 stopped by SIGTERM."""
