"""The page of the lens: whole, self-contained, safe, true to its numbers; opened in a browser where there is one."""

import re
from pathlib import Path

import pytest

from snreid.errors import ExperimentError
from snreid.figures.lens_page import lens_findings, render_lens
from snreid.figures.lens_records import BINS, SeenImage
from support.browser import CHROMIUM, measure
from support.lens_samples import gate, make_lens, stage_maps, style
from support.report_samples import HOSTILE, every, read_html


def test_the_page_is_whole() -> None:
    page = read_html(render_lens(make_lens()))
    assert page.all("title")[0].text == page.all("h1")[0].text == "SNR lens: snr-0"
    assert [h2.text for h2 in page.all("h2")] == [
        "What came out",
        "Activation maps",
        "Gates",
        "Style distance",
        "Domains and cameras",
        "How to read this",
    ]
    ids = [node.attributes["id"] for node in every(page) if "id" in node.attributes]
    assert len(set(ids)) == len(ids)
    assert {(a.attributes["href"] or "").removeprefix("#") for a in page.all("a")} <= set(ids)
    assert all(image.attributes["alt"] for image in page.all("img"))
    assert all(svg.attributes["aria-label"] for svg in page.all("svg"))
    for words in ("runs/snr-0 (snr, seed 0)", "noon (2 cameras), night (1 camera)", "A note.", "today"):
        assert words in page.text


def test_nothing_comes_from_outside_and_nothing_runs() -> None:
    text = render_lens(make_lens())
    page = read_html(text)
    assert not any(page.all(name) for name in ("script", "link", "iframe", "object", "embed", "form", "base", "use"))
    for node in every(page):
        for name, value in node.attributes.items():
            assert not name.startswith("on")
            if name in ("href", "src"):
                assert (value or "").startswith(("#", "data:image/"))
    bare = re.sub(r'"data:image/(?:jpeg|png);base64,[A-Za-z0-9+/=]*"', '""', text)
    assert "://" not in bare and "url(" not in bare and "@import" not in bare
    (policy,) = (m for m in page.all("meta") if m.attributes.get("http-equiv") == "Content-Security-Policy")
    assert "default-src 'none'" in (policy.attributes["content"] or "")


def test_hostile_names_stay_text() -> None:
    lens = make_lens(HOSTILE, sets=(HOSTILE,) * 3, notes=(HOSTILE,), run=HOSTILE, gate_words=HOSTILE)
    text = render_lens(lens)
    page = read_html(text)
    assert not page.all("script")
    assert "<script>" not in text.replace(HOSTILE, "") and "alert" in page.text
    assert page.all("h1")[0].text == HOSTILE


def test_the_findings_are_the_numbers() -> None:
    text_of = dict(lens_findings(make_lens()))
    assert "25\N{NO-BREAK SPACE}% of what normalization removed is given back" in text_of["Stage 1"]
    assert "the gate is 0.46 on average" in text_of["Stage 1"]
    assert (
        "cameras of one data set are 2.00 apart at F and 0.500 at F~+ (\N{MINUS SIGN}75\N{NO-BREAK SPACE}%)"
        in text_of["Stage 1"]
    )
    assert "cameras of two data sets are 6.00 apart at F and 1.50 at F~+" in text_of["Stage 2"]
    assert text_of["Stage 3"] == ": cameras of one data set are 2.00 apart; cameras of two data sets are 6.00 apart."
    assert "same data set for 80\N{NO-BREAK SPACE}% (chance 50\N{NO-BREAK SPACE}%)" in text_of["Embedding"]


def test_a_baseline_and_images_alone_have_a_page_too() -> None:
    image = make_lens().images[0]
    plain = SeenImage(sample=image.sample, title="x", stages=(stage_maps(1, ("F",)), stage_maps(2, ("F", "F~"))))
    alone = make_lens(images=(plain,), gates=(), gate_words="", sets=(), styles=(), mixed=(), cloud=None)
    page = read_html(render_lens(alone))
    assert [h2.text for h2 in page.all("h2")] == ["What came out", "Activation maps", "How to read this"]
    assert "is given back" not in page.all("section")[1].text
    with_data = make_lens(images=(plain,), gates=(), styles=(style(1, ("F",)),))
    assert "Gates" not in [h2.text for h2 in read_html(render_lens(with_data)).all("h2")]


def test_no_image_no_page() -> None:
    with pytest.raises(ExperimentError, match="at least one image"):
        render_lens(make_lens(images=()))


def test_pictures_by_data_set_and_by_the_cameras_of_each() -> None:
    page = read_html(render_lens(make_lens()))
    titles = [
        f.all("figcaption")[0].text
        for f in page.all("figure")
        if any("scatter" in (s.attributes.get("class") or "") for s in f.all("svg"))
    ]
    assert titles == ["By data set", "noon, by camera"]  # night has one camera


def test_a_gate_is_a_histogram_with_its_mean() -> None:
    gates = tuple(gate(stage, label, label != "a.png") for label in ("a.png", "noon, camera 1") for stage in (1, 2))
    page = read_html(render_lens(make_lens(gates=gates))).part("Gates")
    assert len(page.all("svg")) == 4 and "It has a value for each channel of an image" in page.text
    first = page.all("svg")[0]
    assert first.attributes["aria-label"] == "a.png, stage 1: mean 0.46, values between 0.25 and 0.55"
    bars = first.all("rect")
    assert len(bars) == 2
    low, high = (float(bar.attributes["height"] or 0) for bar in bars)
    assert low / high == pytest.approx(1 / 3, abs=0.01)
    assert [float(bar.attributes["x"] or 0) for bar in bars] == [8 * 5 + 1, 8 * 10 + 1]
    (mean,) = (line for line in first.all("line") if line.attributes["class"] == "mean")
    assert float(mean.attributes["x1"] or 0) == pytest.approx(0.46 * 8 * BINS)


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_is_wider_than_the_window(width: int, tmp_path: Path) -> None:
    probe = measure(tmp_path, render_lens(make_lens()), width)
    assert probe["needed"] <= width and probe["wide"] == [] and probe["empty"] == 0
