"""A person as one mesh: consistent, cached, and each part of the identity is seen in it."""

from dataclasses import replace

import numpy as np
import pytest

from snreid.synthetic.people.assets import BodyModel
from snreid.synthetic.people.casting import draw_identity
from snreid.synthetic.people.figure import COVER, figure_of
from snreid.synthetic.people.identity import BOTTOMS, OUTERS, Bag, Fabric, Garment, Head, Identity, Shoes
from snreid.synthetic.people.textures import PRINT_TEXELS, TEXELS
from snreid.synthetic.randomness import Draws


@pytest.mark.parametrize("number", range(12))
def test_random_figures_hold_together(model: BodyModel, number: int) -> None:
    figure = figure_of(draw_identity(Draws.of("figure", number)))
    count = len(figure.vertices)
    assert figure.faces.min() >= 0 and figure.faces.max() < count
    assert figure.layer.max() < len(figure.looks) and len(figure.layer) == len(figure.faces) == len(figure.fray)
    assert figure.influences.max() < len(model.bones) + 2 and np.isfinite(figure.values).all()
    assert figure.looks[:, 1].max() < len(figure.textures) and (figure.looks[:, 11] <= len(figure.decals)).all()
    assert figure.textures.shape[1:] == (TEXELS, TEXELS, 3) and figure.prints.shape[1:3] == (PRINT_TEXELS, PRINT_TEXELS)
    assert (figure.values[figure.shown, COVER] >= 0).all()
    np.testing.assert_allclose(figure.weights.sum(1), 1, atol=1e-4)


def test_figures_are_kept(model: BodyModel) -> None:
    assert figure_of(Identity()) is figure_of(Identity())


@pytest.mark.parametrize(
    "change",
    [
        {"head": Head(style="long")}, {"head": Head(hat="cap")}, {"head": Head(skin=(0.3, 0.2, 0.15))},
        {"top": Garment(kind="shirt")}, {"outer": Garment(kind="coat")}, {"bottom": Garment(kind="skirt")},
        {"shoes": Shoes(colour=(0.8, 0.1, 0.1))}, {"bag": Bag(kind="backpack")}, {"bicycle": (0.5, 0.1, 0.1)},
        {"top": Garment(kind="tee", fabric=Fabric(colour=(0.8, 0.1, 0.1)))},
    ],
)  # fmt: skip
def test_each_part_changes_the_figure(model: BodyModel, change: dict[str, object]) -> None:
    one, two = figure_of(Identity()), figure_of(replace(Identity(), **change))  # type: ignore[arg-type]
    same = one.vertices.shape == two.vertices.shape and one.looks.shape == two.looks.shape
    assert not (same and np.array_equal(one.looks, two.looks) and np.array_equal(one.textures, two.textures))


@pytest.mark.parametrize("outer", OUTERS)
@pytest.mark.parametrize("bottom", BOTTOMS)
def test_all_clothes_go_together(model: BodyModel, outer: str, bottom: str) -> None:
    identity = Identity(outer=Garment(kind=outer, front=0.05), bottom=Garment(kind=bottom))
    assert len(figure_of(identity).faces) > 5000
