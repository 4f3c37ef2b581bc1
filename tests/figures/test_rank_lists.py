"""Rank lists as the page shows them; contradictory lists are refused."""

import dataclasses

import numpy as np
import pytest

from snreid.errors import ExperimentError
from snreid.figures.pictures import data_uri
from snreid.figures.rank_lists import SIGNS, RankExample
from snreid.figures.report_page import Report, render_report
from snreid.records import RankList, Sample, Split
from support.report_samples import Node, Patch, rank_list, read_html, split


def rank_lists(report: Report, *examples: RankExample) -> Node:
    """The section of the report with these examples."""
    return read_html(render_report(dataclasses.replace(report, examples=examples))).part("Rank lists")


def test_every_image_stands_in_its_place_with_sign_word_and_score(report: Report) -> None:
    (example,) = report.examples
    root = rank_lists(report, example)
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
    (_, ranks), _ = example.lists
    # The made-up lists begin with right, wrong, ignored.
    assert [(tile.verdict, tile.rank) for tile in example.tiles(ranks, 3)] == [
        ("right", 1),
        ("wrong", 2),
        ("ignored", None),
    ]
    short = RankList(ranks.query, ranks.gallery[:3], ranks.score[:3], ranks.verdict[:3])
    root = rank_lists(report, dataclasses.replace(example, lists=(("SNR", short),)))
    assert root.all("h4")[0].all("small")[0].text == "1 of the first 2 right"


def test_without_cameras_none_is_named(report: Report) -> None:
    (example,) = report.examples

    def blind(split: Split) -> Split:
        return Split(tuple(Sample(Patch("x", s.person, 1), s.person, -1) for s in split.samples))

    bare = dataclasses.replace(example, query=blind(example.query), gallery=blind(example.gallery), reason="")
    assert isinstance(bare, RankExample)
    root = rank_lists(report, bare)
    assert root.all("h3")[0].text == "evening street, person 4"
    assert not any("camera" in (image.attributes["alt"] or "") for image in root.all("img"))


def test_a_list_that_does_not_fit_its_gallery_is_refused() -> None:
    query, gallery = split(5, (1,)), split(5, (1, 2))
    good = rank_list(2, 0, len(gallery))

    def example(**changes: object) -> RankExample:
        ranks = dataclasses.replace(good, **changes)  # type: ignore[arg-type]
        return RankExample(domain="night", query=query, gallery=gallery, lists=(("SNR", good), ("other", ranks)))

    example()
    with pytest.raises(ExperimentError, match=r"positions outside \[10\]"):
        example(gallery=np.array([*good.gallery[:9], 10]))
    with pytest.raises(ExperimentError, match=r"verdicts \['maybe'\]"):
        example(verdict=("maybe", *good.verdict[1:]))
    with pytest.raises(ExperimentError, match="lengths 10, 10, 9"):
        example(verdict=good.verdict[1:])
    with pytest.raises(ExperimentError, match=r"queries \[1, 2\]"):
        example(query=1)
    with pytest.raises(ExperimentError, match=r"queries \[5\] of a split with 5 images"):
        RankExample(domain="", query=query, gallery=gallery, lists=(("SNR", rank_list(5, 0, len(gallery))),))
