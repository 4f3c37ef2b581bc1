"""The sections of a report, read back from the page."""

import dataclasses

from snreid.figures.formatting import p_text, percent, percent_range, points_with_interval
from snreid.figures.report_page import Report, render_report
from snreid.figures.report_sections import comparison_findings
from snreid.figures.score_table import SchemeResult, ScoredDomain, score_table
from support.report_samples import Node, make_report, read_html


def section(report: Report, heading: str = "Results") -> Node:
    return read_html(render_report(report)).part(heading)


def test_every_number_of_the_table_is_in_the_page(report: Report) -> None:
    table = report.table()
    (scores,) = section(report).all("table", "scores")
    bodies = scores.all("tbody")
    for body, (metric, rows) in zip(bodies, table.groups, strict=True):
        head, *lines = body.all("tr")
        assert head.text == f"{metric}, %"
        for line, row in zip(lines, rows, strict=True):
            assert line.all("th")[0].text == row.scheme
            for place, cell in zip(line.all("td"), row.cells, strict=True):
                assert cell is not None
                star = "\N{BLACK STAR}" if cell.best else ""
                assert place.text.startswith(f"{percent(cell.value)}{star} ")
                assert len(place.all("strong")) == len(place.all("abbr")) == cell.best
                smalls = [small.text for small in place.all("small")]
                assert smalls[0] == percent_range(cell.interval)
                gap = cell.difference
                if gap is not None:
                    assert smalls[1] == points_with_interval(gap.value, gap.interval)
                    assert len(place.all("small", "clear")) == gap.clear
                    assert smalls[2:] == ([p_text(gap.p_value)] if gap.p_value is not None else [])
                else:
                    assert len(smalls) == 1


def test_columns_have_a_kind_and_skipped_queries_are_shown(report: Report) -> None:
    (scores,) = section(report).all("table", "scores")
    heads = [th.text for th in scores.all("thead")[0].all("th")]
    assert heads == ["Scheme", "mean of 2 unseen", "evening street unseen", "night unseen", "studio seen in training"]
    foot = [td.text for td in scores.all("tfoot")[0].all("td")]
    assert foot == ["80 4 skipped", "40 2 skipped", "40 2 skipped", "40 2 skipped"]


def test_several_seeds_have_a_range() -> None:
    root = section(make_report(seeds=3))
    cell = root.all("table", "scores")[0].all("td")[0]
    assert any(small.text.startswith("3 seeds: ") for small in cell.all("small"))
    assert "range of the seeds" in root.text


def test_findings_report_gains_and_losses() -> None:
    report = make_report()
    (base, text), *_, (best, gain) = comparison_findings(report.table())
    cells = {row.scheme: row.cells[0] for row in report.table().rows("mAP")}
    assert (base, best) == ("Baseline", "SNR")
    assert cells["Baseline"] and cells["SNR"] and cells["SNR"].difference
    assert percent(cells["Baseline"].value) in text and "points" not in text
    assert f"{percent(cells['SNR'].difference.value)} points above Baseline" in gain
    assert "Higher on 2 of 2 domains" in gain
    twin = dataclasses.replace(report.schemes[0], name="Twin")
    tied = dataclasses.replace(report, schemes=(report.schemes[0], twin))
    assert "0.0 points from Baseline" in dict(comparison_findings(tied.table()))["Twin"]
    turned = dataclasses.replace(report, baseline="SNR")
    worse = dict(comparison_findings(turned.table()))["Baseline"]
    assert f"{percent(cells['SNR'].difference.value)} points below SNR" in worse and "Higher on 0 of 2" in worse


def test_findings_with_one_unseen_domain_and_with_none() -> None:
    report = make_report()
    night = (ScoredDomain(name="night"),)
    table = score_table(night, report.schemes, baseline="Baseline")
    assert all(" on night" in text and "Higher" not in text for _, text in comparison_findings(table))
    seen = score_table((ScoredDomain(name="studio", seen=True),), report.schemes, baseline="Baseline")
    assert "nothing about cameras never seen" in comparison_findings(seen)[0][1]


def test_a_scheme_without_scores_is_shown_as_not_scored() -> None:
    report = make_report()
    partial = SchemeResult(name="late", scores={"studio": report.schemes[0].scores["studio"]})
    report = dataclasses.replace(report, schemes=(*report.schemes, partial))
    assert section(report).text.count("not scored") == 2 * 3
    assert "late" not in dict(comparison_findings(report.table()))


def test_terms_are_explained(report: Report) -> None:
    root = section(report, "How to read this")
    terms = {term.text for term in root.all("dt")}
    assert {"mAP", "rank-1", "Seen and unseen", "95 % interval", "Skipped queries"} <= terms
    assert root.all("p", "selection")[0].text == report.selection
    assert "2,000 bootstrap samples of the persons" in root.text


def test_the_curves_are_those_of_the_scores(report: Report) -> None:
    root = section(report, "CMC curves")
    assert len(root.all("svg")) == 3
    lines = [[cell.text for cell in line.all("td")] for line in root.all("tbody")[0].all("tr")]
    wanted = []
    for column in ("evening street", "night", "studio"):
        for scheme in report.schemes:
            (scores,) = scheme.runs(column)
            ranks = scores.first_rank.tolist()
            wanted.append([scheme.name, *(percent(sum(r <= k for r in ranks) / len(ranks)) for k in (1, 5, 10, 20))])
    assert lines == wanted


def test_the_curves_have_four_ranks_and_a_missing_scheme_keeps_the_colours() -> None:
    report = make_report()
    first, *rest = report.schemes
    partial = dataclasses.replace(first, scores={"studio": first.scores["studio"]})
    root = section(dataclasses.replace(report, schemes=(partial, *rest)), "CMC curves")
    heads = [th.text for th in root.all("thead")[0].all("th")]
    assert heads == ["Domain", "Scheme", *(f"rank-{k}, %" for k in (1, 5, 10, 20))]
    drawn = [[line.attributes["class"] for line in svg.all("polyline")] for svg in root.all("svg")]
    assert drawn == [["curve s1", "curve s2"], ["curve s1", "curve s2"], ["curve s0", "curve s1", "curve s2"]]


def test_every_domain_shows_its_images(report: Report) -> None:
    root = section(report, "Domains")
    for part, domain in zip(root.all("article"), report.domains, strict=True):
        (name,) = part.all("h3")
        assert name.text == domain.name + ("seen in training" if domain.seen else "unseen")
        assert len(part.all("img")) == len(domain.samples) and f"About {domain.name}" in part.text
