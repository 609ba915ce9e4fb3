"""Progress on stderr: bars on a terminal; elsewhere a plain line now and then."""

import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

from rich.console import RenderableType
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Column
from rich.text import Text

from kdgap.cli.printing import err, markup, moves, say
from kdgap.engine.tracker import NoTracker, Tracker
from kdgap.numbers import duration, percent
from kdgap.terminal import visible

PLAIN_SECONDS = 10.0
WIDE = 110
NARROW = 72
"""Columns from which a bar has all numbers, and from which it has any, and a rate."""
_Item = TypeVar("_Item")


def progress(epochs: int, label: str) -> Tracker:
    """Return the progress display that suits stderr."""
    return Bars(epochs, label) if moves() else PlainLines(epochs, label)


def rate(speed: float, unit: str) -> str:
    """Return so many of a unit in a second as people read it, such as `1,230 images/s`."""
    return f"{speed:,.0f} {unit}/s" if speed >= 10 else f"{speed:.1f} {unit}/s"


class Rate(ProgressColumn):
    """How many of a task's units are done in a second, lately."""

    def __init__(self, unit: str) -> None:
        super().__init__(table_column=Column(no_wrap=True))
        self._unit = unit

    def render(self, task: Task) -> Text:
        """Return the rate; nothing while it is unknown."""
        return Text(rate(task.speed, self._unit) if task.speed else "")


class Left(ProgressColumn):
    """How long the rest of a task takes."""

    def __init__(self) -> None:
        super().__init__(table_column=Column(no_wrap=True))

    def render(self, task: Task) -> Text:
        """Return the time; nothing while it is unknown."""
        seconds = task.time_remaining
        return Text(f"{duration(seconds)} left" if seconds else "")


class Bar(Progress):
    """A bar and its share, then other columns; below them lines that say what is running.

    It leaves nothing behind, however it ends.
    """

    def __init__(self, *columns: ProgressColumn) -> None:
        self.below: list[str] = []
        width = 24 if err.width >= WIDE else 12 if err.width >= NARROW else 6
        super().__init__(
            SpinnerColumn(),
            BarColumn(bar_width=width),
            TextColumn("{task.percentage:>3.0f} %", table_column=Column(no_wrap=True)),
            *columns,
            console=err,
            transient=True,
            redirect_stdout=False,  # what others print passes `kdgap.terminal`
            redirect_stderr=False,
        )

    def get_renderables(self) -> Iterable[RenderableType]:
        """Yield the bar and the lines below it."""
        yield self.make_tasks_table(self.tasks)
        for line in self.below:
            shown = f"  {visible(line, one_line=True)}"
            yield Text(shown, no_wrap=True, overflow="ellipsis", style="dim")


def label_column() -> ProgressColumn:
    """Return the column that says what is done."""
    return TextColumn("{task.description}", table_column=Column(no_wrap=True))


def each(items: Collection[_Item], label: str, unit: str) -> Iterator[_Item]:
    """Yield items one after another, with a bar where there is a terminal.

    Args:
        items: what is worked on.
        label: what is done with it.
        unit: what each of them is, in the plural.
    """
    if not moves():
        yield from items
        return
    with Bar(label_column(), Rate(unit), Left()) as display:
        yield from display.track(items, description=markup(label))


@contextmanager
def working(label: str) -> Iterator[None]:
    """Say what is going on, and for how long, where there is a terminal and no share is known."""
    if not moves():
        yield
        return
    with Progress(
        SpinnerColumn(),
        label_column(),
        TimeElapsedColumn(),
        console=err,
        transient=True,
        redirect_stdout=False,
        redirect_stderr=False,
    ) as display:
        display.add_task(markup(label), total=None)
        yield


def _summary(entry: Mapping[str, Any]) -> str:
    train, validation = percent(entry["train_acc"]), percent(entry["val_acc"])
    return f"loss {entry['loss_total']:.4f}, train {train}, validation {validation}"


def _short(entry: Mapping[str, Any]) -> str:
    return f"val {percent(entry['val_acc'])}"


class Bars(NoTracker):
    """One bar over all images of all epochs, with the last epoch's numbers, rate and time left."""

    def __init__(self, epochs: int, label: str) -> None:
        self._epochs = epochs
        self._summary = _summary if err.width >= WIDE else _short
        self._images = self._batch = 1
        numbers = [TextColumn("{task.fields[numbers]}", table_column=Column(no_wrap=True))]
        self._progress = Bar(
            TextColumn("epoch {task.fields[epoch]}", table_column=Column(no_wrap=True)),
            *([*numbers, Rate("images")] if err.width >= NARROW else []),
            Left(),
        )
        self._progress.below.append(label)
        self._task = self._progress.add_task(
            "", total=None, epoch=f"1/{epochs}", numbers="", start=False
        )

    def on_start(self, run: Mapping[str, Any]) -> None:
        """Show the bar."""
        self._images, self._batch = run["data"]["train"], run["spec"]["recipe"]["batch_size"]
        self._progress.start()

    def on_step(self, epoch: int, step: int, steps: int) -> None:
        """Move the bar."""
        seen = self._images if step == steps else min(step * self._batch, self._images)
        if not self._progress.tasks[0].started:
            # A run that goes on after an interruption is not credited with what it had done.
            self._progress.start_task(self._task)
        self._progress.update(
            self._task,
            total=self._epochs * self._images,
            completed=(epoch - 1) * self._images + seen,
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
        self._images = 0
        self._begun = 0
        self._started = self._printed = time.monotonic()

    def on_start(self, run: Mapping[str, Any]) -> None:
        """Start the clock."""
        self._images = run["data"]["train"]
        self._begun = 0
        self._started = self._printed = time.monotonic()

    def on_epoch(self, entry: Mapping[str, Any]) -> None:
        """Say where the run is."""
        now, epoch = time.monotonic(), entry["epoch"]
        self._begun = self._begun or epoch
        if epoch < self._epochs and now - self._printed < PLAIN_SECONDS:
            return
        self._printed = now
        seconds = (now - self._started) / (epoch - self._begun + 1)
        rest = f", {rate(self._images / seconds, 'images')}" if seconds else ""
        if epoch < self._epochs:
            rest += f", {duration(seconds * (self._epochs - epoch))} left"
        say(f"{self._label}: epoch {epoch}/{self._epochs}: {_summary(entry)}{rest}")
