"""One person in the kernels' form: a single mesh at rest with its table of looks, its textures and its decals."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from snreid.synthetic.people.assets import body_model
from snreid.synthetic.people.bicycle import bicycle_layers
from snreid.synthetic.people.body import Body, regions, shape_body
from snreid.synthetic.people.carried import load, phones
from snreid.synthetic.people.form import Form, measure
from snreid.synthetic.people.garments import (
    coat_end,
    hem_height,
    leg_end,
    leg_layers,
    shoe_layers,
    skirt_end,
    skirt_layer,
    tights_layer,
    upper_layers,
)  # fmt: skip
from snreid.synthetic.people.headwear import Scalp, hair_layers, hat_layers, scarf_layer
from snreid.synthetic.people.identity import Garment, Identity, Print
from snreid.synthetic.people.kernels import vertex_normals
from snreid.synthetic.people.mesh import F32, I32, SKIN, Layer, Look, compact, select
from snreid.synthetic.people.textures import PRINT_TEXELS, TEXELS, fabric_texels, print_texels
from snreid.synthetic.people.wardrobe import Colour

PLACE, UV, CREASE, COVER = slice(0, 4), slice(4, 6), 6, 7
"""Columns of ``Figure.values``."""


@dataclass(frozen=True, slots=True)
class Figure:
    """N vertices, T triangles, L layers."""

    body: Body
    vertices: F32
    """(N, 3) at rest."""
    faces: I32
    influences: I32
    weights: F32
    values: F32
    """(N, 8): x, z, front, arm; u, v; crease; cover."""
    layer: I32
    """(T,) layer of each triangle."""
    fray: F32
    """(T,)"""
    looks: F32
    """(L, 12): the numbers of ``mesh.Look``, then the start and end of the layer's decals."""
    textures: NDArray[np.uint8]
    """(K, TEXELS, TEXELS, 3)"""
    prints: NDArray[np.uint8]
    """(P, PRINT_TEXELS, PRINT_TEXELS, 4)"""
    decals: F32
    """(D, 11)"""
    shown: I32
    """Visible vertices, enough of them to bound the figure."""
    phones: I32
    """(2, N) vertices of the phone in the left hand and of the one in the right; see ``render``."""
    face: F32
    """Positions of the face's features: see ``_face``."""


_LEGGED = ("trousers", "slim", "wide", "shorts")


class _Pictures:
    """Textures and prints of one figure, numbered in order of use."""

    def __init__(self) -> None:
        self.textures: list[NDArray[np.uint8]] = []
        self.prints: list[NDArray[np.uint8]] = []

    def fabric(self, garment: Garment) -> int:
        """The number of a garment's fabric."""
        self.textures.append(fabric_texels(garment.fabric))
        return len(self.textures) - 1

    def design(self, design: Print) -> int:
        """The number of a print."""
        self.prints.append(print_texels(design))
        return len(self.prints) - 1


@lru_cache(maxsize=112)
def figure_of(identity: Identity) -> Figure:
    """Body, clothes, hair and bag of a person, joined; the most recent figures are cached."""
    body = shape_body(body_model(), identity.physique)
    form, pictures = measure(body), _Pictures()
    cut = _cut(form, identity)
    clothes = _clothes(form, identity, cut, pictures)
    carried, straps = load(form, identity.bag, cut.thick)
    clothes[0].decals += straps
    layers = [_skin(form, identity, cut), *clothes, *_legs(form, identity, cut, pictures), *carried]
    layers += [] if identity.bicycle is None else bicycle_layers(form, identity.bicycle)
    layers += shoe_layers(form, identity.shoes.kind, identity.shoes.colour, identity.shoes.sole)
    hooded = identity.head.hat in ("hood", "beanie")
    falls = identity.head.style in ("long", "bob")
    layers += [] if hooded and not falls else hair_layers(body, identity.head, cut.thick)
    layers += hat_layers(body, identity.head)
    if identity.head.scarf is not None:
        layers.append(scarf_layer(body, identity.head.scarf))
    layers += phones(form)
    return _joined(body, layers, pictures, _face(body, identity))


@dataclass(frozen=True, slots=True)
class _Cut:
    """Where clothes end, to omit hidden parts: hidden cloth would pierce what hides it."""

    tucked: bool
    legs: float
    """Height below which legs and trousers are modelled."""
    thick: float
    """Metres of cloth over the trunk."""


def _cut(form: Form, identity: Identity) -> _Cut:
    top, outer, bottom = identity.top, identity.outer, identity.bottom
    dress = bottom.kind == "dress"
    tucked = dress or (outer.kind == "none" and top.loose < 0.2)
    legs = form.waist + 0.03
    if outer.kind == "coat":
        legs = coat_end(form, outer) + (0.06 if outer.front == 0 else 0.35)
    elif not tucked:
        upper = outer if outer.kind != "none" else top
        hem = hem_height(form, upper, False)
        legs = hem + 0.02 if upper.front == 0 else max(hem, hem_height(form, top, False)) + 0.02
    if bottom.kind in ("skirt", "long skirt", "dress"):
        legs = min(legs, skirt_end(form, bottom) + 0.06)
    return _Cut(tucked, legs, 0.01 if outer.kind == "none" else 0.035)


def _clothes(form: Form, identity: Identity, cut: _Cut, pictures: _Pictures) -> list[Layer]:
    """Layers of top and outer garment, outermost first."""
    top, outer = identity.top, identity.outer
    fabric = pictures.fabric(top)
    if outer.kind == "none":
        layers = upper_layers(form, top, fabric, tucked=cut.tucked)
        _decorate(form, top, layers, pictures)
        return layers
    lapels = 0.05 if outer.kind == "blazer" else 0.0  # a closed blazer shows a shirt too
    bare = outer.sleeve < top.sleeve - 0.2  # its sleeves show
    window = None if bare else max(outer.front, lapels)
    inner = upper_layers(form, top, fabric, tucked=cut.tucked, window=window)
    _decorate(form, top, inner, pictures)
    over = upper_layers(form, outer, pictures.fabric(outer), under=0.004)
    _decorate(form, outer, over, pictures)
    collar = inner[1:] if max(outer.front, lapels) > 0 or top.kind in ("shirt", "polo") else []
    return [*over, inner[0], *collar]


def _decorate(form: Form, garment: Garment, layers: list[Layer], pictures: _Pictures) -> None:
    """Prints, sleeves and shoulders of another colour, buttons, zips, lapels."""
    trunk, second = layers[0].decals, garment.fabric.second
    if garment.fabric.pattern == "blocks":
        if garment.fabric.seed % 3 == 0:
            trunk.append([1, 0.55, 2.0, 0, 0, 0, *second, 1.0, 0])
        elif garment.fabric.seed % 3 == 1:
            trunk.append([0, -9, 9, form.neck - 0.20, 9, 0, *second, 1.0, 0])
        else:
            trunk.append([0, -9, 9, form.waist - 0.02, form.waist + 0.16, 0, *second, 1.0, 0])
    dark: Colour = (0.10, 0.10, 0.11)
    if garment.kind in ("shirt", "polo") and garment.front == 0:
        low = form.neck - 0.16 if garment.kind == "polo" else -9
        trunk.append([0, -0.012, 0.012, low, 9, 1, *dark, 0.22, 0])
    if garment.kind in ("jacket", "hoodie", "puffer", "gilet", "coat", "blazer") and garment.front == 0:
        trunk.append([0, -0.006, 0.006, -9, 9, 1, *(second if garment.fabric.seed % 4 == 0 else dark), 0.7, 0])
    if garment.kind in ("hoodie", "jacket"):
        trunk.append([0, -0.13, 0.13, form.waist + 0.005, form.waist + 0.013, 1, *dark, 0.35, 0])
    if garment.print.kind != "none":
        design = garment.print
        side = -1.0 if design.back else 1.0
        number = pictures.design(design)
        trunk.append([5, design.across, form.neck - design.below, design.size, 0, side, 0, 0, 0, 1.0, number])


def _legs(form: Form, identity: Identity, cut: _Cut, pictures: _Pictures) -> list[Layer]:
    bottom, socks = identity.bottom, identity.shoes.socks
    if bottom.kind in _LEGGED:
        layers = leg_layers(form, bottom, pictures.fabric(bottom), cut.legs, waistband=cut.tucked)
        if bottom.fabric.seed % 12 == 0 and bottom.fabric.pattern == "plain":  # a stripe down the side
            layers[0].decals.append([6, 0.14, 0.016, 0, 0, 0, *bottom.fabric.second, 0.9, 0])
        return layers if bottom.kind != "shorts" else [*layers, _socks(form, socks)]
    dress = bottom.kind == "dress"
    texture = 0 if dress else pictures.fabric(bottom)
    start = form.waist + 0.03
    if not cut.tucked:
        upper = identity.outer if identity.outer.kind not in ("none", "coat") else identity.top
        start = min(start, hem_height(form, upper, False) + 0.02)
    end = skirt_end(form, bottom)
    if identity.outer.kind == "coat" and identity.outer.front == 0:
        start = min(start, coat_end(form, identity.outer) + 0.05)
    layers = [skirt_layer(form, bottom, texture, start, end, 0.004)] if start > end else []
    if bottom.fabric.seed % 3 == 0:
        layers.append(tights_layer(form, (0.09, 0.085, 0.09), cut.legs))
    return layers


def _socks(form: Form, colour: Colour) -> Layer:
    z = form.points[:, 2]
    cover = np.where(form.arm > 0.2, -1.0, form.ankle + 0.06 - z).astype(np.float32)
    points = form.points + form.normals * np.float32(0.004)
    return form.layer(
        points, cover, form.points[:, [0, 2]], np.zeros(len(z), np.float32), Look(colour=colour, hem=0.01)
    )


def _skin(form: Form, identity: Identity, cut: _Cut) -> Layer:
    """The body without the parts hidden by clothes, shrunk a little where cloth could be pierced."""
    body = form.body
    chosen, limb = select(body.model, "body"), regions(body.model)
    points = body.vertices[chosen.ids]
    normals = np.empty_like(points)
    vertex_normals(points, chosen.faces, normals)
    arm, head, hand, foot = (part[chosen.ids] for part in (limb.arm, limb.head, limb.hand, limb.foot))
    z = points[:, 2]
    hidden = (arm < 0.3) & (z < form.neck - 0.17) & (z > form.crotch - 0.02)
    sleeve = max(identity.top.sleeve, identity.outer.sleeve if identity.outer.kind not in ("none", "gilet") else 0.0)
    hidden |= (arm > 0.7) & (hand < 0.2) & (sleeve > 1.7)
    if identity.bottom.kind in _LEGGED:
        hidden |= (arm < 0.3) & (z < form.crotch + 0.1) & (z > leg_end(form, identity.bottom) + 0.05) & (foot < 0.5)
    hidden |= (arm < 0.3) & (z > cut.legs) & (z < form.neck - 0.17)
    hidden |= (foot > 0.6) & (identity.shoes.kind != "sandal")
    used, faces = compact(chosen.faces[~hidden[chosen.faces].all(1)])
    drawn_in = np.where((head < 0.5) & (hand < 0.5), 0.003, 0.0)
    place = np.stack([points[:, 0], z, points[:, 1], arm], 1)
    ids = chosen.ids[used]
    return Layer(
        vertices=(points - normals * drawn_in[:, None])[used].astype(np.float32),
        faces=faces,
        look=Look(surface=SKIN, colour=identity.head.skin, gloss=0.10),
        influences=body.model.influences[ids],
        weights=body.model.weights[ids],
        cover=np.ones(len(used), np.float32),
        uv=points[used][:, [0, 2]],
        place=place[used].astype(np.float32),
        crease=np.zeros(len(used), np.float32),
    )


def _face(body: Body, identity: Identity) -> F32:
    """Eyes (x, y, z) left and right, size of the head, beard, glasses, hair colour."""
    head, hair = identity.head, (share**2.2 for share in identity.head.hair)
    return np.array([*body.eyes[0], *body.eyes[1], Scalp(body).size, head.beard, head.glasses, *hair], np.float32)


def _linear_columns(table: F32, first: int) -> F32:
    """A table with three columns turned from sRGB into linear light."""
    table[:, first : first + 3] **= 2.2
    return table


def _joined(body: Body, layers: list[Layer], pictures: _Pictures, face: F32) -> Figure:
    """All layers as one mesh; the last two are the phones."""
    starts = np.cumsum([0, *(len(layer.vertices) for layer in layers)])
    rows: list[list[float]] = []
    decals: list[list[float]] = []
    for layer in layers:
        rows.append([*layer.look.row(), len(decals), len(decals) + len(layer.decals)])
        decals += layer.decals
    cover = np.concatenate([layer.cover for layer in layers])
    counts = [len(layer.faces) for layer in layers]
    values = [np.concatenate([x.place, x.uv, x.crease[:, None], x.cover[:, None]], 1) for x in layers]
    empty = np.zeros((1, TEXELS, TEXELS, 3), np.uint8)
    return Figure(
        body=body,
        vertices=np.ascontiguousarray(np.concatenate([layer.vertices for layer in layers]), np.float32),
        faces=np.concatenate([x.faces + start for x, start in zip(layers, starts, strict=False)]).astype(np.int32),
        influences=np.concatenate([layer.influences for layer in layers]).astype(np.int32),
        weights=np.ascontiguousarray(np.concatenate([layer.weights for layer in layers]), np.float32),
        values=np.ascontiguousarray(np.concatenate(values), np.float32),
        layer=np.repeat(np.arange(len(layers)), counts).astype(np.int32),
        fray=np.repeat([layer.look.fray for layer in layers], counts).astype(np.float32),
        looks=_linear_columns(np.array(rows, np.float32), 7),
        textures=np.stack(pictures.textures) if pictures.textures else empty,
        prints=np.stack(pictures.prints) if pictures.prints else np.zeros((1, PRINT_TEXELS, PRINT_TEXELS, 4), np.uint8),
        decals=_linear_columns(np.array(decals, np.float32).reshape(-1, 11), 6),
        shown=np.flatnonzero(cover >= 0)[::2].astype(np.int32),
        phones=np.arange(starts[-3], starts[-1], dtype=np.int32).reshape(2, -1),
        face=face,
    )
