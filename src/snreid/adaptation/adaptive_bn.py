"""Adaptive batch normalization: re-estimates the running statistics of all batch norms on the target (Li et al., arXiv 1603.04779).

Nothing is learned and no label is used. The running means and variances of the source are replaced by those of the target's images,
equally weighted and not augmented. The scales and shifts stay.

The moments are exact over all N images: mean = sum x / n and variance = sum (x - mean)^2 / (n - 1) over the n = N H W values of a channel.
The mean of the batch variances (torch's ``momentum=None``) would omit how the batch means differ.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from snreid.adaptation.base import Adaptation
from snreid.adaptation.job import AdaptationJob
from snreid.errors import DataError, ExperimentError
from snreid.images.loading import Progress
from snreid.models.norm_layers import Switchable
from snreid.system.progress import counting

Norm = nn.modules.batchnorm._BatchNorm | Switchable


@dataclass(frozen=True, kw_only=True)
class AdaptiveBN(Adaptation):
    """Adaptive BN; takes seconds and is stored as a delta of some kilobytes."""

    name: ClassVar[str] = "adaptive-bn"
    as_delta: ClassVar[bool] = True

    batch: int = 128
    """Images in a batch, at least 2. In the first pass each batch is normalized by its own statistics, so larger is more exact."""
    passes: int = 1
    """Passes over the images. From the second on, inputs are normalized by the statistics of the previous pass, as in evaluation. After as
    many passes as there are norms in a row, the statistics equal those of a layer-by-layer estimate."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.batch < 2 or self.passes < 1:
            raise ExperimentError(
                "Statistics need batches of at least 2 images and at least 1 pass",
                found=f"batch {self.batch}, passes {self.passes}",
                fix="use --batch 128 --passes 1",
            )

    def fit(self, job: AdaptationJob) -> Mapping[str, Any]:
        """See ``Adaptation.fit``. It cannot be resumed: it takes no longer than embedding the target."""
        if len(job.target) < 2:
            raise DataError(
                "Statistics need at least 2 images", found=f"{len(job.target)} of {job.target.name}", fix="add images"
            )
        # Batches of images in the order of the files would each show one person.
        order = np.random.Generator(np.random.Philox(key=np.array([self.seed, 0xB7], dtype=np.uint64)))
        shuffled = order.permutation(len(job.target))
        # Never a batch of one image: it has no statistics in the neck.
        parts = min(-(-len(shuffled) // self.batch), len(shuffled) // 2)
        batches = np.array_split(shuffled, parts)
        norms = batch_norms(job.model)
        job.model.eval()
        for number in range(self.passes):
            with counting(job.session.console, f"statistics of {job.target.name}") as progress:
                _one_pass(job, norms, batches, batch_statistics=number == 0, progress=progress)
        return {"norms": len(norms)}


def batch_norms(model: nn.Module) -> dict[str, Norm]:
    """Returns every norm with running statistics by name: batch norms, the batch part of IBN-a and Switchable Norm, the BN neck."""
    return {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, nn.modules.batchnorm._BatchNorm | Switchable) and module.running_mean is not None
    }


class _Moments:
    """Mean and sum of squared deviations of each channel, merged batch by batch in float64 (Chan et al., 1979)."""

    def __init__(self) -> None:
        self.count = 0
        self.mean = self.squares = torch.zeros(())

    def add(self, values: Tensor) -> None:
        """Adds ``values``, (B, C) or (B, C, H, W)."""
        wide = values.detach().float()
        variance, mean = torch.var_mean(wide, [0, *range(2, wide.ndim)], correction=0)
        variance, mean = variance.double(), mean.double()
        new = wide.numel() // wide.shape[1]
        if not self.count:
            self.mean, self.squares = torch.zeros_like(mean), torch.zeros_like(mean)
        gap, total = mean - self.mean, self.count + new
        self.squares = self.squares + variance * new + gap.square() * (self.count * new / total)
        self.mean = self.mean + gap * (new / total)
        self.count = total

    def read(self, *, unbiased: bool) -> tuple[Tensor, Tensor]:
        """Returns mean and variance, (C,) each; the variance is divided by n - 1 if ``unbiased``, else by n."""
        return self.mean, self.squares / (self.count - unbiased)


def _one_pass(
    job: AdaptationJob,
    norms: Mapping[str, Norm],
    batches: list[NDArray[np.int64]],
    *,
    batch_statistics: bool,
    progress: Progress | None,
) -> None:
    """Embeds all images once and sets the statistics. ``batch_statistics``: normalize by those of each batch meanwhile."""
    moments = {name: _Moments() for name in norms}
    counters = {name: norm.num_batches_tracked for name, norm in norms.items() if not isinstance(norm, Switchable)}
    counted = {name: None if counter is None else counter.clone() for name, counter in counters.items()}
    hooks = [
        norm.register_forward_pre_hook(lambda _, inputs, seen=moments[name]: seen.add(inputs[0]))
        for name, norm in norms.items()
    ]
    done, device = 0, job.session.group.device
    try:
        for norm in norms.values():
            norm.train(batch_statistics)  # everything else stays in eval mode: no dropout, no style mixing
        for batch, images in zip(batches, job.store.batches(batches), strict=True):
            with torch.no_grad(), torch.autocast(device.type, torch.bfloat16, enabled=job.session.machine.bf16):
                pixels = job.experiment.input.normalize(images.to(device))
                job.model.embed(pixels.contiguous(memory_format=torch.channels_last))
            done += len(batch)
            if progress is not None:
                progress(done, len(job.target))
    finally:
        for hook in hooks:
            hook.remove()
        job.model.eval()
    with torch.no_grad():
        for name, norm in norms.items():
            mean, variance = moments[name].read(unbiased=not isinstance(norm, Switchable))
            for buffer, value in (
                (norm.running_mean, mean),
                (norm.running_var, variance),
                (counters.get(name), counted.get(name)),
            ):
                if buffer is not None and value is not None:
                    buffer.copy_(value)
