"""What is told of a step."""

from pathlib import Path

from snreid.training.follow import follow
from snreid.training.log import MetricsLog, ProgressLine, read_metrics
from snreid.training.loop import StepReport
from support.tiny import console


def test_a_step_is_a_line_of_the_log_and_moves_the_bar(tmp_path: Path) -> None:
    said, log = console(), MetricsLog(tmp_path, tensorboard=False)
    log.start()
    bar = ProgressLine(said, total_steps=1, epochs=1)
    step = StepReport(step=1, epoch=0, rate=0.5, parts={"A": 2.0}, images=8, seconds=0.1, waited=0.0, skipped=0)
    follow(log, bar)(step)
    told = {"epoch": 0.0, "rate": 0.5, "seconds": 0.1, "waited": 0.0, "skipped": 0.0, "A": 2.0}
    assert read_metrics(tmp_path) == [{"step": 1, **told}]
    assert "step 1/1  loss 2.00 (A 2.00)" in said.file.getvalue()  # type: ignore[attr-defined]
