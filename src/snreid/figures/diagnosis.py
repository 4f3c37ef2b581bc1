"""The page of a diagnosis: where a model fails on a target, as one HTML file like the report (no network, no script).

``render_diagnosis`` is a pure function of a frozen ``DiagnosisPage``. Tables and sentences are made of the same numbers that the
JSON beside the page holds.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from snreid.evaluation import CameraPair, CorruptionEffect, Diagnosis, Estimate, PropertyBuckets, SubsetScores
from snreid.figures.curves import interval_figure
from snreid.figures.markup import Html, tag
from snreid.figures.page import described, document, picture, plain_table, row, scrolling, section
from snreid.figures.rank_lists import examples_section
from snreid.figures.results import RANGE, SPACE, signed
from snreid.figures.text import p_text, percent, points
from snreid.figures.tiles import RankExample
from snreid.records import Interval, Sample

TERMS = {
    "Query and gallery": "A query is an image of a person. The gallery is sorted by likeness to it. Images of the same person from the "
    "query's own camera are ignored.",
    "mAP": "Mean average precision: 100 % when, for every query, all images of the right person stand before all others.",
    "rank-1": "The share of queries whose very first gallery image shows the right person.",
    "Interval": "95 %: how far a value may move by the luck of who was photographed. Whole persons are drawn, because the queries of one "
    "person are not independent. It covers neither the luck of training nor that of many numbers, a few of which are extreme by chance.",
    "Camera pair": "Queries of one camera ask a gallery of which only one other camera's images are left. Its gallery is smaller than the "
    "whole one, so its mAP may lie above or below the overall mAP; compare pairs with each other.",
    "Quarter": "Queries sorted by a property of their image and split into four groups of like size; equal values stay together.",
    "rho and p": "Spearman's rank correlation of the property and average precision: 0 none, 1 the larger the better. p: how often chance "
    "alone gives as much, when the sign of each person's share is random. It is no cause: dark images may be those of one camera.",
    "Corruption": "The queries' images are made worse by a formula, the gallery stays as it is; the same queries are compared.",
}
_FULL_SHADE = 0.02
"""A loss of so much mAP or less never has the darkest shade: a table of small losses stays pale."""


@dataclass(frozen=True, kw_only=True)
class DiagnosisPage:
    """Everything the page shows."""

    diagnosis: Diagnosis
    model: str
    """Whose embeddings they are, in words: a run's folder, or a file."""
    trained_on: str = ""
    """What the model was trained on, where it is known."""
    seen: bool | None = None
    """Whether it was trained on other people of the target's cameras; None: not known."""
    corrupted: tuple[tuple[str, tuple[tuple[str, Sample], ...]], ...] = ()
    """(kind, images of one query with a word each): what the corruptions look like."""
    worst: tuple[RankExample, ...] = ()
    """Queries with the lowest average precision, and their rank lists."""
    made: str = ""
    """When and by which version, as text."""


def render_diagnosis(page: DiagnosisPage) -> str:
    """The page as the text of one HTML file. Reads the images it shows (``DataError`` where one cannot be read)."""
    found = page.diagnosis
    facts = {
        "Model": page.model,
        "Trained on": page.trained_on,
        "Target": found.target
        + {True: " (cameras seen in training, other people)", False: " (cameras never seen)", None: ""}[page.seen],
        "Compared by": found.metric,
    }
    sections = {
        "Findings": _findings_section(found),
        "Camera pairs": _pairs_section(found),
        "Kinds of images": _properties_section(found.properties) if found.properties else None,
        "Corruptions": _corruptions_section(page) if found.effects else None,
        "How to read this": section(
            "How to read this", tag("dl", *map(described, TERMS, TERMS.values()), class_="terms")
        ),
        "Worst queries": _worst_section(page.worst) if page.worst else None,
    }
    return document(f"Where it fails: {found.target}", facts, sections, page.made, styles=("diagnosis.css",))


def findings(found: Diagnosis) -> list[tuple[str, str]]:
    """What stands out, each as (head, rest of the sentence)."""
    whole = found.estimates
    count = f"{whole.queries:,} queries of {whole.persons:,} persons"
    skipped = f"; {found.scores.skipped_queries:,} more have no match" if found.scores.skipped_queries else ""
    sentences = [
        ("Overall", f": mAP{SPACE}{_estimate(whole.mean_ap)}, rank-1{SPACE}{_estimate(whole.rank1)}; {count}{skipped}.")
    ]
    scored = found.pairs.scored
    if len(scored) > 1:
        low, high = scored[0], scored[-1]
        sentences.append(
            (
                "Cameras",
                f": hardest is {_pair_text(low)}, easiest {_pair_text(high)}; {len(scored)} pairs have matches.",
            )
        )
    for one in found.properties:
        sentences += _property_finding(one)
    if found.drop is not None:
        worst = min(found.effects, key=lambda effect: effect.comparison.mean_ap.difference)
        change = worst.comparison.mean_ap
        rest = (
            f": mAP drops by {_points(found.drop)} points on average over {len(found.effects)}; most by {worst.kind} at severity "
            f"{worst.severity}, {signed(points(change.difference))} points "
            f"[{signed(points(change.interval.low))}, {signed(points(change.interval.high))}]."
        )
        sentences.append(("Corruptions", rest))
    return sentences


def _property_finding(one: PropertyBuckets) -> list[tuple[str, str]]:
    name = one.name.capitalize()
    if not one.buckets or one.trend is None:
        return [(name, f": {one.remark[:1].lower()}{one.remark[1:]}")] if one.remark else []
    low, high = one.buckets[0].estimates.mean_ap.value, one.buckets[-1].estimates.mean_ap.value
    if one.trend.p_value > 0.05:
        verdict = "average precision shows no trend"
    else:
        verdict = "the higher, the better found" if one.trend.rho > 0 else "the higher, the worse found"
    return [
        (
            name,
            f": {verdict} ({_trend_text(one)}); mAP{SPACE}{percent(low)} in the lowest quarter, {percent(high)} in the highest.",
        )
    ]


def _findings_section(found: Diagnosis) -> Html:
    items = [tag("li", tag("b", head), rest) for head, rest in findings(found)]
    notes = tag("ul", *(tag("li", note) for note in found.notes), class_="notes") if found.notes else None
    return section("Findings", tag("ul", *items, class_="findings"), notes)


def _pairs_section(found: Diagnosis) -> Html:
    pairs = found.pairs.pairs
    unknown = found.pairs.unknown_queries, found.pairs.unknown_gallery
    left = (
        f" Without a known camera, and in no pair: {unknown[0]:,} queries, {unknown[1]:,} gallery images."
        if any(unknown)
        else ""
    )
    if not found.pairs.scored:
        why = "No camera is known." if not pairs else "No person was seen by two cameras, query and gallery."
        return section(
            "Camera pairs", tag("p", f"{why} There is no pair to score.{left if pairs else ''}", class_="caption")
        )
    caption = (
        "Rows: the camera that asks; columns: the only camera whose gallery images are left. In a cell mAP, its 95 % interval, rank-1, and "
        "the queries that have a match there, of all queries of the camera. Darker: higher mAP. A camera has no match with itself, by "
        f"the rule.{left}"
    )
    return section("Camera pairs", scrolling(_matrix(pairs), "Camera pairs"), tag("p", caption, class_="caption"))


def _matrix(pairs: Sequence[CameraPair]) -> Html:
    there = list(dict.fromkeys(pair.gallery_camera for pair in pairs))
    images = {pair.gallery_camera: pair.gallery for pair in pairs}
    heads = [
        tag("th", f"in camera {camera}", tag("small", f"{images[camera]:,} images"), scope="col") for camera in there
    ]
    values = [pair.estimates.mean_ap.value for pair in pairs if pair.estimates is not None]
    rows = []
    for start in range(0, len(pairs), len(there)):
        line = pairs[start : start + len(there)]
        head = tag("th", f"camera {line[0].query_camera}", scope="row")
        rows.append(tag("tr", head, *(_pair_cell(pair, min(values), max(values)) for pair in line)))
    return tag(
        "table",
        tag("thead", tag("tr", tag("th", "Queries of", scope="col"), *heads)),
        tag("tbody", *rows),
        class_="heat",
    )


def _pair_cell(pair: CameraPair, low: float, high: float) -> Html:
    if pair.estimates is None:
        words = "itself" if pair.query_camera == pair.gallery_camera else f"none of {pair.scores.queries:,} has a match"
        return tag("td", tag("small", words), class_="none")
    value = pair.estimates.mean_ap.value
    share = (value - low) / (high - low) if high > low else 0.5
    return tag(
        "td",
        tag("strong", percent(value)),
        tag("small", _bounds(pair.estimates.mean_ap.interval)),
        tag("small", f"rank-1 {percent(pair.estimates.rank1.value)}"),
        tag("small", f"{pair.estimates.queries:,} of {pair.scores.queries:,}"),
        style=f"--share:{share:.2f}",
    )


def _properties_section(properties: Sequence[PropertyBuckets]) -> Html:
    panels, rows = [], []
    for one in properties:
        if not one.buckets:
            continue
        lines = [
            (_range(b.low, b.high), 2, b.estimates.mean_ap.value, b.estimates.mean_ap.interval) for b in one.buckets
        ]
        drawing = interval_figure(f"mAP by {one.name}", [(one.unit, lines)])
        words = tag("p", _trend_text(one), class_="trend") if one.trend is not None else None
        panels.append(tag("figure", tag("figcaption", one.name.capitalize()), drawing, words))
        rows += [row(one.name, [_range(b.low, b.high), *_worth_cells(b.estimates)]) for b in one.buckets]
    remarks = [tag("li", tag("b", one.name.capitalize()), f": {one.remark}") for one in properties if one.remark]
    numbers = plain_table(["Property", "Between", "Queries", "Persons", "mAP, %", "rank-1, %"], rows)
    return section(
        "Kinds of images",
        tag(
            "p",
            "mAP of the queries in each quarter of a property of the query's own image, lowest values first.",
            class_="caption",
        ),
        tag("div", *panels, class_="panels two") if panels else None,
        scrolling(numbers, "Quarters as numbers") if rows else None,
        tag("ul", *remarks, class_="notes") if remarks else None,
    )


def _corruptions_section(page: DiagnosisPage) -> Html:
    found = page.diagnosis
    severities = sorted({effect.severity for effect in found.effects})
    kinds = list(dict.fromkeys(effect.kind for effect in found.effects))
    by_place = {(effect.kind, effect.severity): effect for effect in found.effects}
    most = max(_FULL_SHADE, *(-effect.comparison.mean_ap.difference for effect in found.effects))
    lines = [
        tag("tr", tag("th", kind, scope="row"), *(_effect_cell(by_place.get((kind, s)), most) for s in severities))
        for kind in kinds
    ]
    heads = [tag("th", f"severity {severity}", scope="col") for severity in severities]
    table = tag(
        "table",
        tag("thead", tag("tr", tag("th", "Corruption", scope="col"), *heads)),
        tag("tbody", *lines),
        class_="heat loss",
    )
    drop = f"Mean corruption drop: {_points(found.drop)} points of mAP. " if found.drop is not None else ""
    caption = (
        f"{drop}Clean images: mAP {_estimate(found.estimates.mean_ap)}. In a cell mAP with corrupted queries, the difference to clean in "
        "points with its paired 95 % interval, and rank-1. The darker, the greater the loss."
    )
    strips = [
        tag(
            "article",
            tag("h4", kind),
            scrolling(tag("div", *(_shown(*one) for one in images), class_="strip"), f"Images, {kind}"),
        )
        for kind, images in page.corrupted
    ]
    return section(
        "Corruptions",
        scrolling(table, "Corruptions"),
        tag("p", caption, class_="caption"),
        tag("div", *strips, class_="corrupted") if strips else None,
    )


def _effect_cell(effect: CorruptionEffect | None, most: float) -> Html:
    if effect is None:
        return tag("td", tag("small", "not asked for"), class_="none")
    change = effect.comparison.mean_ap
    words = f"{points(change.difference)} [{points(change.interval.low)}, {points(change.interval.high)}]"
    return tag(
        "td",
        tag("strong", percent(effect.estimates.mean_ap.value)),
        tag("small", signed(words)),
        tag("small", f"rank-1 {percent(effect.estimates.rank1.value)}"),
        style=f"--share:{max(0.0, -change.difference / most):.2f}",
    )


def _shown(word: str, sample: Sample) -> Html:
    return tag("figure", picture(sample, word, 128), tag("figcaption", word))


def _worst_section(worst: Sequence[RankExample]) -> Html:
    intro = "The queries with the lowest average precision, one of each person, and what the model put first instead."
    return examples_section(worst, title="Worst queries", intro=intro)


def _worth_cells(found: SubsetScores) -> list[str]:
    return [f"{found.queries:,}", f"{found.persons:,}", _estimate(found.mean_ap), _estimate(found.rank1)]


def _estimate(found: Estimate) -> str:
    return f"{percent(found.value)} [{percent(found.interval.low)}, {percent(found.interval.high)}]"


def _points(found: Estimate) -> str:
    low, high = points(found.interval.low).lstrip("+"), points(found.interval.high).lstrip("+")
    return signed(f"{points(found.value).lstrip('+')} [{low}, {high}]")


def _bounds(interval: Interval) -> str:
    return f"{percent(interval.low)}{RANGE}{percent(interval.high)}"


def _range(low: float, high: float) -> str:
    digits = 0 if high >= 100 else 1
    return f"{low:,.{digits}f}{RANGE}{high:,.{digits}f}"


def _trend_text(one: PropertyBuckets) -> str:
    """Rank correlation with interval and p; empty without a trend."""
    if one.trend is None:
        return ""
    low, high = one.trend.interval.low, one.trend.interval.high
    return signed(f"rho = {one.trend.rho:+.2f} [{low:+.2f}, {high:+.2f}]") + f", {p_text(one.trend.p_value)}"


def _pair_text(pair: CameraPair) -> str:
    assert pair.estimates is not None
    value = f"mAP{SPACE}{_estimate(pair.estimates.mean_ap)}, {pair.estimates.queries:,} queries"
    return f"camera {pair.query_camera} asking camera {pair.gallery_camera} ({value})"
