"""The parts that figures are built of."""

import numpy as np

from snreid.synthetic.people.assets import BodyModel
from snreid.synthetic.people.mesh import (
    Look,
    bell,
    collar_ring,
    grid_faces,
    ramp,
    rounded_box,
    select,
    smoothed,
    solid,
    tube,
)


def _closed(faces: np.ndarray) -> bool:
    """Every edge belongs to two triangles."""
    edges = np.sort(np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]), axis=1)
    return bool((np.unique(edges, axis=0, return_counts=True)[1] <= 2).all())


def test_a_grid_is_covered_once() -> None:
    assert len(grid_faces(3, 4)) == 2 * 2 * 4 and len(grid_faces(3, 4, closed=False)) == 2 * 2 * 3
    assert _closed(grid_faces(5, 6))


def test_boxes_tubes_and_collars_have_their_size() -> None:
    box, faces = rounded_box((1.0, 2.0, 3.0), (0.1, 0.2, 0.3))
    np.testing.assert_allclose(np.ptp(box, axis=0), [0.2, 0.4, 0.6], rtol=0.02)
    np.testing.assert_allclose((box.max(0) + box.min(0)) / 2, [1, 2, 3], atol=0.01)
    assert faces.max() == len(box) - 1
    pipe, _ = tube(np.array([[0, 0, 0], [0, 0, 1.0], [0, 0, 2.0]]), np.full(3, 0.1))
    np.testing.assert_allclose(np.hypot(pipe[:, 0], pipe[:, 1]), 0.1, rtol=1e-4)
    ring, _ = collar_ring(np.zeros(3), [(0.0, 0.0), (0.02, 0.04)], (0.06, 0.06), 0.5)
    assert ring[len(ring) // 2 :, 2].max() > ring[: len(ring) // 2, 2].max()


def test_a_solid_moves_with_one_bone() -> None:
    vertices, faces = rounded_box((0, 0, 0), (1, 1, 1))
    layer = solid(vertices, faces, Look(), 7)
    assert (layer.influences == 7).all() and (layer.weights.sum(1) == 1).all()


def test_a_look_is_a_row_of_ten() -> None:
    assert len(Look().row()) == 10 and Look(colour=(0.1, 0.2, 0.3)).row()[7:] == [0.1, 0.2, 0.3]


def test_smoothing_is_the_mean_of_neighbours(model: BodyModel) -> None:
    chosen = select(model, "shell")
    points = model.template[chosen.ids]
    out = smoothed(points, chosen, 1, share=1.0)
    for vertex in (0, 100, 2000):
        neighbours = chosen.edges[chosen.edges[:, 0] == vertex, 1]
        np.testing.assert_allclose(out[vertex], points[neighbours].mean(0), atol=1e-5)
    assert select(model, "shell") is chosen


def test_steps_and_bells() -> None:
    np.testing.assert_allclose(ramp(np.array([-1.0, 0.0, 0.5, 1.0, 2.0]), 0, 1), [0, 0, 0.5, 1, 1])
    assert bell(np.array([0.5]), 0.5, 0.1)[0] == 1.0
