"""A session: settings, processes, console and decoded images as one value."""

from snreid.system.machine import Machine
from snreid.training.session import Session
from support.tiny import console, session


def test_a_session_starts_with_defaults_and_computes_where_the_machine_says() -> None:
    started = Session.start(Machine(device="cpu"), quiet=True)
    assert started.first and started.device == "cpu" and started.group.world == 1
    assert started.console.quiet and started.console.stderr
    assert started.pixels.memory_gb == started.machine.memory_gb


def test_empty_sentences_are_not_printed() -> None:
    talk = console()
    speaking = session(talk=talk)
    speaking.say("")
    speaking.say("[bold] 1 of 2")
    assert talk.file.getvalue() == "[bold] 1 of 2\n"  # type: ignore[attr-defined]
