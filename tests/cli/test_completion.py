"""``snreid completion``: a script that a shell can read and that knows every command and flag."""

import shutil
import subprocess

import pytest

from snreid.cli import COMMANDS
from snreid.cli.completion import main, script


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_every_command_and_flag_is_in_the_script(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([shell]) == 0
    shown = capsys.readouterr().out
    assert all(f"'{name}'" in shown for name in (*COMMANDS, "crop-sysu"))
    assert all(f"'{flag}'" in shown for flag in ("--target", "--train-persons", "--backend"))


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_shell_can_read_it(shell: str) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    done = subprocess.run([shell, "-n"], input=script(shell), capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_bash_completes_commands_and_flags() -> None:
    if shutil.which("bash") is None:
        pytest.skip("bash is not installed")
    ask = """
COMP_WORDS=(snreid {words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); COMP_LINE="snreid {words}"; COMP_POINT=${{#COMP_LINE}}
$(complete -p snreid | sed 's/.*-F \\([^ ]*\\).*/\\1/') ; echo "${{COMPREPLY[@]}}"
"""
    for words, expected in (("eva", "evaluate"), ("evaluate --rer", "--rerank"), ("data che", "check")):
        done = subprocess.run(
            ["bash"],
            input=script("bash") + ask.format(words=words),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert expected in done.stdout.split(), done.stderr
