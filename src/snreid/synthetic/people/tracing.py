"""The place behind the people: ray-traced textured parallelograms, lit, with shadows of objects and people."""

import numpy as np
from numpy.typing import NDArray

from snreid.synthetic.people.kernels import F32, I32, compiled
from snreid.synthetic.people.shading import shadowed


@compiled
def meets(
    q: int, px: float, py: float, pz: float, dx: float, dy: float, dz: float, origin: F32, duals: F32, normal: F32,
    tiles: F32, texture: I32, textures: NDArray[np.uint8], out: F32,
) -> bool:  # fmt: skip
    """Whether a ray hits an opaque part of a parallelogram; ``out``: distance, and position (0 to 1 twice)."""
    down = dx * normal[q, 0] + dy * normal[q, 1] + dz * normal[q, 2]
    if abs(down) < 1e-7:
        return False
    ox, oy, oz = origin[q, 0] - px, origin[q, 1] - py, origin[q, 2] - pz
    t = (ox * normal[q, 0] + oy * normal[q, 1] + oz * normal[q, 2]) / down
    if t < 0.02:
        return False
    rx, ry, rz = t * dx - ox, t * dy - oy, t * dz - oz
    a = rx * duals[q, 0, 0] + ry * duals[q, 0, 1] + rz * duals[q, 0, 2]
    b = rx * duals[q, 1, 0] + ry * duals[q, 1, 1] + rz * duals[q, 1, 2]
    if a < 0 or a > 1 or b < 0 or b > 1:
        return False
    size = textures.shape[1]
    column, row = int(a * tiles[q, 0] * size) % size, int((1 - b) * tiles[q, 1] * size) % size
    if textures[texture[q], row, column, 3] < 128:
        return False
    out[0], out[1], out[2] = t, a, b
    return True


@compiled
def trace_quads(
    eye: F32, axes: F32, crop: F32, boxes: I32, origin: F32, duals: F32, normal: F32, tiles: F32, texture: I32,
    textures: NDArray[np.uint8], depth: F32, surface: I32, spot: F32,
) -> None:  # fmt: skip
    """Fill ``depth`` (H, W), ``surface`` (parallelogram index) and ``spot`` (H, W, 2: position on it).

    ``axes`` (3, 3): right, down and forward in the world; ``crop``: the first pixel's tangents and the step of one pixel;
    ``boxes`` (Q, 4): the pixels that each can cover. Along a row of pixels a ray's dot product with any vector grows by a
    constant, so an intersection costs one division.
    """
    size = textures.shape[1]
    one = np.float32(1.0)
    for q in range(origin.shape[0]):
        n, first, second = normal[q], duals[q, 0], duals[q, 1]
        ox, oy, oz = origin[q, 0] - eye[0], origin[q, 1] - eye[1], origin[q, 2] - eye[2]
        reach = ox * n[0] + oy * n[1] + oz * n[2]
        begin_a = ox * first[0] + oy * first[1] + oz * first[2]
        begin_b = ox * second[0] + oy * second[1] + oz * second[2]
        left = boxes[q, 0]
        u = crop[0] + (left + np.float32(0.5)) * crop[2]
        step_n = crop[2] * (axes[0, 0] * n[0] + axes[0, 1] * n[1] + axes[0, 2] * n[2])
        step_a = crop[2] * (axes[0, 0] * first[0] + axes[0, 1] * first[1] + axes[0, 2] * first[2])
        step_b = crop[2] * (axes[0, 0] * second[0] + axes[0, 1] * second[1] + axes[0, 2] * second[2])
        for row in range(boxes[q, 1], boxes[q, 3]):
            v = crop[1] + (row + np.float32(0.5)) * crop[3]
            dx = axes[2, 0] + u * axes[0, 0] + v * axes[1, 0]
            dy = axes[2, 1] + u * axes[0, 1] + v * axes[1, 1]
            dz = axes[2, 2] + u * axes[0, 2] + v * axes[1, 2]
            down = dx * n[0] + dy * n[1] + dz * n[2]
            along_a = dx * first[0] + dy * first[1] + dz * first[2]
            along_b = dx * second[0] + dy * second[1] + dz * second[2]
            for column in range(left, boxes[q, 2]):
                t = reach / down if abs(down) > np.float32(1e-7) else np.float32(-1.0)
                if np.float32(0.1) < t < depth[row, column]:
                    a, b = t * along_a - begin_a, t * along_b - begin_b
                    if a >= 0 and a <= one and b >= 0 and b <= one:
                        c, r = int(a * tiles[q, 0] * size) % size, int((one - b) * tiles[q, 1] * size) % size
                        if textures[texture[q], r, c, 3] >= 128:
                            depth[row, column] = t
                            surface[row, column] = q
                            spot[row, column, 0] = a
                            spot[row, column, 1] = b
                down += step_n
                along_a += step_a
                along_b += step_b


@compiled
def sun_reaches(
    x: float, y: float, z: float, but: int, light: F32, blockers: I32, reaches: F32, origin: F32, duals: F32,
    normal: F32, tiles: F32, texture: I32, textures: NDArray[np.uint8], out: F32,
) -> bool:  # fmt: skip
    """Whether nothing of the site lies between a point and the sun.

    ``reaches`` (B, 4): the part of the ground that each blocker's shadow can reach, from and to. A point above the
    ground is first projected onto it along the sun's rays.
    """
    gx, gy = x - z * light[0] / light[2], y - z * light[1] / light[2]
    for index in range(blockers.shape[0]):
        if gx < reaches[index, 0] or gy < reaches[index, 1] or gx > reaches[index, 2] or gy > reaches[index, 3]:
            continue
        q = blockers[index]
        if q != but and meets(
            q, x, y, z, light[0], light[1], light[2], origin, duals, normal, tiles, texture, textures, out
        ):  # fmt: skip
            return False
    return True


@compiled
def texel(colour: F32, picture: NDArray[np.uint8], mean: F32, a: float, b: float, blurred: float, linear: F32) -> None:
    """Fill ``colour`` with a texture's bilinear sample, mixed with its mean where texels are smaller than pixels."""
    size = picture.shape[0]
    x, y = a * size - 0.5, b * size - 0.5
    column, row = int(np.floor(x)), int(np.floor(y))
    right, down = x - column, y - row
    c0, c1, r0, r1 = column % size, (column + 1) % size, row % size, (row + 1) % size
    for k in range(3):
        top = linear[picture[r0, c0, k]] * (1 - right) + linear[picture[r0, c1, k]] * right
        low = linear[picture[r1, c0, k]] * (1 - right) + linear[picture[r1, c1, k]] * right
        sharp = top * (1 - down) + low * down
        colour[k] = sharp + (mean[k] - sharp) * blurred


@compiled
def shade_scene(
    rgb: F32, owner: I32, depth: F32, surface: I32, spot: F32, eye: F32, axes: F32, crop: F32, light: F32, blockers: I32,
    reaches: F32, origin: F32, duals: F32, normal: F32, tiles: F32, texture: I32, textures: NDArray[np.uint8], means: F32, tint: F32,
    texels: F32, linear: F32, maps: F32, bases: F32, corners: F32, feet: F32,
) -> None:  # fmt: skip
    """Fill ``rgb`` outside people (``owner`` -1). ``tint`` (Q, 4): colour and emitted light;
    ``texels`` (Q,): metres per texel; ``feet`` (P, 2): where people stand, for the soft shadow below them."""
    height, width = depth.shape
    colour, out = np.empty(3, np.float32), np.empty(3, np.float32)
    sunny = light[3] + light[4] + light[5] > 0.02
    for row in range(height):
        v = crop[1] + (row + 0.5) * crop[3]
        lit, before = True, -1
        for column in range(width):
            if owner[row, column] >= 0:
                continue
            u = crop[0] + (column + 0.5) * crop[2]
            dx = axes[2, 0] + u * axes[0, 0] + v * axes[1, 0]
            dy = axes[2, 1] + u * axes[0, 1] + v * axes[1, 1]
            dz = axes[2, 2] + u * axes[0, 2] + v * axes[1, 2]
            q = surface[row, column]
            if q < 0:
                for k in range(3):
                    rgb[row, column, k] = light[6 + k] * (0.9 + 0.5 * max(0.0, 1 - 3 * max(dz, 0.0)))
                continue
            t = depth[row, column]
            x, y, z = eye[0] + t * dx, eye[1] + t * dy, eye[2] + t * dz
            facing = dx * normal[q, 0] + dy * normal[q, 1] + dz * normal[q, 2]
            side = -1.0 if facing > 0 else 1.0
            steep = abs(facing) / np.sqrt(dx * dx + dy * dy + dz * dz)
            blurred = min(0.9, max(0.0, (t * crop[2] / max(steep, 0.15) / texels[q] - 1.2) * 0.14))
            texel(
                colour, textures[texture[q]], means[texture[q]], spot[row, column, 0] * tiles[q, 0],
                (1 - spot[row, column, 1]) * tiles[q, 1], blurred, linear,
            )  # fmt: skip
            up = 0.5 + 0.5 * side * normal[q, 2]
            towards = side * (normal[q, 0] * light[0] + normal[q, 1] * light[1] + normal[q, 2] * light[2])
            sun = 0.0
            if sunny and towards > 0:
                if (column + row) % 2 == 0 or before != q:  # every other pixel reuses its neighbour's result
                    lit = sun_reaches(
                        x, y, z, q, light, blockers, reaches, origin, duals, normal, tiles, texture, textures, out
                    )
                before = q
                if lit:
                    sun = towards * (1 - shadowed(x, y, z, maps, bases, corners))
            open_sky = 1.0
            if z < 0.3:
                for person in range(feet.shape[0]):
                    away = (x - feet[person, 0]) ** 2 + (y - feet[person, 1]) ** 2
                    open_sky *= 1 - 0.55 * np.exp(-away / 0.11) - 0.15 * np.exp(-away / 0.6)
            for k in range(3):
                ambient = (light[6 + k] * up + light[9 + k] * (1 - up)) * open_sky
                rgb[row, column, k] = colour[k] * tint[q, k] * (ambient + light[3 + k] * sun + tint[q, 3])
