"""The loop that is told late, as on a GPU: nothing waits for the device, and everything comes out as if it had been told at once."""

import os
import signal
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from snreid.errors import DivergenceError, Interrupted
from snreid.images.transforms import Augmentation, Draws
from snreid.training.checkpoint import CheckpointStore
from snreid.training.loop import Hooks, Loop, StepReport, TrainingPlan
from snreid.training.optim import SGD
from snreid.training.parallel import Objective
from support.tiny import ALONE, plan


@dataclass(frozen=True, kw_only=True)
class Poisoned(Augmentation):
    """NaN pixels in some batches of the first epoch."""

    batches: tuple[int, ...] = ()

    def draws(self, seed: int, epoch: int, batch: int, size: int) -> Draws:
        values = super().draws(seed, epoch, batch, size)
        if epoch == 0 and batch in self.batches:
            values[0, 4] = torch.nan
        return values


@dataclass
class Watch:
    """What was reported, and something to do at a step."""

    at: int = 0
    do: Callable[[], None] = lambda: None
    reports: list[StepReport] = field(default_factory=list)

    def __call__(self, report: StepReport) -> None:
        self.reports.append(report)
        if report.step == self.at:
            self.do()

    def told(self) -> list[Any]:
        """Reports without what differs from run to run."""
        return [repr(replace(report, seconds=0, waited=0)) for report in self.reports]


def go(what: TrainingPlan, folder: Path, watch: Watch, lag: int, *, save_seconds: float = 60.0) -> dict[str, Tensor]:
    loop = Loop(
        what, CheckpointStore(folder), group=ALONE, hooks=Hooks(report=watch), save_seconds=save_seconds, lag=lag
    )
    loop.run()
    return what.model.state_dict()


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(value, other[name]) for name, value in one.items())


class Waiting(TorchDispatchMode):
    """Counts what makes a host wait for a GPU: a number read, a shape that depends on values."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.__name__.split(".")[0]
        flags = [t for t in args[1] if t is not None and t.dtype == torch.bool] if name == "index" else []
        if name in ("_local_scalar_dense", "nonzero", "masked_select", "is_nonzero", "equal") or flags:
            self.calls[name] += 1
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("recipe", ["baseline", "snr"])
def test_no_step_waits_for_the_device_unless_the_host_must_know_at_once(recipe: str, tmp_path: Path) -> None:
    seen: dict[int, int] = {}
    for lag in (0, 1):
        with Waiting() as waiting:
            go(plan(recipe), tmp_path / f"{recipe}{lag}", Watch(), lag)
        seen[lag] = waiting.calls["_local_scalar_dense"]
        assert set(waiting.calls) <= {"_local_scalar_dense"}
    of_the_end = seen[1]  # the last checkpoint looks at the state
    assert seen[0] - of_the_end == 8, "once for each of 8 steps"
    with Waiting() as waiting, pytest.raises(Interrupted):
        go(plan(recipe, epochs=9), tmp_path / recipe, Watch(30, sigterm), 1)
    assert waiting.calls["_local_scalar_dense"] == of_the_end, "and no more for 31 steps than for 8"


def sigterm() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


@pytest.mark.parametrize("optim", [None, SGD(lr=0.01)], ids=["Adam", "SGD"])
def test_told_late_a_run_with_bad_steps_is_the_same_to_the_bit(optim: SGD | None, tmp_path: Path) -> None:
    found, told = {}, {}
    for lag in (0, 1, 3):
        what = plan("snr", augmentation=Poisoned(batches=(0, 2)))
        what = what if optim is None else replace(what, optim=optim)
        watch = Watch()
        found[lag] = go(what, tmp_path / str(lag), watch, lag)
        told[lag] = watch.told()
        assert [report.skipped for report in watch.reports] == [1, 1, 2, 2, 2, 2, 2, 2]
    assert same(found[0], found[1]) and same(found[0], found[3])
    assert told[0] == told[1] == told[3]


def test_told_late_that_nan_stays_the_run_ends_and_names_the_step(tmp_path: Path) -> None:
    what, watch = plan(augmentation=Poisoned(batches=(0, 1, 2, 3))), Watch()
    with pytest.raises(DivergenceError, match="4 steps in a row") as caught:
        go(what, tmp_path, watch, 1, save_seconds=0)
    names = [what.store.split.samples[i].image.name for i in what.batches.epoch(0)[3]]
    assert all(name in str(caught.value) for name in names)
    assert [report.step for report in watch.reports] == [1, 2, 3]


def test_a_signal_is_answered_by_a_checkpoint_that_knows_all_and_the_rest_is_the_same(tmp_path: Path) -> None:
    whole, watch = go(plan(), tmp_path / "whole", Watch(), 0), Watch(3, sigterm)
    with pytest.raises(Interrupted):
        go(plan(), tmp_path / "cut", watch, 1)
    pointer = CheckpointStore(tmp_path / "cut").last()
    assert pointer is not None and [report.step for report in watch.reports] == list(range(1, pointer.step + 1))
    rest = Watch()
    assert same(go(plan(), tmp_path / "cut", rest, 1), whole)
    assert rest.reports[0].step == pointer.step + 1 and rest.reports[-1].step == 8


@dataclass(frozen=True)
class Repeated:
    """Each batch of others, so many times."""

    others: Any
    times: int

    def __len__(self) -> int:
        return len(self.others) * self.times

    def epoch(self, epoch: int) -> list[NDArray[np.int64]]:
        return [batch for batch in self.others.epoch(epoch) for _ in range(self.times)]

    def share(self, batch: NDArray[np.int64], rank: int, world: int) -> NDArray[np.int64]:
        return self.others.share(batch, rank, world)  # type: ignore[no-any-return]


PLAIN = Augmentation(crop=0.0, flip=0.0, brightness=0.0, contrast=0.0)


def test_the_same_batch_twice_in_a_step_is_the_step_of_that_batch(tmp_path: Path) -> None:
    once, twice = plan(augmentation=PLAIN, optim=SGD(lr=0.01)), plan(augmentation=PLAIN, optim=SGD(lr=0.01))
    twice = replace(twice, batches=Repeated(twice.batches, 2), accumulate=2)
    watches = Watch(), Watch()
    go(once, tmp_path / "once", watches[0], 0)
    go(twice, tmp_path / "twice", watches[1], 1)
    for (name, one), other in zip(once.model.named_parameters(), twice.model.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-7, msg=name)
    single, double = watches[0].reports, watches[1].reports
    assert [r.step for r in double] == [r.step for r in single] and [r.images for r in double] == [12] * 8
    assert [r.rate for r in double] == [r.rate for r in single]
    for one, other in zip(single, double, strict=True):
        assert dict(one.parts) == pytest.approx(dict(other.parts), rel=1e-4)


def test_an_accumulated_step_is_the_mean_gradient_and_an_epoch_ends_with_what_is_left(tmp_path: Path) -> None:
    # A rate small enough that rounding, which differs between processors, mines the same triplets in the second step.
    what = plan("snr", epochs=1, batches=3, augmentation=PLAIN, optim=SGD(lr=0.05, momentum=0.0, weight_decay=0.0))
    twin = plan("snr", epochs=1, batches=3)
    watch = Watch()
    go(replace(what, accumulate=2), tmp_path, watch, 0)
    assert [r.images for r in watch.reports] == [12, 6]
    objective, batches = Objective(twin.model, twin.losses), twin.batches.epoch(0)
    for step, numbers in enumerate(([0, 1], [2])):
        totals = [
            objective(pixels_of(twin, batches[n]), torch.from_numpy(twin.persons[batches[n]]))[0] for n in numbers
        ]
        twin.model.zero_grad()
        (torch.stack(totals).mean() * watch.reports[step].rate).backward()
        with torch.no_grad():
            for parameter in twin.model.parameters():
                if parameter.grad is not None:
                    parameter -= parameter.grad
    for (name, one), other in zip(what.model.named_parameters(), twin.model.named_parameters(), strict=True):
        torch.testing.assert_close(one, other[1], rtol=1e-3, atol=1e-5, msg=lambda text, name=name: f"{name}: {text}")


def pixels_of(what: TrainingPlan, batch: NDArray[np.int64]) -> Tensor:
    """A batch as the network sees it, not augmented."""
    return what.input.normalize(next(what.store.batches([batch])).float() / 255)


class Enormous(nn.Module):
    """The objective times 2^115: its gradients overflow float32 until the scale is some hundreds."""

    def __init__(self, inner: Objective) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, images: Tensor, persons: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        total, parts = self.inner(images, persons)
        return total * 2.0**115, parts


@pytest.mark.parametrize("lag", [0, 1])
def test_under_float16_an_overflow_lowers_the_scale_and_is_no_divergence(lag: int, tmp_path: Path) -> None:
    """The objective itself stays in float32: what is tested is the loop."""

    def made(precision: Any) -> TrainingPlan:
        what = plan(epochs=4, optim=SGD(lr=1e-37, weight_decay=0.0))
        return replace(what, precision=precision, objective=Enormous(Objective(what.model, what.losses)))

    watch = Watch(12, sigterm)
    with pytest.raises(Interrupted):
        go(made("fp16"), tmp_path, watch, lag)
    state = CheckpointStore(tmp_path).load()
    assert state is not None
    skipped = watch.reports[-1].skipped
    assert 4 < skipped < 12 and float(state.tensors["scale.factor"]) == 2.0 ** (16 - skipped)
    assert [report.skipped for report in watch.reports] == [min(step, skipped) for step in range(1, state.step + 1)]
    rest = Watch()
    go(made("fp16"), tmp_path, rest, lag)
    assert rest.reports[-1].step == 16 and rest.reports[-1].skipped == skipped
