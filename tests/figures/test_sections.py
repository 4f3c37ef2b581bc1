"""How to read it, the curves, the domains."""

import dataclasses

from report_samples import make_report, read_html
from snreid.figures import Report
from snreid.figures.sections import curves_section, domains_section, reading_section
from snreid.figures.text import percent


def test_the_words_a_reader_needs_are_explained(report: Report) -> None:
    root = read_html(reading_section(report.table(), report.selection, 2000).text)
    terms = {term.text for term in root.all("dt")}
    assert {"mAP", "rank-1", "Seen and unseen", "95 % interval", "Skipped queries"} <= terms
    assert "No label of an unseen domain chose anything" in root.all("p", "selection")[0].text
    assert "2,000 bootstrap resamples" in root.text


def test_the_curves_are_those_of_the_scores(report: Report) -> None:
    section = curves_section(report.table(), report.schemes, report.ranks)
    assert section is not None
    root = read_html(section.text)
    assert len(root.all("svg")) == 3
    lines = [[cell.text for cell in line.all("td")] for line in root.all("tbody")[0].all("tr")]
    wanted = []
    for column in ("evening street", "night", "studio"):
        for scheme in report.schemes:
            (scores,) = scheme.runs(column)
            ranks = scores.first_rank.tolist()
            wanted.append([scheme.name, *(percent(sum(r <= k for r in ranks) / len(ranks)) for k in (1, 5, 10, 20))])
    assert lines == wanted


def test_short_curves_show_only_the_ranks_they_have_and_a_missing_scheme_keeps_the_colours() -> None:
    report = make_report()
    first, *rest = report.schemes
    partial = dataclasses.replace(first, scores={"studio": first.scores["studio"]})
    section = curves_section(report.table(), (partial, *rest), 6)
    assert section is not None
    root = read_html(section.text)
    assert [th.text for th in root.all("thead")[0].all("th")] == ["Domain", "Scheme", "rank-1, %", "rank-5, %"]
    drawn = [[line.attributes["class"] for line in svg.all("polyline")] for svg in root.all("svg")]
    assert drawn == [["curve s1", "curve s2"], ["curve s1", "curve s2"], ["curve s0", "curve s1", "curve s2"]]


def test_every_domain_shows_its_images(report: Report) -> None:
    root = read_html(domains_section(report.domains).text)
    for part, domain in zip(root.all("article"), report.domains, strict=True):
        (name,) = part.all("h3")
        assert name.text == domain.name + ("seen in training" if domain.seen else "unseen")
        assert len(part.all("img")) == len(domain.samples) and f"About {domain.name}" in part.text
