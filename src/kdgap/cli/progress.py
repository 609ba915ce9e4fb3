"""Progress: bars on a terminal; elsewhere a plain line now and then."""

import time
from collections.abc import Mapping
from typing import Any

from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn
from rich.table import Column

from kdgap.cli.printing import err, markup, moves, say
from kdgap.engine.tracker import NoTracker, Tracker
from kdgap.numbers import duration

PLAIN_SECONDS = 10.0


def progress(epochs: int, label: str) -> Tracker:
    """Return the progress display that suits stderr."""
    return Bars(epochs, label) if moves() else PlainLines(epochs, label)


WIDE = 110


def _summary(entry: Mapping[str, Any]) -> str:
    return (
        f"loss {entry['loss_total']:.4f}, train {entry['train_acc']:.2%},"
        f" validation {entry['val_acc']:.2%}"
    )


def _short(entry: Mapping[str, Any]) -> str:
    return f"loss {entry['loss_total']:.3f}, val {entry['val_acc']:.2%}"


class Bars(NoTracker):
    """One bar over all steps of all epochs, with the last epoch's numbers and the time left."""

    def __init__(self, epochs: int, label: str) -> None:
        self._epochs = epochs
        wide = err.width >= WIDE
        self._summary = _summary if wide else _short
        # In a narrow terminal the label gives way first, then the bar; the time left stays.
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", table_column=Column(ratio=1, no_wrap=True)),
            BarColumn(bar_width=24 if wide else 8),
            TextColumn("epoch {task.fields[epoch]}", table_column=Column(no_wrap=True)),
            TextColumn("{task.fields[numbers]}", table_column=Column(no_wrap=True)),
            TimeRemainingColumn(compact=True, table_column=Column(no_wrap=True)),
            expand=not wide,
            console=err,
            transient=True,
            redirect_stdout=False,  # what others print passes `kdgap.terminal`
            redirect_stderr=False,
        )
        self._task = self._progress.add_task(
            markup(label), total=None, epoch=f"1/{epochs}", numbers="", start=False
        )

    def on_start(self, run: Mapping[str, Any]) -> None:
        """Show the bar."""
        self._progress.start()

    def on_step(self, epoch: int, step: int, steps: int) -> None:
        """Move the bar."""
        if epoch == step == 1:
            self._progress.start_task(self._task)
        self._progress.update(
            self._task,
            total=self._epochs * steps,
            completed=(epoch - 1) * steps + step,
            epoch=f"{epoch}/{self._epochs}",
        )

    def on_epoch(self, entry: Mapping[str, Any]) -> None:
        """Show the epoch's numbers."""
        self._progress.update(self._task, numbers=self._summary(entry))

    def on_finish(self, results: Mapping[str, Any] | None) -> None:
        """Take the bar away."""
        self._progress.stop()


class PlainLines(NoTracker):
    """A line an epoch, but at most one every few seconds; the last epoch always."""

    def __init__(self, epochs: int, label: str) -> None:
        self._epochs, self._label = epochs, label
        self._started = self._printed = time.monotonic()

    def on_start(self, run: Mapping[str, Any]) -> None:
        """Start the clock."""
        self._started = self._printed = time.monotonic()

    def on_epoch(self, entry: Mapping[str, Any]) -> None:
        """Say where the run is."""
        now, epoch = time.monotonic(), entry["epoch"]
        if epoch < self._epochs and now - self._printed < PLAIN_SECONDS:
            return
        self._printed = now
        left = (now - self._started) / epoch * (self._epochs - epoch)
        rest = f", {duration(left)} left" if epoch < self._epochs else ""
        say(f"{self._label}: epoch {epoch}/{self._epochs}: {_summary(entry)}{rest}")
