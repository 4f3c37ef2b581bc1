"""Rays and parallelograms against a slow twin, and shadows where they must fall."""

import numpy as np

from snreid.synthetic.people.kernels import FAR
from snreid.synthetic.people.render import Picture, _Canvas, _linear
from snreid.synthetic.people.site import SceneArrays, scene_arrays
from snreid.synthetic.people.tracing import sun_reaches, texel


def _slow_trace(stage: SceneArrays, eye: np.ndarray, ray: np.ndarray) -> tuple[float, int]:
    best, which = float(FAR), -1
    for q in range(len(stage.origin)):
        system = np.stack([stage.edges[q, 0], stage.edges[q, 1], -ray], 1).astype(np.float64)
        if abs(np.linalg.det(system)) < 1e-9:
            continue
        a, b, t = np.linalg.solve(system, eye - stage.origin[q])
        size = stage.textures.shape[1]
        if 0 <= a <= 1 and 0 <= b <= 1 and 0.1 < t < best:
            column, row = int(a * stage.tiles[q, 0] * size) % size, int((1 - b) * stage.tiles[q, 1] * size) % size
            if stage.textures[stage.texture[q], row, column, 3] >= 128:
                best, which = t, q
    return best, which


def test_tracing_finds_what_is_nearest(rng: np.random.Generator) -> None:
    picture, stage = Picture(size=(32, 32)), scene_arrays("street", 4)
    canvas = _Canvas((32, 32), picture.camera.viewpoint, np.array([-0.4, -0.3, 0.8 / 64, 0.6 / 64], np.float32))
    canvas.trace(stage)
    same = 0
    for row, column in rng.integers(0, 64, (150, 2)):
        tangent = canvas.crop[:2] + (np.array([column, row]) + 0.5) * canvas.crop[2:]
        ray = canvas.axes[2] + tangent[0] * canvas.axes[0] + tangent[1] * canvas.axes[1]
        depth, which = _slow_trace(stage, canvas.eye, ray)
        same += which == canvas.surface[row, column] and np.isclose(depth, canvas.depth[row, column], rtol=1e-3)
    assert same >= 147, "a ray may miss an edge by rounding, not more"


def test_the_sun_is_hidden_behind_a_wall() -> None:
    stage = scene_arrays("street", 4)
    light = np.array([0.3, 0.1, 0.9], np.float32)
    light /= np.linalg.norm(light)
    reaches, out = stage.shadow_reaches(light), np.empty(3, np.float32)
    arrays = (stage.origin, stage.duals, stage.normal, stage.tiles, stage.texture, stage.textures, out)
    seen = hidden = 0
    for x in np.linspace(-14, 14, 25):
        for y in np.linspace(-14, 14, 25):
            point = np.array([x, y, 0.05], np.float32)
            lit = sun_reaches(*point.tolist(), -1, light, stage.blockers, reaches, *arrays)
            free = all(not _blocks(stage, q, point, light) for q in stage.blockers)
            assert lit == free
            seen, hidden = seen + lit, hidden + (not lit)
    assert seen and hidden


def _blocks(stage: SceneArrays, q: int, point: np.ndarray, light: np.ndarray) -> bool:
    one = SceneArrays(**{
        name: (np.array([q], np.int32) if name == "blockers" else getattr(stage, name)) for name in SceneArrays.__slots__
    })  # fmt: skip
    from snreid.synthetic.people.tracing import meets

    arrays = (one.origin, one.duals, one.normal, one.tiles, one.texture, one.textures)
    return bool(meets(q, *point.tolist(), *light.tolist(), *arrays, np.empty(3, np.float32)))


def test_a_blurred_texel_is_the_mean() -> None:
    picture = np.zeros((4, 4, 4), np.uint8)
    picture[::2] = 255
    colour, mean = np.empty(3, np.float32), np.array([0.1, 0.2, 0.3], np.float32)
    texel(colour, picture, mean, 0.3, 0.6, 1.0, _linear())
    np.testing.assert_allclose(colour, mean, atol=1e-6)
    texel(colour, picture, mean, 0.125, 0.125, 0.0, _linear())
    np.testing.assert_allclose(colour, 1.0, atol=1e-5)
