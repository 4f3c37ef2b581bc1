"""The values that change from image to image of one person: direction, step, crop, occluder."""

from dataclasses import dataclass

from snreid.synthetic.limits import check_fields
from snreid.synthetic.randomness import Draws

OCCLUDERS = ("none", "pole", "bin", "box", "passer-by")


@dataclass(frozen=True, kw_only=True)
class PedestrianMoment:
    """One instant of a person in front of a camera. Every field can be replaced independently."""

    direction: float = 0.0
    """Direction the person faces, turns: 0 towards the camera, 0.25 to the picture's right, 0.5 away."""
    phase: float = 0.0
    """Phase of the gait, turns: legs are furthest apart at 0.25 and 0.75."""
    stride: float = 0.06
    """How far a leg swings, turns; 0 stands still."""
    shift: tuple[float, float] = (0.0, 0.0)
    """Shift of the crop, shares of its width and height: right and down."""
    zoom: float = 0.92
    """Share of the crop's height that the person fills; above 1 head or feet are cut off."""
    stretch: float = 1.0
    """Width of the crop relative to its height before it was scaled to the picture's shape."""
    occluder: str = "none"
    """One of ``OCCLUDERS``."""
    occluder_at: float = 0.3
    """Its position: metres right of the person."""
    background: float = 0.5
    """Visible part of the camera's scene, 0 to 1."""
    seed: int = 0
    """Seed of the sensor's noise and the occluder's appearance."""

    def __post_init__(self) -> None:
        check_fields(self, occluder=OCCLUDERS, zoom=(0.2, 3.0), stretch=(0.3, 3.0))


def draw_pedestrian_moment(track: Draws, shot: Draws, *, occlusion: float = 0.12) -> PedestrianMoment:
    """A random moment. ``track`` is shared by the shots of one person on one camera, ``shot`` is one image's own.

    ``occlusion``: share of images with something in front of the person.
    """
    # A person walks through a camera's view on one path, mostly towards or away from it.
    path = track.pick("path", (0.0, 0.5, 0.25, 0.75, 0.125, 0.375, 0.625, 0.875), (3, 3, 1.5, 1.5, 1.3, 1.3, 1.3, 1.3))
    kinds = ("pole", "bin", "box", "passer-by")
    return PedestrianMoment(
        direction=path + track.bell("path bend", 0.0, 0.03) + shot.bell("direction", 0.0, 0.04),
        phase=shot.uniform("phase"),
        stride=0.0 if track.chance("stands", 0.1) else shot.uniform("stride", 0.03, 0.075),
        shift=(shot.bell("shift right", 0.0, 0.05), shot.bell("shift down", 0.0, 0.022)),
        zoom=shot.bell("zoom", 0.93, 0.045),
        stretch=shot.bell("stretch", 1.0, 0.07),
        occluder=shot.pick("occluder", kinds) if shot.chance("occluded", occlusion) else "none",
        occluder_at=shot.uniform("occluder at", 0.12, 0.5) * (1 if shot.chance("occluder right", 0.5) else -1),
        background=shot.uniform("background"),
        seed=shot.bits("noise") >> 1,
    )
