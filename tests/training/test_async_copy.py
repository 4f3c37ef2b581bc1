"""Numbers come back in their order, and tensors arrive; on a GPU without waiting, which a CPU cannot show."""

import math

import pytest
import torch

from snreid.training.async_copy import Later, sent

CUDA = torch.cuda.is_available()


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.skipif(not CUDA, reason="no GPU"))])
def test_scalars_come_back_as_numbers(device: str) -> None:
    scalars = [torch.tensor(value, device=device) for value in (1.5, True, torch.nan, 3)]
    one, flag, nan, three = Later([*scalars[:2], scalars[2].requires_grad_(), scalars[3]]).numbers()
    assert (one, flag, three) == (1.5, 1.0, 3.0) and math.isnan(nan)


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.skipif(not CUDA, reason="no GPU"))])
def test_a_tensor_that_is_sent_arrives(device: str) -> None:
    pixels = torch.arange(24, dtype=torch.uint8).view(2, 3, 4)
    found = sent(pixels, torch.device(device))
    assert found.device.type == device and torch.equal(found.cpu(), pixels)
    assert sent(found, torch.device(device)).data_ptr() == found.data_ptr()
