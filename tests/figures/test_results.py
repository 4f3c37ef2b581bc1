"""The results as the page shows them, read back from the page."""

import dataclasses

from report_samples import Node, make_report, read_html
from snreid.figures import Domain, Report, SchemeResult, score_table
from snreid.figures.results import findings, results_section
from snreid.figures.text import p_text, percent, points


def shown(report: Report) -> Node:
    return read_html(results_section(report.table(), report.schemes, report.notes).text)


def test_every_number_of_the_table_stands_in_the_page(report: Report) -> None:
    table = report.table()
    (scores,) = shown(report).all("table", "scores")
    bodies = scores.all("tbody")
    for body, (metric, rows) in zip(bodies, table.groups, strict=True):
        head, *lines = body.all("tr")
        assert head.text == f"{metric}, %"
        for line, row in zip(lines, rows, strict=True):
            assert line.all("th")[0].text == row.scheme
            for place, cell in zip(line.all("td"), row.cells, strict=True):
                assert cell is not None
                value = place.all("strong")[0].children[0] if cell.best else place.children[0]
                assert value == percent(cell.value)
                assert len(place.all("strong")) == len(place.all("abbr")) == cell.best
                smalls = [small.text for small in place.all("small")]
                assert smalls[0] == f"{percent(cell.interval.low)}–{percent(cell.interval.high)}"
                gap = cell.difference
                if gap is not None:
                    ends = f"{points(gap.interval.low)}, {points(gap.interval.high)}"
                    assert smalls[1] == f"{points(gap.value)} [{ends}]".replace("-", "−")
                    assert len(place.all("small", "clear")) == gap.clear
                    assert smalls[2:] == ([p_text(gap.p_value)] if gap.p_value is not None else [])
                else:
                    assert len(smalls) == 1


def test_columns_say_what_they_are_and_skipped_queries_are_shown(report: Report) -> None:
    (scores,) = shown(report).all("table", "scores")
    heads = [th.text for th in scores.all("thead")[0].all("th")]
    assert heads == ["Scheme", "mean of 2 unseen", "evening streetunseen", "nightunseen", "studioseen in training"]
    foot = [td.text for td in scores.all("tfoot")[0].all("td")]
    assert foot == ["804 skipped", "402 skipped", "402 skipped", "402 skipped"]


def test_seeds_are_shown_where_there_are_several() -> None:
    root = shown(make_report(seeds=3))
    cell = root.all("table", "scores")[0].all("td")[0]
    assert any(small.text.startswith("3 seeds: ") for small in cell.all("small"))
    assert "range of the seeds" in root.text


def test_findings_say_what_came_out_whichever_way() -> None:
    report = make_report()
    (base, text), *_, (best, gain) = findings(report.table())
    cells = {row.scheme: row.cells[0] for row in report.table().rows("mAP")}
    assert (base, best) == ("Baseline", "SNR")
    assert cells["Baseline"] and cells["SNR"] and cells["SNR"].difference
    assert percent(cells["Baseline"].value) in text and "points" not in text
    assert f"{percent(cells['SNR'].difference.value)} points above Baseline" in gain
    assert "Higher on 2 of 2 domains" in gain
    turned = dataclasses.replace(report, baseline="SNR")
    worse = dict(findings(turned.table()))["Baseline"]
    assert f"{percent(cells['SNR'].difference.value)} points below SNR" in worse and "Higher on 0 of 2" in worse


def test_one_unseen_domain_is_named_and_none_is_said() -> None:
    report = make_report()
    night = (Domain(name="night"),)
    table = score_table(night, report.schemes, baseline="Baseline", resamples=50)
    assert all(" on night" in text and "Higher" not in text for _, text in findings(table))
    seen = score_table((Domain(name="studio", seen=True),), report.schemes, baseline="Baseline", resamples=50)
    assert "nothing about cameras never seen" in findings(seen)[0][1]


def test_a_scheme_without_scores_is_shown_as_not_scored() -> None:
    report = make_report()
    partial = SchemeResult(name="late", scores={"studio": report.schemes[0].scores["studio"]})
    root = shown(dataclasses.replace(report, schemes=(*report.schemes, partial)))
    assert root.text.count("not scored") == 2 * 3
    assert "late" not in dict(findings(dataclasses.replace(report, schemes=(*report.schemes, partial)).table()))
