"""Pages and pictures for readers: the report, its charts and tables, rank lists as pictures. No torch, no plotting library."""

from snreid.figures.diagnosis_page import DiagnosisPage, render_diagnosis
from snreid.figures.pictures import Hit, search_picture
from snreid.figures.query_choice import ChosenQuery, choose_queries, typical_queries
from snreid.figures.rank_lists import RankExample
from snreid.figures.report_page import Report, render_report
from snreid.figures.roc_chart import roc_svg
from snreid.figures.run_details import RunDetails
from snreid.figures.score_table import Difference, SchemeResult, ScoredDomain, ScoreTable, score_table
from snreid.figures.text_tables import text_table

__all__ = [
    "ChosenQuery",
    "DiagnosisPage",
    "Difference",
    "Hit",
    "RankExample",
    "Report",
    "RunDetails",
    "SchemeResult",
    "ScoreTable",
    "ScoredDomain",
    "choose_queries",
    "render_diagnosis",
    "render_report",
    "roc_svg",
    "score_table",
    "search_picture",
    "text_table",
    "typical_queries",
]
