"""The loop over a person's pixels: cloth, decals, folds, skin, hair, then light and shadow. All in linear light."""

import numpy as np
from numpy.typing import NDArray

from snreid.synthetic.people.kernels import F32, I32, compiled

SHADOW_SIZE = 112
"""Texels per side of a person's shadow map."""


@compiled
def shadowed(x: float, y: float, z: float, maps: F32, bases: F32, corners: F32) -> float:
    """Share of the sun that people block from a point, 0 to 1."""
    taken = 0.0
    for person in range(maps.shape[0]):
        b = bases[person]
        across = (b[0, 0] * x + b[0, 1] * y + b[0, 2] * z - corners[person, 0]) * corners[person, 2] - 0.5
        down = (b[1, 0] * x + b[1, 1] * y + b[1, 2] * z - corners[person, 1]) * corners[person, 2] - 0.5
        if across < 0 or down < 0 or across >= maps.shape[2] - 1 or down >= maps.shape[1] - 1:
            continue
        away = b[2, 0] * x + b[2, 1] * y + b[2, 2] * z - 0.03
        column, row = int(across), int(down)
        right, below = across - column, down - row
        share = 0.0
        if maps[person, row, column] < away:
            share += (1 - right) * (1 - below)
        if maps[person, row, column + 1] < away:
            share += right * (1 - below)
        if maps[person, row + 1, column] < away:
            share += (1 - right) * below
        if maps[person, row + 1, column + 1] < away:
            share += right * below
        taken = max(taken, share)
    return taken


@compiled
def painted(
    colour: F32, x: float, z: float, front: float, arm: float, u: float, decals: F32, first: int, last: int,
    prints: NDArray[np.uint8], linear: F32,
) -> None:  # fmt: skip
    """Paint the decals of a layer over ``colour`` (3,). Rows: kind, four measures, side, colour, opacity, print.

    Kinds: 0 a box of x and z, 1 the sleeves from a share of arm on, 2 a slanted strap, 3 two upright straps, 4 one,
    5 a print, 6 a stripe along the cloth. Side: 1 front, -1 back, 0 both.
    """
    for index in range(first, last):
        d = decals[index]
        kind = int(d[0])
        if (d[5] > 0 and front < 0.5) or (d[5] < 0 and front > 0.5):
            continue
        hit = False
        opaque = d[9]
        red, green, blue = d[6], d[7], d[8]
        if kind == 0:
            hit = d[1] <= x <= d[2] and d[3] <= z <= d[4] and arm < 0.6
        elif kind == 1:
            hit = arm > d[1]
        elif kind == 2:
            hit = arm < 0.7 and abs(x * d[1] - (z - d[2])) < d[3]
        elif kind == 3:
            hit = arm < 0.7 and abs(abs(x) - d[1]) < d[2] and z > d[3]
        elif kind == 4:
            hit = arm < 0.7 and abs(x - d[1]) < d[2] and z > d[3]
        elif kind == 5:
            size = prints.shape[1]
            across, up = (x - d[1]) / d[3], (z - d[2]) / d[3]
            if abs(across) < 1 and abs(up) < 1 and arm < 0.4:
                if d[5] < 0:
                    across = -across
                column = min(size - 1, int((across * 0.5 + 0.5) * size))
                row = min(size - 1, int((0.5 - up * 0.5) * size))
                texel = prints[int(d[10]), row, column]
                hit = texel[3] > 127
                red, green, blue = linear[texel[0]], linear[texel[1]], linear[texel[2]]
        elif kind == 6:
            hit = abs(u - d[1]) < d[2]
        if hit:
            colour[0] += (red - colour[0]) * opaque
            colour[1] += (green - colour[1]) * opaque
            colour[2] += (blue - colour[2]) * opaque


@compiled
def feature_face(colour: F32, x: float, y: float, z: float, traits: F32) -> None:
    """Eyes, brows, mouth, beard and glasses on the skin at a point of the body at rest."""
    size = traits[6]
    eye_y, eye_z = traits[1], traits[2]
    if y > eye_y + 0.045 or z < eye_z - 0.16 * size:
        return
    for side in range(2):
        dx, dz = x - traits[side * 3], z - traits[side * 3 + 2]
        dark = 0.80 * np.exp(-((dx / 0.015) ** 2) - (dz / 0.007) ** 2)
        dark = max(dark, 0.35 * np.exp(-((dx / 0.026) ** 2) - (dz / 0.018) ** 2))
        brow = 0.75 * np.exp(-((dx / 0.019) ** 4) - ((dz - 0.021 * size) / 0.006) ** 2)
        for k in range(3):
            colour[k] *= 1 - dark
            colour[k] += (traits[9 + k] - colour[k]) * brow
        if traits[8] > 0.5:
            ring = abs(np.sqrt((dx / 1.25) ** 2 + dz**2) - 0.020)
            if ring < 0.003:
                for k in range(3):
                    colour[k] *= 0.3
    mouth = np.exp(-((x / 0.022) ** 4) - ((z - eye_z + 0.068 * size) / 0.007) ** 2)
    colour[0] *= 1 - 0.25 * mouth
    colour[1] *= 1 - 0.55 * mouth
    colour[2] *= 1 - 0.50 * mouth
    nose = 0.25 * np.exp(-((x / 0.018) ** 2) - ((z - eye_z + 0.042 * size) / 0.006) ** 2)
    for k in range(3):
        colour[k] *= 1 - nose
    if traits[7] > 0 and eye_z - 0.135 * size < z < eye_z - 0.045 * size - 0.012 * (abs(x) < 0.03):
        share = 0.75 * traits[7] * (1 - 0.7 * mouth)
        for k in range(3):
            colour[k] += (traits[9 + k] - colour[k]) * share


@compiled
def base_colour(
    colour: F32, v: F32, look: F32, decals: F32, traits: F32, textures: NDArray[np.uint8], prints: NDArray[np.uint8],
    relief: F32, linear: F32, span: float,
) -> None:  # fmt: skip
    """Fill ``colour`` (3,) with the surface's own colour. ``v``: the eight interpolated values of ``figure.Figure``."""
    surface, texture = int(look[0]), int(look[1])
    if texture >= 0:
        size = textures.shape[1]
        column = int(np.floor(v[4] / span * size)) % size
        row = int(np.floor(-v[5] / span * size)) % size
        for k in range(3):
            colour[k] = linear[textures[texture, row, column, k]]
    else:
        for k in range(3):
            colour[k] = look[7 + k]
    if surface == 0:
        feature_face(colour, v[0], v[2], v[1], traits)
    elif surface == 2:
        size = relief.shape[1]
        strand = relief[0, int(np.floor(v[5] * 260)) % size, int(np.floor(v[4] * 2600)) % size, 0]
        for k in range(3):
            colour[k] *= max(0.25, 0.85 + 0.55 * strand)
    if surface != 0:
        painted(colour, v[0], v[1], v[2], v[3], v[4], decals, int(look[10]), int(look[11]), prints, linear)


@compiled
def openness(depth: F32, owner: I32, row: int, column: int, who: int, reach: float) -> float:
    """Share of the surroundings that a pixel of a person sees: nearer parts of people around it block light."""
    height, width = depth.shape
    here = depth[row, column]
    closed = 0.0
    for ring in range(2):
        radius = max(1.0, reach * (0.5 + 0.8 * ring))
        for step in range(6):
            angle = 1.0472 * step + 0.5 * ring
            r, c = int(row + radius * np.sin(angle)), int(column + radius * np.cos(angle))
            if r < 0 or c < 0 or r >= height or c >= width or owner[r, c] != who:
                continue
            nearer = here - depth[r, c]
            if nearer > 0.012:
                closed += 1.0 if nearer < 0.25 else 0.35
    return 1.0 - 0.055 * closed


@compiled
def light_point(
    pixel: F32, colour: F32, hollow: float, gloss: float, x: float, y: float, z: float, nx: float, ny: float, nz: float,
    eye: F32, seen: float, light: F32, maps: F32, bases: F32, corners: F32, sunlit: float,
) -> None:  # fmt: skip
    """Fill ``pixel`` (3,) with the light that a point of this colour and normal sends to the eye.

    ``hollow``: brightness of the relief here; ``seen``: visible share of the surroundings.
    """
    vx, vy, vz = x - eye[0], y - eye[1], z - eye[2]
    far = np.sqrt(vx * vx + vy * vy + vz * vz)
    scale = 1 / np.sqrt(nx * nx + ny * ny + nz * nz + 1e-12)
    if nx * vx + ny * vy + nz * vz > 0:
        scale = -scale
    nx, ny, nz = nx * scale, ny * scale, nz * scale
    up = 0.5 + 0.5 * nz
    towards = nx * light[0] + ny * light[1] + nz * light[2]
    sun = 0.0
    if sunlit > 0 and towards > -0.1:
        sun = sunlit * max(0.0, (towards + 0.1) / 1.1)
        sun *= 1 - shadowed(x + 0.02 * nx, y + 0.02 * ny, z + 0.02 * nz, maps, bases, corners)
    aside = max(0.0, nx * light[12] + ny * light[13] + nz * light[14])
    shine = 0.0
    if gloss > 0:
        hx, hy, hz = light[0] - vx / far, light[1] - vy / far, light[2] - vz / far
        half = 1 / np.sqrt(hx * hx + hy * hy + hz * hz + 1e-9)
        shine = max(0.0, (nx * hx + ny * hy + nz * hz) * half) ** 24 * gloss * 3
    rim = (1 - abs(nx * vx + ny * vy + nz * vz) / far) ** 3 * 0.06
    for k in range(3):
        ambient = (light[6 + k] * up + light[9 + k] * (1 - up) + light[15 + k] * aside) * seen
        total = ambient + light[3 + k] * sun
        pixel[k] = colour[k] * hollow * total + shine * light[3 + k] * (0.15 + sun) + rim * light[6 + k] * seen


@compiled
def shade_person(
    rgb: F32, depth: F32, owner: I32, face: I32, share: F32, who: int, faces: I32, layer: I32, world: F32, normals: F32,
    values: F32, looks: F32, textures: NDArray[np.uint8], prints: NDArray[np.uint8], decals: F32, traits: F32,
    relief: F32, linear: F32, light: F32, eye: F32, maps: F32, bases: F32, corners: F32, sunlit: float, reach: float,
    span: float,
) -> None:  # fmt: skip
    """Fill ``rgb`` (H, W, 3) where ``owner`` is ``who``. ``light``: see ``site.Light.row``; ``sunlit``: share of the sun that reaches
    the place; ``reach``: pixels per ten centimetres; ``span``: metres covered by a fabric's texture."""
    height, width = depth.shape
    v = np.empty(8, np.float32)
    colour = np.empty(3, np.float32)
    for row in range(height):
        for column in range(width):
            if owner[row, column] != who:
                continue
            t = face[row, column]
            a, b, c = faces[t, 0], faces[t, 1], faces[t, 2]
            second, third = share[row, column, 0], share[row, column, 1]
            first = 1 - second - third
            look = looks[layer[t]]
            for k in range(8):
                v[k] = first * values[a, k] + second * values[b, k] + third * values[c, k]
            base_colour(colour, v, look, decals, traits, textures, prints, relief, linear, span)
            nx = first * normals[a, 0] + second * normals[b, 0] + third * normals[c, 0]
            ny = first * normals[a, 1] + second * normals[b, 1] + third * normals[c, 1]
            nz = first * normals[a, 2] + second * normals[b, 2] + third * normals[c, 2]
            x = first * world[a, 0] + second * world[b, 0] + third * world[c, 0]
            y = first * world[a, 1] + second * world[b, 1] + third * world[c, 1]
            z = first * world[a, 2] + second * world[b, 2] + third * world[c, 2]
            hollow = 1.0
            strength = look[2] * (v[6] if look[0] == 1 else 0.6)
            if strength > 0:
                kind, size = int(look[3]), relief.shape[1]
                lines = relief[kind, int(np.floor(-v[5] * 465)) % size, int(np.floor(v[4] * 465)) % size]
                flat = np.sqrt(nx * nx + ny * ny) + 1e-4
                tx, ty = -ny / flat, nx / flat
                nx -= strength * lines[1] * tx * 0.75
                ny -= strength * lines[1] * ty * 0.75
                nz += strength * lines[2] * 0.75
                hollow = min(1.25, max(0.4, 1 + 0.45 * strength * lines[0]))
            if look[5] > 0 and v[7] < look[5]:
                hollow *= 0.78
            seen = openness(depth, owner, row, column, who, reach)
            light_point(
                rgb[row, column], colour, hollow, look[4], x, y, z, nx, ny, nz, eye, seen, light, maps, bases, corners, sunlit
            )  # fmt: skip
