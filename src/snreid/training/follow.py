"""Reports every step to the log and the progress line, in training and adaptation alike."""

from collections.abc import Callable

from snreid.training.log import MetricsLog, ProgressLine
from snreid.training.loop import StepReport


def follow(log: MetricsLog, bar: ProgressLine) -> Callable[[StepReport], None]:
    """Returns a ``Hooks.report`` that shows each step on ``bar`` and writes it to ``log``. For the first process only."""

    def report(step: StepReport) -> None:
        """Reports one step."""
        bar.update(step.step, epoch=step.epoch, images=step.images, parts=step.parts, waited=step.waited)
        values = {
            "epoch": step.epoch,
            "rate": step.rate,
            "seconds": step.seconds,
            "waited": step.waited,
            "skipped": step.skipped,
        }
        log.write(step.step, {**values, **step.parts})

    return report
