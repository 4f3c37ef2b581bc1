"""The last part of the report: how the numbers came about, and how to get them again."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from snreid.figures.markup import Html, tag
from snreid.figures.page import folded, plain_table, row, scrolling, section

Json = None | bool | int | float | str | Sequence["Json"] | Mapping[str, "Json"]
"""What a JSON file may hold."""


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """How one row of the table came about."""

    name: str
    """Usually the scheme's name."""
    settings: Mapping[str, Json] = field(default_factory=dict)
    """The experiment as JSON, nested as it is."""
    versions: Mapping[str, str] = field(default_factory=dict)
    """Program -> version."""
    seeds: tuple[int, ...] = ()
    seconds: float | None = None
    """Duration of the training, all seeds together, in seconds."""
    commands: tuple[str, ...] = ()
    """What to type to get the row again."""


def flat(settings: Mapping[str, Json], before: str = "") -> dict[str, str]:
    """Nested settings as one level of texts, ``losses.0.margin``; plain lists stay on one line."""
    result: dict[str, str] = {}
    for key, value in settings.items():
        name = f"{before}{key}"
        if isinstance(value, Mapping):
            result |= flat(value, f"{name}.") if value else {name: "none"}
        elif isinstance(value, str) or not isinstance(value, Sequence):
            result[name] = _plain(value)
        elif any(isinstance(item, Mapping) for item in value):
            result |= flat({str(i): item for i, item in enumerate(value)}, f"{name}.")
        else:
            result[name] = ", ".join(_plain(item) for item in value) or "none"
    return result


def _plain(value: Json) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "none" if value is None else str(value)


def duration(seconds: float) -> str:
    """Seconds as a person says them: ``48 s``, ``12 min 5 s``, ``3 h 20 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    return f"{whole // 60} min {whole % 60} s" if whole < 3600 else f"{whole // 3600} h {whole % 3600 // 60} min"


def experiment_section(runs: Sequence[RunRecord], beside: Mapping[str, str]) -> Html:
    """Commands, times and what differs between the runs in sight; shared settings and versions to unfold.

    ``beside``: file name -> what it is, for files that lie beside the report.
    """
    columns = [flat(run.settings) for run in runs]
    names = list(dict.fromkeys(name for column in columns for name in column))
    shared = [name for name in names if len({column.get(name) for column in columns}) == 1]
    versions = {name: version for run in runs for name, version in run.versions.items()}
    return section(
        "Experiment",
        scrolling(_differing(runs, columns, [n for n in names if n not in shared]), "The runs") if runs else None,
        *_commands(runs),
        _pairs(f"Settings that all runs share ({len(shared)})", {name: columns[0][name] for name in shared}),
        _pairs("Versions", versions),
        _pairs("Files beside this report", beside),
    )


def _commands(runs: Sequence[RunRecord]) -> list[Html]:
    """Each set of commands once, under the names of the runs it made."""
    names: dict[tuple[str, ...], list[str]] = {}
    for run in runs:
        if run.commands:
            names.setdefault(run.commands, []).append(run.name)
    blocks = [
        tag("div", tag("h4", ", ".join(made)), tag("pre", tag("code", "\n".join(commands))))
        for commands, made in names.items()
    ]
    return [tag("h3", "Commands"), *blocks] if blocks else []


def _differing(runs: Sequence[RunRecord], columns: Sequence[Mapping[str, str]], names: Sequence[str]) -> Html:
    rows = [row("seeds", [", ".join(map(str, run.seeds)) or "not given" for run in runs])]
    rows.append(row("training time", ["not given" if run.seconds is None else duration(run.seconds) for run in runs]))
    rows += [row(name, [column.get(name, "not set") for column in columns]) for name in names]
    return plain_table(["", *(run.name for run in runs)], rows, class_="settings")


def _pairs(title: str, pairs: Mapping[str, str]) -> Html | None:
    if not pairs:
        return None
    return folded(title, plain_table([], [row(name, [value]) for name, value in pairs.items()], class_="settings"))
