"""FAMILY: pedestrians drawn by a program, from a person (``identity``), a ``style`` and a ``moment``, by ``render``.

Free of any licence and of any real person. ``domains`` holds the named distributions over styles and scenes.
"""

from snreid.synthetic.pedestrians.domains import DOMAINS, Domain, domain_named
from snreid.synthetic.pedestrians.identity import Build, Pedestrian, PedestrianGarment, PedestrianHead, draw_pedestrian
from snreid.synthetic.pedestrians.moment import PedestrianMoment, draw_pedestrian_moment
from snreid.synthetic.pedestrians.render import PedestrianPicture
from snreid.synthetic.pedestrians.style import Scene, Style
from snreid.synthetic.randomness import Draws

__all__ = [
    "DOMAINS",
    "Build",
    "Domain",
    "Draws",
    "Pedestrian",
    "PedestrianGarment",
    "PedestrianHead",
    "PedestrianMoment",
    "PedestrianPicture",
    "Scene",
    "Style",
    "domain_named",
    "draw_pedestrian",
    "draw_pedestrian_moment",
]
