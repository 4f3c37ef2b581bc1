"""The page of a diagnosis: every number of the value stands in it, nothing runs, nothing comes from outside, no sideways scroll."""

import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest

from snreid.evaluation import (
    Diagnosis,
    by_property,
    camera_pairs,
    corruption_effect,
    evaluate,
    mean_drop,
    subset_scores,
)
from snreid.figures.diagnosis_page import DiagnosisPage, diagnosis_findings, render_diagnosis
from snreid.figures.rank_lists import RankExample
from snreid.records import Features
from support.browser import CHROMIUM, measure
from support.report_samples import HOSTILE, Node, every, rank_list, read_html, split


def make_diagnosis(*, target: str = "evening street") -> Diagnosis:
    """Twenty people whose embeddings tell them apart so so; the last camera sees nobody twice."""
    draws = np.random.default_rng(1)
    centres = draws.normal(size=(21, 8))

    def draw(count: int) -> Features:
        persons = draws.integers(1, 21, size=count)
        vectors = (centres[persons] + 1.2 * draws.normal(size=(count, 8))).astype(np.float32)
        return Features(vectors, persons, draws.integers(1, 5, size=count))

    query, gallery = draw(60), draw(200)
    gallery = dataclasses.replace(gallery, persons=np.where(gallery.cameras == 4, 0, gallery.persons))
    scores = evaluate(query, gallery)
    overall = subset_scores(scores)
    assert overall is not None
    worse = [dataclasses.replace(scores, average_precision=scores.average_precision * s) for s in (0.9, 0.4, 0.7)]
    wanted = [("dark", 1), ("dark", 3), ("jpeg", 3)]
    effects = [
        corruption_effect(kind, severity, scores, other) for (kind, severity), other in zip(wanted, worse, strict=True)
    ]
    values = draws.random(len(scores.persons)) * 1000
    return Diagnosis(
        target=target,
        metric="cosine",
        scores=scores,
        estimates=overall,
        pairs=camera_pairs(query, gallery),
        properties=(
            by_property("brightness", "levels", values, scores),
            by_property("size", "pixels", np.full(len(scores.persons), 8192.0), scores),
        ),
        effects=tuple(effects),
        drop=mean_drop(scores, effects),
        notes=("A note",),
    )


def make_page(**changes: object) -> DiagnosisPage:
    query, gallery = split(10, (1,)), split(10, (1, 2))
    example = RankExample(
        domain="street",
        query=query,
        gallery=gallery,
        lists=(("AP 1.00 %", rank_list(3, 1, len(gallery))),),
        reason="Why",
    )
    shown = tuple((word, query.samples[0]) for word in ("clean", "severity 1"))
    page = DiagnosisPage(
        diagnosis=make_diagnosis(),
        model="runs/snr",
        trained_on="studio",
        seen=False,
        corrupted=(("dark", shown),),
        worst=(example,),
        made="today",
    )
    return dataclasses.replace(page, **changes)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def shown() -> tuple[DiagnosisPage, Node]:
    page = make_page()
    return page, read_html(render_diagnosis(page))


def test_the_page_is_whole(shown: tuple[DiagnosisPage, Node]) -> None:
    root = shown[1]
    headings = [h2.text for h2 in root.all("h2")]
    assert headings == [
        "Findings",
        "Camera pairs",
        "Kinds of images",
        "Corruptions",
        "How to read this",
        "Worst queries",
    ]
    assert [a.text for a in root.all("a")] == headings
    assert "cameras never seen" in root.text and "A note" in root.text and "today" in root.text
    assert all(image.attributes["alt"] for image in root.all("img"))


def test_every_pair_stands_in_its_cell(shown: tuple[DiagnosisPage, Node]) -> None:
    diagnosis, root = shown[0].diagnosis, shown[1]
    cells = root.all("table", "heat")[0].all("td")
    assert len(cells) == len(diagnosis.pairs.pairs) == 16
    shares = {}
    for cell, pair in zip(cells, diagnosis.pairs.pairs, strict=True):
        if pair.estimates is None:
            assert cell.attributes["class"] == "none"
            same = pair.query_camera == pair.gallery_camera
            assert cell.text == ("itself" if same else f"none of {pair.scores.queries} has a match")
            continue
        low, high = pair.estimates.mean_ap.interval.low, pair.estimates.mean_ap.interval.high
        assert cell.text == (
            f"{100 * pair.scores.mean_ap:.1f} {100 * low:.1f}\N{EN DASH}{100 * high:.1f}"
            f"rank-1 {100 * pair.scores.rank(1):.1f} {pair.estimates.queries} of {pair.scores.queries}"
        )
        shares[pair.scores.mean_ap] = float((cell.attributes["style"] or "").removeprefix("--share:"))
    values = [shares[key] for key in sorted(shares)]
    assert values == sorted(values) and values[0] == 0 and values[-1] == 1


def test_every_bucket_and_effect_stands_in_its_cell(shown: tuple[DiagnosisPage, Node]) -> None:
    diagnosis, root = shown[0].diagnosis, shown[1]
    brightness, size = diagnosis.properties
    rows = [[cell.text for cell in line.children if isinstance(cell, Node)] for line in root.all("tr")]
    quarters = [line for line in rows if line[0] == "brightness"]
    assert len(quarters) == len(brightness.buckets) == 4
    for line, bucket in zip(quarters, brightness.buckets, strict=True):
        assert line[2:4] == [str(bucket.estimates.queries), str(bucket.estimates.persons)]
        assert line[4].startswith(f"{100 * bucket.estimates.mean_ap.value:.1f} [")
    assert size.remark in root.text and not [line for line in rows if line[0] == "size"]
    dark = next(line for line in rows if line[0] == "dark")
    for text, effect in zip(dark[1:], diagnosis.effects[:2], strict=True):
        change = f"{100 * effect.comparison.mean_ap.difference:.1f}".replace("-", "\N{MINUS SIGN}")
        assert text.startswith(f"{100 * effect.estimates.mean_ap.value:.1f} {change} [")
    assert next(line for line in rows if line[0] == "jpeg")[1] == "not computed"


def test_findings_say_what_the_numbers_say() -> None:
    diagnosis = make_diagnosis()
    text = dict(diagnosis_findings(diagnosis))
    hard, easy = diagnosis.pairs.scored[0], diagnosis.pairs.scored[-1]
    assert f"camera {hard.query_camera} in camera {hard.gallery_camera} (mAP" in text["Cameras"].partition("easiest")[0]
    assert f"camera {easy.query_camera} in camera {easy.gallery_camera} (mAP" in text["Cameras"].partition("easiest")[2]
    assert "most by dark at severity 3" in text["Corruptions"]
    assert "the same for all" in text["Size"]
    trend = diagnosis.properties[0].trend
    assert trend is not None
    for rho, p_value, words in ((0.4, 0.01, "rises with it"), (-0.4, 0.01, "falls with it"), (0.4, 0.2, "no trend")):
        buckets = dataclasses.replace(
            diagnosis.properties[0], trend=dataclasses.replace(trend, rho=rho, p_value=p_value)
        )
        assert words in dict(diagnosis_findings(dataclasses.replace(diagnosis, properties=(buckets,))))["Brightness"]


def test_parts_without_content_are_left_out_or_say_why() -> None:
    whole = make_diagnosis()
    nobody = Features(np.eye(3, dtype=np.float32), np.array([1, 2, 3]), np.ones(3, np.int64))
    bare = dataclasses.replace(
        whole, pairs=camera_pairs(nobody, nobody), properties=(), effects=(), drop=None, notes=()
    )
    root = read_html(render_diagnosis(DiagnosisPage(diagnosis=bare, model="file")))
    assert [h2.text for h2 in root.all("h2")] == ["Findings", "Camera pairs", "How to read this"]
    assert "There is no pair to score" in root.text and not root.all("img")


def test_hostile_names_stay_text_and_nothing_comes_from_outside() -> None:
    page = make_page(diagnosis=make_diagnosis(target=HOSTILE), model=HOSTILE, trained_on=HOSTILE, made=HOSTILE)
    text = render_diagnosis(page)
    root = read_html(text)
    assert not root.all("script") and len(root.all("style")) == 1 and HOSTILE in root.all("h1")[0].text
    bare = re.sub(r'"data:image/jpeg;base64,[A-Za-z0-9+/=]*"', '""', text)
    assert "://" not in bare and "url(" not in bare and "@import" not in bare
    assert not any(name.startswith("on") for node in every(root) for name in node.attributes)
    assert text == render_diagnosis(page), "same page, same text"


def test_a_perfect_model_has_a_page_too() -> None:
    """With equal values everywhere no shade divides by zero."""
    diagnosis = make_diagnosis()
    ones = diagnosis.scores.average_precision * 0 + 1
    scores = dataclasses.replace(
        diagnosis.scores, average_precision=ones, inverse_negative_penalty=ones, first_rank=ones.astype(np.int64)
    )
    effect = corruption_effect("dark", 1, scores, scores)
    pair = dataclasses.replace(diagnosis.pairs.scored[0], estimates=effect.estimates)
    pairs = dataclasses.replace(diagnosis.pairs, pairs=(pair,))
    page = make_page(diagnosis=dataclasses.replace(diagnosis, effects=(effect,), pairs=pairs))
    root = read_html(render_diagnosis(page))
    assert "100.0" in root.all("table", "heat")[0].text


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no chromium, chromium-browser or google-chrome on the PATH")
@pytest.mark.parametrize("width", [390, 1280])
def test_in_a_browser_the_page_never_scrolls_sideways(tmp_path: Path, width: int) -> None:
    text = render_diagnosis(make_page(diagnosis=make_diagnosis(target="a_name_without_a_break_" * 4)))
    probe = measure(tmp_path, text, width)
    assert probe["needed"] <= probe["shown"] and probe["wide"] == [] and probe["empty"] == 0
