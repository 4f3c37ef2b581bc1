"""The page of the SNR lens: one HTML file that needs nothing else. Its parts are in lens_maps.py, lens_style.py and scatter.py."""

from math import isnan
from pathlib import Path

from snreid.errors import ExperimentError
from snreid.figures.lens_maps import gates_section, maps_section
from snreid.figures.lens_records import Cloud, Lens, StyleTable
from snreid.figures.lens_style import change, distances, mixed_section, number, share_text, style_section
from snreid.figures.markup import Html, tag
from snreid.figures.page import described, document, section
from snreid.figures.scatter import OTHER, scatter_figure
from snreid.system.atomic_files import write_text

TERMS = {
    "F": "The maps that a stage of the network gives for an image.",
    "F~": "F with the mean and variance of every channel set to fixed values (instance normalization): its style removed.",
    "R": "F \N{MINUS SIGN} F~, what normalization removed. Some of it belongs to the camera, some to the person.",
    "a, the gate": "How much of R is given back, a value between 0 and 1, learned.",
    "R+ and R-": "The part of R that is given back, and the part that is not.",
    "F~+": "F~ + R+. This goes on to the next stage.",
    "F~-": "F~ + R-. Made for the loss in training only; here to be compared with F~+.",
    "Style distance": "How far the channels of two cameras are apart in mean and variance. "
    "Less at F~+ than at F: style was removed for good.",
}


def render_lens(lens: Lens) -> str:
    """The page as the text of one HTML file: no outside resource, no script, every given text escaped.

    Reads the images that are shown (``DataError`` where one cannot be read) and nothing else; same record, same text.
    """
    if not any(image.stages for image in lens.images):
        raise ExperimentError("The lens shows at least one image with maps", found=f"{len(lens.images)} without any")
    facts = {
        "Run": lens.run,
        "Scheme": lens.scheme,
        "Trained on": lens.trained_on,
        "Data sets": lens.data,
    }
    parts = {
        "What came out": _findings(lens),
        "Activation maps": maps_section(lens.images),
        "Gates": gates_section(lens.gates, lens.gate_words),
        "Style distance": style_section(lens.sets, lens.styles),
        "Domains and cameras": mixed_section(lens.mixed, _pictures(lens.cloud)),
        "How to read this": section(
            "How to read this", tag("dl", *(described(term, words) for term, words in TERMS.items()), class_="terms")
        ),
    }
    return document(lens.title, facts, parts, lens.made, styles=("lens.css",))


def write_lens(path: Path, lens: Lens) -> Path:
    """Renders into the file ``path`` and returns it; whole or not there. Raises what ``render_lens`` raises, and ``OSError``."""
    write_text(path, render_lens(lens))
    return path


def findings(lens: Lens) -> list[tuple[str, str]]:
    """What came out: (what of, a sentence) for each stage and for the embedding, whichever way it points."""
    found = []
    stages = sorted(
        {stage.stage for image in lens.images for stage in image.stages} | {table.stage for table in lens.styles}
    )
    styles = {table.stage: table for table in lens.styles}
    for stage in stages:
        parts = _gate_words(lens, stage) + (_style_words(styles[stage]) if stage in styles else [])
        if parts:
            found.append((f"Stage {stage}", f": {'; '.join(parts)}."))
    for one in lens.mixed:
        if one.what == "embedding":
            words = [
                f"from the same {name} for {share_text(share)} of the images"
                for name, share in (("data set", one.domain), ("camera", one.camera))
                if share is not None
            ]
            found.append(("Embedding", f": the nearest neighbour among other persons comes {' and '.join(words)}."))
    return found


def _findings(lens: Lens) -> Html:
    return section(
        "What came out",
        tag("ul", *(tag("li", tag("b", name), words) for name, words in findings(lens)), class_="findings"),
        tag("ul", *(tag("li", note) for note in lens.notes), class_="notes") if lens.notes else None,
    )


def _gate_words(lens: Lens, stage: int) -> list[str]:
    back = [
        one.given_back
        for image in lens.images
        for one in image.stages
        if one.stage == stage and one.given_back is not None
    ]
    if not back:
        return []
    words = [f"{100 * sum(back) / len(back):.0f}\N{NO-BREAK SPACE}% of what normalization removed is given back"]
    means = [gate.mean for gate in lens.gates if gate.stage == stage and not gate.camera]
    return [*words, f"the gate is {sum(means) / len(means):.2f} on average"] if means else words


def _style_words(table: StyleTable) -> list[str]:
    words = []
    for key, name in (("within", "cameras of one data set"), ("across", "cameras of two data sets")):
        before, after = distances(table.summaries, key)
        if isnan(before):
            continue
        if len(table.summaries) == 1:
            words.append(f"{name} are {number(before)} apart")
        else:
            last = list(table.summaries)[-1]
            words.append(
                f"{name} are {number(before)} apart at F and {number(after)} at {last} ({change(before, after)})"
            )
    return words


def _pictures(cloud: Cloud | None) -> list[Html]:
    """One picture by data set, then one for each data set by its cameras."""
    if cloud is None:
        return []
    domains = list(dict.fromkeys(cloud.domains))
    panels = []
    if len(domains) > 1:
        panels.append(("By data set", list(cloud.domains)))
    for domain in domains:
        cameras = {
            camera for camera, name in zip(cloud.cameras, cloud.domains, strict=True) if name == domain and camera >= 0
        }
        if len(cameras) > 1:
            places = zip(cloud.cameras, cloud.domains, strict=True)
            labels = [f"camera {camera}" if name == domain and camera >= 0 else OTHER for camera, name in places]
            panels.append((f"{domain}, by camera", labels))
    if not panels:
        panels = [(domains[0], list(cloud.domains))]
    return [
        tag(
            "figure",
            tag("figcaption", title),
            scatter_figure(f"t-SNE of the embeddings, {title}", cloud.points, labels),
        )
        for title, labels in panels
    ]
