"""The whole page: whole, self-contained, safe, legible; opened in a browser where there is one."""

import dataclasses
import re
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from snreid.errors import DataError
from snreid.figures.report_page import Report, render_report
from snreid.figures.score_table import ScoredDomain
from snreid.records import Sample
from support.browser import CHROMIUM, browse, measure
from support.report_samples import HOSTILE, Node, every, make_report, read_html

STYLE = files("snreid.figures").joinpath("templates/page.css").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page(report: Report) -> Node:
    return read_html(render_report(report))


def test_the_page_is_whole(page: Node, report: Report) -> None:
    (html,) = page.all("html")
    assert html.attributes["lang"] == "en"
    assert page.all("title")[0].text == page.all("h1")[0].text == report.title
    assert [h2.text for h2 in page.all("h2")] == [
        "Results",
        "How to read this",
        "CMC curves",
        "Rank lists",
        "Domains",
        "Experiment",
    ]
    ids = [node.attributes["id"] for node in every(page) if "id" in node.attributes]
    assert len(set(ids)) == len(ids)
    assert {(a.attributes["href"] or "").removeprefix("#") for a in page.all("a")} <= set(ids)
    assert "200 people of studio" in page.text and "A note" in page.text and "today" in page.text
    assert all(image.attributes["alt"] for image in page.all("img"))


def test_nothing_comes_from_outside_and_nothing_runs(report: Report) -> None:
    text = render_report(report)
    page = read_html(text)
    assert not any(page.all(name) for name in ("script", "link", "iframe", "object", "embed", "form", "base", "use"))
    for node in every(page):
        for name, value in node.attributes.items():
            assert not name.startswith("on"), f"{name} of <{node.name}> would run"
            if name in ("href", "src", "srcset", "action", "data", "poster", "xlink:href"):
                assert (value or "").startswith(("#", "data:image/"))
    bare = re.sub(r'"data:image/jpeg;base64,[A-Za-z0-9+/=]*"', '""', text)
    assert "://" not in bare and "url(" not in bare and "@import" not in bare
    (policy,) = (m for m in page.all("meta") if m.attributes.get("http-equiv") == "Content-Security-Policy")
    assert "default-src 'none'" in (policy.attributes["content"] or "")


def test_a_box_that_hides_something_shows_a_shade_at_its_edge(report: Report) -> None:
    (style,) = read_html(render_report(report)).all("style")
    (box,) = re.findall(r"^\.scroll \{\n\s*background:(.*?)\}", style.source, re.DOTALL | re.MULTILINE)
    cover, shade = re.findall(r"linear-gradient.*(?=,\n)", box)
    assert "var(--card)" in cover and cover.endswith("local"), "goes along with the content"
    assert "var(--shade)" in shade and shade.endswith("scroll"), "stays at the edge of the box"
    # What is opaque hides it, so only the column that stands still while the rest scrolls is.
    opaque = re.findall(r"^(.*?) \{[^}]*background: var\(--tint\)", style.source, re.MULTILINE)
    cells = [rule for rule in opaque if re.search(r"\bt[hrd]\b|scores|thead|tfoot", rule)]
    assert cells == ["table thead tr > :first-child", ".scores tfoot tr > :first-child"]


def test_names_from_users_stay_text() -> None:
    report = make_report(domain=HOSTILE)
    hostile = dataclasses.replace(
        report,
        title=HOSTILE,
        trained_on=HOSTILE,
        notes=(HOSTILE,),
        made=HOSTILE,
        selection=HOSTILE,
        schemes=tuple(dataclasses.replace(s, name=s.name + HOSTILE, description=HOSTILE) for s in report.schemes),
        baseline="Baseline" + HOSTILE,
        runs=tuple(
            dataclasses.replace(
                r, name=HOSTILE, commands=(HOSTILE,), settings={HOSTILE: HOSTILE}, versions={HOSTILE: HOSTILE}
            )
            for r in report.runs
        ),
        examples=tuple(
            dataclasses.replace(e, reason=HOSTILE, lists=tuple((HOSTILE, ranks) for _, ranks in e.lists))
            for e in report.examples
        ),
    )
    page = read_html(render_report(hostile))
    assert not page.all("script")
    assert len(page.all("title")) > 1 and page.all("title")[0].text == page.all("h1")[0].text == HOSTILE
    assert len(page.all("style")) == 1
    assert all(re.fullmatch(r"[a-z-]+[12]?", name) for node in every(page) for name in node.attributes)
    heads = [th.text for th in page.all("table", "scores")[0].all("th")]
    assert HOSTILE + " unseen" in heads


def test_the_same_report_gives_the_same_text_and_a_small_file(report: Report) -> None:
    text = render_report(report)
    assert text == render_report(make_report())
    assert len(text) < 200_000


def test_parts_without_content_are_left_out() -> None:
    report = dataclasses.replace(make_report(), examples=(), runs=(), notes=())
    page = read_html(render_report(report))
    headings = [h2.text for h2 in page.all("h2")]
    assert headings == ["Results", "How to read this", "CMC curves", "Domains"]
    assert [a.text for a in page.all("a")] == headings


class Broken:
    name = "broken.jpg"

    def read(self) -> np.ndarray:
        raise DataError("an image can be read", found=f"{self.name} is truncated", fix="replace it")


def test_an_image_that_cannot_be_read_is_named(report: Report) -> None:
    broken = (*report.domains[:-1], ScoredDomain(name="night", samples=(Sample(Broken(), 1, 1),)))
    with pytest.raises(DataError, match=r"broken\.jpg is truncated"):
        render_report(dataclasses.replace(report, domains=broken))


# --- legible ---------------------------------------------------------------------------------------------------------


def luminance(colour: str) -> float:
    """Relative luminance of ``#rrggbb`` (WCAG 2)."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(a: str, b: str) -> float:
    low, high = sorted((luminance(a), luminance(b)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_text_and_lines_stand_out_from_their_ground(scheme: int) -> None:
    block = re.findall(r":root \{(.*?)\}", STYLE, re.DOTALL)[scheme]
    colours = dict(re.findall(r"--(\w+): (#[0-9a-f]{6})", block))
    for ground in ("page", "card", "tint"):
        for text in ("ink", "soft", "accent", "right", "wrong", "ignored"):
            assert contrast(colours[text], colours[ground]) >= 4.5, (text, ground)
    for style in range(7):
        assert contrast(colours[f"s{style}"], colours["card"]) >= 3, style


# --- in a browser ----------------------------------------------------------------------------------------------------


def long_names() -> Report:
    """The worst that users do to a layout: a name without a place to break it."""
    report = make_report(domain="camera_network_of_the_northern_railway_station_2024_evening_v2" * 2)
    command = "snreid train --output " + "very/long/path" * 12
    return dataclasses.replace(report, runs=tuple(dataclasses.replace(r, commands=(command,)) for r in report.runs))


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium, chromium-browser or google-chrome on the PATH")
@pytest.mark.parametrize("width", [390, 1280])
def test_in_a_browser_the_page_never_scrolls_sideways_and_every_image_shows(tmp_path: Path, width: int) -> None:
    probe = measure(tmp_path, render_report(long_names()), width)
    # A classic scroll bar takes its width from the page.
    assert width - 20 <= probe["shown"] <= width
    assert probe["needed"] <= probe["shown"] and probe["wide"] == []
    assert probe["empty"] == 0
    assert probe["text"] >= 9, "text in the drawings is too small to read"


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium, chromium-browser or google-chrome on the PATH")
@pytest.mark.parametrize("width", [390, 1280])
def test_in_a_browser_the_page_is_painted(tmp_path: Path, report: Report, width: int) -> None:
    path, shot = tmp_path / "report.html", tmp_path / "shot.png"
    path.write_text(render_report(report), encoding="utf-8")
    browse(tmp_path, f"--window-size={width},6000", f"--screenshot={shot}", path.as_uri())
    with Image.open(shot) as image:
        assert image.width == width
        pixels = np.asarray(image.convert("RGB"), dtype=np.uint32)
    seen = set(np.unique(pixels @ np.array([65536, 256, 1], np.uint32)).tolist())
    style = dict(re.findall(r"--(\w+): #([0-9a-f]{6})", STYLE.split("}")[0]))
    for name in ("page", "card", "ink", "s0", "s1", "s2", "right", "wrong"):
        assert int(style[name], 16) in seen, f"nothing is painted in the colour --{name}"
