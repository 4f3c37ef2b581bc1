"""The record that losses see: it cannot be changed, and it holds what the model gave."""

import dataclasses

import pytest
import torch

from snreid.outputs import Outputs, StageLogits, StageVectors


def stage() -> StageVectors:
    normalized, restored, contaminated = torch.rand(3, 2, 4).unbind()
    return StageVectors(1, normalized, restored, contaminated, constant=False)


def test_an_output_cannot_be_changed_by_a_loss() -> None:
    outputs = Outputs(torch.rand(2, 8), torch.rand(2, 8), torch.rand(2, 5), (stage(),))
    for record, field in ((outputs, "pooled"), (outputs.stages[0], "restored")):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(record, field, torch.zeros(2, 8))
    with pytest.raises((AttributeError, TypeError)):
        outputs.more = 1  # type: ignore[attr-defined]


def test_stage_scores_are_there_only_when_they_are_asked_for() -> None:
    assert stage().logits is None
    scores = StageLogits(*torch.rand(3, 2, 5).unbind())
    assert dataclasses.replace(stage(), logits=scores).logits is scores


def test_a_wrong_shape_is_refused_where_shapes_are_checked() -> None:
    with pytest.raises(Exception, match=r"(?i)type"):
        Outputs(torch.rand(2, 8, 1), torch.rand(2, 8), torch.rand(2, 5), ())
