"""A contact sheet: the same people, seen from the front and from behind, in every domain."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from snreid.errors import ExperimentError
from snreid.synthetic.pedestrians.domains import DOMAINS, Domain
from snreid.synthetic.pedestrians.identity import draw_pedestrian
from snreid.synthetic.pedestrians.moment import draw_pedestrian_moment
from snreid.synthetic.pedestrians.render import PedestrianPicture
from snreid.synthetic.randomness import Draws

_MARGIN, _GAP, _LABEL = 8, 2, 22
_PAPER, _INK = (255, 255, 255), (40, 40, 40)


def contact_sheet(
    domains: Sequence[Domain] = DOMAINS,
    *,
    persons: int = 4,
    seed: int = 0,
    size: tuple[int, int] = (128, 64),
    scale: int = 1,
) -> NDArray[np.uint8]:
    """(H, W, 3) RGB: a column per domain with its name and two cameras; two rows per person, front and back.

    ``size``: height and width of each picture; ``scale``: integer enlargement. Raises ``ExperimentError`` for
    an empty sheet.
    """
    if persons < 1 or not domains or scale < 1:
        raise ExperimentError(
            "A contact sheet shows at least one person in at least one domain at scale 1 or more",
            found=f"{persons} persons, {len(domains)} domains, scale {scale}",
            fix="raise what is too small",
        )
    height, width = size[0] * scale, size[1] * scale
    column, row = 2 * width + 3 * _GAP, 2 * height + 3 * _GAP
    total = (2 * _MARGIN + len(domains) * column, 2 * _MARGIN + _LABEL + persons * row)
    sheet = Image.new("RGB", total, _PAPER)
    pen = ImageDraw.Draw(sheet)
    for across, domain in enumerate(domains):
        left = _MARGIN + across * column
        pen.text((left + _GAP, _MARGIN), domain.name, fill=_INK, font=ImageFont.load_default(size=15))
        for number in range(persons):
            top = _MARGIN + _LABEL + number * row
            for index in range(4):
                camera, behind = index % 2 + 1, index // 2
                picture = sheet_picture(domain, number, camera, bool(behind), seed, size)
                tile = Image.fromarray(picture.draw()).resize((width, height), Image.Resampling.BICUBIC)
                sheet.paste(tile, (left + (index % 2) * (width + _GAP), top + behind * (height + _GAP)))
    return np.asarray(sheet)


def sheet_picture(
    domain: Domain, number: int, camera: int, behind: bool, seed: int, size: tuple[int, int]
) -> PedestrianPicture:
    """One picture of the sheet: person ``number`` on ``camera``, from the front or the back, unoccluded."""
    track = Draws.of("sheet", seed, number, camera, int(behind))
    moment = draw_pedestrian_moment(track, track.below("shot"), occlusion=0.0)
    turned = (0.5 if behind else 0.0) + track.uniform("turn", -0.07, 0.07)
    return PedestrianPicture(
        identity=draw_pedestrian(Draws.of("sheet person", seed, number)),
        style=domain.image(domain.camera(seed, camera), track),
        moment=replace(moment, direction=turned),
        size=size,
    )
