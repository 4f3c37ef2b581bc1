"""The report of a comparison: one HTML file without external resources or scripts, legible on a phone.

A frozen ``Report`` holds the content; ``render_report`` is a pure function of it. The page is made of the templates in
``templates/report``, its style sheet is ``templates/page.css``.
"""

from dataclasses import dataclass

from snreid.evaluation.uncertainty import RESAMPLES
from snreid.figures.page import render_page
from snreid.figures.rank_lists import RankExample
from snreid.figures.report_sections import cmc_charts, comparison_findings, interval_charts
from snreid.figures.run_details import RunDetails, RunTable
from snreid.figures.score_table import SchemeResult, ScoredDomain, ScoreTable, score_table

_RANKS = 20
"""Length of the CMC curves."""
SELECTION = (
    "No label of an unseen domain influenced any choice: no checkpoint, no setting, no stopping time. "
    "Those labels were used once, at the end, to compute the numbers above."
)
"""How the models were chosen, unless the report says otherwise."""


@dataclass(frozen=True, kw_only=True)
class Report:
    """The content of a report."""

    title: str
    trained_on: str
    """What the models were trained on, as the rest of "Trained on ...": "800 synthetic persons of domain studio"."""
    domains: tuple[ScoredDomain, ...]
    """Columns of the table in the order in which they are shown (after the mean; seen ones always last)."""
    schemes: tuple[SchemeResult, ...]
    """Rows of the table in the order in which they are shown."""
    baseline: str = "Baseline"
    """Name of the scheme that the others are compared with."""
    examples: tuple[RankExample, ...] = ()
    """Queries with their rank lists."""
    runs: tuple[RunDetails, ...] = ()
    """How the numbers were made, usually one entry per scheme."""
    notes: tuple[str, ...] = ()
    """Sentences for the reader, for example about images that were left out."""
    selection: str = SELECTION
    """How checkpoints and settings were chosen. Replace it if the default sentence is not true."""
    made: str = ""
    """When and by which version the report was made, as text; an argument, so that rendering stays pure."""

    def table(self) -> ScoreTable:
        """The numbers alone. Raises what ``score_table`` raises."""
        return score_table(self.domains, self.schemes, baseline=self.baseline)


def render_report(report: Report) -> str:
    """The report as the text of one HTML file.

    Reads the images of the domains' samples and of the rank examples and nothing else. The same report gives the same text.

    Raises:
        DataError: An image cannot be read.
        ExperimentError: The scores contradict each other.
    """
    table = report.table()
    charts = cmc_charts(table, report.schemes, _RANKS)
    sections = {
        "Results": True,
        "How to read this": True,
        "CMC curves": charts,
        "Rank lists": report.examples,
        "Domains": True,
        "Experiment": report.runs,
    }
    return render_page(
        "report",
        report.title,
        _facts(report),
        sections,
        made=report.made,
        report=report,
        table=table,
        resamples=RESAMPLES,
        findings=comparison_findings(table),
        interval_charts=interval_charts(table),
        cmc_charts=charts,
        runs=RunTable(report.runs),
    )


def _facts(report: Report) -> dict[str, str]:
    seen, unseen, unknown = (
        " \N{MIDDLE DOT} ".join(domain.name for domain in report.domains if domain.seen is kind)
        for kind in (True, False, None)
    )
    return {
        "Trained on": report.trained_on,
        "Unseen": unseen or ("" if unknown else "none"),
        "Scored on": unknown,
        "Seen": f"{seen} (other people than in training)" if seen else "",
    }
