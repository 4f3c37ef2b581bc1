"""The rendering style: light, camera, place. Independent of who is in the picture."""

from dataclasses import dataclass

from snreid.synthetic.limits import check_fields, check_range
from snreid.synthetic.pedestrians.surface import Colour

WALLS = ("plaster", "bricks", "shops", "hedge", "panels", "tiles", "fence", "doors")
GROUNDS = ("asphalt", "slabs", "grass", "tiles", "crossing", "gravel", "planks")


@dataclass(frozen=True, kw_only=True)
class Scene:
    """The background and the ground below the person."""

    wall: str = "plaster"
    """One of ``WALLS``."""
    wall_colour: Colour = (0.45, 0.42, 0.38)
    wall_second: Colour = (0.2, 0.2, 0.22)
    ground: str = "asphalt"
    """One of ``GROUNDS``."""
    ground_colour: Colour = (0.2, 0.2, 0.2)
    ground_second: Colour = (0.3, 0.3, 0.3)
    distance: float = 3.0
    """Metres from the person to the wall, 0.5 to 60; in a picture from above, the ground reaches up accordingly."""
    clutter: int = 4
    """Number of objects along the wall, 0 to 40."""
    seed: int = 0
    """Seed of bricks, grain, windows and objects."""

    def __post_init__(self) -> None:
        check_fields(self, wall=WALLS, ground=GROUNDS, distance=(0.5, 60.0), clutter=(0, 40))


@dataclass(frozen=True, kw_only=True)
class Style:
    """Everything between a scene and the pixels. Every field can be replaced independently (``dataclasses.replace``)."""

    illuminant: Colour = (1.0, 1.0, 1.0)
    """Gain of red, green and blue light, 0 to 4: the light's colour after the camera's white balance."""
    exposure: float = 0.0
    """Stops, -6 to 6: each doubles the light."""
    gamma: float = 1.0
    """Exponent on the encoded values (0 to 1), 0.3 to 3: above 1 darkens the middle."""
    contrast: float = 1.0
    """Slope at middle grey, 0.2 to 3."""
    saturation: float = 1.0
    """0 is grey, 1 unchanged, up to 3."""
    sharpness: float = 1.0
    """Below 1 a blurred lens (0.1 is very blurred), above 1 a camera that sharpens edges, up to 3."""
    resolution: float = 1.0
    """Rows of the sensor per row of the picture, 0.15 to 1: the picture is drawn small and enlarged."""
    noise: float = 1.5
    """Standard deviation of the sensor's noise, grey levels, 0 to 40."""
    jpeg: int = 90
    """Quality of the compression, 5 to 100; 100 disables it."""
    haze: float = 0.0
    """Share of white light laid over everything (fog, flare), 0 to 0.7."""
    vignetting: float = 0.0
    """Loss of light in the corners, 0 to 0.8."""
    shadow: float = 0.5
    """Share of the light that comes from one direction, 0 (overcast) to 1 (hard shadows)."""
    light: tuple[float, float] = (0.1, 0.12)
    """Direction of that light, turns: azimuth (0 behind the camera, 0.25 right) and elevation (0.25 overhead)."""
    viewpoint: float = 12.0
    """How far the camera looks down, degrees, 2 to 60."""
    scene: Scene = Scene()

    def __post_init__(self) -> None:
        for channel in self.illuminant:
            check_range("Style.illuminant", channel, 0.0, 4.0)
        check_fields(
            self, exposure=(-6.0, 6.0), gamma=(0.3, 3.0), contrast=(0.2, 3.0), saturation=(0.0, 3.0), sharpness=(0.1, 3.0),
            resolution=(0.15, 1.0), noise=(0.0, 40.0), jpeg=(5, 100), haze=(0.0, 0.7), vignetting=(0.0, 0.8),
            shadow=(0.0, 1.0), viewpoint=(2.0, 60.0),
        )  # fmt: skip
        check_range("Style.light's elevation", self.light[1], 0.0, 0.25)
