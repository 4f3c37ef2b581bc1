"""The shape names mean what they say, and the tests' run-time check really refuses what they forbid."""

import pytest
import torch

from snreid import tensors
from snreid.distances import euclidean_matrix
from snreid.tensors import Embeddings, Images, PersonIds, Scalar


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        (Images, torch.zeros(2, 3, 4, 5), torch.zeros(2, 4, 4, 5)),
        (Images, torch.zeros(2, 3, 4, 5), torch.zeros(2, 3, 4, 5, dtype=torch.uint8)),
        (Embeddings, torch.zeros(2, 3), torch.zeros(3)),
        (PersonIds, torch.zeros(2, dtype=torch.int64), torch.zeros(2, dtype=torch.int32)),
        (Scalar, torch.zeros(()), torch.zeros(1)),
    ],
)
def test_a_shape_name_tells_tensors_apart(name: type, good: torch.Tensor, bad: torch.Tensor) -> None:
    assert isinstance(good, name)
    assert not isinstance(bad, name)


def test_every_name_is_explained() -> None:
    assert {"Images", "Maps", "ChannelVectors", "Embeddings", "Logits", "PersonIds", "Scalar"} <= set(vars(tensors))


def test_the_suite_checks_shapes_while_it_runs() -> None:
    with pytest.raises(Exception, match=r"(?i)type"):
        euclidean_matrix(torch.zeros(3), torch.zeros(3))
