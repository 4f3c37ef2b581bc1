"""The command ``snreid``: sub-commands as typed functions. Nothing heavy is imported before a sub-command needs it."""

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
from types import FrameType

from snreid.errors import ExperimentError, Interrupted, SnreidError
from snreid.system.memory import keep_freed_memory

COMMANDS: dict[str, tuple[str, str]] = {
    "demo": (
        "snreid.cli.demo",
        "train Baseline, Baseline-IN and SNR on drawn pedestrians, test on unseen domains, write a report",
    ),
    "recipes": ("snreid.cli.recipes", "list the schemes that can be trained, and the presets"),
    "data": ("snreid.cli.data", "check data sets on disk, draw pedestrians, show them on a contact sheet"),
    "train": ("snreid.cli.train", "train a recipe on one or several sources"),
    "adapt": ("snreid.cli.adapt", "adapt a run to a target by its images, without its labels"),
    "evaluate": ("snreid.cli.evaluate", "score a run, an ONNX file or anybody's embeddings on targets"),
    "compare": ("snreid.cli.compare", "paired test between two runs on one target"),
    "diagnose": ("snreid.cli.diagnose", "where it fails: camera pairs, kinds of images, corruptions, worst queries"),
    "study": (
        "snreid.cli.study",
        "train and score several recipes with several seeds, and write table, report and record",
    ),
    "protocol": (
        "snreid.cli.protocol",
        "train and score recipes under a protocol of the field (P1, P2, P3, leave-one-out, ...)",
    ),
    "reproduce": (
        "snreid.cli.reproduce",
        "fill the tables of the paper: published, ours, difference",
    ),
    "extract": ("snreid.cli.extract", "embed image files with a run's model"),
    "export": ("snreid.cli.export", "write a run's model as an ONNX or OpenVINO file, in float32 or 8 bits"),
    "lens": ("snreid.cli.lens", "show what normalization removed from images and what SNR gave back, as a page"),
    "report": ("snreid.cli.report", "write the HTML report of finished runs"),
    "machine-check": (
        "snreid.cli.machine_check",
        "versions, cores and devices, and whether packaged models compute here as they should",
    ),
}
"""Name -> (module with ``main(arguments) -> int``, one line of help)."""

PLACES = ("--cache", "--out", "--root")
"""Flags that name a folder or a file; every command takes them but those in ``FEWER_PLACES``."""

FEWER_PLACES: dict[str, tuple[str, ...]] = {
    "recipes": (),
    "machine-check": (),
    "data": (),
    "data check": ("--root",),
    "data make": ("--out",),
    "data sheet": ("--out",),
    "compare": ("--cache", "--root"),
    "extract": ("--out",),
    "export": ("--out", "--root"),
}
"""Said here, as a command's own module is not imported before its words have been looked at."""


_AGAIN_SECONDS = 0.05


class Terminated(BaseException):
    """SIGTERM came while nothing answered it: a command ends here. No ``Exception``, so that nobody who expects a damaged file takes it
    for one. As with ``KeyboardInterrupt``, who knows how to go on adds it as a note."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line and returns its exit code: 0 done, 1 failed, 2 the request was wrong, 3 diverged, 143 SIGTERM."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if arguments is None:  # the process is this command's own
        keep_freed_memory()
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
        sys.stdout.reconfigure(errors="backslashreplace")  # a file's name may hold bytes that are no text
    try:
        done = _run(words, own=arguments is None)
        sys.stdout.flush()  # here and not at the interpreter's end, where a reader that has gone is reported as a failure
    except BrokenPipeError:
        # The reader of our output (head, less) has gone; that is no failure, and nothing more can be said to it.
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
    """The first SIGTERM unwinds the command, so that drafts are removed; a second one ends the process at once. Training has an answer of
    its own (``StopSignal``). Nothing is changed where somebody else has decided what SIGTERM does.

    Python swallows what is raised in a callback of a weak reference (each import runs some) or in ``__del__``. A stop that was lost
    there, Ctrl-C's too, is asked for again.
    """
    owner = os.getpid()
    again: list[threading.Timer] = []
    report = sys.unraisablehook

    def on_lost(lost: "sys.UnraisableHookArgs") -> None:
        """What Python was about to report as ignored."""
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
        """Raise where the command runs."""
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        if os.getpid() != owner:  # a loader worker that has not begun yet
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
    """Who is impatient while a stopped command ends, which waits for its workers, would get tracebacks of Python's last acts and no quicker
    end; so Ctrl-C does nothing from then on, if the process is this command's ``own``."""
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
    if words[0] not in COMMANDS:
        print(_unknown(words[0]), file=sys.stderr)
        return 2
    return _command(words[0], words[1:], own=own)


def _command(name: str, words: list[str], *, own: bool) -> int:
    try:
        with _terminable(), _answered_once(own=own):
            _check_repeats(words)
            _check_places(name, words)
            done: int = importlib.import_module(COMMANDS[name][0]).main(words)
    except Interrupted as stop:
        told = f"stopped by {stop.found}; {_going_on(stop)}." if hasattr(stop, "__notes__") else str(stop)
        print(f"snreid: {told}", file=sys.stderr)
        return stop.exit_code
    except SnreidError as error:
        print(f"snreid: {error}", file=sys.stderr)
        return error.exit_code
    except Terminated as stop:
        print(f"snreid: stopped by SIGTERM; {_going_on(stop)}.", file=sys.stderr)
        return 143
    except KeyboardInterrupt as stop:
        print(f"snreid: stopped by Ctrl-C; {_going_on(stop)}.", file=sys.stderr)
        return 130
    except SystemExit as exit:
        return exit.code if isinstance(exit.code, int) else 2
    return done


def _going_on(stop: BaseException) -> str:
    return str(getattr(stop, "__notes__", ["start the same command again"])[0])


def _check_repeats(words: Sequence[str]) -> None:
    """Of a flag given twice only the last would count, and a source or target would be lost without a word."""
    short = {"-s": "--source", "-t": "--target"}
    given = [short.get(word, word.partition("=")[0].replace("_", "-")) for word in words]
    flags = [word for word in given if re.match(r"--[a-z]", word)]
    twice = [flag for flag in flags if flags.count(flag) > 1]
    if twice:
        raise ExperimentError(
            "A flag is given once",
            found=f"{twice[0]} {flags.count(twice[0])} times",
            fix="keep one; where it takes several values they follow it: --source noon dusk",
        )


def _check_places(name: str, words: Sequence[str]) -> None:
    """An empty value, as a variable of a script that was never set gives it, would mean the current folder to ``Path``. Of a flag
    that the command ``name`` does not have it says itself that it has none."""
    places = FEWER_PLACES.get(" ".join([name, *words[:1]]), FEWER_PLACES.get(name, PLACES))
    for word, value in pairwise([*words, "there is no next"]):
        flag = word.removesuffix("=")
        if flag in places and (word != flag or not value):
            raise ExperimentError(
                f"{flag} names a place",
                found="an empty value",
                fix="give one (. is the folder you are in), or leave it out where the command has a default",
            )


def _help() -> str:
    width = max(map(len, COMMANDS))
    rows = "\n".join(f"  {name:<{width}}  {text}" for name, (_, text) in COMMANDS.items())
    return f"""\
usage: snreid COMMAND ...

Person re-identification on cameras never seen in training.

{rows}

  snreid COMMAND --help   what a command takes
  snreid --version

Exit codes: 0 done, 1 the run failed, 2 the request was wrong, 3 training diverged, 130 stopped by Ctrl-C,
143 stopped by SIGTERM."""


def _unknown(word: str) -> str:
    import difflib

    close = difflib.get_close_matches(word, COMMANDS, n=1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    return f"snreid: there is no command {word!r}.{hint} The commands are {', '.join(COMMANDS)}."
