"""The page of the SNR lens: one HTML file without external resources or scripts. The templates are in ``templates/lens``."""

from collections.abc import Sequence
from math import isnan

from snreid.errors import ExperimentError
from snreid.figures.activation_maps import MAP_MEANINGS
from snreid.figures.formatting import SPACE
from snreid.figures.lens_records import Cloud, Lens, StyleTable
from snreid.figures.page import render_page
from snreid.figures.scatter import OTHER, ScatterChart
from snreid.figures.style_distances import (
    change_text,
    distance_text,
    largest_distance,
    shade_of,
    share_text,
)

_SUMMARY_HEADS = {
    "within": "Cameras of one data set",
    "across": "Cameras of two data sets",
    "halves": "Halves of one camera",
}
_NEIGHBOUR_HEADS = {
    "domain": "Nearest neighbour from the same data set",
    "camera": "Nearest neighbour from the same camera",
}


def render_lens(lens: Lens) -> str:
    """The page as the text of one HTML file.

    Reads the images that are shown and nothing else. The same record gives the same text.

    Raises:
        DataError: An image cannot be read.
        ExperimentError: No image has maps.
    """
    if not any(image.stages for image in lens.images):
        raise ExperimentError("The lens shows at least one image with maps", found=f"{len(lens.images)} without any")
    facts = {"Run": lens.run, "Scheme": lens.scheme, "Trained on": lens.trained_on, "Data sets": lens.data}
    charts = _scatter_charts(lens.cloud)
    sections = {
        "What came out": True,
        "Activation maps": True,
        "Gates": lens.gates,
        "Style distance": lens.styles and len(lens.sets) > 1,
        "Domains and cameras": lens.mixed or charts,
        "How to read this": True,
    }
    means = [means for table in lens.styles for means in table.summaries.values()]
    return render_page(
        "lens",
        lens.title,
        facts,
        sections,
        made=lens.made,
        lens=lens,
        findings=lens_findings(lens),
        meanings=MAP_MEANINGS,
        gate_rows=list(dict.fromkeys((gate.camera, gate.label) for gate in lens.gates)),
        gates={(gate.camera, gate.label, gate.stage): gate for gate in lens.gates},
        summary_heads={k: v for k, v in _SUMMARY_HEADS.items() if not all(isnan(mean[k]) for mean in means)},
        largest_distance=largest_distance,
        shade_of=shade_of,
        neighbour_heads={
            k: v for k, v in _NEIGHBOUR_HEADS.items() if any(getattr(mixed, k) is not None for mixed in lens.mixed)
        },
        scatter_charts=charts,
    )


def lens_findings(lens: Lens) -> list[tuple[str, str]]:
    """The outcome for each stage and for the embedding, as (head, rest of the sentence), whatever it is."""
    findings = []
    styles = {table.stage: table for table in lens.styles}
    stages = {stage.stage for image in lens.images for stage in image.stages} | set(styles)
    for stage in sorted(stages):
        parts = _gate_findings(lens, stage) + (_style_findings(styles[stage]) if stage in styles else [])
        if parts:
            findings.append((f"Stage {stage}", f": {'; '.join(parts)}."))
    for mixed in lens.mixed:
        if mixed.what == "embedding":
            parts = [
                f"from the same {name} for {share_text(share)} of the images"
                for name, share in (("data set", mixed.domain), ("camera", mixed.camera))
                if share is not None
            ]
            findings.append(("Embedding", f": the nearest neighbour among other persons comes {' and '.join(parts)}."))
    return findings


def _gate_findings(lens: Lens, stage: int) -> list[str]:
    maps = [maps for image in lens.images for maps in image.stages if maps.stage == stage]
    given_back = [one.given_back for one in maps if one.given_back is not None]
    if not given_back:
        return []
    parts = [f"{100 * sum(given_back) / len(given_back):.0f}{SPACE}% of what normalization removed is given back"]
    means = [gate.mean for gate in lens.gates if gate.stage == stage and not gate.camera]
    return [*parts, f"the gate is {sum(means) / len(means):.2f} on average"] if means else parts


def _style_findings(table: StyleTable) -> list[str]:
    parts = []
    summaries = table.summaries
    last = list(summaries)[-1]
    for key, name in (("within", "cameras of one data set"), ("across", "cameras of two data sets")):
        before, after = summaries["F"][key], summaries[last][key]
        if isnan(before):
            continue
        text = f"{name} are {distance_text(before)} apart"
        if len(summaries) > 1:
            text += f" at F and {distance_text(after)} at {last} ({change_text(before, after)})"
        parts.append(text)
    return parts


def _scatter_charts(cloud: Cloud | None) -> list[ScatterChart]:
    """A chart by data set, then one for each data set by its cameras."""
    if cloud is None:
        return []
    domains = list(dict.fromkeys(cloud.domains))
    labels: dict[str, Sequence[str]] = {"By data set": cloud.domains} if len(domains) > 1 else {}
    for domain in domains:
        by_camera = [
            f"camera {camera}" if name == domain and camera >= 0 else OTHER
            for camera, name in zip(cloud.cameras, cloud.domains, strict=True)
        ]
        if len(set(by_camera) - {OTHER}) > 1:
            labels[f"{domain}, by camera"] = by_camera
    charts = labels or {domains[0]: cloud.domains}
    return [ScatterChart(title=title, points=cloud.points, labels=of_points) for title, of_points in charts.items()]
