"""FAMILY: pedestrians drawn by a program. Who (``identity``), how (``style``), when (``moment``), drawn by ``render``.

Free of any licence and of any real person. ``domains`` holds the named distributions over styles and scenes.
"""

from snreid.synthetic.pedestrians.domains import DOMAINS, Domain, domain_named
from snreid.synthetic.pedestrians.identity import Build, Garment, Head, Identity, draw_identity
from snreid.synthetic.pedestrians.moment import Moment, draw_moment
from snreid.synthetic.pedestrians.randomness import Draws
from snreid.synthetic.pedestrians.render import Picture
from snreid.synthetic.pedestrians.style import Scene, Style

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
