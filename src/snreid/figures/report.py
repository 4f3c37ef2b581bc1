"""The report of a comparison: one HTML file that needs nothing else, no network, no script, and reads well on a phone.

What goes in is a frozen ``Report``; ``render_report`` is a pure function of it, ``write_report`` puts the text on disk.
The page's parts are in results.py, rank_lists.py, runs.py and sections.py, its looks in report.css.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from snreid.errors import ExperimentError
from snreid.figures.page import document
from snreid.figures.rank_lists import examples_section
from snreid.figures.results import results_section
from snreid.figures.runs import RunRecord, experiment_section
from snreid.figures.sections import curves_section, domains_section, reading_section
from snreid.figures.table import Domain, SchemeResult, ScoreTable, score_table
from snreid.figures.tiles import RankExample
from snreid.system.atomic_files import write_text

SELECTION = (
    "No label of an unseen domain chose anything: neither a checkpoint nor a setting nor the moment to stop. "
    "Those labels were used once, at the end, to compute the numbers above."
)
"""How the models were chosen, as the report says it unless told otherwise."""


@dataclass(frozen=True, kw_only=True)
class Report:
    """Everything a report shows."""

    title: str
    trained_on: str
    """What the models were trained on, as the rest of "Trained on ...": "800 drawn persons of domain studio"."""
    domains: tuple[Domain, ...]
    """Columns of the table, in the order in which they are shown (after the mean; seen ones last in any case)."""
    schemes: tuple[SchemeResult, ...]
    """Rows of the table, in the order in which they are shown."""
    baseline: str = "Baseline"
    """Name of the scheme that the others are compared with."""
    examples: tuple[RankExample, ...] = ()
    """Queries with their rank lists."""
    runs: tuple[RunRecord, ...] = ()
    """How the numbers came about, usually one record per scheme."""
    notes: tuple[str, ...] = ()
    """Sentences for the reader: what was dropped, what to keep in mind."""
    selection: str = SELECTION
    """How checkpoints and settings were chosen. Replace it where the default sentence is not true."""
    made: str = ""
    """When and by which version the report was made, as text; given from outside, so that rendering stays pure."""
    ranks: int = 20
    """Length of the CMC curves, at least 2."""
    level: float = 0.95
    """Confidence level of the intervals, between 0 and 1."""
    resamples: int = 2000
    """Bootstrap draws per interval."""
    seed: int = 0
    """Of the bootstrap."""
    same_people: bool = False
    """True when the domains show the same people (drawn pedestrians): their scores then move together, and the interval
    of the mean over domains is widened to what holds whatever the correlation."""
    files: Mapping[str, str] = field(default_factory=dict)
    """Names and one-line descriptions of files that lie beside the report, listed at its end."""

    def __post_init__(self) -> None:
        if self.ranks < 2:
            raise ExperimentError(
                "a CMC curve needs at least two ranks", found=f"ranks={self.ranks}", fix="give 2 or more, 20 is usual"
            )
        if not 0 < self.level < 1:
            raise ExperimentError(
                "a confidence level lies between 0 and 1", found=f"level={self.level}", fix="give 0.95 for 95 %"
            )

    def table(self) -> ScoreTable:
        """The numbers alone, for a terminal or ``markdown_table``. Raises what ``score_table`` does."""
        return score_table(
            self.domains,
            self.schemes,
            baseline=self.baseline,
            level=self.level,
            resamples=self.resamples,
            seed=self.seed,
            same_people=self.same_people,
        )


def render_report(report: Report) -> str:
    """The report as the text of one HTML file: no outside resource, no script, every given text escaped.

    Reads the images of the domains' samples and of the rank examples (``DataError`` where one cannot be read) and
    nothing else; same report, same text. Raises ``ExperimentError`` where the scores contradict each other.
    """
    table = report.table()
    parts = {
        "Results": results_section(table, report.schemes, report.notes),
        "How to read this": reading_section(table, report.selection, report.resamples),
        "CMC curves": curves_section(table, report.schemes, report.ranks),
        "Rank lists": examples_section(report.examples) if report.examples else None,
        "Domains": domains_section(report.domains),
        "Experiment": experiment_section(report.runs, report.files) if report.runs or report.files else None,
    }
    return document(report.title, _facts(report), parts, report.made)


def write_report(path: Path, report: Report) -> Path:
    """Renders the report into the file ``path`` and returns it; missing folders are made.

    The file is written whole or not at all. Raises what ``render_report`` raises, and ``OSError`` where the folder cannot be written.
    """
    write_text(path, render_report(report))
    return path


def _facts(report: Report) -> dict[str, str]:
    unseen = [domain.name for domain in report.domains if not domain.seen]
    seen = [domain.name for domain in report.domains if domain.seen]
    return {
        "Trained on": report.trained_on,
        "Unseen": " \N{MIDDLE DOT} ".join(unseen) or "none",
        "Seen": " \N{MIDDLE DOT} ".join(seen) + " (other people than in training)" if seen else "",
    }
