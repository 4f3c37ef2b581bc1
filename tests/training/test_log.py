"""What a run tells: JSON lines that survive a kill and a resume, and the progress a person sees."""

import builtins
import io
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console

from snreid.training.log import (
    METRICS_FILE,
    MetricsLog,
    ProgressLine,
    StepReport,
    duration_text,
    follow,
    loss_text,
    read_metrics,
    skipped_text,
    waited_text,
)
from support.tiny import console


def log_of(folder: Path, steps: range, start: int = 0) -> MetricsLog:
    log = MetricsLog(folder, tensorboard=False)
    log.start(start)
    for step in steps:
        log.write(step, {"loss": step / 10})
    return log


def test_each_line_is_one_json_object(tmp_path: Path) -> None:
    log = MetricsLog(tmp_path / "run", tensorboard=False)
    log.start()
    log.write(1, {"loss": torch.tensor(0.25), "epoch": 0, "note": "first"})
    log.write(2, {"loss": float("nan"), "rate": float("inf")})
    lines = (tmp_path / "run" / METRICS_FILE).read_text().splitlines()
    assert [json.loads(line) for line in lines] == [
        {"step": 1, "loss": 0.25, "epoch": 0.0, "note": "first"},
        {"step": 2, "loss": None, "rate": None},
    ]


def test_a_line_is_on_disk_at_once(tmp_path: Path) -> None:
    log_of(tmp_path, range(1, 3))
    assert len(read_metrics(tmp_path)) == 2  # without closing the log


def test_a_resumed_run_drops_what_it_will_write_again(tmp_path: Path) -> None:
    log_of(tmp_path, range(1, 9))
    log_of(tmp_path, range(6, 8), start=5)
    assert [line["step"] for line in read_metrics(tmp_path)] == [1, 2, 3, 4, 5, 6, 7]
    assert [path.name for path in tmp_path.iterdir()] == [METRICS_FILE]


@pytest.mark.parametrize("torn", ['{"step": 4, "lo', '{"step"', "4", "[]", '{"loss": 1}', "\0\0\0", "\ud800"])
def test_a_torn_last_line_is_no_harm(tmp_path: Path, torn: str) -> None:
    log_of(tmp_path, range(1, 4))
    with (tmp_path / METRICS_FILE).open("ab") as file:
        file.write(torn.encode("utf-8", errors="surrogatepass"))
    assert [line["step"] for line in read_metrics(tmp_path)] == [1, 2, 3]
    log_of(tmp_path, range(4, 5), start=3)
    assert [line["step"] for line in read_metrics(tmp_path)] == [1, 2, 3, 4]


def test_no_log_is_no_lines(tmp_path: Path) -> None:
    assert read_metrics(tmp_path) == []


def test_tensorboard_is_written_where_it_is_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[tuple[Any, ...]] = []

    class Board:
        def add_scalar(self, *arguments: Any) -> None:
            written.append(arguments)

        def close(self) -> None:
            written.append(("closed",))

    monkeypatch.setattr("snreid.training.log._board", lambda folder, purge_step: Board())
    with MetricsLog(tmp_path) as log:
        log.start()
        log.write(1, {"loss": 0.5, "note": "a word", "bad": float("nan")})
    assert written == [("loss", 0.5, 1), ("closed",)]


@pytest.mark.parametrize(("first", "told"), [(None, "gone"), (ValueError("first"), "first")])
def test_an_error_on_closing_does_not_hide_the_first_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: Exception | None, told: str
) -> None:
    class Board:
        def close(self) -> None:
            raise FileNotFoundError("gone")

    monkeypatch.setattr("snreid.training.log._board", lambda folder, purge_step: Board())
    log = MetricsLog(tmp_path)
    log.start()

    def work() -> None:
        with log:
            if first:
                raise first

    with pytest.raises((FileNotFoundError, ValueError), match=told):
        work()


def test_without_tensorboard_the_lines_are_written_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = builtins.__import__

    def without(name: str, *arguments: Any, **words: Any) -> Any:
        if name.startswith(("tensorboard", "torch.utils.tensorboard")):
            raise ImportError(name)
        return real(name, *arguments, **words)

    monkeypatch.setattr(builtins, "__import__", without)
    with MetricsLog(tmp_path) as log:
        log.start()
        log.write(1, {"loss": 0.5})
    assert len(read_metrics(tmp_path)) == 1


@pytest.mark.slow
def test_tensorboard_files_appear(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="TensorBoard is an optional extra")
    with MetricsLog(tmp_path) as log:
        log.start()
        log.write(1, {"loss": 0.5})
    assert list((tmp_path / "tensorboard").glob("events.*"))


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


PARTS = {"CrossEntropy": torch.tensor(4.0), "Triplet": 0.5}


def test_off_a_terminal_one_plain_line_comes_every_so_often() -> None:
    screen, clock = io.StringIO(), Clock()
    with ProgressLine(Console(file=screen), total_steps=40, epochs=4, every=10.0, clock=clock) as line:
        line.start()
        for step in range(1, 41):
            clock.now += 1.0
            line.update(step, epoch=(step - 1) // 10, images=64, parts=PARTS, waited=0.25 if step > 20 else 0.0)
    lines = screen.getvalue().splitlines()
    assert len(lines) == 4
    assert (
        lines[0]
        == "epoch 1/4  step 10/40  loss 4.50 (CrossEntropy 4.00, Triplet 0.50)  64 images/s, 0% waiting for them  0:30 left"
    )
    # Of the last 30 seconds, 20 waited a quarter of their time.
    assert lines[3].endswith("Triplet 0.50)  64 images/s, 17% waiting for them  0:00 left")


def test_the_time_left_counts_from_where_the_run_resumed() -> None:
    screen, clock = io.StringIO(), Clock()
    line = ProgressLine(Console(file=screen), total_steps=100, epochs=1, every=0.0, clock=clock)
    line.start(90)
    clock.now += 2.0
    line.update(91, epoch=0, images=10, parts=PARTS)
    assert "5 images/s, 0% waiting for them  0:18 left" in screen.getvalue()


def test_losses_are_only_looked_at_when_they_are_shown() -> None:
    class Expensive:
        looked = 0

        def __float__(self) -> float:
            Expensive.looked += 1
            return 1.0

    clock = Clock()
    line = ProgressLine(Console(file=io.StringIO()), total_steps=100, epochs=1, every=10.0, clock=clock)
    line.start()
    for step in range(1, 31):
        clock.now += 1.0
        line.update(step, epoch=0, images=1, parts={"loss": Expensive()})
    assert Expensive.looked == 3


def test_on_a_terminal_there_is_a_bar() -> None:
    screen, clock = io.StringIO(), Clock()
    console = Console(file=screen, force_terminal=True, width=160)
    with ProgressLine(console, total_steps=10, epochs=2, clock=clock) as line:
        line.start()
        clock.now += 1.0
        line.update(5, epoch=0, images=64, parts=PARTS)
    assert "epoch 1/2" in screen.getvalue()
    assert "5/10" in screen.getvalue()
    assert "Triplet 0.50" in screen.getvalue()


def test_texts() -> None:
    assert loss_text({"A": 1.0, "B": torch.tensor(0.126)}) == "loss 1.13 (A 1.00, B 0.13)"
    assert [duration_text(s) for s in (-1, 7.4, 725, 10_809)] == ["0:00", "0:07", "12:05", "3:00:09"]


def test_skipped_steps_are_said_with_all_steps(tmp_path: Path) -> None:
    assert skipped_text(tmp_path) == ""
    log = MetricsLog(tmp_path, tensorboard=False)
    log.start()
    for step, skipped in enumerate((0, 1, 1, 2), start=1):
        log.write(step, {"skipped": skipped})
    log.write(4, {"validation_mAP": 0.5})
    assert skipped_text(tmp_path).startswith("2 of 4 steps were skipped")


def test_waiting_is_said_as_a_share_of_all_steps(tmp_path: Path) -> None:
    assert waited_text(tmp_path) == ""
    log = MetricsLog(tmp_path, tensorboard=False)
    log.start()
    for step in (1, 2):
        log.write(step, {"seconds": 50.0, "waited": 2.0})
    log.write(2, {"validation_mAP": 0.5})
    assert waited_text(tmp_path) == "4.0% of 1:40 of training were spent waiting for images."


def test_lines_of_another_hand_count_as_nothing(tmp_path: Path) -> None:
    lines = [
        '{"step": 1, "skipped": "all", "seconds": "long", "waited": 1.0}',
        '{"step": 2, "skipped": NaN, "waited": NaN}',
    ]
    (tmp_path / "metrics.jsonl").write_text("\n".join([*lines, '{"step": ' + "[" * 100_000]))
    assert len(read_metrics(tmp_path)) == 2
    assert skipped_text(tmp_path) == waited_text(tmp_path) == ""


def test_a_step_is_a_line_of_the_log_and_moves_the_bar(tmp_path: Path) -> None:
    said, log = console(), MetricsLog(tmp_path, tensorboard=False)
    log.start()
    bar = ProgressLine(said, total_steps=1, epochs=1)
    step = StepReport(step=1, epoch=0, rate=0.5, parts={"A": 2.0}, images=8, seconds=0.1, waited=0.0, skipped=0)
    follow(log, bar)(step)
    told = {"epoch": 0.0, "rate": 0.5, "seconds": 0.1, "waited": 0.0, "skipped": 0.0, "A": 2.0}
    assert read_metrics(tmp_path) == [{"step": 1, **told}]
    assert "step 1/1  loss 2.00 (A 2.00)" in said.file.getvalue()  # type: ignore[attr-defined]
