"""What is shown while work goes on: share, rate, what is running and time left, at any width."""

import os
import pty
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len

from kdgap.cli import printing, study_progress
from kdgap.cli.progress import Bars, PlainLines, each, working
from kdgap.cli.study_progress import RunRate, StudyProgress
from kdgap.numbers import duration
from kdgap.store.progress import Row, Survey, keep_left, kept_left
from kdgap.store.study import StudyDirectory

Config = Callable[..., Path]
RUN: dict[str, Any] = {"data": {"train": 1000}, "spec": {"recipe": {"batch_size": 100}}}
ENTRY: dict[str, Any] = {"epoch": 1, "loss_total": 1.25, "train_acc": 0.5, "val_acc": 0.625}


@pytest.fixture
def terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[[int], Callable[[object], list[str]]]:
    """Make stderr a terminal of so many columns; return what shows a display there."""

    def of(columns: int) -> Callable[[object], list[str]]:
        monkeypatch.setattr(printing.err, "_width", columns)
        monkeypatch.setattr(printing.err, "_force_terminal", True)
        monkeypatch.setattr(printing.err, "is_interactive", True)
        monkeypatch.setattr(printing.err, "_color_system", None)
        monkeypatch.setattr(printing.err, "no_color", True)
        for module in ("progress", "study_progress"):
            monkeypatch.setattr(f"kdgap.cli.{module}.moves", lambda: True)

        def show(display: object) -> list[str]:
            capsys.readouterr()
            printing.err.print(display)
            return capsys.readouterr().err.splitlines()

        return show

    return of


@pytest.mark.parametrize("columns", [40, 60, 80, 160])
def test_the_bar_of_a_run_says_how_far_how_fast_and_what(
    terminal: Callable[[int], Callable[[object], list[str]]], columns: int
) -> None:
    show = terminal(columns)
    bars = Bars(4, "digits_resnet8_baseline seed 0")
    ticks = iter(float(second) for second in range(100))
    bars._progress.get_time = lambda: next(ticks)  # a second passes whenever it is asked
    bars._images, bars._batch = RUN["data"]["train"], RUN["spec"]["recipe"]["batch_size"]
    for step in range(1, 11):
        bars.on_step(1, step, 10)
    bars.on_epoch(ENTRY)
    bars.on_step(2, 1, 10)
    first, second = show(bars._progress.get_renderable())
    assert cell_len(first.rstrip()) <= columns
    assert "28 % epoch 2/4" in " ".join(first.split())
    assert first.rstrip().endswith(" left")
    assert second.strip() == "digits_resnet8_baseline seed 0"
    assert ("images/s" in first) == (columns >= 80)
    assert ("62.50 %" in first) == (columns >= 80)
    assert ("loss 1.2500" in first) == (columns >= 160)


def test_the_rate_of_images_is_what_was_trained_in_a_second() -> None:
    bars = Bars(4, "label")
    now = [0.0]
    bars._progress.get_time = lambda: now[0]
    bars._images, bars._batch = 1050, 100
    for epoch in (1, 2):
        for step in range(1, 12):
            now[0] += 0.5
            bars.on_step(epoch, step, 11)
    (task,) = bars._progress.tasks
    assert task.completed == 2100  # the last batch of an epoch has 50
    assert task.speed == pytest.approx(2000 / 10.5)


def small_study(done: int, runs: int = 60) -> Survey:
    rows = [
        Row(
            f"{n:08d}",
            f"run{n}",
            ["selection"],
            "r34 → r18 logit",
            n,
            state,
            "",
            1e9,
            share,
            seconds=3.0,
        )
        for n in range(runs)
        for state, share in [("done", 1.0) if n < done else ("running", 0.0)]
    ]
    return Survey(rows, [], 4, 4e9, open_seconds=12.0)


def runners() -> list[dict[str, Any]]:
    at = {"epoch": 3, "epochs": 30, "step": 2, "steps": 10, "val_acc": 0.91}
    training = {f"{n:08d}": at for n in range(12, 16)}
    return [
        {"pid": 1, "when": time.time(), "runs": training},
        {"pid": 2, "when": time.time(), "phase": "loading data"},
    ]


@pytest.fixture
def studied(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> StudyProgress:
    """The display of a study of which 8 of 64 runs were done a minute ago, and 12 are now."""
    monkeypatch.setattr(study_progress, "survey", lambda *_, **__: small_study(12))
    monkeypatch.setattr(study_progress, "live", lambda _: runners())
    display = StudyProgress(StudyDirectory(tmp_path))
    display._rate.words(940.0, 8.0)
    return display


@pytest.mark.parametrize("columns", [40, 60, 80, 160])
def test_the_bar_of_a_study_says_how_far_how_fast_and_what(
    terminal: Callable[[int], Callable[[object], list[str]]],
    request: pytest.FixtureRequest,
    columns: int,
) -> None:
    show = terminal(columns)
    display = request.getfixturevalue("studied")
    display._show(1000.0)
    first, *running = show(display._bar.get_renderable())
    assert cell_len(first.rstrip()) <= columns
    assert "19 % 12 of 64 runs 4.3 runs/min" in " ".join(first.split())
    assert running[0].strip().startswith("selection, epoch 3/30, validation 91.")
    assert ("r34 → r18 logit and 3 more" in running[0]) == (columns >= 80)
    assert running[1].strip() == "loading data"


def test_a_log_gets_the_same_in_one_line_now_and_then(
    studied: StudyProgress, capsys: pytest.CaptureFixture[str]
) -> None:
    studied._show(1000.0)
    studied._show(1001.0)
    assert capsys.readouterr().err == (
        "12 of 64 runs · selection, epoch 3/30, validation 91.00 %: r34 → r18 logit and 3 more"
        " · loading data · 4.3 runs/min\n"
    )


def test_others_see_the_time_left_that_a_display_shows_as_long_as_it_does(
    studied: StudyProgress, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = studied._directory.path
    with studied:
        studied._show(1000.0)
        assert kept_left(folder) is None  # one look tells no pace
        monkeypatch.setattr(study_progress, "survey", lambda *_, **__: small_study(40))
        studied._show(1030.0)
        left = kept_left(folder)
        assert left is not None
        assert f" · {duration(left)} left\n" in capsys.readouterr().err
        monkeypatch.setattr(study_progress, "survey", lambda *_, **__: small_study(12))
        studied._show(1060.0)  # runs were begun anew
        assert kept_left(folder) is None
        keep_left(folder, 5.0)
    assert kept_left(folder) is None


def test_a_rate_of_runs_is_known_or_not_said() -> None:
    rate = RunRate()
    assert rate.words(0.0, 2.0) == ""
    assert rate.words(4.0, 2.5) == ""  # too short to tell
    assert rate.words(30.0, 2.0) == ""  # a run was begun anew
    assert rate.words(90.0, 4.5) == "2.5 runs/min"
    assert rate.words(630.0, 4.5) == "15.0 runs/h"


def test_plain_lines_have_rate_and_time_left(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = [100.0]
    monkeypatch.setattr("kdgap.cli.progress.time.monotonic", lambda: now[0])
    lines = PlainLines(30, "label")
    lines.on_start(RUN)
    now[0] += 20.0
    lines.on_epoch({**ENTRY, "epoch": 11})  # goes on after an interruption
    assert capsys.readouterr().err == (
        "label: epoch 11/30: loss 1.2500, train 50.00 %, validation 62.50 %, 50 images/s,"
        " 6 min 20 s left\n"
    )


def test_nothing_moves_in_a_log_that_has_colours(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(printing.err, "_force_terminal", True)  # as FORCE_COLOR does
    assert not printing.moves()
    assert list(each([1, 2], "checking", "runs")) == [1, 2]
    with working("reading"):
        pass
    assert capsys.readouterr().err == ""


def test_what_is_worked_on_is_shown_and_taken_away(
    terminal: Callable[[int], Callable[[object], list[str]]], capsys: pytest.CaptureFixture[str]
) -> None:
    terminal(80)
    assert list(each([1, 2], "checking [files]", "runs")) == [1, 2]
    assert "checking [files]" in capsys.readouterr().err
    with working("reading [photos]"):
        pass
    shown = capsys.readouterr().err
    assert "reading [photos]" in shown
    assert shown.endswith("\x1b[2K")  # the line is erased


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_run_leaves_a_clean_terminal(
    config: Config, workdir: Path, number: signal.Signals
) -> None:
    path = config(epochs=2000, limit=128, output_dir="out")
    master, slave = pty.openpty()
    environment = {key: value for key, value in os.environ.items() if key != "COLUMNS"}
    with subprocess.Popen(
        [sys.executable, "-m", "kdgap", "train", str(path)],
        stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
        env={**environment, "TERM": "xterm"},
    ) as process:  # fmt: skip
        os.close(slave)
        text, stopped = b"", False
        while True:
            try:
                piece = os.read(master, 4096)
            except OSError:
                break
            if not piece:
                break
            text += piece
            # A bar shows what there is at its moments, and may pass over any one epoch.
            if not stopped and re.search(rb"epoch (?!1/)\d+/", text):
                process.send_signal(number)
                stopped = True
        assert process.wait() == 128 + number
    os.close(master)
    last = text.decode().rpartition("epoch ")[2]
    assert "\x1b[?25h" in last  # the cursor is back
    assert "\x1b[2K" in last  # the bar is gone
    assert last.rstrip().endswith("stopped and saved; the same command goes on from here")
