"""On a torch device the ranks are those of numpy. (What the counter does is tested beside numpy's in ``test_counting.py``.)"""

import numpy as np
import pytest
import torch

from snreid.errors import ExperimentError
from snreid.evaluation.exact import ranking
from snreid.evaluation.exact.close_calls import Matches
from snreid.evaluation.exact.counting import Counter
from snreid.evaluation.exact.histogram import Histogram
from snreid.evaluation.exact.ranking import Block, match_ranks
from snreid.evaluation.exact.torch_counting import TorchCounter
from snreid.records import Features

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU"))]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_ranks_are_those_of_numpy(
    metric: str, dtype: type, device: str, crowd: tuple[Features, Features], monkeypatch: pytest.MonkeyPatch
) -> None:
    pair = [Features(f.embeddings.astype(dtype), f.persons, f.cameras) for f in crowd]
    pair[1].embeddings[100:200] = pair[1].embeddings[300:400]
    wanted = match_ranks(*pair, metric=metric)
    used = []

    def on_device(walk: ranking._Walk, matches: Matches, _: Histogram) -> Counter:
        used.append(walk)
        walk.threads = 1  # as for every torch device
        return TorchCounter(walk.compare, matches.prepared, matches.low[matches.starts], walk.bits, device)

    monkeypatch.setattr(ranking._Walk, "_counter", on_device)
    chosen = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision("medium")  # a choice for training that must not reach the ranks
        found = match_ranks(*pair, metric=metric, block=Block(queries=17, gallery=128))
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision(chosen)
    assert used and [x.tolist() for x in found] == [x.tolist() for x in wanted]


def test_any_device_but_the_processor_is_torchs(crowd: tuple[Features, Features]) -> None:
    wanted = match_ranks(*crowd)
    # torch's name of the processor with a number: the same arithmetic, by way of torch.
    assert [x.tolist() for x in match_ranks(*crowd, device="cpu:0")] == [x.tolist() for x in wanted]


@pytest.mark.parametrize(
    "device", ["tpux", pytest.param("cuda", marks=pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU"))]
)
def test_a_device_that_is_not_there_is_said(device: str, crowd: tuple[Features, Features]) -> None:
    with pytest.raises(ExperimentError, match=f"device that torch finds here.*'{device}'"):
        match_ranks(*crowd, device=device)
