"""HTML and SVG as values: what is not known to be markup is escaped, so a data set's name never becomes a script."""

from dataclasses import dataclass
from html import escape

EMPTY_TAGS = frozenset({"meta", "img", "br", "hr", "link", "input", "col"})
"""HTML elements that have no closing tag."""


@dataclass(frozen=True, slots=True)
class Html:
    """Text that is markup already. Only ``tag`` and ``join`` make it, and the style sheet of the package."""

    text: str


Content = Html | str | None
"""What an element may hold: markup, text (escaped on the way in), or nothing."""


def tag(name: str, /, *children: Content, **attributes: str | int | float | bool | None) -> Html:
    """One element with its attributes and children.

    ``children`` that are plain text are escaped; ``None`` is left out. An attribute's trailing underscore is dropped
    (``class_``) and inner ones become hyphens (``stroke_width``); its value is escaped and quoted; ``True`` gives an
    attribute without value, ``False`` and ``None`` none; floats are written with two decimals (SVG coordinates).
    """
    opening = "".join(_attribute(key, value) for key, value in attributes.items())
    if name in EMPTY_TAGS:
        return Html(f"<{name}{opening}>")
    return Html(f"<{name}{opening}>{join(*children).text}</{name}>")


def join(*children: Content) -> Html:
    """The children after one another, plain text escaped, ``None`` left out."""
    return Html("".join(_text(child) for child in children))


def _text(child: Content) -> str:
    if child is None:
        return ""
    return child.text if isinstance(child, Html) else escape(child, quote=False)


def _attribute(key: str, value: str | int | float | bool | None) -> str:
    if value is None or value is False:
        return ""
    name = key.rstrip("_").replace("_", "-")
    if value is True:
        return f" {name}"
    shown = f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)
    return f' {name}="{escape(shown, quote=True)}"'
