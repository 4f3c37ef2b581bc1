"""What a person looks at: the report, its curves and tables, rank lists as pictures. No torch, no plotting library."""

from snreid.figures.diagnosis import DiagnosisPage, render_diagnosis
from snreid.figures.examples import ChosenQuery, choose_queries
from snreid.figures.report import Report, render_report, write_report
from snreid.figures.runs import RunRecord
from snreid.figures.table import Difference, Domain, SchemeResult, ScoreTable, score_table
from snreid.figures.text import markdown_table, text_table
from snreid.figures.tiles import RankExample, domains_picture, rank_list_picture

__all__ = [
    "ChosenQuery",
    "DiagnosisPage",
    "Difference",
    "Domain",
    "RankExample",
    "Report",
    "RunRecord",
    "SchemeResult",
    "ScoreTable",
    "choose_queries",
    "domains_picture",
    "markdown_table",
    "rank_list_picture",
    "render_diagnosis",
    "render_report",
    "score_table",
    "text_table",
    "write_report",
]
