"""``snreid completion``: completion of commands, flags and their values in a shell."""

import io
from collections.abc import Sequence
from contextlib import redirect_stdout, suppress
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Union

import tyro

from snreid.cli.flags import flag, parse


@dataclass(frozen=True, kw_only=True)
class Request:
    """Print a script that makes a shell complete commands and flags.

    Examples:
      snreid completion bash > ~/.bash_completion.d/snreid
      snreid completion zsh > ~/.zfunc/_snreid
      snreid completion fish > ~/.config/fish/completions/snreid.fish
    """

    shell: Annotated[tyro.conf.Positional[Literal["bash", "zsh", "fish"]], flag("bash, zsh or fish", "SHELL")]


def main(arguments: Sequence[str]) -> int:
    """Prints the script."""
    request = parse(Request, arguments, "snreid completion")
    print(script(request.shell))
    return 0


def script(shell: str) -> str:
    """The completion script of all commands for a shell, written by tyro."""
    from snreid.cli import GROUPS, module

    commands: Any = Union[  # noqa: UP007
        tuple(
            Annotated[module(name).Request, tyro.conf.subcommand(name, description=text)]
            for group in GROUPS.values()
            for name, text in group.items()
        )
    ]
    printed = io.StringIO()
    with redirect_stdout(printed), suppress(SystemExit):
        tyro.cli(commands, prog="snreid", args=["--tyro-write-completion", shell, "-"])
    return printed.getvalue()
