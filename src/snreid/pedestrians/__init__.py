"""FAMILY: pedestrians drawn by a program. Who (``identity``), how (``style``), when (``moment``), drawn by ``render``.

Free of any licence and of any real person. ``domains`` holds the named distributions over styles and scenes.
"""

from snreid.pedestrians.domains import DOMAINS, Domain, domain_named
from snreid.pedestrians.identity import Build, Garment, Head, Identity, draw_identity
from snreid.pedestrians.moment import Moment, draw_moment
from snreid.pedestrians.randomness import Draws
from snreid.pedestrians.render import Picture
from snreid.pedestrians.style import Scene, Style

__all__ = [
    "DOMAINS",
    "Build",
    "Domain",
    "Draws",
    "Garment",
    "Head",
    "Identity",
    "Moment",
    "Picture",
    "Scene",
    "Style",
    "domain_named",
    "draw_identity",
    "draw_moment",
]
