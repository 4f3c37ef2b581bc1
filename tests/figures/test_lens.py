"""The page of the lens: whole, self-contained, safe, true to its numbers; opened in a browser where there is one."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from lens_samples import make_lens, stage_maps, style
from report_samples import HOSTILE, Node, read_html
from snreid.errors import ExperimentError
from snreid.figures.lens import findings, render_lens, write_lens
from snreid.figures.lens_records import SeenImage

CHROMIUM = next((p for n in ("chromium", "chromium-browser", "google-chrome") if (p := shutil.which(n))), None)


def every(node: Node) -> list[Node]:
    return [node, *(n for child in node.children if isinstance(child, Node) for n in every(child))]


def test_the_page_is_whole() -> None:
    page = read_html(render_lens(make_lens()))
    assert page.all("title")[0].text == page.all("h1")[0].text == "SNR lens: snr-0"
    assert [h2.text for h2 in page.all("h2")] == [
        "What came out", "Activation maps", "Gates", "Style distance", "Domains and cameras", "How to read this",
    ]  # fmt: skip
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
    assert "Content-Security-Policy" in text and "default-src &#x27;none&#x27;" in text


def test_hostile_names_stay_text() -> None:
    lens = make_lens(HOSTILE, sets=(HOSTILE,) * 3, notes=(HOSTILE,), run=HOSTILE, gate_words=HOSTILE)
    text = render_lens(lens)
    page = read_html(text)
    assert not page.all("script")
    assert "<script>" not in text.replace(HOSTILE, "") and "alert" in page.text
    assert page.all("h1")[0].text == HOSTILE


def test_the_findings_are_the_numbers() -> None:
    found = dict(findings(make_lens()))
    assert "25\N{NO-BREAK SPACE}% of what normalization removed is given back" in found["Stage 1"]
    assert "the gate is 0.46 on average" in found["Stage 1"]
    assert (
        "cameras of one data set are 2.00 apart at F and 0.500 at F~+ (\N{MINUS SIGN}75\N{NO-BREAK SPACE}%)"
        in found["Stage 1"]
    )
    assert "cameras of two data sets are 6.00 apart at F and 1.50 at F~+" in found["Stage 2"]
    assert found["Stage 3"] == ": cameras of one data set are 2.00 apart; cameras of two data sets are 6.00 apart."
    assert "same data set for 80\N{NO-BREAK SPACE}% (by lot 50\N{NO-BREAK SPACE}%)" in found["Embedding"]


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


def test_a_page_is_written_whole(tmp_path: Path) -> None:
    path = write_lens(tmp_path / "deep" / "lens.html", make_lens())
    assert path.read_text(encoding="utf-8") == render_lens(make_lens())
    assert [p.name for p in path.parent.iterdir()] == ["lens.html"]


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_is_wider_than_the_window(width: int, tmp_path: Path) -> None:
    page = write_lens(tmp_path / "lens.html", make_lens())
    measure = tmp_path / "measure.html"
    # Headless Chromium has windows of 500 pixels and more; a frame can be narrower. A script outside the page measures it.
    measure.write_text(
        f'<iframe src="{page.name}" style="border:0;width:{width}px;height:900px" onload="document.title='
        'this.contentDocument.documentElement.scrollWidth;document.body.dataset.w=document.title"></iframe>'
    )
    command = [str(CHROMIUM), "--headless=new", "--no-sandbox", "--disable-gpu", "--allow-file-access-from-files",
               f"--user-data-dir={tmp_path / 'profile'}", "--virtual-time-budget=4000", "--dump-dom", f"file://{measure}"]  # fmt: skip
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=120, env={**os.environ, "HOME": str(tmp_path)}
    )
    (found,) = re.findall(r'data-w="(\d+)"', done.stdout)
    assert int(found) <= width
