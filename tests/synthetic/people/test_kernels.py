"""Each compiled loop against a slow, obvious twin."""

import numpy as np
import pytest

from snreid.synthetic.people import kernels


@pytest.fixture
def triangles(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    points = (rng.random((30, 3)) * [24, 20, 3] + [0, 0, 1]).astype(np.float32)
    return points, rng.integers(0, 30, (40, 3)).astype(np.int32), rng.uniform(-0.5, 1, 30).astype(np.float32)


def test_posing_and_skinning(rng: np.random.Generator) -> None:
    parents = np.array([-1, 0, 1, 0], np.int32)
    joints = rng.normal(size=(4, 3)).astype(np.float32)
    turns = np.linalg.qr(rng.normal(size=(4, 3, 3)))[0].astype(np.float32)
    moves = np.zeros((4, 3, 4), np.float32)
    kernels.pose_bones(parents, joints, turns, moves)
    whole: list[np.ndarray] = []
    for bone, parent in enumerate(parents):
        local = np.eye(4)
        local[:3, :3] = turns[bone]
        local[:3, 3] = joints[bone] - turns[bone] @ joints[bone]
        whole.append(local if parent < 0 else whole[parent] @ local)
    np.testing.assert_allclose(moves, np.array(whole)[:, :3], atol=1e-5)

    points = rng.normal(size=(9, 3)).astype(np.float32)
    influences = rng.integers(0, 4, (9, 4)).astype(np.int32)
    weights = rng.dirichlet(np.ones(4), 9).astype(np.float32)
    out = np.empty_like(points)
    kernels.skin_vertices(points, influences, weights, moves, out)
    for vertex in range(9):
        moved = [moves[bone, :, :3] @ points[vertex] + moves[bone, :, 3] for bone in influences[vertex]]
        np.testing.assert_allclose(out[vertex], weights[vertex] @ np.array(moved), atol=1e-5)


def test_normals(rng: np.random.Generator) -> None:
    points, faces = rng.normal(size=(8, 3)).astype(np.float32), rng.integers(0, 8, (12, 3)).astype(np.int32)
    out = np.empty_like(points)
    kernels.vertex_normals(points, faces, out)
    total = np.zeros((8, 3))
    for a, b, c in faces:
        total[[a, b, c]] += 0  # a corner may repeat: add one by one
        for corner in (a, b, c):
            total[corner] += np.cross(points[b] - points[a], points[c] - points[a])
    used = np.linalg.norm(total, axis=1) > 1e-4
    np.testing.assert_allclose(out[used], (total / np.linalg.norm(total, axis=1, keepdims=True))[used], atol=1e-3)


def _slow_fill(
    points: np.ndarray, faces: np.ndarray, cover: np.ndarray, shape: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """Every pixel against every triangle, by barycentric coordinates from a linear system."""
    depth, face = np.full(shape, np.float32(kernels.FAR)), np.zeros(shape, np.int32)
    for t, corners in enumerate(faces):
        system = np.vstack([points[corners, :2].T, np.ones(3)])
        if abs(np.linalg.det(system)) < 1e-5:
            continue
        for row in range(shape[0]):
            for column in range(shape[1]):
                shares = np.linalg.solve(system, [column + 0.5, row + 0.5, 1.0])
                z = shares @ points[corners, 2]
                if shares.min() >= 0 and shares @ cover[corners] >= 0 and z < depth[row, column]:
                    depth[row, column], face[row, column] = z, t
    return depth, face


def test_filling_triangles(triangles: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    points, faces, cover = triangles
    shape = (20, 24)
    depth, face = np.full(shape, kernels.FAR), np.zeros(shape, np.int32)
    owner, share = np.full(shape, -1, np.int32), np.zeros((*shape, 2), np.float32)
    kernels.fill_triangles(points, faces, cover, np.zeros(len(faces), np.float32), 5, depth, owner, face, share)
    slow_depth, slow_face = _slow_fill(points, faces, cover, shape)
    np.testing.assert_array_equal(owner >= 0, slow_depth < kernels.FAR)
    np.testing.assert_array_equal(face, slow_face)
    np.testing.assert_allclose(depth, slow_depth, rtol=1e-4)
    corners = faces[face]
    back = sum(
        part[..., None] * points[corners[..., index], :2]
        for index, part in enumerate((1 - share.sum(-1), share[..., 0], share[..., 1]))
    )
    rows, columns = np.nonzero(owner == 5)
    np.testing.assert_allclose(back[rows, columns], np.stack([columns, rows], 1) + 0.5, atol=1e-3)


def test_filling_respects_what_is_nearer(triangles: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    points, faces, cover = triangles
    depth, owner = np.full((20, 24), np.float32(0.5)), np.full((20, 24), -1, np.int32)
    args = (np.zeros((20, 24), np.int32), np.zeros((20, 24, 2), np.float32))
    kernels.fill_triangles(points, faces, cover, np.zeros(len(faces), np.float32), 0, depth, owner, *args)
    assert (owner == -1).all()


def test_frayed_edges_only_take_away(triangles: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    points, faces, cover = triangles
    owners = []
    for fray in (0.0, 0.4):
        owner = np.full((20, 24), -1, np.int32)
        args = (np.zeros((20, 24), np.int32), np.zeros((20, 24, 2), np.float32))
        kernels.fill_triangles(
            points, faces, cover, np.full(len(faces), fray, np.float32), 0, np.full((20, 24), kernels.FAR), owner, *args
        )
        owners.append(owner >= 0)
    assert (owners[0] | ~owners[1]).all() and owners[0].sum() > owners[1].sum() > 0


def test_depth_alone_is_that_of_whole_triangles(triangles: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    points, faces, cover = triangles
    depth = np.full((20, 24), kernels.FAR)
    kernels.fill_depth(points, faces, cover, depth)
    whole = faces[(cover[faces] >= 0).all(1)]
    slow, _ = _slow_fill(points, whole, np.ones(30), (20, 24))
    np.testing.assert_allclose(depth, slow, rtol=1e-4)


def test_projecting_and_bounds(rng: np.random.Generator) -> None:
    points = (rng.normal(size=(10, 3)) + np.array([0, 8, 0])).astype(np.float32)
    eye, axes = np.array([0.5, 0, 1], np.float32), np.array([[1, 0, 0], [0, 0, -1], [0, 1, 0]], np.float32)
    crop, out = np.array([-0.1, -0.2, 0.01, 0.02], np.float32), np.empty_like(points)
    kernels.project_points(points, eye, axes, crop, out)
    seen = (points - eye) @ axes.T
    np.testing.assert_allclose(out[:, :2], (seen[:, :2] / seen[:, 2:] - crop[:2]) / crop[2:], rtol=1e-4)
    np.testing.assert_allclose(out[:, 2], seen[:, 2], rtol=1e-5)
    chosen = np.array([1, 4, 7], np.int32)
    np.testing.assert_allclose(
        kernels.bounds_of(out, chosen), [*out[chosen, :2].min(0), *out[chosen, :2].max(0)], rtol=1e-6
    )


def test_averaging_toning_blurring(rng: np.random.Generator) -> None:
    light = rng.random((8, 12, 3)).astype(np.float32)
    out = np.empty((4, 6, 3), np.float32)
    kernels.averaged_down(light, 0.25, out)
    means = light.reshape(4, 2, 6, 2, 3).mean((1, 3))
    np.testing.assert_allclose(out, 0.75 * means + 0.25 * light[::2, ::2], rtol=1e-5)
    level = kernels.averaged_down(light, 0.0, out)
    np.testing.assert_allclose(out, means, rtol=1e-5)
    assert level == pytest.approx(np.sqrt(means).mean(), rel=1e-4)

    toned = out.copy()
    kernels.toned(toned, np.array([1, 1.2, 0.8], np.float32), 0.45, 0.5, 0.3)
    x = means * [1, 1.2, 0.8]
    x = (1 - np.exp(-1.35 * x)) ** 0.45
    grey = x @ [0.3, 0.59, 0.11]
    x = np.clip(grey[..., None] + (x - grey[..., None]) * 0.5, 0, 1)
    np.testing.assert_allclose(toned, x + 0.3 * (x * x * (3 - 2 * x) - x), rtol=1e-4)

    taps, blurred = np.array([0.25, 0.5, 0.25], np.float32), np.empty_like(out)
    kernels.blur_into(out, taps, np.empty_like(out), blurred)
    padded = np.pad(out, ((1, 1), (1, 1), (0, 0)), mode="edge")
    slow = sum(taps[i] * taps[j] * padded[i : i + 4, j : j + 6] for i in range(3) for j in range(3))
    np.testing.assert_allclose(blurred, slow, rtol=1e-5)


def test_a_machine_that_keeps_no_compiled_code_still_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    real = kernels.numba.njit

    def strict(**options: bool) -> object:
        """As numba behaves where it finds no folder to write to."""
        if options.get("cache"):
            raise RuntimeError("cannot cache function: no locator available")
        return real(**options)

    monkeypatch.setattr(kernels.numba, "njit", strict)

    def twice(value: float) -> float:
        """A loop that is none."""
        return 2 * value

    assert kernels.compiled(twice)(3.0) == 6.0
