"""The numbers of the table against loops over plain Python numbers."""

import dataclasses
import math

import numpy as np
import pytest

from snreid.errors import ExperimentError
from snreid.evaluation.uncertainty import compare
from snreid.figures.report_page import Report, render_report
from snreid.figures.report_sections import comparison_findings
from snreid.figures.score_table import Difference, SchemeResult, ScoredDomain, mean_with_interval, score_table
from snreid.records import Interval, Scores
from support.report_samples import made_up_scores, make_report


def by_hand(metric: str, runs: tuple[Scores, ...]) -> float:
    """Mean over queries, then over seeds, one number at a time."""
    means = []
    for scores in runs:
        total = 0.0
        for precision, first in zip(scores.average_precision.tolist(), scores.first_rank.tolist(), strict=True):
            total += precision if metric == "mAP" else float(first == 1)
        means.append(total / (scores.queries - scores.skipped_queries))
    return sum(means) / len(means)


@pytest.mark.parametrize("seeds", [1, 3])
def test_every_cell_is_the_mean_of_its_queries(seeds: int) -> None:
    report = make_report(seeds=seeds)
    table = report.table()
    schemes = {scheme.name: scheme for scheme in report.schemes}
    for metric in ("mAP", "rank-1"):
        for row in table.rows(metric):
            values = {}
            for column, cell in zip(table.columns, row.cells, strict=True):
                assert cell is not None
                values[column.name] = cell.value
                assert cell.interval.low <= cell.value <= cell.interval.high
                assert len(cell.seeds) == seeds
                assert math.isclose(sum(cell.seeds) / seeds, cell.value, rel_tol=1e-12)
                if column.kind != "mean":
                    expected = by_hand(metric, schemes[row.scheme].runs(column.name))
                    assert math.isclose(cell.value, expected, rel_tol=1e-12)
            mean = values.pop("mean of 2 unseen")
            del values["studio"]
            assert math.isclose(mean, sum(values.values()) / 2, rel_tol=1e-12)


def test_differences_are_those_of_the_paired_comparison(report: Report) -> None:
    table = report.table()
    schemes = {scheme.name: scheme for scheme in report.schemes}
    for i, column in enumerate(table.columns):
        for row_map, row_rank in zip(table.rows("mAP"), table.rows("rank-1"), strict=True):
            found_map, found_rank = row_map.cells[i], row_rank.cells[i]
            assert found_map is not None and found_rank is not None
            if row_map.scheme == "Baseline":
                assert found_map.difference is None and found_rank.difference is None
            elif column.kind != "mean":
                a, b = (schemes[name].runs(column.name)[0] for name in (row_map.scheme, "Baseline"))
                twin = compare(a, b)
                for cell, expected in ((found_map, twin.mean_ap), (found_rank, twin.rank1)):
                    assert cell.difference is not None
                    assert cell.difference.value == pytest.approx(expected.difference, abs=1e-15)
                    assert cell.difference.interval == expected.interval
                    assert cell.difference.p_value == expected.p_value


def test_columns_stand_mean_first_and_seen_last_and_the_best_of_each_is_marked(report: Report) -> None:
    table = report.table()
    assert [column.kind for column in table.columns] == ["mean", "unseen", "unseen", "seen"]
    assert [column.queries for column in table.columns] == [80, 40, 40, 40]
    assert [column.skipped for column in table.columns] == [4, 2, 2, 2]
    for _, rows in table.groups:
        for i in range(len(table.columns)):
            cells = [row.cells[i] for row in rows]
            values = [cell.value for cell in cells if cell is not None]
            assert [cell.best for cell in cells if cell is not None] == [value == max(values) for value in values]


def test_a_tie_marks_all_its_cells() -> None:
    scores = made_up_scores(0.5, 1)
    schemes = tuple(SchemeResult(name=name, scores={"night": scores}) for name in "ab")
    table = score_table((ScoredDomain(name="night"),), schemes, baseline="a")
    assert [row.cells[0].best for row in table.rows("mAP") if row.cells[0]] == [True, True]
    second = table.rows("mAP")[1].cells[0]
    assert second is not None and second.difference is not None
    assert second.difference.value == 0 and not second.difference.clear and second.difference.p_value == 1


def test_the_best_of_one_scheme_is_not_marked() -> None:
    alone = (SchemeResult(name="a", scores={"night": made_up_scores(0.5, 1)}),)
    table = score_table((ScoredDomain(name="night"),), alone, baseline="a")
    assert not any(row.cells[0].best for row in table.rows("mAP") if row.cells[0])


def test_a_missing_domain_leaves_its_cell_and_the_mean_empty(report: Report) -> None:
    base, *others = report.schemes
    partial = dataclasses.replace(others[0], scores={"night": others[0].scores["night"]})
    table = score_table(report.domains, (base, partial), baseline="Baseline")
    cells = table.rows("mAP")[1].cells
    assert [cell is None for cell in cells] == [True, True, False, True]


def test_without_a_baseline_there_are_no_differences(report: Report) -> None:
    table = score_table(report.domains, report.schemes, baseline="nobody")
    assert all(cell and cell.difference is None for _, rows in table.groups for row in rows for cell in row.cells)


@pytest.mark.parametrize(
    ("low", "high", "p_value", "clear"),
    [(0.01, 0.1, 0.04, True), (-0.1, -0.01, None, True), (-0.01, 0.1, 0.01, False), (0.01, 0.1, 0.06, False)],
)
def test_a_difference_is_clear_when_interval_and_test_agree(
    low: float, high: float, p_value: float | None, clear: bool
) -> None:
    assert Difference(0.05, Interval(low, high), p_value).clear is clear


def test_intervals_draw_whole_persons() -> None:
    """Two persons, all queries of one alike: the interval holds both values."""
    precision = np.array([0.2] * 50 + [0.8] * 50)
    scores = Scores(precision, precision, np.ones(100, np.int64), np.arange(100), 100, np.repeat([1, 2], 50))
    table = score_table(
        (ScoredDomain(name="night"),), (SchemeResult(name="SNR", scores={"night": scores}),), baseline=""
    )
    cell = table.rows("mAP")[0].cells[0]
    assert cell is not None
    assert cell.interval.low == pytest.approx(0.2) and cell.interval.high == pytest.approx(0.8)
    assert [remark.split(":")[0] for remark in table.remarks] == ["night"] and "2 persons" in table.remarks[0]


def test_a_difference_that_interval_and_test_judge_differently_is_remarked() -> None:
    """Four of twelve persons gain: p is 2 of 16 sign patterns, and nearly every sample holds one of the four."""
    gain = np.where(np.arange(12) < 4, 0.4, 0.0)
    base, better = (Scores(v, v, np.full(12, 2), np.arange(12), 12, np.arange(12)) for v in (gain * 0, gain))
    schemes = (SchemeResult(name="Baseline", scores={"dusk": base}), SchemeResult(name="SNR", scores={"dusk": better}))
    table = score_table((ScoredDomain(name="dusk"),), schemes, baseline="Baseline")
    cell = table.rows("mAP")[1].cells[0]
    assert cell is not None and cell.difference is not None
    assert cell.difference.interval.low > 0 and cell.difference.p_value == pytest.approx(1 / 8, abs=0.03)
    assert not cell.difference.clear
    assert [remark.split(":")[0] for remark in table.remarks] == ["SNR, mAP on dusk"]


def test_the_interval_of_a_mean_of_two() -> None:
    parts = [Interval(0.3, 0.6), Interval(0.4, 0.9)]
    value, free = mean_with_interval([0.4, 0.6], parts)
    assert value == pytest.approx(0.5)
    assert free.low == pytest.approx(0.5 - math.sqrt(0.1**2 + 0.2**2) / 2)
    assert free.high == pytest.approx(0.5 + math.sqrt(0.2**2 + 0.3**2) / 2)


def test_the_interval_of_a_mean_covers_what_a_joint_bootstrap_finds() -> None:
    rng = np.random.default_rng(0)
    domains = [rng.random(300), rng.random(200) ** 2]
    scores = {
        str(i): Scores(
            values, values, np.ones(len(values), np.int64), np.arange(len(values)), len(values), np.arange(len(values))
        )
        for i, values in enumerate(domains)
    }
    schemes = (SchemeResult(name="SNR", scores=scores),)
    table = score_table((ScoredDomain(name="0"), ScoredDomain(name="1")), schemes, baseline="")
    cell = table.rows("mAP")[0].cells[0]
    assert cell is not None
    means = [
        np.mean([values[rng.integers(0, len(values), len(values))].mean() for values in domains]) for _ in range(2000)
    ]
    low, high = np.quantile(means, [0.025, 0.975])
    assert cell.interval.low == pytest.approx(low, abs=0.003) and cell.interval.high == pytest.approx(high, abs=0.003)


def test_contradictions_are_refused() -> None:
    scores, other = made_up_scores(0.5, 1), made_up_scores(0.5, 1, skipped=3)
    night = (ScoredDomain(name="night"),)
    with pytest.raises(ExperimentError, match="same queries"):
        SchemeResult(name="SNR", scores={"night": (scores, other)})
    nothing = Scores(np.array([]), np.array([]), *[np.array([], np.int64)] * 2, 5, np.array([], np.int64))
    with pytest.raises(ExperimentError, match="none for scheme 'SNR' on 'night'"):
        SchemeResult(name="SNR", scores={"night": nothing})
    pair = (SchemeResult(name="Baseline", scores={"night": scores}), SchemeResult(name="SNR", scores={"night": other}))
    with pytest.raises(ExperimentError, match="different valid queries on 'night'"):
        score_table(night, pair, baseline="Baseline")
    with pytest.raises(ExperimentError, match="'night', 'night'"):
        score_table(night * 2, pair[:1], baseline="Baseline")
    with pytest.raises(ExperimentError, match="no scheme"):
        score_table(night, (), baseline="Baseline")


def test_what_is_not_known_is_not_called_unseen() -> None:
    report = make_report()
    domains = tuple(dataclasses.replace(domain, seen=None) for domain in report.domains)
    table = score_table(domains, report.schemes, baseline="Baseline")
    assert [column.kind for column in table.columns] == ["mean"] + ["unknown"] * 3
    assert table.columns[0].name == "mean of 3"
    page = render_report(dataclasses.replace(report, domains=domains, notes=(), selection=""))
    assert "nseen" not in page and "seen in training" not in page
    assert all("nseen" not in text for _, text in comparison_findings(table))
