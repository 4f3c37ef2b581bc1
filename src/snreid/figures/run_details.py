"""How the numbers of a report were made: settings, versions, times and commands of the runs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

Json = None | bool | int | float | str | Sequence["Json"] | Mapping[str, "Json"]
"""A value of a JSON file."""


@dataclass(frozen=True, kw_only=True)
class RunDetails:
    """How one row of the table was made."""

    name: str
    """Usually the scheme's name."""
    settings: Mapping[str, Json] = field(default_factory=dict)
    """The experiment as nested JSON."""
    versions: Mapping[str, str] = field(default_factory=dict)
    """Program to version."""
    seeds: tuple[int, ...] = ()
    seconds: float | None = None
    """Duration of the training, the sum over all seeds, in seconds."""
    commands: tuple[str, ...] = ()
    """Commands that reproduce the row."""


@dataclass(frozen=True)
class RunTable:
    """What all runs share and where they differ."""

    runs: tuple[RunDetails, ...]

    @property
    def columns(self) -> list[dict[str, str]]:
        """The flat settings of each run."""
        return [flat(run.settings) for run in self.runs]

    @property
    def shared(self) -> dict[str, str]:
        """Settings with the same value in all runs."""
        first, *others = self.columns or [{}]
        return {name: value for name, value in first.items() if all(other.get(name) == value for other in others)}

    @property
    def differing(self) -> list[tuple[str, list[str]]]:
        """Seeds, training time and each setting that differs, with one text per run."""
        columns, shared = self.columns, self.shared
        rows = [
            ("seeds", [", ".join(map(str, run.seeds)) or "not given" for run in self.runs]),
            ("training time", ["not given" if run.seconds is None else duration(run.seconds) for run in self.runs]),
        ]
        names = dict.fromkeys(name for column in columns for name in column if name not in shared)
        return rows + [(name, [column.get(name, "not set") for column in columns]) for name in names]

    @property
    def versions(self) -> dict[str, str]:
        """Program to version, over all runs."""
        return {name: version for run in self.runs for name, version in run.versions.items()}

    @property
    def commands(self) -> dict[tuple[str, ...], list[str]]:
        """Each set of commands once, with the names of its runs."""
        names: dict[tuple[str, ...], list[str]] = {}
        for run in self.runs:
            if run.commands:
                names.setdefault(run.commands, []).append(run.name)
        return names


def flat(settings: Mapping[str, Json], before: str = "") -> dict[str, str]:
    """Nested settings as one level of texts, ``losses.0.margin``; plain lists stay on one line."""
    result: dict[str, str] = {}
    for key, value in settings.items():
        name = f"{before}{key}"
        if isinstance(value, Mapping):
            result |= flat(value, f"{name}.") if value else {name: "none"}
        elif isinstance(value, str) or not isinstance(value, Sequence):
            result[name] = _setting_text(value)
        elif any(isinstance(item, Mapping) for item in value):
            result |= flat({str(i): item for i, item in enumerate(value)}, f"{name}.")
        else:
            result[name] = ", ".join(_setting_text(item) for item in value) or "none"
    return result


def _setting_text(value: Json) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "none" if value is None else str(value)


def duration(seconds: float) -> str:
    """Seconds in words: ``48 s``, ``12 min 5 s``, ``3 h 20 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    return f"{whole // 60} min {whole % 60} s" if whole < 3600 else f"{whole // 3600} h {whole % 3600 // 60} min"
