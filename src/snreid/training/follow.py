"""Every step into the log and onto the progress line: what training and adaptation tell alike."""

from collections.abc import Callable

from snreid.training.log import MetricsLog, ProgressLine
from snreid.training.loop import StepReport


def follow(log: MetricsLog, bar: ProgressLine) -> Callable[[StepReport], None]:
    """What ``Hooks.report`` calls: shows the step on ``bar`` and writes its line to ``log``. For the first process only."""

    def report(step: StepReport) -> None:
        """Tell one step."""
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
