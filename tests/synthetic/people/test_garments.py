"""Clothes: where they end, and that they stand off the body."""

from dataclasses import replace

import numpy as np
import pytest

from snreid.synthetic.people.form import Form
from snreid.synthetic.people.garments import (
    coat_end,
    hem_height,
    leg_layers,
    shoe_layers,
    skirt_end,
    skirt_layer,
    tights_layer,
    upper_layers,
)
from snreid.synthetic.people.identity import BOTTOMS, OUTERS, SHOES, TOPS, Garment


@pytest.mark.parametrize("kind", [*TOPS, *OUTERS[1:]])
def test_every_top_covers_the_trunk(form: Form, kind: str) -> None:
    layers = upper_layers(form, Garment(kind=kind), 0)
    shown = layers[0].place[layers[0].cover >= 0]
    assert shown[:, 1].min() < form.waist + 0.02 and shown[:, 1].max() > form.neck - 0.12
    for layer in layers:
        assert np.isfinite(layer.vertices).all() and layer.faces.max() < len(layer.vertices)


def test_sleeves_and_hems_end_where_they_are_told(form: Form) -> None:
    def arms(sleeve: float) -> float:
        """How far down the arm a tee reaches, as vertices of arm."""
        layer = upper_layers(form, Garment(kind="tee", sleeve=sleeve), 0)[0]
        return float(((layer.place[:, 3] > 0.8) & (layer.cover >= 0)).sum())

    assert arms(0.0) < arms(0.8) < arms(1.9)
    longer = hem_height(form, Garment(kind="tee", length=0.08), False)
    assert longer < hem_height(form, Garment(kind="tee"), False) < hem_height(form, Garment(kind="tee"), True)


def test_loose_clothes_are_wider(form: Form) -> None:
    for make in (
        lambda loose: upper_layers(form, Garment(kind="tee", loose=loose), 0)[0],
        lambda loose: leg_layers(form, Garment(kind="wide", loose=loose), 0, form.waist, waistband=False)[0],
    ):
        spans = [np.abs(make(loose).vertices - [0, form.middle, 0])[:, :2].mean() for loose in (0.0, 1.0)]
        assert spans[1] > spans[0]


def test_an_open_front_shows_what_is_below(form: Form) -> None:
    closed, opened = (upper_layers(form, Garment(kind="jacket", front=front), 0)[0] for front in (0.0, 0.06))
    middle = (np.abs(closed.place[:, 0]) < 0.02) & (closed.place[:, 2] > 0.5) & (closed.place[:, 1] < form.neck - 0.1)
    assert (closed.cover[middle] >= 0).any()
    middle = (np.abs(opened.place[:, 0]) < 0.02) & (opened.place[:, 2] > 0.5) & (opened.place[:, 1] < form.neck - 0.1)
    assert not (opened.cover[middle] >= 0).any()
    inner = upper_layers(form, Garment(kind="tee"), 0, window=0.0)[0]
    assert inner.place[inner.cover >= 0][:, 1].min() > form.neck - 0.12, "nothing of it is made where nobody sees it"


@pytest.mark.parametrize("kind", BOTTOMS[:4])
def test_trousers_end_at_their_hem(form: Form, kind: str) -> None:
    layer = leg_layers(form, Garment(kind=kind), 0, form.waist, waistband=True)[0]
    lowest = layer.place[layer.cover >= 0][:, 1].min()
    assert (lowest > form.knee - 0.1) == (kind == "shorts")


def test_skirts_and_coats_end_in_order(form: Form) -> None:
    short, long = skirt_end(form, Garment(kind="skirt")), skirt_end(form, Garment(kind="long skirt"))
    assert form.ankle < long < form.knee < short
    layer = skirt_layer(form, Garment(kind="skirt"), 0, form.waist, short, 0.0)
    assert layer.vertices[layer.cover >= 0][:, 2].min() >= short - 1e-5
    coat = Garment(kind="coat")
    assert coat_end(form, replace(coat, length=0.2)) < coat_end(form, coat)
    assert tights_layer(form, (0.1, 0.1, 0.1), form.hip).vertices[:, 2].max() < form.hip + 0.1


@pytest.mark.parametrize("kind", SHOES)
def test_shoes_are_two_and_stand_below_the_foot(form: Form, kind: str) -> None:
    layers = shoe_layers(form, kind, (0.1, 0.1, 0.1), (0.9, 0.9, 0.9))
    left, right = layers[:2]
    assert left.vertices[:, 0].mean() > 0 > right.vertices[:, 0].mean()
    for layer in (left, right):
        assert layer.vertices[:, 2].min() < form.ground and 0.2 < np.ptp(layer.vertices[:, 1]) < 0.36
