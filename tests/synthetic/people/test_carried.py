"""Bags hang where they are carried."""

import pytest

from snreid.synthetic.people.carried import load
from snreid.synthetic.people.form import Form
from snreid.synthetic.people.identity import BAGS, Bag, Identity


@pytest.mark.parametrize("kind", BAGS)
def test_each_bag_is_made(form: Form, kind: str) -> None:
    layers, straps = load(form, Bag(kind=kind), 0.02)
    assert bool(layers) == (kind != "none")
    assert bool(straps) == (kind in ("backpack", "shoulder", "crossbody"))
    in_hand = kind in ("handbag", "shopping", "trolley")
    assert Identity(bag=Bag(kind=kind, side=-1)).laden == (-1 if in_hand else 0)
    for layer in layers:
        assert (layer.influences.max() == len(form.body.model.bones)) == in_hand


def test_size_and_side_are_seen(form: Form) -> None:
    small, large = (load(form, Bag(kind="backpack", size=size), 0.02)[0][0].vertices for size in (0.0, 1.0))
    assert (large.max(0) - large.min(0) > small.max(0) - small.min(0)).all()
    left, right = (load(form, Bag(kind="shoulder", side=side), 0.02)[0][0].vertices[:, 0].mean() for side in (1, -1))
    assert left > 0 > right
    assert load(form, Bag(kind="backpack"), 0.05)[0][0].vertices[:, 1].min() > form.middle
