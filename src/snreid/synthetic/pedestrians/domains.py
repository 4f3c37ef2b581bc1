"""Domains: distributions over styles and scenes. Each camera varies the domain's style a little, each image the camera's.

``DOMAINS`` lists them by increasing distance from the first: the difference of the average cameras, in units of the spread
among cameras of one domain.
"""

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from snreid.errors import ExperimentError
from snreid.synthetic.limits import check_fields
from snreid.synthetic.pedestrians.exact import exp2
from snreid.synthetic.pedestrians.style import Scene, Style
from snreid.synthetic.pedestrians.surface import Colour, colour, shaded
from snreid.synthetic.randomness import Draws


@dataclass(frozen=True, kw_only=True)
class Domain:
    """A distribution over styles and scenes."""

    name: str
    """One word; together with a seed it determines every camera of the domain."""
    centre: Style
    """The average camera, without its scene."""
    walls: tuple[tuple[str, str, str], ...]
    """(kind of wall, its colour, its second colour) a camera can have; colours are sRGB codes."""
    grounds: tuple[tuple[str, str, str], ...]
    """The same for the ground."""
    distance: tuple[float, float] = (1.5, 8.0)
    """Range of the distance from a person to the wall, metres."""
    clutter: tuple[int, int] = (2, 12)
    camera_spread: float = 1.0
    """How much cameras differ, 0 (not at all) to 5."""
    image_spread: float = 1.0
    """How much the images of one camera differ, 0 to 5."""

    def __post_init__(self) -> None:
        if not self.walls or not self.grounds:
            raise ExperimentError(
                "A domain has at least one wall and one ground",
                found=f"{len(self.walls)} walls, {len(self.grounds)} grounds",
                fix="name some",
            )
        check_fields(self, camera_spread=(0.0, 5.0), image_spread=(0.0, 5.0))

    def camera(self, seed: int, number: int) -> Style:
        """The style of camera ``number`` (from 1) of this domain under ``seed``."""
        return _camera(self, seed, number)

    def image(self, camera: Style, shot: Draws) -> Style:
        """The camera's style in one image, with slightly varied exposure, white balance and contrast."""
        return _varied(camera, shot, 0.35 * self.image_spread, optics=False)


_LOOK = {
    "exposure": (0.22, -6.0, 6.0),
    "gamma": (0.05, 0.3, 3.0),
    "contrast": (0.06, 0.2, 3.0),
    "saturation": (0.07, 0.0, 3.0),
    "haze": (0.012, 0.0, 0.7),
}
_OPTICS = {
    "sharpness": (0.12, 0.15, 3.0),
    "resolution": (0.06, 0.15, 1.0),
    "noise": (1.0, 0.0, 40.0),
    "jpeg": (5.0, 5.0, 100.0),
    "vignetting": (0.05, 0.0, 0.8),
    "shadow": (0.08, 0.0, 1.0),
    "viewpoint": (4.0, 3.0, 55.0),
}
"""Standard deviation of a field among the cameras of a domain, at ``camera_spread`` 1, and its range; noise's deviation
grows with its mean. The optics differ only between cameras."""
_GAIN_STEP = 0.075
"""The same for the illuminant's channels, stops."""


@lru_cache(maxsize=512)
def _camera(domain: Domain, seed: int, number: int) -> Style:
    draws = Draws.of("camera", seed, domain.name, number)
    style = _varied(domain.centre, draws, domain.camera_spread, optics=True)
    wall, first, second = draws.pick("wall", domain.walls)
    ground, third, fourth = draws.pick("ground", domain.grounds)
    scene = Scene(
        wall=wall,
        wall_colour=_like(draws, "wall first", first),
        wall_second=_like(draws, "wall second", second),
        ground=ground,
        ground_colour=_like(draws, "ground first", third),
        ground_second=_like(draws, "ground second", fourth),
        distance=draws.uniform("distance", *domain.distance),
        clutter=int(draws.uniform("clutter", domain.clutter[0], domain.clutter[1] + 1)),
        seed=draws.bits("scene") >> 34,
    )
    return replace(style, scene=scene)


def _like(draws: Draws, name: str, code: str) -> Colour:
    return shaded(colour(code), exp2(draws.bell(name, 0.0, 0.25)))


def _varied(style: Style, draws: Draws, spread: float, *, optics: bool) -> Style:
    """``style`` with each field varied a little, the optics only on request."""
    changed: dict[str, Any] = {}
    for name, (step, low, high) in {**_LOOK, **(_OPTICS if optics else {})}.items():
        value = getattr(style, name)
        step *= 0.25 * value if name == "noise" else 1.0
        changed[name] = min(max(draws.bell(name, value, step * spread), low), high)
    if not style.haze:
        changed["haze"] = 0.0
    if optics:
        changed["jpeg"] = int(changed["jpeg"])
        elevation = draws.bell("elevation", style.light[1], 0.02 * spread)
        azimuth = style.light[0] + draws.bell("azimuth", 0.0, 0.13 * spread)
        changed["light"] = (azimuth, min(max(elevation, 0.02), 0.24))
    changed["illuminant"] = tuple(
        min(gain * exp2(draws.bell(name, 0.0, _GAIN_STEP * spread)), 4.0)
        for name, gain in zip(("red", "green", "blue"), style.illuminant, strict=True)
    )
    return replace(style, **changed)


NOON = Domain(
    name="noon",
    centre=Style(exposure=0.3, shadow=0.62, light=(0.08, 0.15), viewpoint=11.0, noise=1.5, jpeg=88),
    walls=(
        ("plaster", "b9ac94", "8a8074"),
        ("bricks", "96604a", "b0a698"),
        ("hedge", "6d8a4a", "2d3a22"),
        ("shops", "a89e90", "5a5048"),
        ("fence", "9aa0a0", "7a8a66"),
    ),
    grounds=(
        ("asphalt", "7c7b79", "8a8a88"),
        ("slabs", "a39c90", "77726a"),
        ("grass", "7c8f4e", "9aa862"),
        ("crossing", "6c6b6a", "e0e0dc"),
    ),
)
OVERCAST = replace(
    NOON,
    name="overcast",
    centre=Style(
        illuminant=(0.90, 1.0, 1.13),
        exposure=-0.1,
        contrast=0.9,
        saturation=0.85,
        haze=0.025,
        shadow=0.12,
        light=(0.0, 0.22),
        viewpoint=15.0,
        noise=2.0,
        jpeg=80,
        sharpness=0.9,
    ),
)
DUSK = replace(
    NOON,
    name="dusk",
    centre=Style(
        illuminant=(1.32, 0.93, 0.70),
        exposure=0.15,
        gamma=1.08,
        contrast=1.05,
        saturation=1.05,
        shadow=0.7,
        light=(0.15, 0.06),
        viewpoint=9.0,
        noise=3.5,
        jpeg=75,
        sharpness=0.85,
        vignetting=0.2,
    ),
    walls=(("shops", "8a7866", "453c36"), ("bricks", "805444", "a09488"), ("doors", "a59a8c", "54483e")),
    grounds=(("slabs", "8e887e", "66625a"), ("asphalt", "6c6b69", "7a7a78"), ("gravel", "8c8474", "6e6658")),
)
MALL = Domain(
    name="mall",
    centre=Style(
        illuminant=(0.86, 1.14, 0.93),
        exposure=0.5,
        gamma=0.85,
        contrast=0.85,
        saturation=0.75,
        haze=0.04,
        shadow=0.2,
        light=(0.0, 0.24),
        viewpoint=26.0,
        noise=2.5,
        jpeg=60,
        sharpness=1.7,
        resolution=0.8,
    ),
    walls=(("shops", "c8c4bc", "6a6460"), ("panels", "c4c6c4", "8c9498"), ("tiles", "cfcdc4", "a0a09a")),
    grounds=(("tiles", "c9c5ba", "9c988e"), ("planks", "a98c68", "7c6448"), ("tiles", "a4a6a8", "c8c8c8")),
    distance=(2.0, 6.0),
)
STATION = Domain(
    name="station",
    centre=Style(
        illuminant=(1.42, 1.0, 0.52),
        exposure=-0.15,
        gamma=1.05,
        contrast=1.15,
        saturation=0.9,
        shadow=0.35,
        light=(0.4, 0.2),
        viewpoint=30.0,
        noise=5.0,
        jpeg=45,
        sharpness=0.7,
        resolution=0.62,
        vignetting=0.3,
    ),
    walls=(("tiles", "c2b8a4", "8a8274"), ("panels", "7c8288", "a8a294"), ("doors", "8e8a84", "3c4650")),
    grounds=(("tiles", "8f8a80", "5e5a54"), ("slabs", "7c7872", "504e4a"), ("asphalt", "5c5b5a", "6a6a68")),
    distance=(1.5, 5.0),
)
GARAGE = Domain(
    name="garage",
    centre=Style(
        illuminant=(1.12, 1.16, 0.46),
        exposure=-0.55,
        gamma=1.1,
        contrast=0.9,
        saturation=0.5,
        haze=0.012,
        shadow=0.45,
        light=(0.55, 0.17),
        viewpoint=22.0,
        noise=6.0,
        jpeg=38,
        sharpness=0.65,
        resolution=0.56,
        vignetting=0.45,
    ),
    walls=(("plaster", "8c8a84", "b09a3c"), ("panels", "84868a", "5e6064"), ("doors", "90908c", "6c3a30")),
    grounds=(("asphalt", "6c6c6c", "7c7c7c"), ("slabs", "7a7a78", "66665f")),
    distance=(2.0, 9.0),
)
NIGHT = Domain(
    name="night",
    centre=Style(
        illuminant=(0.55, 0.8, 1.55),
        exposure=-0.55,
        gamma=1.2,
        contrast=1.1,
        saturation=0.6,
        haze=0.008,
        shadow=0.75,
        light=(0.2, 0.1),
        viewpoint=18.0,
        noise=8.0,
        jpeg=30,
        sharpness=0.5,
        resolution=0.4,
        vignetting=0.5,
    ),
    walls=(("shops", "746c66", "3c3a3c"), ("bricks", "6e5044", "807870"), ("fence", "5c6060", "3a4238")),
    grounds=(("asphalt", "5c5c5e", "6a6a6c"), ("slabs", "6e6c6a", "4c4a4a"), ("crossing", "58585a", "d0d0d0")),
)

DOMAINS: tuple[Domain, ...] = (NOON, OVERCAST, DUSK, MALL, STATION, GARAGE, NIGHT)
"""All named domains, by increasing distance from the first."""


def domain_named(name: str) -> Domain:
    """The domain of this name. Raises ``ExperimentError`` when there is none."""
    known = {domain.name: domain for domain in DOMAINS}
    if name not in known:
        fix = f"take one of {', '.join(known)}"
        raise ExperimentError("A drawn domain goes by a name of the list", found=repr(name), fix=fix)
    return known[name]
