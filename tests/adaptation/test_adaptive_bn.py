"""Adaptive BN: statistics against all values gathered in one place, a small delta, the rest untouched."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import snreid
from snreid.adaptation import AdaptiveBN, Unlabelled, adapt_run
from snreid.adaptation.adaptive_bn import batch_norms
from snreid.errors import DataError, ExperimentError
from snreid.experiments.runs import Run
from snreid.images.loading import PixelStore
from snreid.images.transforms import InputFormat
from snreid.models.delta import read_weights
from snreid.models.norm_layers import HalfInstance, Switchable
from snreid.models.weights import load_model
from support.tiny import console, experiment, session, trained

STATISTICS = ("running_mean", "running_var")


class _Net(nn.Module):
    """Three norms in a row, of the three kinds that keep statistics."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.first, self.ibn = nn.Conv2d(3, 4, 3, stride=2), HalfInstance(4)
        self.second, self.mixed = nn.Conv2d(4, 6, 3), Switchable(6)
        self.drop, self.neck = nn.Dropout(0.5), nn.BatchNorm1d(6)

    def features(self, images: torch.Tensor) -> list[torch.Tensor]:
        """What each norm is given, with the statistics as they are."""
        one = self.first(images)
        two = self.second(self.ibn(one).relu())
        return [one[:, 2:], two, self.mixed(two).mean((2, 3))]

    def embed(self, images: torch.Tensor) -> torch.Tensor:
        """As of a ``ReIDModel``."""
        one = self.ibn(self.first(images)).relu()
        return self.neck(self.drop(self.mixed(self.second(one)).mean((2, 3))))  # type: ignore[no-any-return]


def _job(target: Unlabelled, model: nn.Module) -> Any:
    store = PixelStore(target.split, 32, 16)
    assert store.open() == ()
    return SimpleNamespace(
        target=target,
        store=store,
        model=model,
        session=session(),
        experiment=SimpleNamespace(input=InputFormat(height=32, width=16)),
    )


def _expected(values: torch.Tensor, unbiased: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and variance of every channel over all images and positions, by their definition."""
    means, variances = [], []
    for channel in range(values.shape[1]):
        numbers = values[:, channel].double().flatten().tolist()
        mean = sum(numbers) / len(numbers)
        means.append(mean)
        variances.append(sum((x - mean) ** 2 for x in numbers) / (len(numbers) - unbiased))
    return torch.tensor(means), torch.tensor(variances)


def _norms(model: _Net) -> list[tuple[Any, bool]]:
    return [(model.ibn.batch, True), (model.mixed, False), (model.neck, True)]


def test_one_batch_gives_the_statistics_of_training_mode_over_all_values(dusk: Unlabelled) -> None:
    model, twin = _Net(), _Net().train()
    job = _job(dusk, model)
    (stored,) = job.store.batches([np.arange(len(dusk))])
    with torch.no_grad():
        inputs = twin.features(InputFormat(height=32, width=16).normalize(stored))
    assert AdaptiveBN(batch=1000).fit(job) == {"norms": 3}
    for (norm, unbiased), values in zip(_norms(model), inputs, strict=True):
        mean, variance = _expected(values, unbiased)
        torch.testing.assert_close(norm.running_mean, mean, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(norm.running_var, variance, atol=1e-5, rtol=1e-4)
    assert not any(module.training for module in model.modules())


def test_after_as_many_passes_as_norms_the_batches_have_no_say_and_evaluation_sees_those_statistics(
    dusk: Unlabelled,
) -> None:
    models = []
    for batch in (5, 7, 24):
        models.append(_Net())
        AdaptiveBN(batch=batch, passes=4, seed=batch).fit(_job(dusk, models[-1]))
    job = _job(dusk, models[0])
    (stored,) = job.store.batches([np.arange(len(dusk))])
    with torch.no_grad():
        inputs = models[0].features(InputFormat(height=32, width=16).normalize(stored))
    for position, ((norm, unbiased), values) in enumerate(zip(_norms(models[0]), inputs, strict=True)):
        mean, variance = _expected(values, unbiased)
        torch.testing.assert_close(norm.running_mean, mean, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(norm.running_var, variance, atol=1e-5, rtol=1e-4)
        for other in models[1:]:
            for name in STATISTICS:
                same = getattr(_norms(other)[position][0], name)
                torch.testing.assert_close(getattr(norm, name), same, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    "recipe",
    ["baseline", "baseline-a-in", "baseline-ibn", "baseline-a-sn", "baseline-ibn-b", "baseline-bin", "mixstyle", "snr"],
)
def test_every_norm_with_statistics_is_found(recipe: str) -> None:
    model = experiment(recipe).model.build(5)
    with_buffers = {name.rpartition(".")[0] for name, _ in model.named_buffers() if name.endswith("running_var")}
    assert set(batch_norms(model)) == with_buffers and "head.neck" in with_buffers


@pytest.mark.parametrize("recipe", ["baseline", "baseline-a-sn"])
def test_the_run_it_leaves_is_a_small_delta_with_other_statistics_and_nothing_else(
    recipe: str, dusk: Unlabelled, tmp_path: Path
) -> None:
    source, said = trained(tmp_path / "source", recipe), console()
    before = (source.folder / "model.safetensors").read_bytes()
    run = adapt_run(AdaptiveBN(), source, dusk, tmp_path / "adapted", session(talk=said))
    names = set(load_model(run.folder / "delta.safetensors").tensors)
    assert names == {f"{norm}.{one}" for norm in batch_norms(source.embedder().model) for one in STATISTICS}
    size = (run.folder / "delta.safetensors").stat().st_size
    assert run.record["finished"]["facts"]["delta_bytes"] == size and f"{size / 1000:.1f} kB" in said.file.getvalue()  # type: ignore[attr-defined]
    assert not (run.folder / "model.safetensors").exists()
    assert (source.folder / "model.safetensors").read_bytes() == before
    images = torch.randint(0, 256, (4, 3, 32, 16), dtype=torch.uint8)
    adapted, original = snreid.load(run.folder), snreid.load(source.folder)
    assert not np.allclose(adapted(images), original(images))
    whole, base = read_weights(run.folder).tensors, read_weights(source.folder).tensors
    assert all(torch.equal(whole[name], base[name]) for name in base if name not in names)


@pytest.mark.parametrize(("images", "batch"), [(3, 2), (5, 2), (7, 3), (2, 128)])
def test_no_batch_is_a_single_image(dusk: Unlabelled, images: int, batch: int) -> None:
    sizes: list[int] = []
    model = _Net()
    model.neck.register_forward_pre_hook(lambda _, inputs: sizes.append(len(inputs[0])))
    AdaptiveBN(batch=batch).fit(_job(dusk.only(np.arange(images)), model))
    assert sum(sizes) == images and min(sizes) >= 2


def test_bad_settings_and_a_single_image_are_refused(dusk: Unlabelled, baseline: Run) -> None:
    with pytest.raises(ExperimentError, match="batch 1, passes 1"):
        AdaptiveBN(batch=1)
    with pytest.raises(ExperimentError, match="passes 0"):
        AdaptiveBN(passes=0)
    with pytest.raises(DataError, match="1 of dusk"):
        AdaptiveBN().fit(_job(dusk.only(np.arange(1)), _Net()))
