"""The loops over vertices and triangles, compiled by numba at their first call and cached on disk.

Plain loops over arrays allocated by the caller; ``tests/synthetic/people/test_kernels.py`` has a slow twin of each.
Pictures have y down; a projected vertex is (x in pixels, y in pixels, depth in metres).
"""

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]
I32 = NDArray[np.int32]
FAR = np.float32(1e9)
"""Depth of empty pixels."""

Loop = TypeVar("Loop", bound=Callable[..., Any])


def compiled(function: Loop) -> Loop:
    """The function, compiled by numba at its first call. If no cache folder is writable, each process
    compiles it again."""
    try:
        made = numba.njit(cache=True, fastmath=True)(function)
    except RuntimeError:  # "cannot cache function: no locator available"
        made = numba.njit(fastmath=True)(function)
    return cast(Loop, made)


@compiled
def pose_bones(parents: I32, joints: F32, turns: F32, moves: F32) -> None:
    """Fill ``moves`` (B, 3, 4) with the transform of each bone for points of the body at rest.

    ``turns`` (B, 3, 3) turns a bone about its joint within its parent's frame. Parents come before children.
    """
    for bone in range(parents.shape[0]):
        parent = parents[bone]
        for row in range(3):
            place = joints[bone, row]
            if parent >= 0:
                place = moves[parent, row, 3]
                for k in range(3):
                    place += moves[parent, row, k] * joints[bone, k]
            for column in range(3):
                if parent >= 0:
                    total = np.float32(0.0)
                    for k in range(3):
                        total += moves[parent, row, k] * turns[bone, k, column]
                    moves[bone, row, column] = total
                else:
                    moves[bone, row, column] = turns[bone, row, column]
            for k in range(3):
                place -= moves[bone, row, k] * joints[bone, k]
            moves[bone, row, 3] = place


@compiled
def skin_vertices(points: F32, influences: I32, weights: F32, moves: F32, out: F32) -> None:
    """Linear blend skinning: fill ``out`` (V, 3) with the moved ``points``."""
    for vertex in range(points.shape[0]):
        x, y, z = points[vertex, 0], points[vertex, 1], points[vertex, 2]
        a = np.float32(0.0)
        b = np.float32(0.0)
        c = np.float32(0.0)
        for slot in range(4):
            weight = weights[vertex, slot]
            if weight > 0:
                m = moves[influences[vertex, slot]]
                a += weight * (m[0, 0] * x + m[0, 1] * y + m[0, 2] * z + m[0, 3])
                b += weight * (m[1, 0] * x + m[1, 1] * y + m[1, 2] * z + m[1, 3])
                c += weight * (m[2, 0] * x + m[2, 1] * y + m[2, 2] * z + m[2, 3])
        out[vertex, 0] = a
        out[vertex, 1] = b
        out[vertex, 2] = c


@compiled
def vertex_normals(points: F32, faces: I32, out: F32) -> None:
    """Fill ``out`` (V, 3) with unit normals: the area-weighted mean of the triangles around each vertex."""
    out[:] = 0.0
    for face in range(faces.shape[0]):
        a, b, c = faces[face, 0], faces[face, 1], faces[face, 2]
        ux, uy, uz = points[b, 0] - points[a, 0], points[b, 1] - points[a, 1], points[b, 2] - points[a, 2]
        vx, vy, vz = points[c, 0] - points[a, 0], points[c, 1] - points[a, 1], points[c, 2] - points[a, 2]
        nx, ny, nz = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
        for corner in range(3):
            vertex = faces[face, corner]
            out[vertex, 0] += nx
            out[vertex, 1] += ny
            out[vertex, 2] += nz
    for vertex in range(out.shape[0]):
        x, y, z = out[vertex, 0], out[vertex, 1], out[vertex, 2]
        scale = np.float32(1.0) / np.sqrt(x * x + y * y + z * z + np.float32(1e-20))
        out[vertex, 0] = x * scale
        out[vertex, 1] = y * scale
        out[vertex, 2] = z * scale


@compiled
def fill_triangles(
    points: F32, faces: I32, cover: F32, fray: F32, who: int, depth: F32, owner: I32, face: I32, share: F32
) -> None:
    """Draw the triangles that are nearer than ``depth`` (H, W).

    ``cover`` (V,): below 0 there is no cloth, which cuts hems per pixel. ``fray`` (F,) roughens that edge.
    Writes ``depth``, ``owner`` (the number ``who``), ``face`` and ``share`` (H, W, 2: weights of the second and third corner).
    """
    height, width = depth.shape
    for t in range(faces.shape[0]):
        a, b, c = faces[t, 0], faces[t, 1], faces[t, 2]
        ragged = fray[t]
        if cover[a] < -ragged and cover[b] < -ragged and cover[c] < -ragged:
            continue
        x0, y0, x1, y1, x2, y2 = points[a, 0], points[a, 1], points[b, 0], points[b, 1], points[c, 0], points[c, 1]
        area = (x1 - x0) * (y2 - y0) - (x2 - x0) * (y1 - y0)
        if abs(area) < 1e-7 or points[a, 2] < 0.1 or points[b, 2] < 0.1 or points[c, 2] < 0.1:
            continue
        left, right = max(0, int(np.ceil(min(x0, x1, x2) - 0.5))), min(width - 1, int(max(x0, x1, x2) - 0.5))
        top, bottom = max(0, int(np.ceil(min(y0, y1, y2) - 0.5))), min(height - 1, int(max(y0, y1, y2) - 0.5))
        scale = 1.0 / area
        for row in range(top, bottom + 1):
            dy = row + 0.5 - y0
            for column in range(left, right + 1):
                dx = column + 0.5 - x0
                second = (dx * (y2 - y0) - (x2 - x0) * dy) * scale
                third = ((x1 - x0) * dy - dx * (y1 - y0)) * scale
                first = 1.0 - second - third
                if first < -1e-6 or second < -1e-6 or third < -1e-6:
                    continue
                z = first * points[a, 2] + second * points[b, 2] + third * points[c, 2]
                if z >= depth[row, column]:
                    continue
                edge = first * cover[a] + second * cover[b] + third * cover[c]
                if ragged > 0 and edge < ragged:  # a cheap hash of the pixel: strands and threads
                    mixed = ((t * 7919 + column * 104729 + row * 1299709) & 1023) / 1023.0
                    edge -= ragged * mixed
                if edge < 0:
                    continue
                depth[row, column] = z
                owner[row, column] = who
                face[row, column] = t
                share[row, column, 0] = second
                share[row, column, 1] = third


@compiled
def fill_depth(points: F32, faces: I32, cover: F32, depth: F32) -> None:
    """Like ``fill_triangles`` for whole triangles, depth only: the shadow map."""
    height, width = depth.shape
    for t in range(faces.shape[0]):
        a, b, c = faces[t, 0], faces[t, 1], faces[t, 2]
        if cover[a] < 0 or cover[b] < 0 or cover[c] < 0:
            continue
        x0, y0, x1, y1, x2, y2 = points[a, 0], points[a, 1], points[b, 0], points[b, 1], points[c, 0], points[c, 1]
        area = (x1 - x0) * (y2 - y0) - (x2 - x0) * (y1 - y0)
        if abs(area) < 1e-7:
            continue
        left, right = max(0, int(np.ceil(min(x0, x1, x2) - 0.5))), min(width - 1, int(max(x0, x1, x2) - 0.5))
        top, bottom = max(0, int(np.ceil(min(y0, y1, y2) - 0.5))), min(height - 1, int(max(y0, y1, y2) - 0.5))
        scale = 1.0 / area
        for row in range(top, bottom + 1):
            dy = row + 0.5 - y0
            for column in range(left, right + 1):
                dx = column + 0.5 - x0
                second = (dx * (y2 - y0) - (x2 - x0) * dy) * scale
                third = ((x1 - x0) * dy - dx * (y1 - y0)) * scale
                if second >= 0 and third >= 0 and second + third <= 1:
                    z = points[a, 2] + second * (points[b, 2] - points[a, 2]) + third * (points[c, 2] - points[a, 2])
                    if z < depth[row, column]:
                        depth[row, column] = z


@compiled
def project_points(points: F32, eye: F32, axes: F32, crop: F32, out: F32) -> None:
    """Fill ``out`` (N, 3) with column, row and depth. ``axes``: right, down, forward; ``crop``: see ``render.frame``."""
    for index in range(points.shape[0]):
        x, y, z = points[index, 0] - eye[0], points[index, 1] - eye[1], points[index, 2] - eye[2]
        depth = x * axes[2, 0] + y * axes[2, 1] + z * axes[2, 2]
        near = max(depth, np.float32(0.05))
        out[index, 0] = ((x * axes[0, 0] + y * axes[0, 1] + z * axes[0, 2]) / near - crop[0]) / crop[2]
        out[index, 1] = ((x * axes[1, 0] + y * axes[1, 1] + z * axes[1, 2]) / near - crop[1]) / crop[3]
        out[index, 2] = depth


@compiled
def bounds_of(points: F32, chosen: I32) -> tuple[float, float, float, float]:
    """Smallest and largest of the first two columns of the chosen rows."""
    low_x, low_y, high_x, high_y = 1e9, 1e9, -1e9, -1e9
    for index in chosen:
        low_x, high_x = min(low_x, points[index, 0]), max(high_x, points[index, 0])
        low_y, high_y = min(low_y, points[index, 1]), max(high_y, points[index, 1])
    return low_x, low_y, high_x, high_y


@compiled
def averaged_down(light: F32, aliased: float, out: F32) -> float:
    """Fill ``out`` (H, W, 3) with the means of 2 x 2 pixels, or by the share ``aliased`` with sample of the four; returns the
    mean of the square roots."""
    total = 0.0
    most, single = np.float32(0.25 * (1 - aliased)), np.float32(aliased)
    for row in range(out.shape[0]):
        for column in range(out.shape[1]):
            for k in range(3):
                sample = light[2 * row, 2 * column, k]
                rest = light[2 * row, 2 * column + 1, k] + light[2 * row + 1, 2 * column, k]
                value = most * (sample + rest + light[2 * row + 1, 2 * column + 1, k]) + single * sample
                value = max(value, np.float32(0.0))
                out[row, column, k] = value
                total += np.sqrt(value)
    return total / out.size


@compiled
def toned(x: F32, gains: F32, power: float, saturation: float, contrast: float) -> None:
    """From linear light to display values in place: gains, shoulder, gamma, saturation, contrast."""
    for row in range(x.shape[0]):
        for column in range(x.shape[1]):
            pixel = x[row, column]
            for k in range(3):
                value = pixel[k] * gains[k]
                pixel[k] = (1 - np.exp(np.float32(-1.35) * value)) ** power
            grey = 0.3 * pixel[0] + 0.59 * pixel[1] + 0.11 * pixel[2]
            for k in range(3):
                value = min(max(grey + (pixel[k] - grey) * saturation, 0.0), 1.0)
                pixel[k] = value + contrast * (value * value * (3 - 2 * value) - value)


@compiled
def blur_into(image: F32, taps: F32, between: F32, out: F32) -> None:
    """Fill ``out`` (H, W, C) with ``image`` blurred along both axes by ``taps`` (odd number), edges repeated."""
    height, width, channels = image.shape
    reach = taps.shape[0] // 2
    for row in range(height):
        for column in range(width):
            for k in range(channels):
                total = np.float32(0.0)
                for tap in range(taps.shape[0]):
                    total += taps[tap] * image[min(max(row + tap - reach, 0), height - 1), column, k]
                between[row, column, k] = total
    for row in range(height):
        for column in range(width):
            for k in range(channels):
                total = np.float32(0.0)
                for tap in range(taps.shape[0]):
                    total += taps[tap] * between[row, min(max(column + tap - reach, 0), width - 1), k]
                out[row, column, k] = total
