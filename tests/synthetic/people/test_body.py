"""Bodies from physiques, and where the bones take them."""

from dataclasses import replace

import numpy as np
import pytest

from snreid.synthetic.people.assets import COLUMNS, VARIATIONS, BodyModel
from snreid.synthetic.people.body import Body, bone_moves, regions, shape_body, turn, turn_between
from snreid.synthetic.people.identity import Physique
from snreid.synthetic.people.kernels import skin_vertices
from snreid.synthetic.people.posture import ACTIONS, Posture


def _height(body: Body) -> float:
    points = body.vertices[np.unique(body.model.body)]
    return float(np.ptp(points[:, 2]))


def _posed(body: Body, posture: Posture) -> np.ndarray:
    out, moves = np.empty_like(body.vertices), bone_moves(body, posture)
    skin_vertices(body.vertices, body.model.influences, body.model.weights, moves, out)
    return out


def test_a_shape_is_the_sum_of_its_parts(model: BodyModel) -> None:
    """A slow twin: for a physique between two variations each, products of the shares of every word."""
    physique = Physique(gender=0.25, age=57.5, muscle=0.3, weight=0.8, height=0.6, proportions=0.3, bust=0.7)
    total = sum(physique.ancestry)
    shares = dict(zip(VARIATIONS["ancestry"], (share / total for share in physique.ancestry), strict=True))
    shares |= {"male": 0.75, "female": 0.25, "young": 0.5, "old": 0.5, "minheight": 0.4, "maxheight": 0.6}
    shares |= {
        "minmuscle": 0.4,
        "averagemuscle": 0.6,
        "maxmuscle": 0,
        "minweight": 0,
        "averageweight": 0.4,
        "maxweight": 0.6,
    }
    shares |= {"idealproportions": 0.3, "uncommonproportions": 0.7, "mincup": 0.3, "maxcup": 0.7}
    expected = model.template.astype(np.float64)
    for row, shape in zip(model.mask, model.shapes, strict=True):
        expected += np.prod([shares[word] for word, used in zip(COLUMNS, row, strict=True) if used]) * shape
    np.testing.assert_allclose(shape_body(model, physique).vertices, expected, atol=2e-3)


def test_people_have_the_size_of_people(model: BodyModel) -> None:
    low, high = (_height(shape_body(model, Physique(height=share))) for share in (0.2, 0.65))
    assert 1.45 < low < 1.6 < high < 2.1


@pytest.mark.parametrize("field", ["gender", "age", "muscle", "weight", "height", "proportions"])
def test_each_share_changes_the_body(model: BodyModel, field: str) -> None:
    base = Physique()
    other = replace(base, **{field: getattr(base, field) * 1.5})
    moved = np.abs(shape_body(model, other).vertices - shape_body(model, base).vertices).max()
    assert moved > 1e-3


def test_rotations() -> None:
    np.testing.assert_allclose(turn(2, np.pi / 2) @ [1, 0, 0], [0, 1, 0], atol=1e-12)
    one, two = np.array([0.3, -0.2, 0.9]), np.array([-0.5, 0.4, 0.1])
    matrix = turn_between(one, two)
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(3), atol=1e-7)
    np.testing.assert_allclose(matrix @ one / np.linalg.norm(one), two / np.linalg.norm(two), atol=1e-7)


def test_bones_at_rest_leave_the_body_alone(body: Body) -> None:
    out = np.empty_like(body.vertices)
    rest = np.tile(np.eye(3, 4, dtype=np.float32), (len(body.model.bones), 1, 1))
    skin_vertices(body.vertices, body.model.influences, body.model.weights, rest, out)
    np.testing.assert_allclose(out, body.vertices, atol=1e-5)


@pytest.mark.parametrize("action", ACTIONS)
def test_bones_stay_rigid_and_arms_come_down(body: Body, action: str) -> None:
    moves = bone_moves(body, Posture(action=action, phase=0.3))
    turns = moves[:, :, :3]
    np.testing.assert_allclose(turns @ turns.transpose(0, 2, 1), np.broadcast_to(np.eye(3), turns.shape), atol=1e-4)
    assert np.ptp(_posed(body, Posture(action=action))[:, 0]) < 0.75 * np.ptp(body.vertices[:, 0])


def test_a_step_alternates_and_returns(body: Body) -> None:
    ankle = body.model.bone("foot.L")

    def ahead(phase: float) -> float:
        """How far the left ankle is in front."""
        moves = bone_moves(body, Posture(phase=phase))
        return -float((moves[ankle, :, :3] @ body.joints[ankle] + moves[ankle, :, 3])[1])

    assert ahead(0.0) > ahead(0.25) > ahead(0.5)
    np.testing.assert_allclose(_posed(body, Posture(phase=0.2)), _posed(body, Posture(phase=1.2)), atol=1e-5)


def test_regions_are_shares(model: BodyModel) -> None:
    limbs = regions(model)
    for part in (limbs.arm, limbs.leg, limbs.head, limbs.hand, limbs.foot):
        assert part.min() >= 0 and part.max() <= 1.0001
    assert (limbs.hand <= limbs.arm + 1e-5).all() and (limbs.foot <= limbs.leg + 1e-5).all()
