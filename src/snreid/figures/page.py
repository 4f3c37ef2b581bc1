"""A page as one HTML file, without a script or anything from outside: rendered by jinja2 from ``templates/``.

Jinja escapes every value (autoescape is on, no template uses ``safe``), so a hostile name of a data set stays text.
"""

from collections.abc import Mapping
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from snreid.errors import visible
from snreid.figures import formatting
from snreid.figures.activation_maps import map_uri
from snreid.figures.charts import DASH_PATTERNS, MARKERS, STYLES, shorten
from snreid.figures.pictures import data_uri
from snreid.figures.rank_lists import SIGNS
from snreid.figures.style_distances import change_text, distance_text, share_text
from snreid.records import Sample


def render_page(
    kind: str, title: str, facts: Mapping[str, str], sections: Mapping[str, object], *, made: str, **values: Any
) -> str:
    """The text of one HTML file.

    Args:
        kind: ``report``, ``diagnosis`` or ``lens``: the folder of the sections' templates.
        title: The title of the document and its first heading.
        facts: Term to description, shown below the title; empty descriptions are left out.
        sections: Headings in the order of the page, and their content; those without content are left out. The template of
            ``CMC curves`` is ``KIND/cmc-curves.html.j2``.
        made: When and by which version the page was made.
        values: What the templates of the sections refer to.

    The same arguments give the same text. Raises ``DataError`` if an image that is shown cannot be read.
    """
    page = ENVIRONMENT.get_template("page.html.j2")
    shown = [name for name, content in sections.items() if content]
    return page.render(kind=kind, title=title, facts=facts, sections=shown, made=made, **values)


def _shown(value: object) -> object:
    """Floats with at most two decimals (coordinates of drawings), text without control characters; anything else as it is."""
    if type(value) is str:  # and not what a macro has made, whose values came here before
        return visible(value)
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else value


def _anchor(name: str) -> str:
    return name.lower().replace(" ", "-")


def _sample_uri(sample: Sample, height: int) -> str:
    return data_uri(sample.image.read(), height=height)


ENVIRONMENT = Environment(
    loader=PackageLoader("snreid.figures"),
    autoescape=True,
    undefined=StrictUndefined,
    finalize=_shown,
    trim_blocks=True,
    lstrip_blocks=True,
)
ENVIRONMENT.filters |= {
    "anchor": _anchor,
    "change": change_text,
    "distance": distance_text,
    "map_uri": map_uri,
    "minus_signs": formatting.minus_signs,
    "p_text": formatting.p_text,
    "percent": formatting.percent,
    "percent_range": formatting.percent_range,
    "percent_with_interval": formatting.percent_with_interval,
    "points_with_interval": formatting.points_with_interval,
    "sample_uri": _sample_uri,
    "share": share_text,
    "shorten": shorten,
}
ENVIRONMENT.globals |= {"MARKERS": MARKERS, "DASH_PATTERNS": DASH_PATTERNS, "SIGNS": SIGNS, "STYLES": STYLES}
