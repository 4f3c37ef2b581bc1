"""Rank lists as the page shows them."""

import dataclasses

from report_samples import Patch, read_html
from snreid.figures import RankExample, Report
from snreid.figures.rank_lists import SIGNS, examples_section
from snreid.figures.tiles import data_uri
from snreid.records import Sample, Split


def test_every_image_stands_in_its_place_with_sign_word_and_score(report: Report) -> None:
    (example,) = report.examples
    root = read_html(examples_section((example,), first=10).text)
    (query,) = root.all("figure", "query")
    assert query.all("img")[0].attributes["src"] == data_uri(example.sample.image.read(), height=192)
    lists = root.all("div", "list")
    for part, (scheme, ranks) in zip(lists, example.lists, strict=True):
        assert part.all("h4")[0].text.startswith(scheme)
        rank = 0
        for tile, index, score, verdict in zip(part.all("li"), ranks.gallery, ranks.score, ranks.verdict, strict=True):
            sample = example.gallery.samples[int(index)]
            (figure,) = tile.all("figure", verdict)
            (image,) = figure.all("img")
            assert image.attributes["src"] == data_uri(sample.image.read(), height=160)
            assert figure.all("figcaption")[0].text == f"{SIGNS[verdict]} {verdict}{score:.2f}"
            rank += verdict != "ignored"
            place = "no rank" if verdict == "ignored" else f"rank {rank}"
            assert image.attributes["alt"] == f"{place}, {verdict}: person {sample.person}, camera {sample.camera}"


def test_only_the_first_images_are_shown_and_ignored_ones_do_not_count(report: Report) -> None:
    (example,) = report.examples
    root = read_html(examples_section((example,), first=3).text)
    assert [len(part.all("li")) for part in root.all("div", "list")] == [3, 3]
    # The made-up lists begin with right, wrong, ignored.
    assert [part.all("h4")[0].all("small")[0].text for part in root.all("div", "list")] == [
        "1 of the first 2 right"
    ] * 2


def test_without_cameras_none_is_named(report: Report) -> None:
    (example,) = report.examples

    def blind(split: Split) -> Split:
        return Split(tuple(Sample(Patch("x", s.person, 1), s.person, -1) for s in split.samples))

    bare = dataclasses.replace(example, query=blind(example.query), gallery=blind(example.gallery), reason="")
    assert isinstance(bare, RankExample)
    root = read_html(examples_section((bare,)).text)
    assert root.all("h3")[0].text == "evening street, person 4"
    assert not any("camera" in (image.attributes["alt"] or "") for image in root.all("img"))
